"""Work on slices that are halved where the memory is too small."""

from __future__ import annotations

import pytest

from scoft_hpc.models.oom_backoff import in_microbatches
from scoft_hpc.study.interrupt import Interrupted, StopFlag


def test_slices_are_halved_until_they_fit_and_each_item_is_worked_on_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried = []

    def work(part: slice) -> list[int]:
        items = list(range(11))[part]
        tried.append(len(items))
        if len(items) > 2:
            raise MemoryError  # without a message, as the interpreter raises it
        return items

    parts = in_microbatches(work, 11, 8)
    assert parts == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10]]
    assert tried[:3] == [8, 4, 2]
    assert "out of memory with 8 rows at a time, continuing with 4 (MemoryError)" in caplog.text


def test_one_item_that_does_not_fit_is_the_error() -> None:
    def work(part: slice) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        in_microbatches(work, 3, 2)


def test_a_stop_ends_it_before_the_next_slice() -> None:
    stop, done = StopFlag(), []

    def work(part: slice) -> None:
        done.append(part)
        stop.requested = True

    with pytest.raises(Interrupted):
        in_microbatches(work, 4, 2, stop)
    assert done == [slice(0, 2)]
