"""Half of the cells of three tables are hidden, and imputed by ours and by scikit-learn's.

The experiment of Mattei & Frellsen (2019), "MIWAE", arXiv 1812.02633: columns with mean 0 and
standard deviation 1, each cell missing with probability one half, the mean squared error of one
imputation over the missing cells. The VAE is much like theirs: Student's t likelihood, networks of
128-128, the bound of 20 particles, zeros in the missing cells; but its guide is normal, and its
weights are those of the epoch with the best bound on a tenth of the rows, which are imputed too.
"""

import argparse
import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from pyro_vae import VAE, MixtureModel, data, fit, inference
from pyro_vae.models import LatentVariableModel
from pyro_vae.models.likelihoods import MultivariateNormal, StudentT

#: Length of z, and components of the mixture, by table.
TABLES = {"breast cancer": (10, 3), "wine": (6, 3), "iris": (1, 3)}
READERS = {
    "breast cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "iris": datasets.load_iris,
}


def hidden(name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A standardised table, and which of its cells are there."""
    x = READERS[name]().data
    x = (x - x.mean(0)) / x.std(0)
    return x, np.random.default_rng(seed).random(x.shape) > 0.5


def by_model(
    model: LatentVariableModel,
    x: np.ndarray,
    observed: np.ndarray,
    options: argparse.Namespace,
    *,
    objective: str | None = None,
    epochs: int,
    learning_rate: float,
    seed: int,
) -> np.ndarray:
    """E[missing | observed] of every row by a model that is trained on nine tenths of them."""
    held_out = np.random.default_rng(seed).permutation(len(x))[: len(x) // 10]
    rest = np.setdiff1d(np.arange(len(x)), held_out)
    table = data.Dataset.from_tensors(
        x[rest],
        x[held_out],
        observed={"train": observed[rest], "validation": observed[held_out]},
        kind="real",
    )
    fit(
        model,
        table,
        objective,
        epochs=min(epochs, options.epochs),
        batch_size=32,
        learning_rate=learning_rate,
        seed=seed,
        progress=False,
    )
    rows = {"x": torch.tensor(x, dtype=torch.float32), "observed": torch.tensor(observed)}
    found = inference.impute(model, rows, options.num_particles, draws=0, seed=seed)
    return found["mean"].values


def imputations(
    name: str, seed: int, options: argparse.Namespace
) -> Iterator[tuple[str, np.ndarray]]:
    """Every method's complete table, one after the other."""
    x, observed = hidden(name, seed)
    holed = np.where(observed, x, np.nan)
    shape, (latent_dim, components) = (x.shape[1],), TABLES[name]
    yield "mean", SimpleImputer().fit_transform(holed)
    yield "KNNImputer", KNNImputer().fit_transform(holed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regressions = IterativeImputer(max_iter=30, random_state=seed).fit_transform(holed)
    yield "IterativeImputer", regressions
    mixture = MixtureModel(components, MultivariateNormal(), shape, missing="marginal")
    how: dict[str, Any] = {"epochs": 100, "learning_rate": 1e-2, "seed": seed}
    yield "mixture of full normals", by_model(mixture, x, observed, options, **how)
    vae = VAE(
        shape,
        latent_dim,
        likelihood=StudentT(scale="latent"),
        encoder=(128, 128),
        decoder=(128, 128),
        missing="zeros",
        seed=seed,
    )
    how |= {"epochs": 400, "learning_rate": 1e-3, "objective": "iwae-20"}
    yield "VAE, iwae-20", by_model(vae, x, observed, options, **how)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=400, help="at most")
    parser.add_argument("--num-particles", type=int, default=2000)
    options = parser.parse_args()
    errors: dict[tuple[str, str], list[float]] = {}
    for name, seed in itertools.product(options.tables.split(","), range(options.seeds)):
        x, observed = hidden(name, seed)
        for method, complete in imputations(name, seed, options):
            error = float(np.mean((complete - x)[~observed] ** 2))
            errors.setdefault((method, name), []).append(error)
            print(f"{name}, seed {seed}, {method}: {error:.3f}", flush=True)
    lines = {
        key: f"{np.mean(found):.3f} ({np.std(found, ddof=1) / len(found) ** 0.5:.3f})"
        if len(found) > 1
        else f"{found[0]:.3f}"
        for key, found in errors.items()
    }
    print("mean squared error of the missing cells (standard error over the masks)")
    print(pd.Series(lines).unstack().loc[list(dict.fromkeys(m for m, _ in lines))].to_string())


if __name__ == "__main__":
    main()
