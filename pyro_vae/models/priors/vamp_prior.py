"""Mixture of the guide at pseudo-inputs, as prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import pyro.distributions as dist
import torch
from torch import nn

from pyro_vae.errors import ProgramError
from pyro_vae.models.priors.base import Posterior, Prior
from pyro_vae.settings import require_positive_integer

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["VampPrior"]

#: Standard deviation of the noise that parts pseudo-inputs started at the same datum.
_NOISE = 0.01


@final
class VampPrior(Prior):
    """p(z) = sum_c w_c q(z | u_c), u learned; Tomczak & Welling (2018), arXiv 1705.07120.

    The prior that raises the ELBO most is the guide averaged over the data; this one is the
    guide averaged over C pseudo-inputs u_c, which live where the encoder's input does.

    Parameters
    ----------
    num_components
        Number C of pseudo-inputs.
    learn_weights
        Whether the weights w are learned too; otherwise they are 1 / C.

    Raises
    ------
    ValueError
        If ``num_components`` is not a positive integer.
    """

    uses_guide = True

    logits: Tensor

    def __init__(self, num_components: int = 100, learn_weights: bool = False) -> None:
        super().__init__()
        require_positive_integer("num_components", num_components)
        self.num_components = num_components
        self.learn_weights = learn_weights
        self._posterior: Posterior | None = None

    def build(self, latent_dim: int) -> None:
        """Make the weights, starting equal; the pseudo-inputs wait for ``connect``."""
        super().build(latent_dim)
        logits = torch.zeros(self.num_components)
        if self.learn_weights:
            self.logits = nn.Parameter(logits)
        else:
            self.register_buffer("logits", logits, persistent=False)

    def connect(self, posterior: Posterior, num_features: int) -> None:
        """Keep the guide, and make the pseudo-inputs, which start as noise in [0, 1].

        Parameters
        ----------
        posterior, num_features
            As for ``Prior.connect``; ``posterior`` is a method of the model, so that a copy of
            the model has a prior made of the copy's own guide.
        """
        self._posterior = posterior
        generator = torch.Generator().manual_seed(0)
        start = torch.rand(self.num_components, num_features, generator=generator)
        self.pseudo_inputs = nn.Parameter(start)

    def initialise(self, features: Tensor, *, seed: int = 0) -> None:
        """Start the pseudo-inputs at random training data, plus a little noise.

        Parameters
        ----------
        features
            Encoder's input for the training data, ``(n, num_features)``.
        seed
            Seed of the choice and of the noise.
        """
        self._connected()
        generator = torch.Generator().manual_seed(seed)
        count, size = self.pseudo_inputs.shape
        # Every datum once before any comes twice.
        rounds = -(-count // len(features))
        order = [torch.randperm(len(features), generator=generator) for _ in range(rounds)]
        chosen = features[torch.cat(order)[:count].to(features.device)]
        noise = _NOISE * torch.randn(count, size, generator=generator)
        with torch.no_grad():
            self.pseudo_inputs.copy_(chosen.to(self.pseudo_inputs) + noise.to(self.pseudo_inputs))

    def forward(self) -> TorchDistribution:
        """Distribution of z, event shape ``(L,)``.

        Raises
        ------
        ProgramError
            If ``connect`` was not called.
        """
        components = self._connected()(self.pseudo_inputs)
        weights = dist.Categorical(logits=self.logits.double(), validate_args=False)
        return dist.MixtureSameFamily(weights, components, validate_args=False)

    def formula(self) -> str:
        """Formula of p(z)."""
        weight = "w_c" if self.learn_weights else f"1/{self.num_components}"
        return f"z ~ sum_c {weight} q(z | u_c),  c = 1..{self.num_components},  u learned"

    def _connected(self) -> Posterior:
        if self._posterior is None:
            raise ProgramError(
                "the VampPrior is made of the guide and has not met it: give it to a VAE, or "
                "call connect(posterior, num_features) first"
            )
        return self._posterior
