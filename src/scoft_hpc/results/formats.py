"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

NONE = "–"


class Interval(Protocol):
    """A mean or a correlation: what has two ends, infinite where there are none."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


def decimals(values: Iterable[float]) -> int:
    """So many that the largest of the values shows two digits and the values differ; 2 for most shares."""
    finite = list(values)
    largest, spread = max(map(abs, finite), default=1.0), max(finite, default=1.0) - min(finite, default=0.0)
    return max(_decimals(largest or 1.0), _decimals(5 * spread) if spread > 0 else 0)


def _decimals(size: float) -> int:
    return next((n for n, least in ((0, 100), (1, 10), (2, 0.1), (3, 0.01)) if size >= least), 4)


def number(value: float | None, digits: int = 2) -> str:
    """Without the leading zero: .62, 1.00, −.07."""
    if value is None:
        return NONE
    text = f"{abs(value):,.{digits}f}"
    zero = float(text.replace(",", "")) == 0
    text = text[1:] if text.startswith("0.") else text
    return f"−{text}" if value < 0 and not zero else text


def signed(value: float, digits: int = 2) -> str:
    text = number(value, digits)
    return text if text.startswith("−") or not text.strip(".0") else f"+{text}"


def interval(bounds: Interval, digits: int = 2) -> str:
    """`.12 to .34`; empty where nothing was repeated that could give one."""
    if not math.isfinite(bounds.high - bounds.low):
        return ""
    return f"{number(bounds.low, digits)} to {number(bounds.high, digits)}"


def bracketed(bounds: Interval, digits: int = 2) -> str:
    """`[.12, .34]`."""
    return f"[{number(bounds.low, digits)}, {number(bounds.high, digits)}]"


def p_value(p: float | None) -> str:
    """Three decimals without the leading zero, `< .001` for anything smaller."""
    if p is None:
        return NONE
    return "< .001" if p < 0.001 else number(p, 3)


def moment(iso: str) -> str:
    """A time of a plan, `2026-11-22T16:00:00+00:00`, for people."""
    return f"{iso[:10]}, {iso[11:16]} UTC" if iso.endswith("+00:00") else iso


def listed(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *others, last = list(names) or [""]
    return f"{', '.join(others)} and {last}" if others else last
