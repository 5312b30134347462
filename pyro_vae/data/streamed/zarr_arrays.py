"""Zarr arrays, whose rows lie in chunks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.conversion import convert
from pyro_vae.data.streamed.rows import check_array, even_ends, grey_of
from pyro_vae.errors import DataError
from pyro_vae.on_demand import library

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ZarrRows", "is_zarr"]

#: Files by which the folder of an array is known, of both versions of the format.
_MARKS = ("zarr.json", ".zarray")


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr array."""
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


class ZarrRows:
    """Rows of a Zarr array, whole chunks at a time.

    Parameters
    ----------
    given
        Path of its folder, or the array.
    block_bytes
        Bytes of a block, of at least one chunk.
    """

    columns = None
    in_order = False

    def __init__(self, given: Any, block_bytes: int) -> None:
        self.path = given if isinstance(given, Path) else None
        self._given = None if isinstance(given, Path) else given
        self._opened: Any = self._given
        self.name = str(given) if isinstance(given, Path) else "source"
        array = self._array
        self.shape = tuple(map(int, array.shape))
        check_array(self.name, self.shape, array.dtype)
        self.grey = grey_of(self.shape, array.dtype)
        row_bytes = math.prod(self.shape[1:]) * array.dtype.itemsize
        chunk = int(array.chunks[0])
        together = max(1, block_bytes // max(chunk * row_bytes, 1)) * chunk
        self.ends = even_ends(self.shape[0], 1, together)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": self._given}

    @property
    def _array(self) -> Any:
        """The array, opened by whoever reads it."""
        if self._opened is None:
            zarr = library("zarr", "files", self.name)
            try:
                self._opened = zarr.open_array(self.path, mode="r")
            except Exception as error:  # Zarr's errors are many, and its own
                reason = " ".join(str(error).split())[:200]
                raise DataError(
                    f"{self.name} cannot be read ({reason}): put a sound copy of the array there"
                ) from error
        return self._opened

    def begin(self, seed: int) -> None:
        """Any block can be read at any time."""

    def read(self, block: int) -> Tensor:
        """Rows of a block, as they are in the array."""
        start = int(self.ends[block - 1]) if block else 0
        try:
            rows = np.asarray(self._array[start : int(self.ends[block])])
        except Exception as error:  # Zarr's errors are many, and its own
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"{self.name} cannot be read ({reason}): put a sound copy there"
            ) from (error)
        return convert(rows, self.name).values
