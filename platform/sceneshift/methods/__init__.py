"""How a network learns: one class per method.

Nothing in this room imports ray, mlflow or optuna.
"""
