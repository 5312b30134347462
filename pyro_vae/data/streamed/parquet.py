"""Parquet files, whose rows lie in row groups, with a schema of their columns."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyro_vae.data.schema.cells import cells_of_frame
from pyro_vae.data.streamed.rows import BLOCK_BYTES
from pyro_vae.errors import DataError
from pyro_vae.on_demand import library

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from pyro_vae.data.schema.cells import Cells
    from pyro_vae.data.schema.schema import Schema

__all__ = ["ParquetRows"]


class ParquetRows:
    """Rows of a Parquet file, whole row groups at a time.

    Parameters
    ----------
    path
        The file.
    memory_limit
        Bytes that the rows of a row group may take.

    Attributes
    ----------
    schema
        What the columns are; rows are numbers as soon as it is set.
    """

    grey = None
    in_order = False

    def __init__(self, path: Path, memory_limit: int) -> None:
        self.path, self.name = path, str(path)
        self.schema: Schema | None = None
        self._opened: Any = None
        about = self._file.metadata
        sizes, rows = [], []
        for group in range(about.num_row_groups):
            found = about.row_group(group)
            # As they come from the disk they are packed; as numbers they are eight bytes each.
            size = max(found.total_byte_size, 8 * found.num_rows * about.num_columns)
            if size > memory_limit:
                raise DataError(
                    f"{path} has {found.num_rows:,} rows in one row group, {size / 2**20:,.0f} "
                    f"MiB in memory, of which {memory_limit / 2**20:,.0f} may be taken: write it "
                    "with smaller ones, as frame.to_parquet(path, row_group_size=10_000) does, "
                    "or raise memory_limit (--stream-mb)"
                )
            sizes.append(size)
            rows.append(found.num_rows)
        if not sum(rows):
            raise DataError(f"{path} has no row: give a table with at least one")
        self._groups = _together(sizes, min(BLOCK_BYTES, memory_limit))
        self.ends = np.cumsum([sum(rows[g] for g in block) for block in self._groups])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the columns that are data."""
        return None if self.schema is None else self.schema.names

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole, ``(n, D)``."""
        return int(self.ends[-1]), 0 if self.schema is None else len(self.schema.data)

    @property
    def _file(self) -> Any:
        """The file, opened by whoever reads it."""
        if self._opened is None:
            parquet = library("pyarrow.parquet", "files", self.name)
            self._opened = self._read(partial(parquet.ParquetFile, self.path, memory_map=False))
        return self._opened

    def begin(self, seed: int) -> None:
        """Any block can be read at any time."""

    def cells(self, block: int, columns: list[str] | None = None) -> dict[str, Cells]:
        """Cells of the columns of a block; of all columns unless named."""
        groups, file = self._groups[block], self._file
        how: dict[str, Any] = {"columns": columns, "use_threads": False}
        table = self._read(partial(file.read_row_groups, groups, **how))
        return cells_of_frame(table.to_pandas(), self.name)

    def read(self, block: int) -> Tensor:
        """Rows of a block in the units of the columns, float64 ``(m, D)``."""
        assert self.schema is not None
        needed = [column.name for column in self.schema.data]
        cells = self.schema.cells_of(self.cells(block, needed), self.name)
        return torch.from_numpy(self.schema.encode(cells, self.name).x)

    def _read(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except Exception as error:  # Arrow's errors are many, and its own
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"{self.path} cannot be read ({reason}): put a sound copy there"
            ) from error


def _together(sizes: list[int], block_bytes: int) -> list[list[int]]:
    """Neighbouring row groups as blocks of about so many bytes."""
    blocks: list[list[int]] = []
    left = 0
    for group, size in enumerate(sizes):
        if size > left:
            blocks.append([])
            left = block_bytes
        blocks[-1].append(group)
        left -= size
    return blocks
