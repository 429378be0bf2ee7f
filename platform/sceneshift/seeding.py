"""Seeds derived from names, so that adding one draw never changes another."""

import hashlib


def derive_seed(*parts: int | str) -> int:
    """Derive a seed in [0, 2**63) from any number of integers and names.

    The same parts always give the same seed, on every platform and Python version.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def trial_seed(study_seed: int, number: int) -> int:
    """The seed of a study's trial; each pair's seed is derived from it and the pair's name."""
    return derive_seed(study_seed, "trial", number)
