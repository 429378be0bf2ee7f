"""Searches and trainings from a specification to a closed result, as functions that can be called."""
