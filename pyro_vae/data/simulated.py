"""Simulated sets in the plane, whose shape a 2-D latent space has to bend to."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING

import torch

from pyro_vae.data.binarisation import stream
from pyro_vae.data.sources import RawData, Source

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

__all__ = ["Moons", "Pinwheel"]

_SIZES = {"train": 2000, "validation": 500, "test": 500}


class _Simulated(Source):
    """Points drawn with the seed; each split has a stream of its own."""

    event_shape = (2,)
    kind = "real"

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Points ``(count, 2)`` and their classes ``(count,)``."""

    def read(self, root: Path, seed: int, download: bool) -> RawData:
        """Draw 2,000 / 500 / 500 points."""
        drawn = {
            split: self.draw(count, stream(seed, self.name, split))
            for split, count in _SIZES.items()
        }
        return RawData(
            {split: points for split, (points, _) in drawn.items()},
            {split: labels for split, (_, labels) in drawn.items()},
        )


class Moons(_Simulated):
    """Two half circles of radius 1 that interlock, with noise of standard deviation 0.1."""

    name = "moons"
    description = "two interlocking half circles (simulated)"

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Angles uniform on half a circle; the second circle is turned over and shifted."""
        labels = torch.arange(count) % 2
        angle = math.pi * torch.rand(count, generator=generator)
        upper = torch.stack([angle.cos(), angle.sin()], dim=1)
        lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], dim=1)
        noise = 0.1 * torch.randn(count, 2, generator=generator)
        return torch.where(labels[:, None] == 0, upper, lower) + noise, labels


class Pinwheel(_Simulated):
    """Five arms of a pinwheel: Gaussians stretched outwards and twisted with the radius."""

    name = "pinwheel"
    description = "five twisted arms (simulated)"

    arms = 5

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Radius N(1, 0.3^2), across N(0, 0.1^2), twisted by exp(radius) / 4."""
        labels = torch.arange(count) % self.arms
        noise = torch.randn(count, 2, generator=generator)
        radial, across = 1 + 0.3 * noise[:, 0], 0.1 * noise[:, 1]
        angle = 2 * math.pi * labels / self.arms + 0.25 * radial.exp()
        x = radial * angle.cos() - across * angle.sin()
        y = radial * angle.sin() + across * angle.cos()
        return 2 * torch.stack([x, y], dim=1), labels
