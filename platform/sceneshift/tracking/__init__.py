"""What MLflow is told: runs, metrics, models. Nothing else in the package writes to MLflow."""
