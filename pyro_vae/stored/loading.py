"""From a run folder back to its model and its data."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from pyro_vae import data
from pyro_vae.disk.runs import Run
from pyro_vae.errors import PyroVAEError, RunError, SettingError, UnknownNameError
from pyro_vae.models import model_from_config
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyro_vae.data import Dataset
    from pyro_vae.models import LatentVariableModel

__all__ = ["load_data", "load_model", "make_model"]


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
def load_data(path: str | Path | Run, *, data_root: str | Path | None = None) -> Dataset:
    """Data that a run was fitted on, drawn with the same seed.

    Parameters
    ----------
    path
        Run folder.
    data_root
        Folder with the data sets; see ``pyro_vae.data.load``.

    Raises
    ------
    RunError
        If the folder is not a run.
    """
    run = path if isinstance(path, Run) else Run.open(path)
    about = run.config()["data"]
    if (run.path / "weights.safetensors").is_file():
        run.notes("weights.safetensors")  # refuses the settings of another run
    if about["name"] == "tensors":
        raise RunError(f"{run.path} was fitted on tensors given in Python: load them yourself")
    try:
        return data.load(**about, data_root=data_root)
    except UnknownNameError as error:
        raise RunError(f"{run.path / 'config.json'}: data: {error}") from error
