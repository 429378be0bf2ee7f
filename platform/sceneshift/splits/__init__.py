"""Which labelled pixels train, validate and test; scene pairs and what training is given of them."""
