"""Random streams without state: each draw's generator is made from the words that name it.

What a lane draws depends on its seed, its culture and the step alone, so neighbours in a pack change nothing, lanes
of one culture and seed draw the same (common random numbers), and a resumed run draws what it would have drawn.
"""

from __future__ import annotations

import hashlib

import torch


def generator_for(*words: str | int) -> torch.Generator:
    """A CPU generator seeded by SHA-256 of the words; drawn on the CPU, so that every device sees the same numbers."""
    seed = hashlib.sha256("/".join(map(str, words)).encode()).digest()[:8]
    return torch.Generator().manual_seed(int.from_bytes(seed, "big") >> 1)
