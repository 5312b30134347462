"""What a file of rows is to those who stream it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BLOCK_BYTES", "RowSource", "even_ends"]

#: Bytes of a block, where the form of the file leaves the choice: a disk reads as many at once
#: as fast as it can.
BLOCK_BYTES = 2**20


class RowSource(Protocol):
    """Rows in the units that they came in, a block of neighbours at a time."""

    @property
    def name(self) -> str:
        """What errors call it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole, ``(n, *event_shape)``."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the features, of a table."""

    @property
    def grey(self) -> int | None:
        """Largest grey level of pictures; None for other numbers."""

    @property
    def ends(self) -> np.ndarray:
        """Row after the last one of every block, int64 ``(num_blocks,)``."""

    @property
    def in_order(self) -> bool:
        """Whether blocks can only be had one after another, from the first."""

    def read(self, block: int) -> Tensor:
        """Rows of a block, of any type."""

    def begin(self, seed: int) -> None:
        """Called before a pass in a seeded order."""


def even_ends(num_rows: int, row_bytes: int, block_bytes: int) -> np.ndarray:
    """Ends of blocks of so many bytes each, of at least one row."""
    size = max(1, block_bytes // max(row_bytes, 1))
    return np.minimum(np.arange(size, num_rows + size, size, dtype=np.int64), num_rows)
