"""Hyperparameter search and domain-generalization studies of hyperspectral networks, distributed with Ray.

Importing the package is cheap on purpose: no torch, ray, mlflow or optuna until a room that needs them is
imported.
"""

__version__ = "0.2.0"
