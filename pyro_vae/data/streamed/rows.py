"""What a file of rows is to those who stream it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from pyro_vae.conversion.streamed import Blocks
from pyro_vae.errors import DataError

__all__ = ["BLOCK_BYTES", "RowSource", "check_array", "even_ends", "grey_of"]

#: Bytes of a block, where the form of the file leaves the choice: a disk reads as many at once
#: as fast as it can.
BLOCK_BYTES = 2**20


class RowSource(Blocks, Protocol):
    """Rows in the units that they came in, a block of neighbours at a time."""

    @property
    def name(self) -> str:
        """What errors call it."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the features, of a table."""

    @property
    def grey(self) -> int | None:
        """Largest grey level of pictures; None for other numbers."""


def even_ends(num_rows: int, row_bytes: int, block_bytes: int) -> np.ndarray:
    """Ends of blocks of so many bytes each, of at least one row."""
    size = max(1, block_bytes // max(row_bytes, 1))
    return np.minimum(np.arange(size, num_rows + size, size, dtype=np.int64), num_rows)


def check_array(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse an array that is no rows of numbers.

    Raises
    ------
    DataError
        By its shape or its type.
    """
    if len(shape) < 2:
        raise DataError(
            f"{name} has an array of shape {shape}, and rows must be (n, *event_shape): a single "
            "column is (n, 1)"
        )
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise DataError(
            f"{name} has values of type {dtype}: they must be numbers, as x.astype('float32') "
            "makes them"
        )
    if 0 in shape:
        raise DataError(f"{name} has an array of shape {shape}: give at least one value")


def grey_of(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int | None:
    """Largest grey level of pictures in bytes; None for other numbers."""
    return 255 if dtype == np.uint8 and len(shape) > 2 else None
