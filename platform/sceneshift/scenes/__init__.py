"""What a scene is: cubes and labels, patches cut from them, normalization, alignment. No file is read here.

Nothing in this room imports ray, mlflow or optuna.
"""
