"""What one pass over particles gives: their values, and the terms of their log-weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Draws", "LogWeights"]


class LogWeights(NamedTuple):
    """The three terms of the log-weights, each of shape ``(K, B)``, in nats.

    Attributes
    ----------
    log_likelihood
        log p(x | z_k).
    log_prior
        log p(z_k).
    log_guide
        log q(z_k | x).
    """

    log_likelihood: Tensor
    log_prior: Tensor
    log_guide: Tensor

    @property
    def log_weights(self) -> Tensor:
        """Sum log p(x | z_k) + log p(z_k) - log q(z_k | x), shape ``(K, B)``."""
        return self.log_likelihood + self.log_prior - self.log_guide


class Draws(NamedTuple):
    """Particles of the guide with their weights.

    Attributes
    ----------
    values
        Value of every site of the guide, ``(K, B, *inner plates, *event shape)``.
    terms
        Terms of their log-weights, ``(K, B)``.
    """

    values: dict[str, Tensor]
    terms: LogWeights

    def of_rows(self, rows: slice) -> Draws:
        """Those of some data alone, in memory of their own."""
        values = {name: value[:, rows].clone() for name, value in self.values.items()}
        return Draws(values, LogWeights(*(term[:, rows].clone() for term in self.terms)))
