"""The phrases that messages share."""

from __future__ import annotations

import pytest

from scoft_hpc.text import did_you_mean, duration, first_line, listing, plural, short_duration, shorten


@pytest.mark.parametrize(
    ("number", "phrase"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (100, "100 runs")]
)
def test_plural(number: int, phrase: str) -> None:
    assert plural(number, "run") == phrase


def test_a_list_is_shortened_only_beyond_its_limit_and_nothing_is_left_uncounted() -> None:
    names = ["a", "b", "c", "d"]
    assert shorten(names, 4) == names and listing(names, 4) == "a, b, c, d"
    assert shorten(names, 3) == ["a", "b", "c", "… and 1 more"] and listing(names, 3) == "a, b, c and 1 more"
    assert shorten(names, 1, "more.") == ["a", "… and 3 more."]
    assert shorten([], 3) == [] and listing([], 3) == ""
    assert names == ["a", "b", "c", "d"], "the list itself stays as it is"


def test_a_similar_word_is_suggested_and_otherwise_the_sentence_ends_as_asked() -> None:
    assert did_you_mean("swep", ["sweep", "status"]) == "; did you mean sweep?"
    assert did_you_mean("swep", {"sweep": 1}) == "; did you mean sweep?"
    assert did_you_mean("xyz", ["sweep"]) == "."
    assert did_you_mean("xyz", ["sweep"], "; expected sweep.") == "; expected sweep."


def test_durations() -> None:
    assert [duration(s) for s in (0.4, 59.4, 60, 200, 3900)] == ["0 s", "59 s", "1:00", "3:20", "1:05:00"]
    assert duration(59.6) == "1:00", "rounded before it is split"
    assert [short_duration(s) for s in (40, 89, 720, 5399, 5400, 129599, 181440)] == [
        "40s",
        "89s",
        "12m",
        "90m",
        "1.5h",
        "36.0h",
        "2.1d",
    ]


def test_the_first_line_of_an_error_is_its_type_if_it_has_no_message() -> None:
    assert first_line(ValueError("\n one \ntwo")) == "one "
    assert first_line(MemoryError()) == "MemoryError"
