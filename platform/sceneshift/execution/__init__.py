"""Where trainings run: in this process, or on a Ray cluster. What is trained and why it ends is decided elsewhere."""
