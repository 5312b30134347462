"""From what a person holds to rows that can be streamed, or a sentence on why they cannot."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyro_vae.data.streamed.batches import BatchRows
from pyro_vae.data.streamed.npy import NpyRows
from pyro_vae.data.streamed.parquet import ParquetRows
from pyro_vae.data.streamed.rows import BLOCK_BYTES
from pyro_vae.data.streamed.zarr_arrays import ZarrRows, is_zarr
from pyro_vae.errors import DataError, MissingDataError

if TYPE_CHECKING:
    from pyro_vae.data.streamed.rows import RowSource

__all__ = ["STREAMABLE", "open_rows"]

#: What can be streamed, for messages.
STREAMABLE = (
    "a .npy or .parquet file, a Zarr array, a numpy.memmap, or an iterable of batches such as a "
    "DataLoader"
)

#: So many blocks at least are in memory together, that rows are mixed.
_TOGETHER = 16


def open_rows(given: Any, name: str, memory_limit: int, num_data: int | None = None) -> RowSource:
    """Rows of a file, an array on disk or an iterable of batches.

    Parameters
    ----------
    given
        As for ``data.stream``.
    name
        What the argument is called.
    memory_limit
        Bytes that rows may take in memory.
    num_data
        Number of data of an iterable.

    Raises
    ------
    DataError
        If it cannot be streamed.
    MissingDataError
        If a file is not there, or a library is not installed.
    """
    block_bytes = max(1, min(BLOCK_BYTES, memory_limit // _TOGETHER))
    if isinstance(given, str | os.PathLike):
        return _of_path(Path(given), block_bytes, memory_limit)
    if isinstance(given, np.memmap):
        return NpyRows.of_memmap(given, block_bytes)
    zarr = sys.modules.get("zarr")  # whoever holds an array of it has imported it
    if zarr is not None and isinstance(given, zarr.Array):
        return ZarrRows(given, block_bytes)
    in_memory = isinstance(given, torch.Tensor | np.ndarray) or hasattr(given, "columns")
    if isinstance(given, Iterable) and not in_memory and not isinstance(given, Mapping):
        return BatchRows(given, name, num_data, block_bytes)
    raise DataError(
        f"{name} got a {type(given).__name__}, which is in memory already or cannot be gone "
        f"through again: data.read takes arrays and frames, and data.stream {STREAMABLE}"
    )


def _of_path(path: Path, block_bytes: int, memory_limit: int) -> RowSource:
    try:
        there = path.exists()
    except OSError as error:
        raise DataError(
            f"{str(path)[:200]} cannot be read ({error.strerror}): give the path of a file that "
            "can"
        ) from error
    if not there:
        raise MissingDataError(f"{path} does not exist: give the path of {STREAMABLE}")
    if path.suffix == ".npy" and path.is_file():
        return NpyRows.of_file(path, block_bytes)
    if path.suffix == ".parquet" and path.is_file():
        return ParquetRows(path, memory_limit)
    if is_zarr(path):
        return ZarrRows(path, block_bytes)
    raise DataError(
        f"{path} cannot be streamed: give {STREAMABLE}; data.read takes other files, where their "
        "data fit into memory, and numpy.save writes an array that can be streamed"
    )
