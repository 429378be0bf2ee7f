"""The end of a chosen run: refit, the target's door, scores, registering, pictures. Searches and trainings share it."""
