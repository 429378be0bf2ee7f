"""What MLflow is told: runs, metrics, models. Other rooms don't import MLflow, and reach it through this one."""
