"""Studies: a search from its arguments to its last screen."""
