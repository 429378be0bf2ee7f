"""Seeds that follow from names, so that adding one draw never shifts another."""

import hashlib


def derive_seed(*parts: int | str) -> int:
    """Derive a seed in [0, 2**63) from any number of integers and names.

    The same parts always give the same seed, on every platform and Python version.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
