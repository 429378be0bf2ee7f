"""Comparisons of methods on many pairs: every method is tuned alike without target labels, then scored once.

Target labels are read in one module, :mod:`sceneshift.comparison.joining`, after every network has been chosen.
"""
