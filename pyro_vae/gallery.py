"""Figures of one fitted model on its data: what a person would rather see than read."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from pyro import poutine

from pyro_vae import plots
from pyro_vae.errors import DataError
from pyro_vae.inference.holes import draw_codes
from pyro_vae.inference.reconstruction import reconstruct
from pyro_vae.latent_paths import grid_of_quantiles, path_named, traversal
from pyro_vae.models import MixtureModel
from pyro_vae.models.priors import StandardNormal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure
    from torch import Tensor

    from pyro_vae.data import Dataset
    from pyro_vae.models import LatentVariableModel

__all__ = [
    "CAPTIONS",
    "Manifold",
    "Traversals",
    "decoded_draws",
    "different_pairs",
    "draw_samples",
    "interpolate",
    "manifold",
    "model_figures",
    "morph",
    "traverse",
]

#: What each figure of ``model_figures`` shows.
CAPTIONS = {
    "training": "The bound over training; the weights kept are those at the black dot.",
    "iwae": "The IWAE bound against the number of particles K. K = 1 is the ELBO; the dashed "
    "line is the importance-sampled log p(x), and the arrow the gap between them.",
    "gap": "The gap of every test datum (left), and its ELBO against its log p(x) (right); "
    "below the line by the gap.",
    "samples": "Draws from the fitted generative story.",
    "draws": "Means of p(x | z) at draws from a normal fitted to the codes of the training data: "
    "without a prior there is nothing else to draw from.",
    "reconstructions": "Test data and their reconstructions.",
    "interpolation": "Walks in the latent space between the codes of two test data: straight "
    "lines, and arcs along which the direction turns evenly.",
    "manifold": "Means of p(x | z) over the latent plane, at quantiles of a normal.",
    "traversals": "Means of p(x | z) as one coordinate of a test datum's code moves; the "
    "coordinates whose codes vary most come first.",
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
        return model.measured_as.model(num_data=count, **(given or {}))


def decoded_draws(
    model: LatentVariableModel, data: Dataset, count: int, *, seed: int = 0
) -> tuple[Tensor, str]:
    """Means of p(x | z) at drawn codes, ``(count, *event_shape)``, and where those come from.

    Parameters
    ----------
    model, data
        A model without a condition, and its data: where the model has no prior, codes come from
        a normal fitted to the codes of the training data.
    count
        Number of draws.
    seed
        Seed of the draws.
    """
    if not model.has_evidence:
        with torch.no_grad():
            codes = draw_codes(model.code(data.train), count, seed)  # type: ignore[operator]
            images = model.decode(codes)  # type: ignore[operator]
        return images, CAPTIONS["draws"]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trace = poutine.trace(model.measured_as.model).get_trace(num_data=count)
    return trace.nodes["x"]["fn"].mean, "Means of p(x | z) at z drawn from the prior."


def interpolate(
    model: Decoder,
    x: Tensor,
    steps: int = 9,
    *,
    path: str = "straight",
    given: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Means of p(x | z) along a path between the codes of two data.

    Parameters
    ----------
    model
        Model with methods ``code`` and ``decode``.
    x
        Two data, ``(2, *event_shape)``.
    steps
        Points on the path, ends included.
    path
        ``"straight"``, or ``"spherical"``: an arc of equal angles, with the norm going linearly
        (Shoemake, 1985).
    given
        What a conditional model is given, by name; two rows each, of which the path has the
        first.

    Returns
    -------
    Tensor
        Shape ``(steps, *event_shape)``.

    Raises
    ------
    DataError
        If the path is spherical and the codes are opposite.
    """
    along = path_named(path)
    given = given or {}
    with torch.no_grad():
        start, end = model.code(x, **_encoder_side(given))
        return model.decode(along(start, end, steps), **_repeated(given, steps))


def morph(
    model: Decoder,
    x: Tensor | Sequence[Tensor],
    steps: int = 9,
    *,
    path: str = "straight",
    given: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Means of p(x | z) from the code of one datum to that of the next, and the next.

    Parameters
    ----------
    model
        Model with methods ``code`` and ``decode``.
    x
        At least two data, ``(n, *event_shape)`` or a list of them.
    steps, path, given
        As for ``interpolate``; ``given`` has n rows each.

    Returns
    -------
    Tensor
        Shape ``(n - 1, steps, *event_shape)``; each leg starts where the last one ended.
    """
    data = x if isinstance(x, torch.Tensor) else torch.stack(list(x))
    if len(data) < 2:
        raise DataError(f"x got {len(data)} data: a path needs at least two")
    given = given or {}
    legs = [
        interpolate(
            model,
            data[i : i + 2],
            steps,
            path=path,
            given={name: part[i : i + 2] for name, part in given.items()},
        )
        for i in range(len(data) - 1)
    ]
    return torch.stack(legs)


class Manifold(NamedTuple):
    """Decoded grid of a two-dimensional latent space.

    Attributes
    ----------
    images
        Means of p(x | z), ``(n, n, *event_shape)``.
    z
        Their codes, ``(n, n, 2)``: z_1 rises along a row, z_2 from the last row to the first.
    """

    images: Tensor
    z: Tensor


def manifold(
    model: Decoder,
    n: int = 15,
    *,
    x: Tensor | None = None,
    given: Mapping[str, Tensor] | None = None,
) -> Manifold:
    """Means of p(x | z) over a latent plane, at equal masses of a normal along each axis.

    Kingma & Welling (2014), figure 4.

    Parameters
    ----------
    model
        Model with two-dimensional codes.
    n
        Points along each axis.
    x
        Data whose codes say where the plane is used: the normal then has their mean and
        standard deviation along each axis. The standard normal unless given.
    given
        What a conditional model is given, by name; one row each, or those of x, of which the
        plane has the first.

    Raises
    ------
    DataError
        If the codes are not two-dimensional.
    """
    given = given or {}
    z = grid_of_quantiles(n)
    with torch.no_grad():
        size = getattr(model, "latent_dim", 2)
        if x is not None:
            codes = model.code(x, **_encoder_side(given))
            size = codes.shape[-1]
        if size != 2:
            raise DataError(
                f"model has codes of length {size}, and a plane is of two: fit one with "
                "latent_dim=2, or take traverse, which shows any number"
            )
        if x is not None:
            z = codes.mean(0) + codes.std(0) * z
        images = model.decode(z.reshape(-1, 2), **_repeated(given, n * n))
    return Manifold(images.reshape(n, n, *images.shape[1:]), z)


class Traversals(NamedTuple):
    """One datum's code with one coordinate moved at a time, decoded.

    Attributes
    ----------
    images
        Means of p(x | z), ``(rows, steps, *event_shape)``.
    dimensions
        Which coordinate moves in each row, from 0.
    values
        Its values, ``(steps,)``.
    """

    images: Tensor
    dimensions: tuple[int, ...]
    values: Tensor


def traverse(
    model: Decoder,
    x: Tensor,
    dimensions: Sequence[int] | None = None,
    span: float | None = None,
    steps: int = 9,
    *,
    given: Mapping[str, Tensor] | None = None,
) -> Traversals:
    """Means of p(x | z) as one coordinate of the first datum's code moves.

    Parameters
    ----------
    model
        Model with methods ``code`` and ``decode``.
    x
        Data ``(n, *event_shape)``: the first is moved, all say which coordinates vary.
    dimensions
        Coordinates to move, from 0; all of them, the one whose code varies most over x first,
        unless given.
    span
        Coordinates move from -span to span; three times the largest root mean square of a
        coordinate over x unless given, about 3 where codes are near a standard normal.
    steps
        Number of values.
    given
        What a conditional model is given, by name; n rows each.
    """
    given = given or {}
    with torch.no_grad():
        codes = model.code(x, **_encoder_side(given))
        if dimensions is None:
            dimensions = codes.var(0, correction=0).argsort(descending=True).tolist()
        if span is None:
            span = 3 * float(codes.square().mean(0).max().sqrt())
        walks = [traversal(codes[0], dimension, span, steps) for dimension in dimensions]
        images = torch.stack([model.decode(walk, **_repeated(given, steps)) for walk in walks])
    return Traversals(images, tuple(dimensions), torch.linspace(-span, span, steps))


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
        if model.has_evidence:
            samples = draw_samples(model, count, given=_rows(test, count), seed=seed)
            figures["samples"] = plots.prior_samples(samples.numpy())
        else:
            images, _ = decoded_draws(model, data, count, seed=seed)
            figures["draws"] = plots.image_grid(images.numpy())
        if isinstance(model, MixtureModel):
            components = model.component_means().detach().numpy()
            figures["components"] = plots.image_grid(components, title="component means")
        else:
            ten = _rows(test, 10)
            means = reconstruct(model, {"x": x[:10], **ten})
            figures["reconstructions"] = plots.reconstructions(x[:10].numpy(), means.numpy())
            figures |= _walks(model, data, x, test)
    if latent and len(x) > 2:
        with torch.no_grad():
            codes = model.code(x, **_encoder_side(test)).numpy()
        figures["latent"] = plots.latent_scatter(
            codes, labels=None if labels is None else labels.numpy()
        )
    return figures


def _walks(model: Any, data: Dataset, x: Tensor, given: Mapping[str, Tensor]) -> dict[str, Figure]:
    """Interpolations, and the latent plane or, of more dimensions, traversals."""
    paths = {}
    for path in ("straight", "spherical"):
        # Codes may be opposite, as they often are on a line: there is no arc to show.
        with contextlib.suppress(DataError):
            lines = [
                interpolate(model, x[pair], path=path, given=_at(given, pair))
                for pair in different_pairs(data)
            ]
            paths[path] = torch.stack(lines).numpy()
    figures = {"interpolation": plots.path_comparison(paths)}
    with torch.no_grad():
        size = model.code(x[:1], **_encoder_side(_rows(given, 1))).shape[-1]
    if size == 2:
        usual = isinstance(getattr(model, "prior", None), StandardNormal)
        plane = (
            manifold(model, given=_rows(given, 1)) if usual else manifold(model, x=x, given=given)
        )
        figures["manifold"] = plots.manifold_grid(plane.images.numpy(), plane.z.numpy())
    elif len(x) > 1:
        ten = traverse(model, x, given=given)
        figures["traversals"] = plots.traversals(
            ten.images[:10].numpy(), ten.dimensions[:10], ten.values.numpy()
        )
    return figures


def _figures_of_results(results: xr.Dataset | None) -> dict[str, Figure]:
    if results is None or results.attrs.get("deterministic_guide"):
        return {}  # one number for every K, and no gap that is known
    return {"iwae": plots.iwae_against_k(results), "gap": plots.gap_per_datum(results)}


def _at(given: Mapping[str, Tensor], rows: list[int]) -> dict[str, Tensor]:
    return {name: part[rows] for name, part in given.items()}


def _repeated(given: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """The first row of each, ``count`` times."""
    return {name: part[:1].expand(count, *part.shape[1:]) for name, part in given.items()}


def _rows(given: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    return {name: part[:count] for name, part in given.items()}


def _encoder_side(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the guide sees: the exposure is the likelihood's alone."""
    return {name: part for name, part in given.items() if name != "exposure"}


def different_pairs(data: Dataset, count: int = 4) -> list[list[int]]:
    """Pairs of test data, of different labels where there are labels."""
    if data.labels is None:
        return [[2 * i, 2 * i + 1] for i in range(min(count, len(data.test) // 2))]
    labels = data.labels["test"]
    first = {int(label): i for i, label in reversed(list(enumerate(labels.tolist())))}
    members = [first[label] for label in sorted(first)]
    return [[members[i], members[-1 - i]] for i in range(min(count, len(members) // 2))]
