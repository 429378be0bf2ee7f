"""One training: its data, the plain loop, checkpoints and evaluation, without Ray."""
