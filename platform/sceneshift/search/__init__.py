"""Many trainings: search spaces, the trial store, the judge that ends trials, and the loop that runs them."""
