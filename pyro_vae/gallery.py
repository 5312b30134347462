"""Figures of one fitted model on its data: what a person would rather see than read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch

from pyro_vae import plots
from pyro_vae.models import MixtureModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure
    from torch import Tensor

    from pyro_vae.data import Dataset
    from pyro_vae.models import LatentVariableModel

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


class Decoder(Protocol):
    """A model whose data have codes that can be decoded."""

    def code(self, x: Tensor, **given: Tensor) -> Tensor:
        """Code of each datum, ``(B, L)``."""

    def decode(self, z: Tensor, **given: Tensor) -> Tensor:
        """Mean of p(x | z), ``(..., *event_shape)``."""


def draw_samples(
    model: LatentVariableModel,
    count: int,
    *,
    given: Mapping[str, Tensor] | None = None,
    seed: int = 0,
) -> Tensor:
    """Data from the generative story, ``(count, *event_shape)``.

    Parameters
    ----------
    given
        What a conditional model is given, by name; ``count`` rows each.
    """
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model.model(num_data=count, **(given or {}))


def interpolate(
    model: Decoder, x: Tensor, steps: int = 9, *, given: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Means of p(x | z) along the straight line between the codes of two data.

    Parameters
    ----------
    model
        Model with methods ``code`` and ``decode``.
    x
        Two data, ``(2, *event_shape)``.
    steps
        Points on the line, ends included.
    given
        What a conditional model is given, by name; two rows each, of which the line has the
        first.

    Returns
    -------
    Tensor
        Shape ``(steps, *event_shape)``.
    """
    given = given or {}
    with torch.no_grad():
        start, end = model.code(x, **_encoder_side(given))
        share = torch.linspace(0, 1, steps).unsqueeze(-1)
        first = {name: part[:1].expand(steps, *part.shape[1:]) for name, part in given.items()}
        return model.decode((1 - share) * start + share * end, **first)


def model_figures(
    model: Any,
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
    test = data.inputs("test", model.inputs)
    x = test.pop("x")
    if not model.amortised:
        return figures | _figures_of_results(results)
    latent = not isinstance(model, MixtureModel)
    if latent:
        figures |= _figures_of_results(results)
    if len(data.event_shape) == 2:
        count = min(40, len(x))
        samples = draw_samples(model, count, given=_rows(test, count), seed=seed)
        figures["samples"] = plots.prior_samples(samples.numpy())
        if isinstance(model, MixtureModel):
            components = model.component_means().detach().numpy()
            figures["components"] = plots.image_grid(components, title="component means")
        else:
            ten = _rows(test, 10)
            with torch.no_grad():
                means = model.decode(model.code(x[:10], **_encoder_side(ten)), **ten)
            figures["reconstructions"] = plots.reconstructions(x[:10].numpy(), means.numpy())
            lines = [
                interpolate(model, x[pair], given={n: part[pair] for n, part in test.items()})
                for pair in _pairs(data)
            ]
            figures["interpolation"] = plots.interpolation(torch.stack(lines).numpy())
    if latent and len(x) > 2:
        with torch.no_grad():
            codes = model.code(x, **_encoder_side(test)).numpy()
        figures["latent"] = plots.latent_scatter(
            codes, labels=None if labels is None else labels.numpy()
        )
    return figures


def _figures_of_results(results: xr.Dataset | None) -> dict[str, Figure]:
    if results is None or results.attrs.get("deterministic_guide"):
        return {}  # one number for every K, and no gap that is known
    return {"iwae": plots.iwae_against_k(results), "gap": plots.gap_per_datum(results)}


def _rows(given: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    return {name: part[:count] for name, part in given.items()}


def _encoder_side(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the guide sees: the exposure is the likelihood's alone."""
    return {name: part for name, part in given.items() if name != "exposure"}


def _pairs(data: Dataset, count: int = 4) -> list[list[int]]:
    """Pairs of test data, of different labels where there are labels."""
    if data.labels is None:
        return [[2 * i, 2 * i + 1] for i in range(min(count, len(data.test) // 2))]
    labels = data.labels["test"]
    first = {int(label): i for i, label in reversed(list(enumerate(labels.tolist())))}
    members = [first[label] for label in sorted(first)]
    return [[members[i], members[-1 - i]] for i in range(min(count, len(members) // 2))]
