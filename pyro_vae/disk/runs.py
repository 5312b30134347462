"""A run on disk: settings, weights, metrics and results in one folder; nothing is pickled.

``config.json`` settings, ``weights.safetensors`` best weights, ``checkpoint.safetensors``
state to resume from, ``metrics.csv`` one row an epoch, ``evidence.nc`` results per datum, with
``evidence-NAME.nc`` by other estimators and ``gap.nc`` the gap in its parts, ``figures/`` and
``report.html``.

Each file that is read back has a checksum, and names that of the file it depends on: results
that of the weights, weights and checkpoint that of the settings. ``metrics.csv`` is vouched for
by the checkpoint. So a file that was changed, or is of another run, is refused. One process at a
time writes to the folder; see ``locked``.
"""

from __future__ import annotations

import csv
import json
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas as pd
import pydantic

from pyro_vae.disk.files import is_ours, locked, make_folder, sync_folder, write_whole
from pyro_vae.disk.schema import Settings, checked
from pyro_vae.disk.sealed import (
    altered,
    checksum,
    read_bytes,
    read_json,
    read_netcdf,
    read_notes,
    read_tensors,
    write_json,
    write_netcdf,
    write_tensors,
)
from pyro_vae.errors import RunError, SettingError, WriteError
from pyro_vae.spelling import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    import xarray as xr
    from torch import Tensor

__all__ = ["Run"]

_FORMAT = "pyro_vae run"
_VERSION = 3
_CHECKPOINT = "checkpoint.safetensors"

_Seed = Annotated[int, pydantic.Field(ge=-(2**63), lt=2**64)]
_Count = Annotated[int, pydantic.Field(gt=0, lt=2**63)]
_Positive = Annotated[float, pydantic.Field(gt=0)]
_Index = Annotated[int, pydantic.Field(ge=0, lt=2**63)]
_Seal = Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")]


class _Data(Settings):
    """What ``data.load`` is asked again with; data of one's own have an origin.

    What that is made of is checked by whoever reads them again.
    """

    name: str
    binarisation: str
    values: str | None
    standardise: bool
    total_exposure: bool
    hide: str | None = None
    num_validation: _Index | None = None
    seed: _Seed
    origin: dict[str, Any] | None = None


class _Fit(Settings):
    """What decided the training."""

    objective: str
    epochs: _Count
    batch_size: _Count
    learning_rate: _Positive
    schedule: str
    clip_norm: _Positive | None
    patience: _Positive | None
    seed: _Seed
    precision: str
    compile: str = "auto"


class _Config(Settings):
    """``config.json``; what a model is made of is checked by whoever makes it."""

    model: dict[str, Any] | None
    data: _Data
    fit: _Fit


class _Notes(Settings):
    """What stands in the header of every file of tensors."""

    config: str | None
    checksum: _Seal


class _WeightsNotes(_Notes):
    epoch: _Index


class _CheckpointNotes(_Notes):
    epoch: _Count
    best_epoch: _Index
    best_bound: Annotated[
        str, pydantic.Field(pattern=r"^(nan|-?inf|-?0x[01]\.[0-9a-f]+p[+-][0-9]{1,4})$")
    ]
    stopped: Literal["", "epochs", "patience"]
    metrics: _Seal


_NOTES: dict[str, type[_Notes]] = {
    "weights.safetensors": _WeightsNotes,
    _CHECKPOINT: _CheckpointNotes,
}

_METRICS = ["epoch", "train_elbo", "validation_elbo", "learning_rate", "seconds"]


class _Results(Settings):
    """Attributes that every file of results has."""

    model_config = pydantic.ConfigDict(extra="allow")

    weights: str
    particles: int


class _Evidence(_Results):
    seed: int
    exact: Literal[0, 1]
    base_measure: str
    num_features: _Count
    bound: str


class _Estimate(_Results):
    bound: str
    seconds: float


class _Gap(_Results):
    converged: Literal[0, 1]


def _kind_of_results(name: str) -> tuple[type[_Results], tuple[str, ...]]:
    """The attributes, and the variables over data, that a file of results must have."""
    if name == "evidence.nc":
        of_both = ("elbo", "log_evidence", "gap", "reconstruction", "kl_to_prior", "iwae")
        return _Evidence, (*of_both, *(f"{part}_se" for part in of_both), "ess", "khat")
    if name == "gap.nc":
        return _Gap, ("gap", "approximation_gap", "amortisation_gap", "log_evidence", "elbo")
    return _Estimate, ("log_evidence", "log_evidence_se")


def _is_vacant(path: Path) -> bool:
    """Whether a folder holds no file: what ``Run.create`` leaves, and an empty one."""
    return path.is_dir() and all(is_ours(entry) for entry in path.rglob("*") if entry.is_file())


class Run:
    """A run folder.

    Parameters
    ----------
    path
        The folder; ``create`` or ``open`` says what must be there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        #: The folder whose run this one replaces as soon as it has a checkpoint.
        self._place: Path | None = None

    @classmethod
    def create(cls, path: str | Path, *, overwrite: bool = False) -> Run:
        """Make an empty run folder, or fail before any work is done.

        Parameters
        ----------
        path
            The folder to make.
        overwrite
            Remove a run that is there, at once; ``fit`` keeps it until the new one has a
            checkpoint.

        Raises
        ------
        RunError
            If the folder exists and is not to be replaced, is not a run, or cannot be written.
        """
        run = cls(path)
        with run.replacing(overwrite=overwrite) as made:
            if made._place is not None:
                made.settle()
        return cls(path)

    @classmethod
    def require_free(cls, path: str | Path, *, overwrite: bool = False) -> None:
        """Refuse a place where no new run can be; arguments and errors are those of ``create``.

        Nothing is written.
        """
        run = cls(path)
        try:
            taken = run.path.exists() and not _is_vacant(run.path)
        except (OSError, ValueError) as error:
            make_folder(run.path)  # says why not
            raise WriteError(f"{str(run.path)[:100]!r} cannot be looked at ({error})") from error
        if not taken:
            return
        if not overwrite:
            raise RunError(
                f"run folder {run.path} exists: give another name, resume=True (--resume) to "
                "go on with it, or overwrite=True (--overwrite) to replace it"
            )
        if not (run.path / "config.json").is_file():
            raise RunError(
                f"run folder {run.path} exists and is not a run, so it is not replaced: "
                "give another name, or remove it yourself"
            )
        run._document()  # a folder with somebody else's config.json is not ours to remove

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run that is there.

        Raises
        ------
        RunError
            If the folder is missing or is not a run.
        """
        run = cls(path)
        run._recover()
        try:
            found = run.path.is_dir()
        except (OSError, ValueError):  # a name that no folder can have
            found = False
        if not found:
            name = str(run.path) if len(str(run.path)) <= 200 else f"{str(run.path)[:200]}..."
            raise RunError(f"run folder {name} does not exist: fit one with `pyro-vae fit`")
        run.config()
        return run

    def locked(self) -> AbstractContextManager[None]:
        """Be the only one who writes to the run; see ``disk.files.locked``."""
        return locked(self.path)

    @contextmanager
    def replacing(self, *, overwrite: bool = False) -> Iterator[Run]:
        """A new run to write to, locked: in its place, or beside it while an old run is there.

        Beside it, the new run takes the old one's place at ``settle``; if it never comes to that,
        it is removed.

        Parameters
        ----------
        overwrite
            As for ``create``, which has the errors too.
        """
        self._recover()
        self.require_free(self.path, overwrite=overwrite)
        make_folder(self.path)
        with locked(self.path):
            # Another may have been faster.
            self.require_free(self.path, overwrite=overwrite)
            if _is_vacant(self.path):
                make_folder(self.path / "figures")
                yield self
                return
            with self._beside() as new:
                yield new

    @contextmanager
    def _beside(self) -> Iterator[Run]:
        """A run next to this one."""
        place = self.path.resolve()
        if place.is_mount():
            raise WriteError(
                f"{self.path} cannot be replaced: a disk is mounted there; give a folder in it"
            )
        new = Run(_sibling(place, "new"))
        new._place = self.path
        for left in (new.path, _sibling(place, "old")):
            shutil.rmtree(left, ignore_errors=True)  # by a process that was killed
        make_folder(new.path)
        try:
            with locked(new.path):
                make_folder(new.path / "figures")
                yield new
        finally:
            if new._place is not None:
                shutil.rmtree(new.path, ignore_errors=True)

    def settle(self) -> None:
        """Take the place of the run that this one replaces, if there is one."""
        if self._place is None:
            return
        place = self._place.resolve()
        aside = _sibling(place, "old")
        try:
            place.rename(aside)
            try:
                self.path.rename(place)
            except OSError:
                aside.rename(place)
                raise
        except OSError as error:
            raise WriteError(
                f"{place} cannot be replaced ({error.strerror}): the run in it is as it was"
            ) from error
        sync_folder(place.parent)
        self.path, self._place = self._place, None
        shutil.rmtree(aside, ignore_errors=True)

    def _recover(self) -> None:
        """Put a run back that a killed process had moved aside; wait for one that lives."""
        try:
            aside = _sibling(self.path.resolve(), "old")
            for _ in range(100):
                if self.path.exists() or not aside.is_dir():
                    return
                try:
                    with locked(aside):
                        aside.rename(self.path.resolve())
                except RunError:
                    time.sleep(0.01)
        except (OSError, ValueError, RuntimeError):
            return  # a name that no folder can have, or a place that cannot be written

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the settings as JSON.

        Raises
        ------
        SettingError
            If they are no settings of a run.
        """
        checked(_Config, config)
        document = {"format": _FORMAT, "version": _VERSION, **config}
        write_json(self.path / "config.json", document)

    def withdraw_config(self) -> None:
        """Take the settings back, so that the folder is no run; another can then be made in it."""
        (self.path / "config.json").unlink(missing_ok=True)

    def config(self) -> dict[str, Any]:
        """Settings of the run.

        Raises
        ------
        RunError
            If ``config.json`` is missing, broken, from something else, or not what was written.
        """
        return self._settings().model_dump()

    def _settings(self) -> _Config:
        """What ``config`` gives, which also knows what stands in the file."""
        document, intact = self._document()
        path = self.path / "config.json"
        settings = {k: v for k, v in document.items() if k not in ("format", "version")}
        try:
            known = checked(_Config, settings)
        except SettingError as error:
            raise RunError(f"{path}: {error}; restore the file, or fit the run anew") from error
        if not intact:
            raise altered(
                path,
                "settings are not changed by hand: restore the file, or fit a run with the "
                "settings that you want",
            )
        return known

    def _document(self) -> tuple[dict[str, Any], bool]:
        """``config.json`` of a run of this release, and whether it is what was written."""
        path = self.path / "config.json"
        if not path.is_file():
            raise RunError(f"{self.path} is not a run: it has no config.json")
        document, intact = read_json(path, remedy="fit the run anew")
        if document.get("format") != _FORMAT:
            raise RunError(f"{path} was not written by pyro_vae: {self.path} is not a run")
        if document.get("version") != _VERSION:
            raise RunError(
                f"{path} has version {document.get('version')!r}: this release reads "
                f"{_VERSION}; read it with the release that wrote it"
            )
        return document, intact

    def _config_seal(self) -> str | None:
        path = self.path / "config.json"
        if not path.is_file():
            return None
        # Without what a later release has added, so that it reads the runs of an earlier one.
        return checksum(
            json.dumps(self._settings().model_dump(exclude_unset=True), sort_keys=True)
        )

    def write_tensors(
        self, name: str, tensors: Mapping[str, Tensor], notes: Mapping[str, Any] | None = None
    ) -> None:
        """Write named tensors, with notes as JSON in the file's header."""
        about = {**(notes or {}), "config": self._config_seal()}
        write_tensors(self.path / name, tensors, about)

    def tensors(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Read what ``write_tensors`` wrote.

        Raises
        ------
        RunError
            If the file is missing, or is not what was written, or is of another run.
        """
        path, remedy = self.path / name, self._remedy(name)
        if not path.is_file():
            raise RunError(f"{path} is missing: the run has not been trained yet")
        tensors, notes = read_tensors(path, remedy=remedy)
        return tensors, self._own_notes(path, notes, remedy)

    def notes(self, name: str) -> dict[str, Any]:
        """The notes of a file of tensors, the ``checksum`` of the file among them.

        Raises
        ------
        RunError
            As for ``tensors``.
        """
        path, remedy = self.path / name, self._remedy(name)
        if not path.is_file():
            raise RunError(f"{path} is missing: the run has not been trained yet")
        return self._own_notes(path, read_notes(path, remedy=remedy), remedy)

    def _own_notes(self, path: Path, notes: dict[str, Any], remedy: str) -> dict[str, Any]:
        """The notes, if they are of this run and of this file's kind."""
        try:
            if path.name in _NOTES:
                checked(_NOTES[path.name], notes)
        except SettingError as error:
            raise RunError(f"{path}: in its header, {error}: {remedy}") from error
        if notes.get("config") != self._config_seal():
            raise RunError(
                f"{path} and config.json are of two different runs: restore the one that belongs "
                "here, or read again if the run was being replaced"
            )
        return notes

    def _remedy(self, name: str) -> str:
        if name == _CHECKPOINT:
            return "restore it, or remove it and resume, which starts from the first epoch"
        if name == "weights.safetensors" and (self.path / _CHECKPOINT).is_file():
            return f"restore it, or `pyro-vae fit --run {self.path} --resume` writes it again"
        return "restore it, or fit the run anew"

    def write_metrics(self, metrics: pd.DataFrame) -> str:
        """Write the metrics per epoch as CSV; returns the checksum of what was written."""
        text = metrics.to_csv(index=False)
        write_whole(self.path / "metrics.csv", text)
        return _seal_of_lines(text.splitlines())

    def metrics(self) -> pd.DataFrame:
        """Metrics per epoch, up to the last one that the checkpoint has.

        Raises
        ------
        RunError
            If the file is missing, broken, or not what was written.
        """
        path = self.path / "metrics.csv"
        remedy = f"restore it, or remove {_CHECKPOINT} beside it and resume, or fit the run anew"
        try:
            lines = read_bytes(path, remedy=remedy).decode().splitlines()
        except UnicodeDecodeError as error:
            raise RunError(f"{path} is broken ({error}): {remedy}") from error
        notes = self.notes(_CHECKPOINT)
        lines = lines[: notes["epoch"] + 1]
        if _seal_of_lines(lines) != notes["metrics"]:
            raise altered(path, remedy)
        try:
            # Python's own float() gives back the bits that were written.
            rows = [
                {k: float(v or "nan") for k, v in row.items()} for row in csv.DictReader(lines)
            ]
            return pd.DataFrame(rows, columns=_METRICS).astype({"epoch": int})
        except (ValueError, TypeError, KeyError, csv.Error) as error:
            raise RunError(f"{path} is broken ({error}): {remedy}") from error

    def write_results(self, results: xr.Dataset, name: str = "evidence.nc") -> None:
        """Write results per datum as netCDF; they name the weights that they are of."""
        if (self.path / "weights.safetensors").is_file():
            results.attrs["weights"] = self.weights_seal()
        write_netcdf(self.path / name, results)

    def weights_seal(self) -> str:
        """Checksum of the weights, which tells them from any others."""
        return str(self.notes("weights.safetensors")["checksum"])

    def results(self, name: str = "evidence.nc") -> xr.Dataset:
        """Results per datum, those of ``evaluate`` unless another file is named.

        Raises
        ------
        RunError
            If the run has not been evaluated, the file is not what was written, or it is of
            other weights than the run has now.
        """
        path = self.path / name
        again = f"run `{command_line('evaluate', self.path)}`"
        if not path.is_file():
            raise RunError(f"{self.path} has not been evaluated: {again}")
        results = read_netcdf(path, remedy=again)
        kind, variables = _kind_of_results(name)
        try:
            checked(
                kind, {k: getattr(v, "item", lambda v=v: v)() for k, v in results.attrs.items()}
            )
        except SettingError as error:
            raise RunError(f"{path}: its attribute {error}; {again}") from error
        for variable in variables:
            found = results.get(variable)
            if found is None or "datum" not in found.dims or found.dtype.kind != "f":
                raise RunError(f"{path} has no numbers {variable!r} over data: {again}")
        if results.attrs["weights"] != self.weights_seal():
            raise RunError(f"{path} was measured with other weights than the run has now: {again}")
        return results


def _seal_of_lines(lines: list[str]) -> str:
    return checksum("metrics.csv", "\n".join(lines))


def _sibling(place: Path, role: str) -> Path:
    """A hidden folder beside a run's, for the time it is being replaced."""
    name = place.name
    if len(name) > 120:  # with four bytes a letter, no longer than a name may be
        name = f"{name[:40]}-{checksum(name)[:16]}"
    return place.with_name(f".{name}.{role}")
