"""Studies made by hand, and a simulated survey."""

from __future__ import annotations

from ratings.analysis.conftest import simulated
from results.conftest import finished

__all__ = ["finished", "simulated"]
