"""From a run folder back to its model and its data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyro_vae import data
from pyro_vae.errors import RunError, UnknownNameError
from pyro_vae.inference.runs import Run
from pyro_vae.models import model_from_config
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from pathlib import Path

    from pyro_vae.data import Dataset
    from pyro_vae.models import LatentVariableModel

__all__ = ["load_data", "load_model"]


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
    config: dict[str, Any] | None = run.config().get("model")
    if config is None:
        raise RunError(
            f"{run.path} holds a model that JSON cannot describe: make it as you did, then "
            "load_state_dict(Run.open(path).tensors('weights.safetensors')[0])"
        )
    weights, _ = run.tensors("weights.safetensors")
    try:
        model = model_from_config(config)
    except UnknownNameError as error:
        raise RunError(
            f"{run.path}: {error} A part of your own must be imported first: in Python its "
            "module, on the command line `pyro-vae --import MODULE ...`."
        ) from error
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(f"{run.path}/weights.safetensors is of another model: {error}") from error
    model.initialised = True
    return model.eval()


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
    about = run.config().get("data")
    if not about or about.get("name") == "tensors":
        raise RunError(f"{run.path} was fitted on tensors given in Python: load them yourself")
    return data.load(**about, data_root=data_root)
