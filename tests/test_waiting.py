"""What the tests' waits return, and how they fail."""

from __future__ import annotations

import subprocess
import sys

import pytest

from waiting import wait_until


def test_the_first_true_value_is_returned() -> None:
    values = iter(["", [], "third", "fourth"])
    assert wait_until(lambda: next(values), "a value") == "third"


def test_a_timeout_names_what_was_waited_for_and_the_last_value() -> None:
    with pytest.raises(TimeoutError, match=r"waited 0 s for the end \(last value: \[\]\)"):
        wait_until(list, "the end", 0)


def test_details_are_asked_for_once_and_only_on_failure() -> None:
    calls: list[str] = []

    def details() -> str:
        calls.append("details")
        return "the end, with details"

    assert wait_until(lambda: True, details) and not calls
    with pytest.raises(TimeoutError, match="the end, with details"):
        wait_until(lambda: False, details, 0)
    assert calls == ["details"]


def test_a_process_that_ends_is_looked_at_once_more() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    assert wait_until(lambda: process.returncode == 0, "its end", process=process)
    with pytest.raises(ChildProcessError, match="ended before the impossible"):
        wait_until(lambda: None, "the impossible", process=process)
