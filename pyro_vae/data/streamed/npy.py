"""Arrays in ``.npy`` files and in files that NumPy has mapped into memory.

They are read with seek and read: pages that are mapped would count as memory of the process.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.conversion import convert
from pyro_vae.data.reading.origin import checksum_of_file
from pyro_vae.data.streamed.rows import check_array, even_ends, grey_of
from pyro_vae.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["NpyRows"]


class NpyRows:
    """Rows of an array that lies in a file, in C order.

    Parameters
    ----------
    path
        The file.
    shape, dtype
        Of the array.
    offset
        Bytes before it.
    block_bytes
        Bytes of a block.

    Attributes
    ----------
    whole_file
        Whether the file is a ``.npy`` that says all this itself.
    """

    columns = None
    in_order = False

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        offset: int,
        block_bytes: int,
        *,
        whole_file: bool = False,
    ) -> None:
        self.path, self.shape, self.dtype, self.offset = path, shape, dtype, offset
        self.name, self.whole_file = str(path), whole_file
        check_array(self.name, shape, dtype)
        self.grey = grey_of(shape, dtype)
        self._row_bytes = math.prod(shape[1:]) * dtype.itemsize
        self.ends = even_ends(shape[0], self._row_bytes, block_bytes)
        there = self._stat()
        if there[0] < offset + shape[0] * self._row_bytes:
            raise DataError(
                f"{path} is cut short: an array of shape {shape} and type {dtype} needs "
                f"{offset + shape[0] * self._row_bytes:,} bytes, and it has {there[0]:,}; put a "
                "sound copy there"
            )
        self._as_it_was = there
        self._seal: Any = None
        self._sealed = 0

    @classmethod
    def of_file(cls, path: Path, block_bytes: int) -> NpyRows:
        """The array of a ``.npy`` file.

        Raises
        ------
        DataError
            If it has none that can be read by rows.
        """
        try:
            with path.open("rb") as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0
                if version != (1, 0):
                    read = np.lib.format.read_array_header_2_0
                shape, fortran, dtype = read(file)
                offset = file.tell()
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path} cannot be read as NumPy's ({error}): it must hold plain numbers; write "
                "it anew, without objects"
            ) from error
        if fortran and len(shape) > 1:
            raise DataError(
                f"{path} has its array column by column (Fortran order), so that a row lies all "
                "over the file: write it anew with numpy.save(path, numpy.ascontiguousarray(x))"
            )
        return cls(path, shape, dtype, offset, block_bytes, whole_file=True)

    @classmethod
    def of_memmap(cls, x: np.memmap[Any, Any], block_bytes: int) -> NpyRows:
        """The part of a file that is mapped.

        Raises
        ------
        DataError
            If the rows do not lie one after another, or the mapping has no file.
        """
        root = x
        while isinstance(root.base, np.memmap):
            root = root.base
        if not x.flags.c_contiguous or root.filename is None or x.mode == "c":
            raise DataError(
                "source got a numpy.memmap whose rows do not lie one after another in a file: "
                "give the whole of what is mapped with mode 'r', or write it with numpy.save"
            )
        offset = root.offset + x.ctypes.data - root.ctypes.data
        path = Path(str(root.filename))
        if path.suffix == ".npy":
            whole = cls.of_file(path, block_bytes)
            if (whole.shape, whole.dtype, whole.offset) == (x.shape, x.dtype, offset):
                return whole
        return cls(path, x.shape, x.dtype, offset, block_bytes)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_seal": None}

    def begin_seal(self) -> None:
        """Have the next pass over all blocks make the checksum of the file, too."""
        if self.whole_file:
            self._seal, self._sealed = hashlib.sha256(self._content(0, self.offset)), 0

    def checksum(self) -> str:
        """SHA-256 of the file: that of the pass, if there was one."""
        if self._seal is None or self._sealed < len(self.ends):
            return checksum_of_file(self.path)
        rest = self._content(self.offset + self.shape[0] * self._row_bytes, -1)
        self._seal.update(rest)
        found, self._seal = self._seal.hexdigest(), None
        return str(found)

    def begin(self, seed: int) -> None:
        """Any block can be read at any time."""

    def read(self, block: int) -> Tensor:
        """Rows of a block, as they are in the file."""
        start = int(self.ends[block - 1]) if block else 0
        count = int(self.ends[block]) - start
        content = self._content(self.offset + start * self._row_bytes, count * self._row_bytes)
        if self._seal is not None and block == self._sealed:
            self._seal.update(content)
            self._sealed += 1
        rows = np.frombuffer(content, dtype=self.dtype).reshape(count, *self.shape[1:])
        return convert(rows, self.name).values

    def _content(self, start: int, size: int) -> bytes:
        """Bytes of the file, all that are left for -1."""
        if self._stat() != self._as_it_was:
            raise DataError(
                f"{self.path} has changed while it was read: let nobody write to it, and begin "
                "again"
            )
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                return file.read(size)
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be read ({error.strerror}): put a sound copy there"
            ) from error

    def _stat(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be read ({error.strerror}): give one that can"
            ) from error
        return found.st_size, found.st_mtime_ns
