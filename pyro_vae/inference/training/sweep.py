"""Several runs under one folder: a stopped sweep goes on where it was, and never with others."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyro_vae.disk.files import locked, make_folder
from pyro_vae.disk.runs import Run
from pyro_vae.disk.sealed import altered, read_json, write_json
from pyro_vae.errors import RunError
from pyro_vae.inference.training.fit import fit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Unpack

    from pyro.infer import ELBO
    from torch import nn

    from pyro_vae.data import Dataset
    from pyro_vae.inference.training.settings import FitOptions

__all__ = ["claimed_folder", "fit_in"]


@contextmanager
def claimed_folder(
    path: Path, settings: dict[str, Any], *, holds: str, overwrite: bool
) -> Iterator[None]:
    """Make the folder of a file of settings, or see that the sweep in it has these; hold its lock.

    Parameters
    ----------
    path
        The file, in JSON.
    settings
        What all the runs share.
    holds
        What is there where the settings are others, as in "a grid with other data".
    overwrite
        Replace them.

    Raises
    ------
    RunError
        If the folder has a sweep with other settings, or another process writes to it.
    """
    make_folder(path.parent)
    with locked(path.parent):
        if path.is_file() and not overwrite:
            remedy = "give another --out, or --overwrite to begin again"
            found, intact = read_json(path, remedy=remedy)
            if not intact:
                raise altered(path, remedy)
            if found != settings:
                raise RunError(
                    f"{path.parent} holds {holds}: give another --out, or --overwrite to replace "
                    "it"
                )
        else:
            write_json(path, settings)
        yield


def fit_in(
    folder: Path,
    model: nn.Module,
    data: Dataset,
    objective: ELBO | str | None,
    *,
    overwrite: bool,
    **training: Unpack[FitOptions],
) -> Run:
    """Fit a run of a sweep, go on with it, or find it done.

    Parameters
    ----------
    folder
        Folder of the run.
    model, data, objective, **training
        As for ``fit``.
    overwrite
        Begin again.

    Raises
    ------
    KeyboardInterrupt
        If the fit was interrupted: the sweep ends too.
    """
    resume = (folder / "config.json").is_file() and not overwrite
    result = fit(
        model, data, objective, run=folder, resume=resume, overwrite=overwrite, **training
    )
    if result.stopped == "interrupt":
        raise KeyboardInterrupt
    return Run.open(folder)
