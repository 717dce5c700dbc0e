"""Independent seeds from one integer: the same name always gives the same seed."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, *names: str | int) -> int:
    """A seed in [0, 2³¹) that depends on `seed` and the names only (SHA-256), not on the order of calls."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
