"""Many runs: search spaces, the ledger of trials, and Ray Tune around the training of one of them."""
