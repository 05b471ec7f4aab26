"""Phrases that messages share: plural forms, shortened lists, "did you mean", durations."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def plural(number: int, noun: str) -> str:
    """`1 run`, `2 runs`: the number with a noun whose plural ends on an s."""
    return f"{number} {noun}{'s' * (number != 1)}"


def shorten(items: Sequence[str], limit: int, rest: str = "more") -> list[str]:
    """The first `limit` items, and `… and 7 more` for the others; `rest` is what follows the number."""
    n_hidden = len(items) - limit
    return [*items[:limit], f"… and {n_hidden} {rest}"] if n_hidden > 0 else list(items)


def listing(items: Sequence[str], limit: int) -> str:
    """`a, b and 7 more`: at most `limit` items by name, the others as a number."""
    n_hidden = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {n_hidden} more" if n_hidden > 0 else "")


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its type if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def did_you_mean(name: str, options: Iterable[str], otherwise: str = ".") -> str:
    """The end of a sentence about an unknown name: `; did you mean sweep?`, or `otherwise` if no option is similar."""
    similar = difflib.get_close_matches(name, list(options), n=1)
    return f"; did you mean {similar[0]}?" if similar else otherwise


def duration(seconds: float) -> str:
    """A duration to the second: `42 s`, `3:20`, `1:05:00`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def short_duration(seconds: float) -> str:
    """A duration for a narrow column: `40s`, `12m`, `1.5h`, `2.1d`."""
    if seconds < 90:
        return f"{seconds:.0f}s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f}m"
    return f"{seconds / 3600:.1f}h" if seconds < 36 * 3600 else f"{seconds / 86400:.1f}d"
