"""A run on disk: settings, weights, metrics and results in one folder; nothing is pickled.

``config.json`` settings, ``weights.safetensors`` best weights, ``checkpoint.safetensors``
state to resume from, ``metrics.csv`` one row an epoch, ``evidence.nc`` results per datum, with
``evidence-NAME.nc`` by other estimators and ``gap.nc`` the gap in its parts, ``figures/`` and
``report.html``. A file is written whole beside its place and then renamed, so that a reader, or
a crash, never meets half a file.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from pyro_vae.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

__all__ = ["Run", "whole_file"]

_FORMAT = "pyro_vae run"
_VERSION = 2


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a scratch path to write to, then put it in the place of ``path`` in one step."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _is_vacant(path: Path) -> bool:
    """Whether a folder holds no file: what ``Run.create`` leaves, and an empty one."""
    return path.is_dir() and not any(entry.is_file() for entry in path.rglob("*"))


class Run:
    """A run folder.

    Parameters
    ----------
    path
        The folder; ``create`` or ``open`` says what must be there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: str | Path, *, overwrite: bool = False) -> Run:
        """Make an empty run folder, or fail before any work is done.

        Parameters
        ----------
        path
            The folder to make.
        overwrite
            Replace a run that is there.

        Raises
        ------
        RunError
            If the folder exists and is not to be replaced, is not a run, or cannot be written.
        """
        run = cls(path)
        if run.path.exists() and not _is_vacant(run.path):
            if not overwrite:
                raise RunError(
                    f"run folder {run.path} exists: give another name, resume=True (--resume) to "
                    "go on with it, or overwrite=True (--overwrite) to replace it"
                )
            if not run.path.is_dir() or not (run.path / "config.json").is_file():
                raise RunError(
                    f"run folder {run.path} exists and is not a run, so it is not replaced: "
                    "give another name, or remove it yourself"
                )
            run.config()  # a folder with somebody else's config.json is not ours to remove
            shutil.rmtree(run.path)
        try:
            (run.path / "figures").mkdir(parents=True, exist_ok=True)
            probe = run.path / ".writable"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise RunError(
                f"run folder {run.path} cannot be written ({error.strerror}): give a folder in a "
                "place where you may write"
            ) from error
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run that is there.

        Raises
        ------
        RunError
            If the folder is missing or is not a run.
        """
        run = cls(path)
        if not run.path.is_dir():
            raise RunError(f"run folder {run.path} does not exist: fit one with `pyro-vae fit`")
        run.config()
        return run

    def write_config(self, config: dict[str, Any]) -> None:
        """Write the settings as JSON."""
        document = {"format": _FORMAT, "version": _VERSION, **config}
        with whole_file(self.path / "config.json") as scratch:
            scratch.write_text(json.dumps(document, indent=2) + "\n")

    def withdraw_config(self) -> None:
        """Take the settings back, so that the folder is no run; another can then be made in it."""
        (self.path / "config.json").unlink(missing_ok=True)

    def config(self) -> dict[str, Any]:
        """Settings of the run.

        Raises
        ------
        RunError
            If ``config.json`` is missing, broken, or from something else.
        """
        path = self.path / "config.json"
        try:
            document = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise RunError(f"{self.path} is not a run: it has no config.json") from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise RunError(f"{path} is broken or truncated ({error}): fit the run anew") from error
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            raise RunError(f"{path} was not written by pyro_vae: {self.path} is not a run")
        if document.get("version") != _VERSION:
            raise RunError(
                f"{path} has version {document.get('version')!r}: this release reads "
                f"{_VERSION}; read it with the release that wrote it"
            )
        return {k: v for k, v in document.items() if k not in ("format", "version")}

    def write_tensors(
        self, name: str, tensors: dict[str, Tensor], notes: dict[str, Any] | None = None
    ) -> None:
        """Write named tensors, with notes as JSON in the file's header."""
        with whole_file(self.path / name) as scratch:
            metadata = {"notes": json.dumps(notes or {})}
            save_file({k: v.contiguous() for k, v in tensors.items()}, scratch, metadata)

    def tensors(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Read what ``write_tensors`` wrote.

        Raises
        ------
        RunError
            If the file is missing, truncated or of another kind.
        """
        path = self.path / name
        try:
            with safe_open(path, framework="pt") as file:
                notes = json.loads((file.metadata() or {})["notes"])
                return {key: file.get_tensor(key) for key in file.keys()}, notes
        except FileNotFoundError as error:
            raise RunError(f"{path} is missing: the run has not been trained yet") from error
        except (SafetensorError, KeyError, OSError, json.JSONDecodeError) as error:
            raise RunError(
                f"{path} is broken, truncated or not of this package ({error}): fit the run anew"
            ) from error

    def write_metrics(self, metrics: pd.DataFrame) -> None:
        """Write the metrics per epoch as CSV."""
        with whole_file(self.path / "metrics.csv") as scratch:
            metrics.to_csv(scratch, index=False)

    def metrics(self) -> pd.DataFrame:
        """Metrics per epoch.

        Raises
        ------
        RunError
            If the file is missing or broken.
        """
        path = self.path / "metrics.csv"
        try:
            with path.open(newline="") as file:
                # Python's own float() gives back the bits that were written.
                lines = csv.DictReader(file)
                rows = [{k: float(v or "nan") for k, v in line.items()} for line in lines]
            return pd.DataFrame(rows).astype({"epoch": int})
        except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
            raise RunError(f"{path} is missing or broken ({error}): fit the run anew") from error

    def write_results(self, results: xr.Dataset, name: str = "evidence.nc") -> None:
        """Write results per datum as netCDF."""
        with whole_file(self.path / name) as scratch:
            results.to_netcdf(scratch, engine="h5netcdf")

    def results(self, name: str = "evidence.nc") -> xr.Dataset:
        """Results per datum, those of ``evaluate`` unless another file is named.

        Raises
        ------
        RunError
            If the run has not been evaluated, or the file is broken.
        """
        path = self.path / name
        if not path.is_file():
            raise RunError(
                f"{self.path} has not been evaluated: run `pyro-vae evaluate {self.path}`"
            )
        try:
            with xr.open_dataset(path, engine="h5netcdf") as results:
                return results.load()
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path} is broken or truncated ({error}): run `pyro-vae evaluate {self.path}`"
            ) from error
