"""Scenes, arrays and label maps read from files and written to them."""
