"""The squared maximum mean discrepancy (MMD) of two sets under a kernel given: unbiased, paired and biased.

    MMD² = E k(x, x') + E k(y, y') - 2 E k(x, y)    for independent x, x' and y, y'

It is 0 where both distributions agree in all that the kernel sees, and says nothing of what it does not see.
Source: Gretton et al. 2012, A Kernel Two-Sample Test (JMLR 13). Inputs are fp64 features [N, D] and [M, D].
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Kernel = Callable[[Tensor, Tensor], Tensor]
"""Features [N, D] and [M, D] -> k [N, M]."""

ROWS = 1024
"""Rows of a kernel matrix held at once."""


def unbiased_mmd2(kernel: Kernel, x: Tensor, y: Tensor) -> float:
    """The U-statistic, for sets drawn independently of each other; N, M at least 2.

        mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) - 2 mean_{i,j} k(x_i, y_j)

    Right on average for sets of any size, so it falls below 0 about half the time where nothing differs.
    Source: Gretton et al. 2012, equation 3.
    """
    return _others(kernel, x, x) + _others(kernel, y, y) - 2 * _all(kernel, x, y)


def paired_mmd2(kernel: Kernel, x: Tensor, y: Tensor) -> float:
    """The U-statistic over pairs (x_i, y_i) that share something, such as prompt and noise; N = M, at least 2.

        mean_{i≠j} [k(x_i, x_j) + k(y_i, y_j) - 2 k(x_i, y_j)]

    A pair's own k(x_i, y_i) is left out: it is high because the two belong together, not because the sets agree.
    Source: Gretton et al. 2012, equation 4.
    """
    return _others(kernel, x, x) + _others(kernel, y, y) - 2 * _others(kernel, x, y)


def biased_mmd2(kernel: Kernel, x: Tensor, y: Tensor) -> float:
    """The V-statistic: all pairs, an image with itself among them.

        mean_{i,j} k(x_i, x_j) + mean_{i,j} k(y_i, y_j) - 2 mean_{i,j} k(x_i, y_j)

    Never below 0; too high by (k(x, x) - E k(x, x'))/N + (k(y, y) - E k(y, y'))/M on average, which drowns what it is
    to show where sets are small. Source: Gretton et al. 2012, equation 5.
    """
    return _all(kernel, x, x) + _all(kernel, y, y) - 2 * _all(kernel, x, y)


def _all(kernel: Kernel, x: Tensor, y: Tensor) -> float:
    """The mean of k(x_i, y_j)."""
    return sum(float(kernel(rows, y).sum()) for rows in x.split(ROWS)) / (len(x) * len(y))


def _others(kernel: Kernel, x: Tensor, y: Tensor) -> float:
    """The mean of k(x_i, y_j) over i≠j."""
    total = 0.0
    for start in range(0, len(x), ROWS):
        k = kernel(x[start : start + ROWS], y)
        total += float(k.sum() - k.diagonal(offset=start).sum())
    return total / (len(x) * (len(x) - 1))
