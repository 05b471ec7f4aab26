"""The fixtures of `base_models`, for every test in this folder."""

from __future__ import annotations

from base_models import base, own_caches, saved, small

__all__ = ["base", "own_caches", "saved", "small"]
