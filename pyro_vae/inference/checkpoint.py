"""Results so far of a long measurement, kept on disk so that it goes on where it was stopped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pyro_vae.inference.runs import whole_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Checkpoint"]


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
