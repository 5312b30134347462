"""Which rows of a file go where, by their numbers alone.

A permutation of all rows, as ``data.read`` has it, would be larger than memory at some size. Here
every row has a number in [0, 1) of its own, from a generator that counts (Philox, Salmon et al.,
2011, "Parallel random numbers: as easy as 1, 2, 3"): it depends on the seed and on the number of
the row, whatever else is read and however the file is cut into blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["place_of_rows"]

#: Numbers that one step of the generator's counter makes.
_A_STEP = 4


def place_of_rows(start: int, stop: int, shares: Sequence[float] | None, seed: int) -> np.ndarray:
    """The split of each of some rows, as its place in ``SPLITS``.

    Parameters
    ----------
    start, stop
        Numbers of the rows.
    shares
        Of training, validation and test data; None for all to training.
    seed
        Seed of the split.

    Returns
    -------
    ndarray
        int8 ``(stop - start,)``.
    """
    if shares is None:
        return np.zeros(stop - start, dtype=np.int8)
    counter = np.random.Philox(key=seed).advance(start // _A_STEP)
    passed_over = start % _A_STEP
    drawn = np.random.Generator(counter).random(passed_over + stop - start)[passed_over:]
    cuts = np.cumsum(shares[:-1])
    return np.searchsorted(cuts, drawn, side="right").astype(np.int8)
