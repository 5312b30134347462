"""Families that priors, guides and likelihoods share, with log-densities in float64.

A log-density is a sum of many terms, some of which cancel and some of which are squares of
large numbers: float32 has seven digits, and log p(x) = -50,000 needs eight of them for
a thousandth of a nat. Networks, and the draws that they are given, stay in their own type.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyro.distributions as dist
import torch

from pyro_vae.models.log_gamma import log_rising

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Laplace",
    "LowRankMultivariateNormal",
    "MultivariateNormal",
    "Normal",
    "StudentT",
    "compact",
    "of_shape",
]


def compact(parameter: Tensor) -> Tensor:
    """A parameter in float64, its expanded dimensions taken back to one.

    Constructors expand a scale that all features share to the shape of the location, and its
    logarithm would be taken as often.
    """
    once = tuple(
        slice(0, 1) if stride == 0 and size > 1 else slice(None)
        for size, stride in zip(parameter.shape, parameter.stride(), strict=True)
    )
    return parameter[once].double()


def of_shape(terms: Tensor, batch_shape: torch.Size, value: Tensor) -> Tensor:
    """Terms of compact parameters, of the shape that the parameters as they stand would give."""
    return terms.expand(torch.broadcast_shapes(batch_shape, value.shape))


class _DrawnAsLoc:
    """Location-scale family whose draws are of the type of ``loc``, whatever the others have."""

    loc: Tensor

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws, with gradients."""
        return super().rsample(torch.Size(sample_shape)).to(self.loc)  # type: ignore[misc]

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws."""
        with torch.no_grad():
            return self.rsample(sample_shape)


class Normal(_DrawnAsLoc, dist.Normal):
    """Pyro's."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, float64."""
        loc, scale = compact(self.loc), compact(self.scale)
        square = ((value.double() - loc) / scale).square()
        terms = -0.5 * square - (scale.log() + 0.5 * math.log(2 * math.pi))
        return of_shape(terms, self.batch_shape, value)


class Laplace(dist.Laplace):
    """Pyro's."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, float64."""
        loc, scale = compact(self.loc), compact(self.scale)
        terms = -(value.double() - loc).abs() / scale - (2 * scale).log()
        return of_shape(terms, self.batch_shape, value)


class StudentT(_DrawnAsLoc, dist.StudentT):
    """Pyro's, whose log-density is also right for many degrees of freedom."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, float64; tends to the normal's as df grows."""
        df, loc, scale = compact(self.df), compact(self.loc), compact(self.scale)
        square = ((value.double() - loc) / scale).square()
        # log Gamma((df + 1) / 2) - log Gamma(df / 2) - log(pi df) / 2
        constant = log_rising(df / 2, torch.full_like(df, 0.5))
        constant = constant - 0.5 * (math.log(math.pi) + df.log()) - scale.log()
        terms = constant - 0.5 * (df + 1.0) * torch.log1p(square / df)
        return of_shape(terms, self.batch_shape, value)

    @property
    def mean(self) -> Tensor:
        """The location: the mean where there is one (df > 1), the median always."""
        return self.loc


class MultivariateNormal(dist.MultivariateNormal):
    """Pyro's, by the Cholesky factor."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, float64."""
        loc, tril = self.loc.double(), self._unbroadcasted_scale_tril.double()
        wide = dist.MultivariateNormal(loc, scale_tril=tril, validate_args=False)
        return wide.log_prob(value.double())

    def marginal_log_prob(self, value: Tensor, observed: Tensor) -> Tensor:
        """Log-density of the observed cells, float64."""
        factor, _, _ = self._of_observed(observed)
        there = observed.double()
        rest = torch.where(observed, value.double() - self.loc.double(), 0.0).unsqueeze(-1)
        square = torch.linalg.solve_triangular(factor, rest, upper=False).square().sum((-1, -2))
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (square + log_det + math.log(2 * math.pi) * there.sum(-1))

    def conditioned(self, drawn: Tensor, value: Tensor, observed: Tensor) -> Tensor:
        """Draws, or means, of whole data made such of the other cells given the observed ones.

        x + C_.o C_oo^-1 (value_o - x_o) has the law of x given value_o (Hoffman & Ribak, 1991).
        """
        factor, rows, tril = self._of_observed(observed)
        rest = torch.where(observed, value.double() - drawn.double(), 0.0).unsqueeze(-1)
        change = tril @ (rows.mT @ torch.cholesky_solve(rest, factor))
        return (drawn.double() + change.squeeze(-1)).to(drawn)

    def _of_observed(self, observed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Factor of their covariance, their rows of the factor of all, and all of that."""
        tril, there = self._unbroadcasted_scale_tril.double(), observed.double()
        # The others are made independent of these, with variance one, and left out of the sums.
        rows = tril * there.unsqueeze(-1)
        return torch.linalg.cholesky(rows @ rows.mT + torch.diag_embed(1 - there)), rows, tril


class LowRankMultivariateNormal(dist.LowRankMultivariateNormal):
    """Pyro's: its log-density is a difference of terms of order (factor / scale)^2."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, float64."""
        factor = self._unbroadcasted_cov_factor.double()
        diagonal = self._unbroadcasted_cov_diag.double()
        wide = dist.LowRankMultivariateNormal(
            self.loc.double(), factor, diagonal, validate_args=False
        )
        return wide.log_prob(value.double())
