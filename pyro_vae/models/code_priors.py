"""Priors p(z) over S code indices: uniform, or learned one position after the other.

The second is the second stage of van den Oord, Vinyals & Kavukcuoglu (2017), arXiv 1711.00937,
by a causal transformer as in Ramesh et al. (2021), arXiv 2102.12092, and Esser, Rombach & Ommer
(2021), arXiv 2012.09841.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, final

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import nn
from torch.distributions import constraints

from pyro_vae.isolation import isolated
from pyro_vae.models.component import Component
from pyro_vae.settings import require_positive_integer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["AutoregressiveCategorical", "AutoregressiveCodes", "CodePrior", "UniformCodes"]


class CodePrior(Component, role="code prior"):
    """Family of p(z) for z in {0, ..., K - 1}^S."""

    def build(self, num_codes: int, num_positions: int) -> None:
        """Learn K and S, and make the prior's own parameters."""
        self.num_codes = num_codes
        self.num_positions = num_positions
        self.built = True

    @abstractmethod
    def forward(self) -> TorchDistribution:
        """Distribution of z: batch shape ``()``, event shape ``(S,)``."""

    @abstractmethod
    def formula(self) -> str:
        """The prior in symbols, as it stands in the generative story."""


@final
class UniformCodes(CodePrior):
    """z_s ~ Categorical(1 / K), independent: log p(z) = -S log K for every z."""

    logits: Tensor

    def build(self, num_codes: int, num_positions: int) -> None:
        """Make the equal logits, which follow the module's device and type."""
        super().build(num_codes, num_positions)
        self.register_buffer("logits", torch.zeros(num_codes), persistent=False)

    def forward(self) -> TorchDistribution:
        """Distribution of z: batch shape ``()``, event shape ``(S,)``."""
        return (
            dist.Categorical(logits=self.logits.double()).expand((self.num_positions,)).to_event(1)
        )

    def formula(self) -> str:
        """Formula of p(z)."""
        return f"z_s ~ Categorical(1/K), s = 1..{self.num_positions}, K = {self.num_codes}"


@final
class AutoregressiveCodes(CodePrior):
    """p(z) = prod_s p(z_s | z_1, ..., z_(s-1)), by a causal transformer.

    It starts at the uniform prior, exactly.

    Parameters
    ----------
    width
        Length of the vectors inside the transformer, a multiple of ``heads``.
    layers
        Number of its layers.
    heads
        Number of attention heads.
    seed
        Seed of the first weights.

    Raises
    ------
    ValueError
        If a size is not a positive integer, or the width is no multiple of the heads.
    """

    def __init__(self, width: int = 64, layers: int = 2, heads: int = 4, seed: int = 0) -> None:
        super().__init__()
        for name, size in (("width", width), ("layers", layers), ("heads", heads)):
            require_positive_integer(name, size)
        if width % heads:
            raise ValueError(f"width got {width}: it must be a multiple of heads={heads}")
        self.width = width
        self.layers = layers
        self.heads = heads
        self.seed = seed

    def build(self, num_codes: int, num_positions: int) -> None:
        """Make the transformer."""
        super().build(num_codes, num_positions)
        with isolated(self.seed):
            self.first = nn.Parameter(0.02 * torch.randn(self.width))
            self.places = nn.Parameter(0.02 * torch.randn(num_positions, self.width))
            self.tokens = nn.Embedding(num_codes, self.width)
            layer = nn.TransformerEncoderLayer(
                self.width,
                self.heads,
                4 * self.width,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            self.transformer = nn.TransformerEncoder(
                layer, self.layers, norm=nn.LayerNorm(self.width), enable_nested_tensor=False
            )
            self.output = nn.Linear(self.width, num_codes)
        # Equal logits, whatever went before: training starts at the uniform prior's bound.
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def next_logits(self, z: Tensor) -> Tensor:
        """Logits of every z_s given those before it.

        Parameters
        ----------
        z
            Indices ``(n, T)``, T at most S; the last column has no effect.

        Returns
        -------
        Tensor
            Shape ``(n, T, K)``.
        """
        length = z.shape[1]
        first = self.first.expand(len(z), 1, self.width)
        h = torch.cat([first, self.tokens(z[:, :-1])], dim=1) + self.places[:length]
        later = torch.ones(length, length, dtype=torch.bool, device=z.device).triu(1)
        return self.output(self.transformer(h, mask=later, is_causal=True))

    def forward(self) -> TorchDistribution:
        """Distribution of z: batch shape ``()``, event shape ``(S,)``."""
        return AutoregressiveCategorical(self)

    def formula(self) -> str:
        """Formula of p(z)."""
        return (
            f"z_s | z_<s ~ Categorical(transformer(z_<s)), s = 1..{self.num_positions}, "
            f"K = {self.num_codes}"
        )


@final
class AutoregressiveCategorical(TorchDistribution):
    """Distribution of S indices out of K, each given those before it.

    Parameters
    ----------
    prior
        Gives the logits of every index given those before it.
    batch_shape
        Shape of independent, equal copies.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    has_enumerate_support = False

    def __init__(
        self,
        prior: AutoregressiveCodes,
        batch_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ) -> None:
        self.prior = prior
        super().__init__(
            torch.Size(batch_shape), torch.Size([prior.num_positions]), validate_args=validate_args
        )

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        """Indices from 0 to K - 1."""
        indices = constraints.integer_interval(0, self.prior.num_codes - 1)
        return constraints.independent(indices, 1)

    def expand(self, batch_shape: Any, _instance: Any = None) -> AutoregressiveCategorical:
        """The same with another batch shape."""
        new = AutoregressiveCategorical(self.prior, batch_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """Sum over s of log p(z_s | z_<s), in nats, float64."""
        if self._validate_args:
            self._validate_sample(value)
        z = value.reshape(-1, *self.event_shape).long()
        logits = self.prior.next_logits(z).double()
        log_probs = logits.log_softmax(-1).gather(-1, z.unsqueeze(-1))
        total = log_probs.squeeze(-1).sum(-1).reshape(value.shape[:-1])
        return total.expand(torch.broadcast_shapes(value.shape[:-1], self.batch_shape))

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        """Indices drawn one position after the other, ``(*sample, *batch, S)``."""
        shape = self._extended_shape(torch.Size(sample_shape))
        size, device = shape[:-1].numel(), self.prior.first.device
        z = torch.zeros(size, *self.event_shape, dtype=torch.long, device=device)
        with torch.no_grad():
            for s in range(self.prior.num_positions):
                logits = self.prior.next_logits(z[:, : s + 1])[:, -1]
                z[:, s] = dist.Categorical(logits=logits).sample()
        return z.reshape(shape)
