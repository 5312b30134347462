"""Rows of a table scored by a run: how likely each is, and which columns make it unlikely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from pyro_vae import inference
from pyro_vae.data.reading.reader import kept_rows
from pyro_vae.errors import ProgramError, SettingError
from pyro_vae.inference.engine.inputs import take
from pyro_vae.stored.loading import load_model, load_rows, origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd
    import xarray as xr

    from pyro_vae.data import Dataset
    from pyro_vae.disk.runs import Run

__all__ = ["Scores", "score_run", "scores_frame"]


class Scores(NamedTuple):
    """Scores of rows, and of training rows that they stand among.

    Attributes
    ----------
    rows
        What ``inference.score`` gave, or of a conditional ``inference.conditional``; in nats of
        the data's own units, with the number of each row in its file as coordinate ``row``.
    reference
        The same of training rows; None for a conditional.
    """

    rows: xr.Dataset
    reference: xr.Dataset | None


def score_run(
    run: Run,
    on: Path | None = None,
    *,
    data_root: Path | None = None,
    given: Sequence[str] = (),
    num_particles: int = 1000,
    reference: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score rows by a run's model, in the units of the table.

    Parameters
    ----------
    run
        A run that was trained.
    on
        File with rows of the run's schema; its own test data unless given.
    data_root
        Folder with the data sets; see ``data.load``.
    given
        Columns that are known: the score is then log p(other columns | these).
    num_particles
        Draws from the guide per row.
    reference
        Training rows that the percentile is among, at most, taken at random.
    seed
        Seed of the draws.
    progress
        Called with the number of rows done and their total.

    Raises
    ------
    ProgramError
        If the model has no prior, and so no log p(x).
    """
    model = load_model(run)
    if not model.has_evidence:
        raise ProgramError(
            f"{run.path.name} has a model without a prior ({type(model).__name__}), and so no log "
            "p(x): score with a model that has one, such as a VAE"
        )
    model, data = model.evidence_model, load_rows(run, data_root=data_root, on=on)
    how: dict[str, Any] = {"num_particles": num_particles, "seed": seed}
    data.require_taken(model.inputs)
    x: Any = data.inputs("test", model.inputs) if model.inputs else data.test
    origin, rows = origin_of(run), np.arange(len(data.test))
    if on is not None and origin is not None and origin.drop_empty:
        rows = kept_rows(origin, on)
    known = None
    if given:
        others = _others(data, given)
        found = inference.conditional(
            model, x, of=others, fill=_fill(data, others), progress=progress, **how
        )
        found["log_conditional"] += _shifts(data, "test")[:, others].sum(1)
    else:
        of_known = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))[
            :reference
        ].numpy()
        known = _reference(model, data, of_known, **how)
        found = inference.score(
            model, x, reference=known, columns=data.feature_names, progress=progress, **how
        )
        found = _in_own_units(found, _shifts(data, "test"))
        known = _in_own_units(known, _shifts(data, "train")[of_known])
    found.attrs["missing_cells"] = (
        0 if data.observed is None else int((~data.observed["test"]).sum())
    )
    return Scores(found.assign_coords(row=("datum", rows)), known)


def _in_own_units(scores: xr.Dataset, shifts: np.ndarray) -> xr.Dataset:
    """Densities of the data as they came, per unit of each column."""
    scores["log_evidence"] += shifts.sum(1)
    if "contribution" in scores:
        scores["contribution"] += shifts
    return scores


def scores_frame(results: xr.Dataset) -> pd.DataFrame:
    """Scores as a frame, a row each: what a person would keep as CSV.

    Columns ``log_evidence`` (nats, in the units of the table), ``log_evidence_se``, ``khat``,
    ``percentile`` among training rows, and the contribution of every column; of a conditional
    score, ``log_conditional`` with its error in the place of the first two.
    """
    names = ("log_evidence", "log_conditional", "log_evidence_se", "log_conditional_se")
    frame = results[[n for n in (*names, "khat", "percentile") if n in results]].to_dataframe()
    frame = frame.set_index("row")
    if "contribution" in results:
        for name in results["feature"].values:
            frame[f"log p({name} | z)"] = results["contribution"].sel(feature=name).values
    return frame


def _reference(
    model: Any, data: Dataset, rows: np.ndarray, *, num_particles: int, seed: int
) -> xr.Dataset:
    """Scores of some training rows."""
    x: Any = data.inputs("train", model.inputs) if model.inputs else data.train
    x = take(x, torch.from_numpy(rows))
    return inference.score(model, x, num_particles, columns=data.feature_names, seed=seed)


def _others(data: Dataset, given: Sequence[str]) -> list[int]:
    """Places of the columns that are not given."""
    names = data.feature_names
    unknown = [name for name in given if name not in names]
    if unknown or set(given) == set(names):
        what = f"{unknown[0]!r}" if unknown else "every column"
        raise SettingError(
            f"given names {what}, and the model is of {', '.join(map(repr, names))}: name some of "
            "these"
        )
    return [d for d, name in enumerate(names) if name not in given]


def _fill(data: Dataset, columns: list[int]) -> list[float]:
    """A legal value for each of some columns: the training rows' lower median."""
    return data.train.flatten(1)[:, columns].median(0).values.tolist()


def _shifts(data: Dataset, split: str) -> np.ndarray:
    """Log dy_d/dx_d of every column of every row, in nats; 0 where its cell is missing."""
    rows = len(getattr(data, split))
    if data.affine is None:
        return np.zeros((rows, data.num_features))
    each = np.tile(-data.affine.scale.flatten().log().numpy(), (rows, 1))
    return each if data.observed is None else each * data.observed[split].flatten(1).numpy()
