"""Random generators without state: each is seeded by the parts of its name.

What a lane draws depends on its seed, its culture and the step alone, so neighbours in a pack change nothing, lanes
of one culture and seed draw the same (common random numbers), and a resumed run draws what it would have drawn.
"""

from __future__ import annotations

import hashlib

import torch


def generator_for(*parts: str | int) -> torch.Generator:
    """A CPU generator seeded by SHA-256 of its name; on the CPU, so that every device gets the same numbers."""
    seed = hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8]
    return torch.Generator().manual_seed(int.from_bytes(seed, "big") >> 1)
