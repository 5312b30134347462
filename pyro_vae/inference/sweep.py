"""Several runs under one folder: a stopped sweep goes on where it was, and never with others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pyro_vae.errors import RunError
from pyro_vae.inference.fit import fit
from pyro_vae.inference.runs import Run, whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from pyro.infer import ELBO
    from torch import nn

    from pyro_vae.data import Dataset

__all__ = ["claim_folder", "fit_in"]


def claim_folder(path: Path, settings: dict[str, Any], *, holds: str, overwrite: bool) -> None:
    """Make the folder of a file of settings, or see that the sweep in it has these.

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
        If the folder has a sweep with other settings.
    """
    if path.is_file() and not overwrite:
        if json.loads(path.read_text()) != settings:
            raise RunError(
                f"{path.parent} holds {holds}: give another --out, or --overwrite to replace it"
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as scratch:
        scratch.write_text(json.dumps(settings, indent=2) + "\n")


def fit_in(
    folder: Path,
    model: nn.Module,
    data: Dataset,
    objective: ELBO | str | None,
    *,
    overwrite: bool,
    **training: Any,
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
