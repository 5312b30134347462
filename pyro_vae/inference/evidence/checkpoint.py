"""Results so far of a long measurement, kept on disk so that it goes on where it was stopped."""

from __future__ import annotations

import inspect
import json
import shutil
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyro_vae.disk.files import make_folder
from pyro_vae.disk.sealed import read_netcdf, write_netcdf
from pyro_vae.errors import RunError
from pyro_vae.inference.engine.inputs import Inputs, count, take
from pyro_vae.workers import shared_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = ["ONLY_COST", "Checkpoint", "CheckpointInParts", "in_blocks", "key_of"]

#: Settings that decide time, memory or place, and no number.
ONLY_COST = frozenset(
    {"checkpoint", "chunk_size", "data_root", "memory_limit", "n_jobs", "progress"}
)


#: Seconds between two writings.
_INTERVAL = 20.0


def key_of(*functions: Callable[..., Any], **given: object) -> str:
    """What decides the numbers of a measurement, as text: every setting but ``ONLY_COST``.

    Parameters
    ----------
    *functions
        The functions that the settings pass through, the outermost first, for their defaults.
    **given
        The settings that were given, and whatever else tells one measurement from another.
    """
    settings: dict[str, Any] = {}
    for function in reversed(functions):
        parameters = inspect.signature(function).parameters.values()
        settings |= {p.name: p.default for p in parameters if p.default is not p.empty}
    settings |= given
    named = {name: value for name, value in settings.items() if name not in ONLY_COST}
    return json.dumps(named, sort_keys=True, default=repr)


class Checkpoint:
    """A file with the first rows of what is being measured.

    Parameters
    ----------
    path
        The netCDF file.
    key
        What decides the numbers, as text; a file with another key is of another measurement,
        and is not read.
    interval
        Seconds between two writings; 20 unless given.
    """

    def __init__(self, path: Path, key: str, *, interval: float | None = None) -> None:
        self.path = path
        self.key = key
        self.interval = _INTERVAL if interval is None else interval
        self._written = time.monotonic()

    def load(self) -> dict[str, np.ndarray]:
        """Arrays over data by name; empty if there is nothing to go on from."""
        return self._read(self.path)

    def _read(self, path: Path) -> dict[str, np.ndarray]:
        """Arrays of a file of this measurement; empty for any other."""
        if not path.is_file():
            return {}
        try:
            found = read_netcdf(path, remedy="measure anew")
        except RunError:
            return {}  # broken: the measurement starts anew, and writes it whole
        if found.attrs.get("key") != self.key:
            return {}
        return {str(name): part.values for name, part in found.data_vars.items()}

    def save(self, rows: Mapping[str, np.ndarray], *, now: bool = False) -> None:
        """Write the rows, if it is time to."""
        if not rows or (not now and time.monotonic() - self._written < self.interval):
            return
        self._write(self.path, rows)
        self._written = time.monotonic()

    def _write(self, path: Path, rows: Mapping[str, np.ndarray]) -> None:
        variables = {}
        for name, values in rows.items():
            dims = ["datum", *(f"{name}_{axis}" for axis in range(1, values.ndim))]
            variables[name] = (dims, values)
        make_folder(path.parent)
        write_netcdf(path, xr.Dataset(variables, attrs={"key": self.key}))

    def clear(self) -> None:
        """Remove the file: the measurement is complete."""
        self.path.unlink(missing_ok=True)


class CheckpointInParts(Checkpoint):
    """The same as a folder of files, each with the rows since the one before it.

    What is written each time is then of one length, however many rows are done: for the
    measurement of data that are streamed. Parameters are those of ``Checkpoint``.
    """

    def __init__(self, path: Path, key: str, *, interval: float | None = None) -> None:
        super().__init__(path, key, interval=interval)
        self._kept = 0

    def load(self) -> dict[str, np.ndarray]:
        """Arrays over data by name, of the files that follow one another."""
        parts: list[dict[str, np.ndarray]] = []
        self._kept = 0
        while found := self._read(self._file(self._kept)):
            parts.append(found)
            self._kept += len(next(iter(found.values())))
        if not parts:
            return {}
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def save(self, rows: Mapping[str, np.ndarray], *, now: bool = False) -> None:
        """Write the rows that are new, if it is time to."""
        done = len(next(iter(rows.values()), []))
        if done == self._kept or (not now and time.monotonic() - self._written < self.interval):
            return
        new = {name: values[self._kept :] for name, values in rows.items()}
        self._write(self._file(self._kept), new)
        self._kept, self._written = done, time.monotonic()

    def clear(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._kept = 0

    def _file(self, first: int) -> Path:
        """The file whose first row has this number."""
        return self.path / f"{first:012d}.nc"


def in_blocks(
    measure: Callable[[Inputs], xr.Dataset],
    x: Inputs,
    checkpoint: Checkpoint,
    *,
    size: int = 50,
    n_jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Measure data a block at a time, each block kept on disk as soon as it is done.

    Parameters
    ----------
    measure
        Results over ``datum`` for a block of data.
    x
        All the data.
    checkpoint
        Where the blocks are kept; it is cleared by whoever has kept the whole.
    size
        Data per block.
    n_jobs
        Processes that the blocks are shared out to, as for ``log_weights``.
    progress
        Called with the number of data done and their total.

    Returns
    -------
    Dataset
        The blocks joined, with the attributes of the last; ``seconds`` is the sum over the
        blocks that were measured now.
    """
    rows, seconds, total = checkpoint.load(), 0.0, count(x)
    done = len(next(iter(rows.values()), []))
    # What was complete when it was stopped has its last block again, for the attributes.
    first = min(done // size, (total - 1) // size) * size
    attributes: dict[str, Any] = {}
    starts = range(first, total, size)
    blocks = shared_out(partial(_block, measure, x, size), [(start,) for start in starts], n_jobs)
    for start, found in zip(starts, blocks, strict=True):
        for name, part in found.data_vars.items():
            before = [rows[str(name)][:start]] if start else []
            rows[str(name)] = np.concatenate([*before, part.values])
        checkpoint.save(rows, now=True)
        attributes = dict(found.attrs)
        seconds += float(attributes.get("seconds", 0.0))
        if progress is not None:
            progress(min(start + size, total), total)
    joined = xr.Dataset({name: ("datum", np.asarray(parts)) for name, parts in rows.items()})
    joined = joined.assign_coords(datum=np.arange(total))
    joined.attrs.update(attributes | {"seconds": seconds})
    return joined


def _block(
    measure: Callable[[Inputs], xr.Dataset], x: Inputs, size: int, start: int
) -> Iterator[xr.Dataset]:
    yield measure(take(x, slice(start, start + size)))
