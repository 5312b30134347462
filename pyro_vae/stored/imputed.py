"""Missing cells of a file, or of a run's test data, imputed by the run's model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from pyro_vae import inference
from pyro_vae.data.reading.formats import read_content
from pyro_vae.data.schema.column import LEVELLED
from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference.engine.diagnostics import KHAT_LIMIT
from pyro_vae.stored.loading import load_model, load_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import xarray as xr

    from pyro_vae.data import Dataset
    from pyro_vae.data.schema.cells import Cells
    from pyro_vae.disk.runs import Run

__all__ = [
    "Imputed",
    "Weights",
    "cells_frame",
    "columns_frame",
    "completed_frame",
    "hidden_errors",
    "impute_run",
]

#: Names of the columns that say which complete table a row is of, and which row: those of the long
#: form that R's package mice writes and reads, where 0 is the table with its empty cells.
DRAW, ROW = ".imp", ".id"


class Imputed(NamedTuple):
    """What became of the missing cells.

    Attributes
    ----------
    results
        What ``inference.impute`` gave, on the scale of the model.
    data
        The data set whose test split was imputed.
    table
        The cells of the file by column, of a table in a file; None otherwise.
    """

    results: xr.Dataset
    data: Dataset
    table: Mapping[str, Cells] | None


def impute_run(
    run: Run,
    on: Path | None = None,
    *,
    data_root: Path | None = None,
    draws: int = 20,
    level: float = 0.9,
    num_particles: int = 1000,
    limit: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Imputed:
    """Impute the missing cells of rows by a run's model.

    Parameters
    ----------
    run
        A run that was trained for missing cells.
    on
        File with rows of the run's schema; its own test data unless given.
    data_root
        Folder with the data sets; see ``data.load``.
    draws, level, num_particles, seed, progress
        As for ``inference.impute``.
    limit
        The first so many rows alone.

    Raises
    ------
    ProgramError
        If the model has no prior, or is one of whole data.
    DataError
        If nothing is missing.
    """
    model = load_model(run)
    if not model.has_evidence:
        raise ProgramError(
            f"{run.path.name} has a model without a prior ({type(model).__name__}), and so no "
            "p(x): impute with a model that has one, such as a VAE"
        )
    model = model.evidence_model
    if "observed" not in model.inputs:
        raise ProgramError(
            f"{run.path.name} has a model of whole data, which cannot be told what is missing: "
            "fit one to data with empty cells, or say --missing mask (marginal of a mixture)"
        )
    data = load_rows(run, data_root=data_root, on=on)
    x: Any = {name: part[:limit] for name, part in data.inputs("test", model.inputs).items()}
    if bool(x["observed"].all()):
        where = f"{on}" if on is not None else f"the test split of {data.name}"
        raise DataError(f"{where} has no missing cell: give a file that has")
    results = inference.impute(
        model, x, num_particles, draws=draws, level=level, seed=seed, progress=progress
    )
    table = None if on is None else read_content(on).table
    return Imputed(results, data, table)


def completed_frame(found: Imputed, *, long: bool = True) -> pd.DataFrame:
    """The table with its empty cells filled in, every other cell as it was.

    Parameters
    ----------
    found
        What ``impute_run`` gave.
    long
        One below the other, the table with its empty cells (``.imp`` 0) and the complete ones
        (1 to S), with ``.id`` for the row: the long form of R's mice. Otherwise one table, with
        the median in each empty cell, the most probable value where it is a level or a count.
    """
    draws = found.results["draws"].values if long else _point(found)[None]
    frames = [_whole(found, frame) for frame in found.data.completed(draws)]
    if not long:
        return frames[0]
    frames.insert(0, _whole(found, found.data.to_frame("test").iloc[: draws.shape[1]]))
    for number, frame in enumerate(frames):
        frame.insert(0, DRAW, number)
        frame.insert(1, ROW, np.arange(len(frame)))
    return pd.concat(frames, ignore_index=True)


def cells_frame(found: Imputed) -> pd.DataFrame:
    """One line for each missing cell: point estimate, interval, and what its weights are worth.

    In the units of the table; ``lower`` and ``upper`` are those of ``level``, and empty for
    categories, whose levels have no order, as ``sd`` is for all levels. ``khat`` above 0.7 says
    that a row's imputations are not to be relied on.
    """
    results, names = found.results, found.data.feature_names
    rows, columns = np.nonzero(~results["observed"].values)
    value = _in_units(found, _point(found))
    lower, upper = (_in_units(found, results[name].values) for name in ("lower", "upper"))
    sd = results["sd"].values * _scales(found.data)
    kinds = _kinds(found.data)
    lines = []
    for row, d in zip(rows, columns, strict=True):
        unordered = kinds[d] in ("category", "yes-no", "binary")
        lines.append(
            {
                "row": row,
                "column": names[d],
                "value": value.iat[row, d],
                "lower": None if unordered else lower.iat[row, d],
                "upper": None if unordered else upper.iat[row, d],
                "sd": None if kinds[d] in LEVELLED else sd[row, d],
                "ess": float(results["ess"].values[row]),
                "khat": float(results["khat"].values[row]),
            }
        )
    return pd.DataFrame(lines)


def columns_frame(found: Imputed) -> pd.DataFrame:
    """What was imputed in each column that has missing cells: a line each, in the table's units.

    The mean of the observed cells, and of the draws of the missing ones; of levels the most
    frequent, with its share.
    """
    results = found.results
    there, before = (
        results["observed"].values,
        found.data.to_frame("test").iloc[: len(results["datum"])],
    )
    draws = [_in_units(found, draw) for draw in results["draws"].values]
    kinds, lines = _kinds(found.data), {}
    for d, name in enumerate(found.data.feature_names):
        missing = ~there[:, d]
        if not missing.any():
            continue
        imputed = pd.concat([draw.iloc[missing, d] for draw in draws], ignore_index=True)
        seen = before.iloc[~missing, d]
        summary = _most_frequent if kinds[d] in LEVELLED else _mean
        lines[name] = {
            "missing": int(missing.sum()),
            "of": len(missing),
            "observed": summary(seen),
            "imputed": summary(imputed),
        }
    return pd.DataFrame.from_dict(lines, orient="index").convert_dtypes()


def hidden_errors(found: Imputed) -> dict[str, float] | None:
    """How well cells are imputed that were hidden on purpose; None where none were.

    ``cells``, how many. Of numbers ``rmse``, that of the mean, in standard deviations of the
    hidden values of each column (of images, of all pixels), and ``coverage`` of the interval of
    ``level``. Of levels and binary data ``wrong``, the share whose most probable value is another.
    """
    if found.data.hidden is None:
        return None
    results = found.results
    hidden = found.data.hidden["test"][: results.sizes["datum"]]
    truth = hidden.flatten(1).numpy()
    known = ~np.isnan(truth)
    if not known.any():
        return None
    errors: dict[str, float] = {"cells": int(known.sum())}
    levelled = np.array([kind in (*LEVELLED, "binary") for kind in _kinds(found.data)])
    if (levels := known & levelled).any():
        mode = _original(found.data, results["mode"].values)
        errors["wrong"] = float((mode != truth)[levels].mean())
    if (numbers := known & ~levelled).any():
        mean, lower, upper = (
            _original(found.data, results[name].values) for name in ("mean", "lower", "upper")
        )
        there = np.ma.masked_invalid(truth)
        spread = there.std(0).filled(1.0) if hidden.dim() == 2 else there.std()
        error = (mean - truth) / np.where(spread > 0, spread, 1.0)
        errors["rmse"] = math.sqrt(float(np.mean(error[numbers] ** 2)))
        room = 1e-6 * np.abs(truth)
        inside = (lower - room <= truth) & (truth <= upper + room)
        errors["coverage"] = float(inside[numbers].mean())
    return errors


class Weights(NamedTuple):
    """What the weights behind the imputations are worth: numbers of rows.

    Attributes
    ----------
    rows
        With missing cells.
    heavy
        Of these, with a k-hat above the limit: not to be relied on.
    unknown
        Without a k-hat, as where particles are too few; where z is summed out none is needed.
    """

    rows: int
    heavy: int
    unknown: int


def weights_of(results: xr.Dataset) -> Weights:
    """Judge the weights of what ``inference.impute`` gave."""
    holed = ~results["observed"].values.all(1)
    khat, weighted = results["khat"].values[holed], ~np.isnan(results["ess"].values[holed])
    return Weights(
        int(holed.sum()),
        int((khat > KHAT_LIMIT).sum()),
        int((np.isnan(khat) & weighted).sum()),
    )


def _whole(found: Imputed, modelled: pd.DataFrame) -> pd.DataFrame:
    """Rows with the columns of the file, in its order, those without a model as they were."""
    modelled = modelled.rename(columns=str)
    if found.table is None:
        return modelled
    others = {
        label: _series(cells)[: len(modelled)]
        for label, cells in found.table.items()
        if label not in modelled
    }
    whole = pd.concat([modelled, pd.DataFrame(others, index=modelled.index)], axis=1)
    return whole[list(found.table)]


def _series(cells: Cells) -> pd.Series:
    """A column of a file that no model has to do with."""
    made = pd.Series(cells.values)
    if cells.whole:
        made = made.astype("Int64")
    elif cells.type == "truth":
        made = made.astype("boolean")
    return made.mask(cells.empty)


def _point(found: Imputed) -> np.ndarray:
    """Median of each cell, or the most probable value of a discrete one."""
    median, mode = (found.results[name].values for name in ("median", "mode"))
    return np.where(np.isnan(mode), median, mode)


def _in_units(found: Imputed, values: np.ndarray) -> pd.DataFrame:
    """Values on the model's scale, ``(n, D)``, as a frame in the table's units."""
    frame = found.data.to_frame(torch.from_numpy(np.ascontiguousarray(values)))
    frame.columns = [str(column) for column in frame.columns]
    return frame


def _original(data: Dataset, values: np.ndarray) -> np.ndarray:
    """Values on the model's scale, ``(n, D)``, in the units of the base measure."""
    shaped = torch.from_numpy(values).reshape(-1, *data.event_shape)
    made = shaped if data.affine is None else data.affine.inverse(shaped)
    return made.flatten(1).numpy()


def _scales(data: Dataset) -> np.ndarray:
    """Units of the table per unit of the model, by column."""
    if data.affine is None or not data.standardise:
        return np.ones(data.num_features)
    return data.affine.scale.flatten().numpy()


def _kinds(data: Dataset) -> list[str]:
    if data.schema is None:
        return [str(data.kind)] * data.num_features
    return [column.kind for column in data.schema.data]


def _mean(values: pd.Series) -> Any:
    return values.mean()


def _most_frequent(values: pd.Series) -> str | None:
    shares = values.dropna().astype(str).value_counts(normalize=True)
    return f"{shares.index[0]} ({shares.iloc[0]:.0%})" if len(shares) else None
