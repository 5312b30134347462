"""Pictures of the moon, in three of its phases or in all, of which the ones between are known.

What lies half-way between the codes of two pictures can be held against the picture of the
phase half-way: a mean of two pictures is no moon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pyro_vae.data.binarisation import stream
from pyro_vae.data.sources import RawData, Source
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from pyro_vae.data.dataset import Dataset

__all__ = ["AllMoonPhases", "MoonPhases", "every_moon", "half_and_full", "moon"]

_SIZES = {"train": 1500, "validation": 300, "test": 600}
_LEVELS = 255
#: Lit fraction of the disc by class: crescent, half, full.
_LIT = torch.tensor([0.25, 0.5, 1.0])
#: The same of a set that leaves no phase out: from crescent to full, a fortieth apart.
_ALL_LIT = torch.linspace(0.25, 1.0, 31)
#: What else differs between moons: radius, centre on either axis, brightness.
_RADIUS, _CENTRE, _BRIGHTNESS = (5.0, 6.0), (7.5, 8.5), (0.8, 1.0)
# Lines across a row of pixels on which the lit stretch is measured.
_LINES = 16


@verb
def moon(
    lit: float | Tensor,
    radius: float | Tensor = 5.5,
    centre: tuple[float, float] | Tensor = (8.0, 8.0),
    size: int = 16,
) -> Tensor:
    """Pictures of a moon lit from the right, the share of each pixel that is lit.

    The terminator is half an ellipse through the poles whose other semi-axis is
    ``(1 - 2 lit) radius``, as of a sphere seen from afar, so the lit area is
    ``lit * pi * radius**2``.

    Parameters
    ----------
    lit
        Lit fraction of the disc, from 0 (new) over 0.5 (half) to 1 (full), any shape ``(...)``.
    radius
        Radius in pixels, ``(...)``.
    centre
        Pixels from the left edge and from the top one, ``(..., 2)``.
    size
        Height and width in pixels.

    Returns
    -------
    Tensor
        Shape ``(..., size, size)``, from 0 to 1, row by row from the top.

    Raises
    ------
    ValueError
        If a lit fraction is outside [0, 1], or a radius is not positive.

    Examples
    --------
    >>> round(float(moon(0.75, radius=5.0).sum() / moon(1.0, radius=5.0).sum()), 2)
    0.75
    """
    lit, radius, middle = (torch.as_tensor(part) for part in (lit, radius, centre))
    if not bool(((lit >= 0) & (lit <= 1)).all()):
        raise ValueError(
            f"lit got {float(lit.min()):g} to {float(lit.max()):g}: it is a fraction of the disc, "
            "from 0 (new) to 1 (full)"
        )
    if not bool((radius > 0).all()):
        raise ValueError(f"radius got {float(radius.min()):g}: it must be positive, in pixels")
    together = torch.broadcast_tensors(lit, radius, *middle.unbind(-1))
    lit, radius, x, y = (part[..., None, None] for part in together)
    lines = (torch.arange(size * _LINES).reshape(size, _LINES) + 0.5) / _LINES
    half_chord = (radius**2 - (lines - y) ** 2).clamp_min(0).sqrt()
    left, right = x + (1 - 2 * lit) * half_chord, x + half_chord
    pixels = torch.arange(size)[:, None, None]
    # The stretch of every line inside pixel j is [left, right] cut to [j, j + 1].
    stretch = torch.minimum(right[..., None, :, :], pixels + 1.0)
    stretch = stretch - torch.maximum(left[..., None, :, :], pixels.to(left))
    return stretch.clamp_min(0).mean(-1).transpose(-1, -2)


@verb
def every_moon() -> tuple[Tensor, Tensor]:
    """Moons of every phase, radius and place that the moons of the data sets may have, on a grid.

    Phases are a fortieth of the disc apart, from new to full; radii and centres a fifth of a
    pixel. All are of brightness 1, where the data have 0.8 to 1.

    Returns
    -------
    tuple
        Pictures ``(8856, 16, 16)``, and the lit fraction of each, ``(8856,)``.
    """
    lit, radius = torch.linspace(0, 1, 41), torch.linspace(*_RADIUS, 6)
    centre = torch.cartesian_prod(*2 * (torch.linspace(*_CENTRE, 6),))
    pictures = moon(lit[:, None, None], radius[:, None], centre)
    return pictures.flatten(0, 2), lit.repeat_interleave(len(radius) * len(centre))


def half_and_full(moons: Dataset) -> tuple[Tensor, Tensor]:
    """Half and full moons of the test split of ``moon-phases``, ``(200, 16, 16)`` each.

    Parameters
    ----------
    moons
        That data set, whose labels are 0 of crescents, 1 of half moons and 2 of full ones.
    """
    assert moons.labels is not None
    half, full = (moons.test[moons.labels["test"] == label] for label in (1, 2))
    return half, full


class _Moons(Source):
    """Moons of the phases ``lit``, no two alike, whose labels count the phases."""

    event_shape = (16, 16)
    kind = "unit-interval"
    largest_level = _LEVELS
    lit: Tensor

    def read(self, root: Path, seed: int, download: bool) -> RawData:
        """Draw 1,500 / 300 / 600 pictures, the phases in turn, in levels 0 to 255."""
        splits, labels = {}, {}
        for split, count in _SIZES.items():
            labels[split] = torch.arange(count) % len(self.lit)
            u = torch.rand(count, 4, generator=stream(seed, self.name, split))
            radius, centre = _RADIUS[0] + u[:, 0], _CENTRE[0] + u[:, 1:3]
            brightness = _BRIGHTNESS[0] + (_BRIGHTNESS[1] - _BRIGHTNESS[0]) * u[:, 3]
            images = moon(self.lit[labels[split]], radius, centre)
            splits[split] = (_LEVELS * brightness[:, None, None] * images).round()
        return RawData(splits, labels)


class MoonPhases(_Moons):
    """Crescent (label 0, a quarter lit), half (1) and full moons (2), no two alike.

    The radius is uniform from 5 to 6 pixels, the centre uniform within half a pixel of the
    middle on either axis, the brightness uniform from 0.8 to 1; ``moon`` draws the phases that
    are left out.
    """

    name = "moon-phases"
    description = "crescent, half and full moons (simulated)"
    lit = _LIT


class AllMoonPhases(_Moons):
    """As ``MoonPhases``, with no phase left out: 31 of them, lit a quarter to the whole.

    Label k is lit by 0.25 + k / 40: 10 is a half moon, 20 a three-quarter moon, 30 a full one.
    """

    name = "all-moon-phases"
    description = "moons of 31 phases, crescent to full (simulated)"
    lit = _ALL_LIT
