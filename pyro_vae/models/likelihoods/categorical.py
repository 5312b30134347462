"""Categorical likelihood: a free mass for each of a number of classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import pyro.distributions as dist
import torch

from pyro_vae.models.likelihoods.counts import BoundedCounts

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Categorical"]


class _Categorical(dist.Categorical):
    """Pyro's, drawn in the type of data, and with the mean of the class numbers."""

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Class numbers, as floating-point data are."""
        return super().sample(sample_shape).to(self.logits)

    @property
    def mean(self) -> Tensor:
        """Mean class number."""
        classes = torch.arange(self.logits.shape[-1]).to(self.logits)
        return self.probs @ classes


@final
class Categorical(BoundedCounts):
    """x_d | z ~ Categorical(softmax(eta_.d(z))), independent over the features d.

    For classes without an order (``.mean`` is then only the mean of their numbers), or for
    8-bit grey levels with a mass of any shape (van den Oord et al., 2016, arXiv 1601.06759).
    It takes ``num_classes`` parameters per feature: where levels have an order,
    ``DiscretisedLogistic`` takes two. ``eta`` is laid out as ``(num_classes, *event_shape)``.

    Parameters
    ----------
    num_classes
        Number C of classes, at least 2; data are class numbers from 0 to C - 1.

    Raises
    ------
    ValueError
        If ``num_classes`` is not a whole number of at least 2.
    """

    support = "whole numbers from 0 to num_classes - 1"
    remedy = "Number the classes from 0, and set num_classes to the number of classes."
    setting = "num_classes"

    def __init__(self, num_classes: int = 256) -> None:
        super().__init__()
        self._set_size(num_classes)

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """One logit per class and feature."""
        return (self.top + 1) * math.prod(event_shape)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of x given logits ``(..., num_classes * D)``, class by class."""
        dims = len(self.event_shape)
        blocks = eta.reshape(*eta.shape[:-1], self.top + 1, *self.event_shape)
        logits = blocks.movedim(-dims - 1, -1)
        return _Categorical(logits=logits, validate_args=False).to_event(dims)

    def moment_eta(self, x: Tensor) -> Tensor:
        """Log shares of the classes, with half a datum of each class added."""
        flat = x.flatten(1).long()
        size = flat.shape[1]
        cells = flat * size + torch.arange(size, device=x.device)
        counts = torch.bincount(cells.flatten(), minlength=(self.top + 1) * size).to(x)
        return torch.log((counts + 0.5) / (len(x) + 0.5 * (self.top + 1)))

    def formula(self) -> str:
        """Formula of p(x | z)."""
        return f"x_d | z ~ Categorical(softmax(eta_cd(z), c = 0..{self.top}))"
