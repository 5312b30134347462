"""Mattei & Frellsen (2019): half of the cells of a table are missing, and imputed once."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from pyro_vae import data as datasets
from pyro_vae import inference
from pyro_vae.cards.card import Found, listed
from pyro_vae.disk.runs import Run
from pyro_vae.disk.sealed import read_netcdf, write_netcdf
from pyro_vae.models import VAE, MixtureModel
from pyro_vae.models.likelihoods import MultivariateNormal, StudentT
from pyro_vae.reproduction.experiment import Experiment, Level, Part, Place, Plan, load_form
from pyro_vae.reproduction.repeated import RepeatedPart, over_repeats
from pyro_vae.reproduction.trained import Training, constant
from pyro_vae.stored.loading import load_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import xarray as xr

    from pyro_vae.data import Dataset

__all__ = ["MASKS", "MIWAE", "Holed", "holed_table"]

#: Number of masks.
MASKS = 5

_OWN = "breast-cancer"
_FORM: dict[str, Any] = {"num_validation": 0}
#: Length of z by table; 10 for any other.
_LATENT_DIMS = {"iris": 1, "wine": 6}
_COMPONENTS = 3
_IMPUTED = "imputed.nc"
_NOTEBOOK = "the authors' notebook (pamattei/miwae, commit 6e9d12c), a mask of its own"


class Holed(NamedTuple):
    """A standardised table, and which of its cells are there.

    Attributes
    ----------
    x
        All rows, columns with mean 0 and standard deviation 1, float64 ``(n, D)``.
    observed
        Truth values of that shape.
    """

    x: np.ndarray
    observed: np.ndarray


def holed_table(plan: Plan, data_root: Path | None, mask: int) -> Holed:
    """All rows of the data, and a mask of them in which a cell is missing with probability 1/2.

    Parameters
    ----------
    plan, data_root
        Which data, and where they are; the seed of the first mask.
    mask
        Number of the mask.
    """
    data = load_form(_FORM, plan, data_root, own=plan.data == _OWN)
    rows = torch.cat([data.train, data.validation, data.test]).flatten(1).double().numpy()
    spread = rows.std(0)
    x = (rows - rows.mean(0)) / np.where(spread > 0, spread, 1.0)
    return Holed(x, np.random.default_rng(plan.seed + mask).random(x.shape) > 0.5)


def _found(
    part: Part, plan: Plan, completed: Sequence[tuple[Holed, np.ndarray, np.ndarray | None]]
) -> Found:
    """Squared errors of the missing cells: of every mask a table, its imputation, its errors."""
    errors, drawn, rows, noise = [], [], [], []
    for table, imputed, spread in completed:
        x, missing = table.x[: plan.limit], ~table.observed[: plan.limit]
        apart = np.where(missing, imputed[: plan.limit] - x, 0.0)
        count = max(1, int(missing.sum()))
        of_row = np.maximum(missing.sum(1), 1)
        errors.append(float((apart**2).sum()) / count)
        rows.append((apart**2).sum(1) / of_row)
        if spread is not None:
            # The cells of a row share their particles: their errors are added, not squared.
            moved = (2 * np.abs(apart) * np.where(missing, np.nan_to_num(spread), 0.0)).sum(1)
            drawn.append(float(np.sqrt((moved**2).sum())) / count)
            noise.append(moved / of_row)
    # Row by row and in it mask by mask, so that the first so many rows come first.
    per_datum = {"squared_error": listed(np.transpose(rows).ravel())}
    if noise:
        per_datum["squared_error_se"] = listed(np.transpose(noise).ravel())
    return Found(
        name=part.name,
        title=part.title,
        numbers={"mse": over_repeats(errors, drawn or None)},
        per_datum=per_datum,
        protocol=part.protocol(plan),
    )


@dataclass(frozen=True)
class _ByModel(RepeatedPart):
    """A model of the package, trained on the observed cells of every mask."""

    def data_of(self, repeat: int, plan: Plan, place: Place) -> Dataset:
        """All rows; or nine tenths of them, the others held out, in the shorter schedule."""
        x, observed = holed_table(plan, place.data_root, repeat)
        order = np.random.default_rng(plan.seed + repeat).permutation(len(x))
        size = 0 if plan.schedule == "paper" else len(x) // 10
        # The rows trained on keep their order.
        held_out, rest = order[:size], np.sort(order[size:])
        masks = {"train": observed[rest], "validation": observed[held_out]}
        return datasets.Dataset.from_tensors(
            x[rest],
            x[held_out] if size else None,
            observed=masks if size else {"train": masks["train"]},
            kind="real",
            name=plan.data,
        )

    def measure(self, plan: Plan, place: Place) -> Found:
        """Mean squared error of E[missing | observed] over the missing cells of every mask."""
        completed = []
        for repeat, one, there in self.each(plan, place):
            table = holed_table(plan, place.data_root, repeat)
            results = _imputed(Run.open(there.folder), table, one, there)
            completed.append((table, results["mean"].values, results["mean_se"].values))
        model = load_model(Run.open(place.folder / "run-0"))
        return _found(self, plan, completed).model_copy(
            update={
                "model": model.description(),
                "training": self.trained(plan, place),
                "weights": self.weights(place.folder),
            }
        )

    def protocol(self, plan: Plan) -> dict[str, Any]:
        """Particles, masks, how many rows, and the seed of the first mask."""
        return {"num_particles": plan.num_particles, **_protocol(plan)}


def _protocol(plan: Plan) -> dict[str, Any]:
    return {"masks": MASKS, "limit": plan.limit, "seed": plan.seed}


def _imputed(run: Run, table: Holed, plan: Plan, place: Place) -> xr.Dataset:
    """The imputation of a mask, kept in its run: those that were made are not made again."""
    path = run.path / _IMPUTED
    asked = f"{run.weights_seal()} {plan.num_particles} {plan.limit} {plan.seed}"
    if path.is_file():
        kept = read_netcdf(path, remedy=f"delete {path}")
        if kept.attrs.get("asked") == asked:
            return kept
    rows = {
        "x": torch.tensor(table.x[: plan.limit], dtype=torch.float32),
        "observed": torch.tensor(table.observed[: plan.limit]),
    }
    results = inference.impute(
        load_model(run), rows, plan.num_particles, draws=0, seed=plan.seed, progress=place.progress
    )
    kept = results[["mean", "mean_se"]].assign_attrs(asked=asked)
    kept.attrs = {"asked": asked}
    write_netcdf(path, kept)
    return kept


@dataclass(frozen=True)
class _ByImputer(Part):
    """An imputer of scikit-learn, fitted to every mask."""

    name: str
    title: str
    imputer: Callable[[int], Any]

    def train(self, plan: Plan, place: Place) -> None:
        """Nothing: an imputer is fitted where it is measured."""

    def measure(self, plan: Plan, place: Place) -> Found:
        """Mean squared error over the missing cells of every mask."""
        completed = []
        for mask in range(MASKS):
            table = holed_table(plan, place.data_root, mask)
            holed = np.where(table.observed, table.x, np.nan)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                imputer = self.imputer(plan.seed + mask).set_params(keep_empty_features=True)
                completed.append((table, imputer.fit_transform(holed), None))
            if place.progress is not None:
                place.progress(mask + 1, MASKS)
        return _found(self, plan, completed)

    def protocol(self, plan: Plan) -> dict[str, Any]:
        """Masks, how many rows, and the seed of the first mask."""
        return _protocol(plan)


def _vae(data: Dataset, seed: int) -> VAE:
    """D-128-128-d with ReLU; every column has a scale of each z, and all have one df."""
    return VAE(
        data.event_shape,
        _LATENT_DIMS.get(data.name, 10),
        likelihood=StudentT(scale="latent"),
        encoder=(128, 128),
        decoder=(128, 128),
        missing="zeros",
        seed=seed,
    )


def _mixture(data: Dataset, seed: int) -> MixtureModel:
    return MixtureModel(_COMPONENTS, MultivariateNormal(), data.event_shape, missing="marginal")


_VAE_SCHEDULES = {
    "paper": Training(
        1001, 32, 2e-4, constant, "the notebook's: 1,001 epochs at 0.0002, all rows trained on"
    ),
    "sooner": Training(
        400,
        32,
        1e-3,
        constant,
        "400 epochs at 0.001, the weights with the best bound on a tenth of the rows: not tuned",
    ),
}
_MIXTURE = Training(100, 32, 1e-2, constant, "100 epochs at 0.01: not tuned; not in the paper")

MIWAE = Experiment(
    name="miwae",
    title="Half of the cells are missing",
    source="Mattei and Frellsen (2019), MIWAE: deep generative modelling and imputation of "
    "incomplete data sets, arXiv 1812.02633",
    data=_OWN,
    form=_FORM,
    parts=(
        _ByModel(
            "vae",
            "VAE, Student's t, IWAE with K = 20",
            _vae,
            "iwae-20",
            _FORM,
            _OWN,
            _VAE_SCHEDULES,
            repeats=MASKS,
        ),
        _ByModel(
            "mixture",
            "mixture of 3 normals",
            _mixture,
            None,
            _FORM,
            _OWN,
            {"paper": _MIXTURE, "sooner": _MIXTURE},
            repeats=MASKS,
        ),
        _ByImputer(
            "iterative",
            "scikit-learn, IterativeImputer",
            lambda seed: IterativeImputer(max_iter=30, random_state=seed),
        ),
        _ByImputer("neighbours", "scikit-learn, KNNImputer", lambda _: KNNImputer()),
        _ByImputer("mean", "the column's mean", lambda _: SimpleImputer()),
    ),
    table=(
        Level("squared error, VAE", "vae", "mse", 0.287, _NOTEBOOK),
        Level("squared error, mixture", "mixture", "mse"),
        Level("squared error, IterativeImputer", "iterative", "mse"),
        Level("squared error, KNNImputer", "neighbours", "mse"),
        Level("squared error, column's mean", "mean", "mse"),
    ),
    differs=(
        f"In brackets is the standard error over {MASKS} masks, which are ours.",
        "The guide is normal; the authors' is Student's t. All columns have the same degrees of "
        "freedom; there each has its own, given by the decoder.",
        "Importance sampling takes --particles draws a row, 5,000 by default; the authors 10,000.",
        "With --schedule paper all rows are trained on and the last weights are kept, as there; "
        "else a tenth of the rows is held out of the training, and imputed too.",
    ),
)
