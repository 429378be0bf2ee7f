"""How a network learns: one class a method.

Nothing in this room imports ray, mlflow or optuna.
"""
