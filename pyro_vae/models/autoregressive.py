"""Autoregressive affine maps: the pieces of the normalising flows, as prior and as guide."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from pyro.distributions import transforms
from pyro.distributions.transforms.utils import clamp_preserve_gradients
from pyro.nn import AutoRegressiveNN, ConditionalAutoRegressiveNN
from torch import nn

from pyro_vae.isolation import isolated

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["AffineAutoregressive", "autoregressive_networks"]


class AffineAutoregressive(transforms.AffineAutoregressive):
    """y_l = mu_l(x_<l) + exp(a_l(x_<l)) x_l, one pass forward and L passes back.

    Pyro's transform with three faults put right. Its inverse starts from zeros of the default
    type and fails for any other; it cannot score points against a batch of contexts that has
    to be broadcast; and a draw made without gradients is cached, so that its score taken with
    them would silently miss the gradient of the network.

    Make one per call: the cache serves the scoring of its own draws, and must not outlive a
    step of the optimiser.

    Parameters
    ----------
    network
        One of ``autoregressive_networks``.
    context
        Vectors ``(..., context_dim)`` that the network also takes.
    """

    def __init__(self, network: nn.Module, context: Tensor | None = None) -> None:
        super().__init__(network if context is None else _Conditioned(network, context))

    @property
    def _cached_x_y(self) -> tuple[Tensor | None, Tensor | None]:
        usable = self._differentiable or not torch.is_grad_enabled()
        return self._pair if usable else (None, None)

    @_cached_x_y.setter
    def _cached_x_y(self, pair: tuple[Tensor | None, Tensor | None]) -> None:
        self._pair = pair
        self._differentiable = torch.is_grad_enabled()

    def _inverse(self, y: Tensor) -> Tensor:
        x = torch.zeros_like(y)
        for index in self.arn.permutation:
            mean, log_scale = self.arn(x)
            log_scale = clamp_preserve_gradients(
                log_scale, self.log_scale_min_clip, self.log_scale_max_clip
            )
            here = torch.arange(y.shape[-1], device=y.device) == index
            x = torch.where(here, (y - mean) * torch.exp(-log_scale), x)
        self._cached_log_scale = log_scale
        return x


class _Conditioned:
    """A network with its context, broadcast against any input."""

    def __init__(self, network: nn.Module, context: Tensor) -> None:
        self.network = network
        self.context = context
        self.permutation = network.permutation

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        batch = torch.broadcast_shapes(x.shape[:-1], self.context.shape[:-1])
        return self.network(x.expand(*batch, x.shape[-1]), self.context)


def autoregressive_networks(
    size: int, hidden: int, count: int, *, context_dim: int = 0, seed: int = 0
) -> nn.ModuleList:
    """Masked networks (MADE; Germain et al., 2015, arXiv 1502.03509) for a chain of maps.

    Their orders alternate between first to last and last to first, which is what permutations
    between the maps would bring about. They start near mean 0 and log-scale 0.

    Parameters
    ----------
    size
        Length L of the vectors that are mapped.
    hidden
        Width of the hidden layer, at least L.
    count
        Number of networks.
    context_dim
        Length of the vector that each also takes; 0 for none.
    seed
        Seed of the first weights; the global random state is left alone.

    Raises
    ------
    ValueError
        If ``hidden`` is below L: not every dimension could then depend on those before it.
    """
    if hidden < size:
        raise ValueError(
            f"hidden got {hidden!r}: it must be at least the latent dimension, {size}, for each "
            "dimension to depend on all before it"
        )
    networks = nn.ModuleList()
    with isolated(seed), warnings.catch_warnings():
        # With one dimension the map is affine without a network, which does no harm.
        warnings.filterwarnings("ignore", message=".*input_dim = 1")
        for index in range(count):
            order = torch.arange(size) if index % 2 == 0 else torch.arange(size).flip(0)
            network = (
                ConditionalAutoRegressiveNN(size, context_dim, [hidden], permutation=order)
                if context_dim
                else AutoRegressiveNN(size, [hidden], permutation=order)
            )
            with torch.no_grad():
                network.layers[-1].weight.mul_(0.01)
                network.layers[-1].bias.zero_()
            networks.append(network)
    return networks
