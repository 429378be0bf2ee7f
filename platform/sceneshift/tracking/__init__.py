"""Records in MLflow: runs, metrics, models. Other rooms don't import MLflow but use this one."""
