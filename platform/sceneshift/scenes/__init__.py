"""What is looked at: scenes, scene pairs, splits and the patches cut from them.

Nothing in this room imports ray, mlflow or optuna.
"""
