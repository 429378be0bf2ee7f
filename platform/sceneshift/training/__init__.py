"""One training run: the plain loop, its checkpoints, and Ray Train around it.

Only ``training.ray_train`` imports ray.
"""
