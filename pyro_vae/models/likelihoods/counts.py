"""What the likelihoods for counts, bounded and unbounded, have alike."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from pyro_vae.errors import DataError
from pyro_vae.models.likelihoods.base import Likelihood
from pyro_vae.models.likelihoods.positive import PositiveParameter
from pyro_vae.recording import unrecorded

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BoundedCounts", "Counts"]


class BoundedCounts(Likelihood):
    """Family on the whole numbers from 0 to ``top``.

    Parameters
    ----------
    size
        Value of the constructor argument named by ``setting``, at least ``smallest``.

    Raises
    ------
    ValueError
        If it is not such an integer.
    """

    measure = "counting"
    kinds: ClassVar[tuple[str, ...]] = ("counts",)

    #: Name of the constructor argument that bounds the counts.
    setting: ClassVar[str]
    #: The smallest value that it can take; it is ``top`` + ``smallest`` - 1.
    smallest: ClassVar[int] = 2

    def _set_size(self, size: int) -> None:
        if not isinstance(size, int) or size < self.smallest:
            raise ValueError(
                f"{self.setting} got {size!r}: it must be a whole number of at least "
                f"{self.smallest}, for counts from 0 to {self.setting}"
                + (" - 1" if self.smallest == 2 else "")
            )
        setattr(self, self.setting, size)

    @property
    def top(self) -> int:
        """The largest count."""
        return getattr(self, self.setting) + 1 - self.smallest

    @classmethod
    def settings_for(cls, maximum: int | None) -> dict[str, Any]:
        """The largest count that the data can take decides."""
        return {} if maximum is None else {cls.setting: max(maximum, 1) + cls.smallest - 1}

    def in_support(self, x: Tensor) -> Tensor:
        """True where x is a whole number from 0 to ``top``."""
        return (x >= 0) & (x <= self.top) & (x == x.round())

    def support_text(self) -> str:
        """The support with its numbers."""
        size = f"{self.setting}={getattr(self, self.setting)}"
        return f"whole numbers from 0 to {self.top} ({size})"

    def standardise(self, x: Tensor) -> Tensor:
        """Share of the largest count."""
        return x / self.top


class Counts(Likelihood):
    """Family on 0, 1, 2, ... with a mean from the decoder, times an exposure if wanted.

    Parameters
    ----------
    exposure
        Whether the mean is an exposure, given with the data, times the decoder's rate.
    min_mean
        Lower bound of the rate: min_mean + softplus(.).

    Raises
    ------
    ValueError
        If ``min_mean`` is not positive.
    """

    measure = "counting"
    support = "whole numbers from 0"
    remedy = "Round to counts, or take a likelihood for real or positive data."
    kinds: ClassVar[tuple[str, ...]] = ("counts",)

    def __init__(self, exposure: bool, min_mean: float) -> None:
        super().__init__()
        self.exposure = exposure
        self.takes_exposure = exposure
        self.min_mean = min_mean
        self.mu = PositiveParameter("mean", "latent", min_mean)

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """One raw mean per feature."""
        return math.prod(event_shape)

    def in_support(self, x: Tensor) -> Tensor:
        """True where x is a whole number from 0."""
        return (x >= 0) & (x == x.round()) & torch.isfinite(x)

    def standardise(self, x: Tensor) -> Tensor:
        """log(1 + x)."""
        return x.log1p()

    def _mean(self, raw: Tensor, exposure: Tensor | None) -> Tensor:
        """Mean, ``(..., *event_shape)``: the rate, times the exposure if there is one."""
        rate = self.mu(raw, raw)
        if exposure is None:
            if self.exposure:
                raise DataError(
                    f"exposure was not given: the {self.name} likelihood was made with "
                    "exposure=True, so call it with one positive number per datum, or make it "
                    "with exposure=False"
                )
            return rate
        if not self.exposure:
            raise DataError(
                f"exposure was given: the {self.name} likelihood was made with exposure=False "
                "and would ignore it; make it with exposure=True"
            )
        exposure = torch.as_tensor(exposure, dtype=rate.dtype, device=rate.device)
        batch = rate.shape[: rate.dim() - len(self.event_shape)]
        try:
            torch.broadcast_shapes(exposure.shape, batch)
        except RuntimeError:
            raise DataError(
                f"exposure has shape {tuple(exposure.shape)}: it must be one number per datum, "
                f"which broadcasts with the leading dimensions {tuple(batch)} of eta"
            ) from None
        with unrecorded():
            usable = bool(((exposure > 0) & torch.isfinite(exposure)).all())
        if not usable:
            raise DataError(
                "exposure has values that are not positive and finite: drop those rows"
            )
        return rate * exposure[(..., *(None,) * len(self.event_shape))]

    def _mean_symbol(self) -> str:
        return "e mu_d(z)" if self.exposure else "mu_d(z)"

    def _moments(self, x: Tensor, exposure: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and variance of the counts at exposure one, flat.

        Half a count is added to the total, so that a feature without counts has a mean.
        """
        flat = x.flatten(1)
        e = torch.ones(len(x)).to(flat) if exposure is None else exposure.to(flat)
        mean = (flat.sum(0) + 0.5) / e.sum()
        # E (x - e mu)^2 = e mu + c e^2, with c = mu^2 / theta for a negative binomial.
        expected = e.unsqueeze(-1) * mean
        excess = ((flat - expected).square() - expected).sum(0) / e.square().sum()
        return mean, mean + excess

    @abstractmethod
    def moment_eta(self, x: Tensor, exposure: Tensor | None = None) -> Tensor:
        """Moment estimate of ``eta``, shape ``(num_params,)``, from data ``(n, *event_shape)``.

        Where an exposure ``(n,)`` is left out it is taken to be one for every datum.
        """
