"""Figures of missing cells and of what was put there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from pyro_vae import inference, plots
from pyro_vae.figures import fitted as needs
from pyro_vae.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from pyro_vae.data import Dataset
    from pyro_vae.figures.fitted import Fitted

__all__ = ["imputation_figure"]

#: Draws of each row, and particles.
_DRAWS, _PARTICLES = 5, 500

#: Images in a figure, and draws of each that are shown.
_IMAGES, _SHOWN = 10, 4


@figure(
    "missing-cells",
    "What is missing where in the training data. Of images, how often each pixel is.",
    needs.HOLES,
    in_report=True,
)
def _missing_cells(fitted: Fitted) -> Figure:
    data = fitted.data
    assert data.observed is not None, "a figure of them needs HOLES"
    return plots.missing_cells(data.observed["train"].numpy(), data.columns)


@figure(
    "imputations",
    "Draws for the missing cells of test data, beside the observed ones. Of images, whole ones "
    "given what is seen of them; the lower half is hidden where nothing is missing.",
    needs.TAKES_HOLES,
    needs.PRIOR,
    needs.ENCODER,
    needs.CELLS,
    in_report=True,
)
def _imputations(fitted: Fitted) -> Figure:
    x, rows = dict(fitted.test), fitted.holed
    if not len(rows):
        x["observed"] = x["observed"].clone()
        x["observed"][:, x["observed"].shape[1] // 2 :] = False
        rows = torch.arange(len(x["x"]))
    if len(fitted.data.event_shape) == 2:
        rows = rows[:_IMAGES]
    part = {name: values[rows] for name, values in x.items()}
    model = fitted.model.evidence_model
    results = inference.impute(model, part, _PARTICLES, draws=_DRAWS, seed=fitted.seed)
    made = imputation_figure(results, fitted.data, rows=rows.numpy())
    assert made is not None, "a figure of them needs CELLS"
    return made


def imputation_figure(
    results: xr.Dataset, data: Dataset, rows: np.ndarray | None = None
) -> Figure | None:
    """Imputations of test data: columns of a table, or images. None where nothing can be shown.

    Parameters
    ----------
    results
        What ``inference.impute`` gave, with draws.
    data
        The data set.
    rows
        Numbers of the test data that they are of, the first ones unless given.
    """
    rows = np.arange(results.sizes["datum"]) if rows is None else rows
    if len(data.event_shape) == 2:
        return plots.completions(**_some_images(results, data, rows))
    if data.schema is None:
        return None
    there = results["observed"].values
    observed = data.to_frame("test").iloc[rows].reset_index(drop=True)
    draws = [data.to_frame(torch.from_numpy(draw)) for draw in results["draws"].values]
    imputed = pd.concat([draw.astype(object).where(~there) for draw in draws])
    levels = {column.name: column.levels for column in data.schema.data if column.levels}
    numbers = {c: draws[0][c].dtype for c in imputed if c not in levels}
    imputed = imputed.astype({c: "float64" if t.kind in "if" else t for c, t in numbers.items()})
    seen = observed.where(there)
    if not (seen.notna().any() & imputed.notna().any()).any():  # as of one row
        return None
    return plots.imputed_marginals(seen, imputed, levels)


def _some_images(results: xr.Dataset, data: Dataset, rows: np.ndarray) -> dict[str, Any]:
    """The first images with a part missing, in the units that they came in."""
    there = results["observed"].values
    some = np.flatnonzero(~there.all(1))[:_IMAGES]

    def shown(values: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(values).reshape(*values.shape[:-1], *data.event_shape)
        return data.in_original_units(images).numpy()

    seen = shown(np.where(there, results["mean"].values, np.nan)[some])
    found: dict[str, Any] = {
        "seen": seen,
        "mean": shown(results["mean"].values[some]),
        "draws": shown(results["draws"].values[:_SHOWN, some]),
    }
    if data.observed is None:
        found["truth"] = shown(data.test.flatten(1).numpy()[rows[some]])
    elif data.hidden is not None:
        aside = data.hidden["test"]
        if data.affine is not None and not data.standardise:
            aside = data.affine.forward(aside)
        hidden = aside.numpy()[rows[some]]
        found["truth"] = np.where(np.isnan(hidden), np.nan_to_num(seen), hidden)
    return found
