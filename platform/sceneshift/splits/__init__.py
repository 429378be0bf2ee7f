"""Which labelled pixels train, validate and test; scene pairs, and the part of them that training sees."""
