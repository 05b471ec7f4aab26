"""Shared by all rooms' tests."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small tensors: more threads only wait for each other
