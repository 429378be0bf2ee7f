"""Many runs: search spaces, the trial store of trials, and Ray Tune around the training of one of them."""
