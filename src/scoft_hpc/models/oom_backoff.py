"""How much goes through the networks at a time: halved where the memory turns out too small."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from scoft_hpc.models.device import empty_cache, out_of_memory

log = logging.getLogger(__name__)
T = TypeVar("T")


class MicrobatchSize:
    """Rows of a pass. None: all at once, until that fails."""

    def __init__(self, rows: int | None = None) -> None:
        self.rows = rows

    def run(self, work: Callable[[int | None], T], most: int) -> T:
        """`work(rows)`; where it runs out of memory, again with half the rows (of at most `most`), down to one.

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
                told = str(error).splitlines()[0]
            # Past the except clause, which holds the failed pass's tensors by its traceback.
            empty_cache()
            self.rows = rows // 2
            log.warning("out of memory with %d rows at a time, going on with %d (%s)", rows, self.rows, told)
