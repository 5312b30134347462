"""Figures of one fitted model on its data: what a person would rather see than read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pyro_vae import plots
from pyro_vae.models import VAE

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure
    from torch import Tensor

    from pyro_vae.data import Dataset
    from pyro_vae.models import MixtureModel

__all__ = ["CAPTIONS", "draw_samples", "interpolate", "model_figures"]

#: What each figure of ``model_figures`` shows.
CAPTIONS = {
    "training": "The bound over training; the weights kept are those at the black dot.",
    "iwae": "The IWAE bound against the number of particles K. K = 1 is the ELBO; the dashed "
    "line is the importance-sampled log p(x), and the arrow the gap between them.",
    "gap": "The gap of every test datum (left), and its ELBO against its log p(x) (right); "
    "below the line by the gap.",
    "samples": "Draws from the fitted generative story.",
    "reconstructions": "Test data and their reconstructions.",
    "interpolation": "Straight lines in the latent space between the codes of two test data.",
    "components": "The mixture's component means.",
    "latent": "Codes of the test data, one mark a datum, the class in a disc at its mean.",
}


def draw_samples(model: VAE | MixtureModel, count: int, *, seed: int = 0) -> Tensor:
    """Data from the generative story, ``(count, *event_shape)``."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model.model(num_data=count)


def interpolate(model: VAE, x: Tensor, steps: int = 9) -> Tensor:
    """Means of p(x | z) along the straight line between the codes of two data.

    Parameters
    ----------
    x
        Two data, ``(2, *event_shape)``.
    steps
        Points on the line, ends included.

    Returns
    -------
    Tensor
        Shape ``(steps, *event_shape)``.
    """
    with torch.no_grad():
        start, end = model.code(x)
        share = torch.linspace(0, 1, steps).unsqueeze(-1)
        return model.decode((1 - share) * start + share * end)


def model_figures(
    model: VAE | MixtureModel,
    data: Dataset,
    *,
    metrics: pd.DataFrame,
    results: xr.Dataset | None,
    seed: int = 0,
) -> dict[str, Figure]:
    """Every figure that suits the model and the data, by file name.

    Parameters
    ----------
    model, data
        A fitted model and its data; pictures come from the test split.
    metrics
        Metrics per epoch.
    results
        What ``evaluate`` gave on the test split, if it was evaluated.
    seed
        Seed of the samples.
    """
    figures = {"training": plots.training_curves(metrics)}
    labels = None if data.labels is None else data.labels["test"]
    latent = isinstance(model, VAE)
    if results is not None and latent:
        figures["iwae"] = plots.iwae_against_k(results)
        figures["gap"] = plots.gap_per_datum(results)
    if len(data.event_shape) == 2:
        samples = draw_samples(model, 40, seed=seed)
        figures["samples"] = plots.prior_samples(samples.numpy())
        if isinstance(model, VAE):
            x = data.test[:10]
            with torch.no_grad():
                means = model.decode(model.code(x))
            figures["reconstructions"] = plots.reconstructions(x.numpy(), means.numpy())
            pairs = _pairs(data)
            lines = torch.stack([interpolate(model, pair) for pair in pairs])
            figures["interpolation"] = plots.interpolation(lines.numpy())
        else:
            components = model.component_means().detach().numpy()
            figures["components"] = plots.image_grid(components, title="component means")
    if isinstance(model, VAE) and len(data.test) > 2:
        with torch.no_grad():
            codes = model.code(data.test).numpy()
        figures["latent"] = plots.latent_scatter(
            codes, labels=None if labels is None else labels.numpy()
        )
    return figures


def _pairs(data: Dataset, count: int = 4) -> list[Tensor]:
    """Pairs of test data, of different labels where there are labels."""
    if data.labels is None:
        return [data.test[2 * i : 2 * i + 2] for i in range(count)]
    labels = data.labels["test"]
    first = {int(label): i for i, label in reversed(list(enumerate(labels.tolist())))}
    members = [first[label] for label in sorted(first)]
    return [data.test[[members[i], members[-1 - i]]] for i in range(min(count, len(members) // 2))]
