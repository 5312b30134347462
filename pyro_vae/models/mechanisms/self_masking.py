"""Cells that are missing, or not, by their own value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, final, get_args

import pyro.distributions as dist
import torch
from torch import nn

from pyro_vae.errors import UnknownNameError
from pyro_vae.models.mechanisms.base import Mechanism
from pyro_vae.models.softplus import inverse_softplus, softplus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["SelfMasking", "Slope"]

#: How a slope is learned.
Slope = Literal["learned", "positive", "negative"]

#: Where a slope of known sign starts, in size.
_START = 1.0


@final
class SelfMasking(Mechanism):
    """m_d | x_d ~ Bernoulli(sigmoid(a_d + b_d x_d)): a cell goes missing by its own value.

    Ipsen, Mattei & Frellsen (2021), "not-MIWAE: deep generative modelling with missing not at
    random data", arXiv 2006.12871. As theirs, m_d = 1 is an observed cell; their logit is
    -W (x_d - b), so that their W > 0 is a slope b_d < 0 here: large values go missing.

    The slope is not identified by the data alone: no observed cell tells what the missing ones
    hold. A learned one rests on the shape that p(x | z) gives to the columns, and a wrong
    shape is taken for a mechanism. So fit the model at several fixed slopes, and report how the
    answers move with them; 0 is missingness at random.

    Parameters
    ----------
    columns
        Numbers of the columns that mask themselves, from 0; all unless given. The others'
        missing cells are taken as ignorable.
    slope
        b_d, in log-odds of being observed per unit of x as the model takes it: per standard
        deviation, of standardised data. A number: fixed there, in every chosen column.
        ``"learned"``: started at 0; a column that depends on no other moves from there slowly,
        and may go either way. ``"positive"``, ``"negative"``: learned with a sign that is known,
        started at 1 and -1; negative where large values go missing.

    Raises
    ------
    ValueError
        If a fixed slope is not finite.
    UnknownNameError
        If ``slope`` is a name other than these three.

    Examples
    --------
    >>> from pyro_vae.models import VAE
    >>> from pyro_vae.models.likelihoods import Normal
    >>> vae = VAE((3,), 1, likelihood=Normal(), missing="mask", mechanism=SelfMasking([0], -1.0))
    >>> vae.mechanism.slopes
    tensor([-1.])
    """

    def __init__(
        self, columns: Sequence[int] | None = None, slope: float | Slope = "learned"
    ) -> None:
        super().__init__(columns)
        if isinstance(slope, str):
            if slope not in get_args(Slope):
                raise UnknownNameError("slope", slope, get_args(Slope))
        elif isinstance(slope, bool) or not math.isfinite(slope):
            raise ValueError(
                f"slope got {slope!r}: it must be a finite number, or one of "
                f"{', '.join(get_args(Slope))}"
            )
        self.slope = slope

    def build(self, event_shape: tuple[int, ...]) -> None:
        """Make a_d and, where they are learned, b_d of the chosen columns."""
        super().build(event_shape)
        size = len(self.chosen)
        self.intercept = nn.Parameter(torch.zeros(size))
        if isinstance(self.slope, str):
            start = torch.zeros(size)
            if self.slope != "learned":
                start = inverse_softplus(torch.full((size,), _START))
            self.raw = nn.Parameter(start)

    @property
    def slopes(self) -> Tensor:
        """b_d of the chosen columns, ``(C,)``."""
        if not isinstance(self.slope, str):
            return torch.full_like(self.intercept, self.slope, requires_grad=False)
        if self.slope == "learned":
            return self.raw
        return softplus(self.raw) if self.slope == "positive" else -softplus(self.raw)

    def forward(self, cells: Tensor) -> TorchDistribution:
        """Bernoulli of each chosen column, event shape ``(C,)``, float64."""
        logits = self.intercept.double() + self.slopes.double() * cells.double()
        return dist.Bernoulli(logits=logits, validate_args=False).to_event(1)

    def initialise(self, cells: Tensor, observed: Tensor) -> None:
        """Start a_d where a cell at the mean of the observed ones has the observed share's odds.

        The slopes stay.
        """
        there = observed.double()
        seen, size = there.sum(0), len(there)
        # Half a cell more of either kind: a share of 0 or 1 has no finite logit.
        logit = ((seen + 0.5) / (size - seen + 0.5)).log()
        mean = torch.where(observed, cells.double(), 0.0).sum(0) / seen.clamp_min(1)
        with torch.no_grad():
            self.intercept.copy_(logit - self.slopes.double() * mean)

    def formula(self) -> str:
        """Formula of p(m | x)."""
        slope = "b_d" if isinstance(self.slope, str) else f"{self.slope:g}"
        sign = {"positive": ",  b_d > 0", "negative": ",  b_d < 0"}.get(str(self.slope), "")
        return f"m_d | x_d ~ Bernoulli(sigmoid(a_d + {slope} x_d)){sign}"
