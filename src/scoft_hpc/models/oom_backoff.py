"""Out-of-memory back-off: the size of a microbatch is halved where the memory is too small."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from scoft_hpc.models.device import empty_cache, out_of_memory
from scoft_hpc.study.interrupt import StopFlag
from scoft_hpc.text import first_line

log = logging.getLogger(__name__)
T = TypeVar("T")


class MicrobatchSize:
    """Rows that go through a network together; None: all, until that fails."""

    def __init__(self, rows: int | None = None) -> None:
        self.rows = rows

    def run(self, work: Callable[[int | None], T], most: int) -> T:
        """`work(rows)`, retried with half the rows (of at most `most`) when it runs out of memory, down to one.

        Raises:
            whatever `work` raises, out of memory with a single row included.
        """
        while True:
            try:
                return work(self.rows)
            except Exception as error:
                rows = min(self.rows or most, most)
                if not out_of_memory(error) or rows == 1:
                    raise
                reason = first_line(error)
            # Past the except clause, which holds the failed pass's tensors by its traceback.
            empty_cache()
            self.rows = rows // 2
            log.warning(
                "out of memory with %d rows at a time, continuing with %d (%s)", rows, self.rows, reason
            )


def in_microbatches(
    work: Callable[[slice], T], count: int, rows: int, stop: StopFlag | None = None
) -> list[T]:
    """Call `work` on consecutive slices of `count` items and return its results in order.

    A slice has `rows` items, or fewer once the memory did not suffice for so many.

    Raises:
        Interrupted: if `stop` was requested; checked before each slice.
    """
    microbatch, results, done = MicrobatchSize(rows), list[T](), 0

    def next_slice(size: int | None) -> T:
        return work(slice(done, done + (size or rows)))

    while done < count:
        if stop:
            stop.raise_if_set()
        results.append(microbatch.run(next_slice, count - done))
        done += microbatch.rows or rows
    return results
