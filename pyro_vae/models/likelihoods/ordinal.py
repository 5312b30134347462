"""Ordinal likelihood: the cumulative logit of proportional odds (McCullagh, 1980)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch
from pyro.distributions import TorchDistribution
from pyro.distributions.util import broadcast_shape
from torch import nn
from torch.distributions import constraints

from pyro_vae.models.likelihoods.counts import BoundedCounts
from pyro_vae.models.softplus import inverse_softplus, softplus

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

__all__ = ["Ordinal"]


class _Ordinal(TorchDistribution):
    """Number of cut-points that eta + Logistic(0, 1) is above."""

    arg_constraints: ClassVar[dict[str, Any]] = {"eta": constraints.real}

    def __init__(
        self, eta: Tensor, cuts: Tensor, gaps: Tensor, validate_args: bool | None = None
    ) -> None:
        self.eta = eta
        #: Cut-points ``(*event_shape, C - 1)``, and the distance of each from the one below it.
        self.cuts, self.gaps = cuts, gaps
        self.top = cuts.shape[-1]
        super().__init__(eta.shape, validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.integer_interval(0, self.top)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> TorchDistribution:
        shape = broadcast_shape(self.eta.shape, tuple(batch_shape))
        return type(self)(self.eta.expand(shape), self.cuts, self.gaps, False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass between two cut-points a < b; the outer classes lack one of them."""
        # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - e^-(b - a)): no difference of
        # near numbers, in the centre or in the tails. The gap b - a is a parameter itself.
        has_lower, has_upper = value > 0, value < self.top
        # By datum, before eta brings the dimension of the particles.
        upper = torch.where(has_upper, self._at(self.cuts, value), 0.0)
        lower = torch.where(has_lower, self._at(self.cuts, value - 1), 0.0)
        gap = torch.where(has_lower & has_upper, self._at(self.gaps, value), 1.0)
        below = torch.where(has_upper, -softplus(self.eta - upper), 0.0)
        above = torch.where(has_lower, -softplus(lower - self.eta), 0.0)
        return below + above + torch.where(has_lower & has_upper, torch.log(-torch.expm1(-gap)), 0)

    def _at(self, table: Tensor, index: Tensor) -> Tensor:
        """Entry of each feature's row of ``table``; an index past its ends takes the end."""
        features = table.shape[:-1]
        index = index.expand(torch.broadcast_shapes(index.shape, features))
        index = index.clamp(0, self.top - 1).long().unsqueeze(-1)
        return table.expand(*index.shape[:-1], self.top).gather(-1, index).squeeze(-1)

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Class numbers, in the type of ``eta``."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            u = torch.rand(shape, dtype=self.eta.dtype, device=self.eta.device)
            latent = self.eta + torch.logit(u)
            return self._summed(lambda cut: (latent > cut).to(latent), latent)

    @property
    def mean(self) -> Tensor:
        """Mean class number, sum_c P(x > c)."""
        return self._summed(lambda cut: torch.sigmoid(self.eta - cut), self.eta)

    def _summed(self, term: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
        """Sum over the cut-points, one by one to bound the memory."""
        return sum(map(term, self.cuts.unbind(-1)), start=torch.zeros_like(like))


@final
class Ordinal(BoundedCounts):
    """P(x_d <= c | z) = sigmoid(theta_cd - eta_d(z)), independent over the features d.

    For classes with an order but without distances: stages, grades, answers from "never" to
    "always". It is the proportional-odds model (McCullagh, 1980, JRSS B 42): z moves all
    classes of a feature together, by one number eta_d(z), past cut-points
    theta_0d < theta_1d < ... that are learned, C - 1 for each feature. Where the odds are not
    proportional, ``Categorical`` has C numbers; where levels are evenly spaced,
    ``DiscretisedLogistic`` needs no cut-points. A shift of eta and theta together changes
    nothing, so only their difference has a meaning. ``.mean`` is the mean class number.

    Parameters
    ----------
    num_classes
        Number C of classes, at least 2; data are class numbers from 0 to C - 1. For two it is
        the Bernoulli with logit eta - theta.

    Raises
    ------
    ValueError
        If ``num_classes`` is not a whole number of at least 2.
    """

    support = "whole numbers from 0 to num_classes - 1"
    remedy = (
        "Number the classes from 0 in their order, and set num_classes to the number of classes."
    )
    setting = "num_classes"

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self._set_size(num_classes)

    def build(self, event_shape: tuple[int, ...]) -> None:
        """Learn the event shape, and make cut-points: of equal shares at eta = 0.

        Parameters
        ----------
        event_shape
            Shape of one datum.
        """
        super().build(event_shape)
        shares = torch.arange(1, self.top + 1, dtype=torch.double) / (self.top + 1)
        raw = _raw_of(torch.logit(shares)).to(torch.get_default_dtype())
        #: The lowest cut-point, then the distances of the others from the one below, by softplus.
        self.raw = nn.Parameter(raw.expand(*self.event_shape, self.top).clone())

    def initialise(self, x: Tensor) -> None:
        """Start the cut-points at the shares of the classes, which eta = 0 then gives."""
        shares = self._shares(x).cumsum(-1)[:, :-1]
        with torch.no_grad():
            self.raw.copy_(_raw_of(torch.logit(shares)).reshape(self.raw.shape))

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """One number per feature."""
        return math.prod(event_shape)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of x given ``(..., D)``."""
        (eta,) = self._split(eta, 1)
        ordinal = _Ordinal(eta, *self._cuts(eta), validate_args=False)
        return ordinal.to_event(len(self.event_shape))

    def moment_eta(self, x: Tensor) -> Tensor:
        """The eta whose mean class number is that of the data, given the cut-points."""
        with torch.no_grad():
            cuts = self._cuts(x.double())[0].reshape(-1, self.top)
            mean = self._shares(x) @ torch.arange(self.top + 1.0).to(cuts)
            # sum_c sigmoid(eta - theta_c) has its root where all cut-points at the lowest, or
            # all at the highest, would put it, or in between.
            centre = torch.logit(mean / self.top)
            low, high = centre + cuts[:, 0], centre + cuts[:, -1]
            for _ in range(60):
                middle = (low + high) / 2
                short = torch.sigmoid(middle.unsqueeze(-1) - cuts).sum(-1) < mean
                low, high = torch.where(short, middle, low), torch.where(short, high, middle)
        return ((low + high) / 2).to(x)

    def formula(self) -> str:
        """Formula of p(x | z)."""
        rule = "P(x_d <= c) = sigmoid(theta_cd - eta_d(z))"
        return f"x_d | z ~ Ordinal({rule}, c = 0..{self.top - 1})"

    def _cuts(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cut-points, and of each the distance from the one below (1 for the lowest)."""
        raw = self.raw.to(like)
        first, gaps = raw[..., :1], softplus(raw[..., 1:])
        cuts = torch.cat([first, gaps], -1).cumsum(-1)
        return cuts, torch.cat([torch.ones_like(first), gaps], -1)

    def _shares(self, x: Tensor) -> Tensor:
        """Shares of the classes ``(D, C)``, half a datum of each added; float64."""
        flat = x.flatten(1).long()
        cells = flat + (self.top + 1) * torch.arange(flat.shape[1], device=x.device)
        counts = torch.bincount(cells.flatten(), minlength=(self.top + 1) * flat.shape[1])
        counts = counts.reshape(-1, self.top + 1).double()
        return (counts + 0.5) / (len(x) + 0.5 * (self.top + 1))


def _raw_of(cuts: Tensor) -> Tensor:
    """The raw parameters of ordered cut-points ``(..., C - 1)``."""
    return torch.cat([cuts[..., :1], inverse_softplus(cuts.diff(dim=-1))], -1)
