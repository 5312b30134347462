"""Long measurements a block of data at a time, each block kept as soon as it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyro_vae.inference.evidence.checkpoint import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["in_whole_blocks"]


def in_whole_blocks(
    measure: Callable[[slice, int], Mapping[str, np.ndarray]],
    path: Path,
    *,
    key: str,
    total: int,
    limit: int,
    size: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Arrays per datum of the first so many data, whose numbers do not depend on how many.

    Where the draws of a datum depend on what is measured beside it, a block that is cut by
    ``limit`` is measured whole, and the rest of it dropped.

    Parameters
    ----------
    measure
        Gives arrays over the data of a block, by name, from their rows and the block's number.
    path
        File, netCDF, that keeps what is done.
    key
        What decides the numbers, as text; a file with another key is not read.
    total, limit
        Number of data that there are, and that are wanted.
    size
        Data per block.
    progress
        Called with the number of data done and their total.
    """
    end = min(total, -(-limit // size) * size)
    checkpoint = Checkpoint(path, key)
    rows = checkpoint.load()
    done = len(next(iter(rows.values()), []))
    for first in range(done, end, size):
        found = measure(slice(first, min(first + size, total)), first // size)
        before = {name: [values] for name, values in rows.items()}
        rows = {
            name: np.concatenate([*before.get(name, []), values]) for name, values in found.items()
        }
        checkpoint.save(rows, now=True)
        if progress is not None:
            progress(min(first + size, limit), limit)
    return {name: values[:limit] for name, values in rows.items()}
