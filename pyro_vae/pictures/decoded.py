"""Pictures that a fitted model makes: draws, walks between codes, the latent plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from pyro import poutine

from pyro_vae.conversion import own_device, takes_data
from pyro_vae.errors import DataError
from pyro_vae.inference.engine.inputs import encoder_side, run_program
from pyro_vae.inference.latents.holes import draw_codes
from pyro_vae.isolation import isolated
from pyro_vae.pictures.paths import grid_of_quantiles, path_named, traversal
from pyro_vae.protocols import Facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from pyro_vae.data import Dataset
    from pyro_vae.models import LatentVariableModel
    from pyro_vae.protocols import Coder

__all__ = [
    "WITHOUT_PRIOR",
    "Manifold",
    "Traversals",
    "decoded_draws",
    "draw_samples",
    "interpolate",
    "manifold",
    "morph",
    "traverse",
]

#: Where decoded draws come from in a model that has no prior.
WITHOUT_PRIOR = (
    "Means of p(x | z) at draws from a normal fitted to the codes of the training data. Without "
    "a prior there is nothing else to draw from."
)


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
    with torch.no_grad(), isolated(seed):
        return model.evidence_model.model(num_data=count, **(given or {}))


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
        return images, WITHOUT_PRIOR
    with torch.no_grad(), isolated(seed):
        trace = poutine.trace(model.evidence_model.model).get_trace(num_data=count)
    return trace.nodes["x"]["fn"].mean, "Means of p(x | z) at z drawn from the prior."


@takes_data("x", supported=False)
def interpolate(
    model: Coder,
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
        If there are not two data, or the path is spherical and the codes are opposite.
    """
    along = path_named(path)
    if len(x) != 2:
        raise DataError(
            f"x got {len(x)} data: a path goes between two; take morph for a walk over more"
        )
    given = given or {}
    with torch.no_grad():
        start, end = run_program(model.code, encoder_side({"x": x, **given}))
        return model.decode(along(start, end, steps), **_repeated(given, steps))


@takes_data("x", supported=False)
def morph(
    model: Coder,
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


@takes_data("x", supported=False)
def manifold(
    model: Coder,
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
    z = grid_of_quantiles(n).to(own_device(model))
    with torch.no_grad():
        size = Facts(model).latent_dim
        if x is not None:
            codes = run_program(model.code, encoder_side({"x": x, **given}))
            size = codes.shape[-1]
        if size not in (None, 2):
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


@takes_data("x", supported=False)
def traverse(
    model: Coder,
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
        codes = run_program(model.code, encoder_side({"x": x, **given}))
        if dimensions is None:
            dimensions = codes.var(0, correction=0).argsort(descending=True).tolist()
        if span is None:
            span = 3 * float(codes.square().mean(0).max().sqrt())
        walks = [traversal(codes[0], dimension, span, steps) for dimension in dimensions]
        images = torch.stack([model.decode(walk, **_repeated(given, steps)) for walk in walks])
    return Traversals(images, tuple(dimensions), torch.linspace(-span, span, steps))


def _repeated(given: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """The first row of each, ``count`` times."""
    return {name: part[:1].expand(count, *part.shape[1:]) for name, part in given.items()}
