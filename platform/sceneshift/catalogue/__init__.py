"""Scenes and pairs by name: published ones, the user's own, how they are loaded, and the one door to target labels."""
