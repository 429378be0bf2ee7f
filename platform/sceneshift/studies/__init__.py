"""Studies for research: how well does what the platform does, such as choosing without target labels, hold up?

They read target labels that no search or training reads, say so wherever their figures appear, and register nothing.
"""
