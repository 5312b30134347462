"""Results so far of a long measurement, kept on disk so that it goes on where it was stopped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyro_vae.inference.inputs import Inputs, count, take
from pyro_vae.inference.runs import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Checkpoint", "in_blocks"]


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
        Seconds between two writings.
    """

    def __init__(self, path: Path, key: str, *, interval: float = 20.0) -> None:
        self.path = path
        self.key = key
        self.interval = interval
        self._written = time.monotonic()

    def load(self) -> dict[str, list[np.ndarray]]:
        """Arrays per datum by name; empty if there is nothing to go on from."""
        if not self.path.is_file():
            return {}
        try:
            with xr.open_dataset(self.path, engine="h5netcdf") as found:
                found.load()
        except (OSError, ValueError):
            return {}  # broken: the measurement starts anew, and writes it whole
        if found.attrs.get("key") != self.key:
            return {}
        return {str(name): list(part.values) for name, part in found.data_vars.items()}

    def save(self, rows: dict[str, list[np.ndarray]], *, now: bool = False) -> None:
        """Write the rows, if it is time to."""
        if not rows or (not now and time.monotonic() - self._written < self.interval):
            return
        variables = {}
        for name, parts in rows.items():
            stacked = np.stack([np.asarray(part) for part in parts])
            dims = ["datum", *(f"{name}_{axis}" for axis in range(1, stacked.ndim))]
            variables[name] = (dims, stacked)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as scratch:
            dataset = xr.Dataset(variables, attrs={"key": self.key})
            dataset.to_netcdf(scratch, engine="h5netcdf")
        self._written = time.monotonic()

    def clear(self) -> None:
        """Remove the file: the measurement is complete."""
        self.path.unlink(missing_ok=True)


def in_blocks(
    measure: Callable[[Inputs], xr.Dataset],
    x: Inputs,
    checkpoint: Checkpoint,
    *,
    size: int = 50,
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
    for start in range(first, total, size):
        found = measure(take(x, slice(start, start + size)))
        for name, part in found.data_vars.items():
            rows[str(name)] = [*rows.get(str(name), [])[:start], *part.values]
        checkpoint.save(rows, now=True)
        attributes = dict(found.attrs)
        seconds += float(attributes.get("seconds", 0.0))
        if progress is not None:
            progress(min(start + size, total), total)
    joined = xr.Dataset({name: ("datum", np.asarray(parts)) for name, parts in rows.items()})
    joined = joined.assign_coords(datum=np.arange(total))
    joined.attrs.update(attributes | {"seconds": seconds})
    return joined
