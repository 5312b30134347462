"""From a run folder back to its model and its data."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode

from pyro_vae import data
from pyro_vae.conversion.streamed import SAMPLE
from pyro_vae.data.affine import Affine
from pyro_vae.data.reading.origin import Origin
from pyro_vae.data.reading.reader import Form, read_again
from pyro_vae.data.schema.schema import Schema
from pyro_vae.data.streamed.dataset import StreamedDataset
from pyro_vae.data.streamed.reader import stream_again
from pyro_vae.disk.runs import Run
from pyro_vae.disk.schema import checked
from pyro_vae.errors import (
    MissingDataError,
    PyroVAEError,
    RunError,
    SettingError,
    UnknownNameError,
)
from pyro_vae.models import model_from_config
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pyro_vae.data import Dataset
    from pyro_vae.models import LatentVariableModel

__all__ = [
    "Units",
    "load_data",
    "load_model",
    "load_rows",
    "make_model",
    "origin_of",
    "units_of",
]


@verb
def load_model(path: str | Path | Run) -> LatentVariableModel:
    """Model of a run, with its best weights.

    Parameters
    ----------
    path
        Run folder.

    Raises
    ------
    RunError
        If the folder is not a run, its files are broken, or its model has networks of the
        user's own (then make the model, and ``load_state_dict`` the run's tensors).
    """
    run = path if isinstance(path, Run) else Run.open(path)
    weights, _ = run.tensors("weights.safetensors")
    model = make_model(run)
    try:
        model.load_state_dict(weights)
    except (RuntimeError, ValueError, KeyError) as error:
        raise RunError(f"{run.path}/weights.safetensors is of another model: {error}") from error
    model.initialised = True
    return model.eval()


def make_model(run: Run) -> LatentVariableModel:
    """Model that the settings of a run describe, with fresh weights.

    Raises
    ------
    RunError
        If JSON cannot describe the model, or what is there describes none, or one that is far
        larger than the weights in the run.
    """
    config: dict[str, Any] | None = run.config()["model"]
    if config is None:
        raise RunError(
            f"{run.path} holds a model that JSON cannot describe: make it as you did, then "
            "load_state_dict(Run.open(path).tensors('weights.safetensors')[0])"
        )
    where = f"{run.path / 'config.json'}: model"
    try:
        with _NoLarger(run):
            return model_from_config(config)
    except UnknownNameError as error:
        raise RunError(
            f"{where}: {error} A part of your own must be imported first: in Python its "
            "module, on the command line `pyro-vae --import MODULE ...`."
        ) from error
    except _TooLargeError as error:
        raise RunError(f"{where} {error}") from error
    except SettingError as error:
        raise RunError(f"{where}.{error}") from error
    except Exception as error:  # a part may refuse its settings in any way
        reason = " ".join(str(error).split())[:300]
        raise RunError(f"{where} cannot be made ({type(error).__name__}: {reason})") from error


class _TooLargeError(PyroVAEError):
    """More than a run's weights can be of."""


class _NoLarger(TorchFunctionMode):
    """Refuses to make tensors that a model with a run's weights cannot need."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.left = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        kept = run.path / "weights.safetensors"
        if kept.is_file():
            # A part may make tensors that it does not keep, to start its weights.
            self.left = min(self.left, 10 * kept.stat().st_size + 10**8)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func in _MAKERS:
            self.left -= func(*args, **{**(kwargs or {}), "device": "meta"}).nbytes
            if self.left < 0:
                raise _TooLargeError(
                    "would have far more numbers than its weights.safetensors or this machine's "
                    "memory: the settings are not those of the run"
                )
        return func(*args, **(kwargs or {}))


_MAKERS = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.eye)


@verb
def load_data(
    path: str | Path | Run, *, data_root: str | Path | None = None, on: Any = None
) -> Dataset | StreamedDataset:
    """Data that a run was fitted on, drawn with the same seed; streamed again if they were.

    A file of one's own is looked for where it was, then by its name in the working folder, beside
    the run and in the data root; one that has moved is named in a warning.

    Parameters
    ----------
    path
        Run folder.
    data_root
        Folder with the data sets; see ``pyro_vae.data.load``.
    on
        A file, or a frame or an array, with rows of the same schema, which are then the test
        data. Where the run's own data are not to be had, they stand for all of them.

    Raises
    ------
    RunError
        If the folder is not a run, or its data are not to be had.
    DataError
        If a file has changed since, or ``on`` is of another schema.
    """
    run = path if isinstance(path, Run) else Run.open(path)
    about = run.config()["data"]
    if (run.path / "weights.safetensors").is_file():
        run.notes("weights.safetensors")  # refuses the settings of another run
    origin = about.pop("origin")
    if origin is not None:
        return _own_data(run, about, origin, data_root, on)
    if on is not None:
        raise RunError(
            f"on was given, and {run.path} was fitted to {about['name']}, a data set with a name: "
            "leave it out, or fit a model to a file (--data FILE)"
        )
    try:
        return data.load(**about, data_root=data_root)
    except UnknownNameError as error:
        raise RunError(f"{run.path / 'config.json'}: data: {error}") from error


def load_rows(
    path: str | Path | Run, *, data_root: str | Path | None = None, on: Any = None
) -> Dataset:
    """The same in memory: of data that are streamed the first rows of each split, and it says so.

    Arguments and errors are those of ``load_data``; rows of ``on`` are all there.
    """
    found = load_data(path, data_root=data_root, on=on)
    if not isinstance(found, StreamedDataset):
        return found
    rows = found.first_rows(num_test=None if on is None else len(found.test))
    of_file = (found.train, found.validation, found.test)
    there = (rows.train, rows.validation, rows.test)
    if any(len(part) < len(whole) for part, whole in zip(there, of_file, strict=True)):
        warnings.warn(
            f"{found.name} is streamed: what needs rows in memory, as pictures and tables do, is "
            f"of the first {SAMPLE:,} of each split",
            stacklevel=2,
        )
    return rows


def origin_of(run: Run) -> Origin | None:
    """Where data of one's own came from, as the run remembers it; None for those with a name.

    Raises
    ------
    RunError
        If what the run has describes no origin.
    """
    about = run.config()["data"]["origin"]
    if about is None:
        return None
    try:
        origin = checked(Origin, about)
        if origin.columns is not None:
            Schema.from_config(origin.columns)
        return origin
    except SettingError as error:
        raise RunError(
            f"{run.path / 'config.json'}: data: origin: {error}; restore the file, or fit the run "
            "anew"
        ) from error


class Units(NamedTuple):
    """How values of a model become those of its data.

    Attributes
    ----------
    affine
        Map to the scale of the model; None for the identity.
    schema
        What the columns are, of a table.
    """

    affine: Affine | None
    schema: Schema | None

    @property
    def changed(self) -> bool:
        """Whether the model has other units than the data."""
        return self.affine is not None

    def original(self, values: Tensor) -> Tensor:
        """Values of the model, ``(..., *event_shape)``, in the units of the data."""
        return values if self.affine is None else self.affine.inverse(values)


def units_of(run: Run, *, data_root: str | Path | None = None) -> Units:
    """The units of a run's data, as far as it remembers them, else from the data.

    Parameters
    ----------
    run
        A run.
    data_root
        Folder with the data sets; see ``pyro_vae.data.load``.

    Raises
    ------
    RunError
        If the data have to be looked at, and are not to be had.
    """
    about, origin = run.config()["data"], origin_of(run)
    if origin is not None and origin.columns is not None:
        schema = Schema.from_config(origin.columns)
        return Units(schema.affine(), schema)
    if not about["standardise"]:
        return Units(None, None)
    if origin is None or origin.location is None or origin.scale is None:
        return Units(load_data(run, data_root=data_root).affine, None)
    shape: Any = make_model(run).event_shape
    pair = (torch.tensor(part, dtype=torch.double) for part in (origin.location, origin.scale))
    return Units(Affine(*(part.reshape(shape) for part in pair)), None)


def _own_data(
    run: Run, about: dict[str, Any], given: dict[str, Any], data_root: Any, on: Any
) -> Dataset | StreamedDataset:
    """Data that were read from a file, found again; or other rows of their schema."""
    origin = origin_of(run)
    assert origin is not None
    of_names = ("name", "num_validation")
    form = Form(**{key: value for key, value in about.items() if key not in of_names})
    folders = [Path(), run.path, run.path.resolve().parent]
    folders += [] if data_root is None else [Path(data_root)]
    try:
        again = read_again if origin.streamed is None else stream_again
        found = again(origin, form, folders=folders, on=on)
    except MissingDataError as error:
        raise RunError(f"{run.path}: {error}") from error
    # What the run remembers, though a file has moved: it is the same run.
    return replace(found, origin=checked(Origin, given))
