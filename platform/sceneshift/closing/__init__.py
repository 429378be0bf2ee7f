"""Closing a chosen run: refit, opening the target, scores, registering, pictures; shared by searches and trainings."""
