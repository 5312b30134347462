"""Models of pythae as pairs: its VAE, IWAE, VAMP and VAE with an inverse autoregressive flow.

Chadebec, Vincent and Allassonniere (2022), Pythae, arXiv 2206.08309.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    Transform,
    TransformedDistribution,
    constraints,
)

from pyro_vae.errors import ProgramError
from pyro_vae.on_demand import library
from pyro_vae.pairs.pair import Pair

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributions import Distribution

__all__ = ["from_pythae"]


def from_pythae(model: Any, x: Any) -> Pair:
    """A pair out of a ``VAE``, ``IWAE``, ``VAMP`` or ``VAE_IAF`` of pythae.

    The likelihood is what the model's ``reconstruction_loss`` is the logarithm of: ``"bce"``
    Bernoulli, on zeros and ones; ``"mse"`` a normal of unit variance, with its constant. A
    probability that the decoder rounded to 0 or 1 is taken as 2e-16 from it.

    Parameters
    ----------
    model
        A model of one of the four classes, in evaluation mode: ``model.eval()``.
    x
        Two data or more, ``(B, *input_dim)``.

    Returns
    -------
    Pair
        VAMP's prior is the mixture of the encoder's posteriors of its pseudo-inputs; the guide of
        VAE_IAF is its flow.

    Raises
    ------
    ProgramError
        If the model is of another class, or is in training mode with layers that tell.
    MissingDataError
        If pythae is not installed.
    """
    models = library("pythae.models", "peers", "from_pythae")
    kinds = {
        models.VAE: _Plain,
        models.IWAE: _Plain,
        models.VAMP: _Vamp,
        models.VAE_IAF: _Flow,
    }
    if type(model) not in kinds:
        raise ProgramError(
            f"from_pythae got {type(model).__name__}: it takes VAE, IWAE, VAMP and VAE_IAF of "
            "pythae; of others, Pair.from_functions(encode=..., decode=..., prior=...) makes a "
            "pair"
        )
    made = kinds[type(model)](model)
    return Pair.from_functions(
        x=x, encode=made.encode, decode=made.decode, prior=made.prior, modules=[model]
    )


class _Plain:
    """A standard normal prior, and a normal guide."""

    def __init__(self, model: Any) -> None:
        self.pythae = model

    def prior(self) -> Distribution:
        """Distribution p(z) = N(0, I)."""
        like = next(self.pythae.parameters())
        return Normal(like.new_zeros(self.pythae.latent_dim), 1.0)

    def encode(self, x: Tensor) -> Distribution:
        """Distribution q(z | x), ``(B, L)``."""
        made = self.pythae.encoder(x)
        return Normal(made.embedding, (0.5 * made.log_covariance).exp())

    def decode(self, z: Tensor) -> Distribution:
        """Distribution p(x | z), a cell at a time."""
        # In float64 the logarithm of a probability near one keeps its digits.
        made = self.pythae.decoder(z)["reconstruction"].double()
        if self.pythae.model_config.reconstruction_loss == "bce":
            return Bernoulli(probs=made)
        return Normal(made, 1.0)


class _Vamp(_Plain):
    """A mixture of q(z | u) over the pseudo-inputs u as the prior.

    Tomczak and Welling (2018), VAE with a VampPrior, arXiv 1705.07120.
    """

    def prior(self) -> Distribution:
        """Distribution p(z) = mean over u of q(z | u)."""
        idle = self.pythae.idle_input.to(next(self.pythae.parameters()))
        pseudo = self.pythae.pseudo_inputs(idle)
        components = self.encode(pseudo.reshape(len(idle), *self.pythae.model_config.input_dim))
        equal = Categorical(logits=pseudo.new_zeros(len(idle)))
        return MixtureSameFamily(equal, Independent(components, 1))


class _Flow(_Plain):
    """A normal guide, moved by an inverse autoregressive flow.

    Kingma et al. (2016), arXiv 1606.04934.
    """

    def encode(self, x: Tensor) -> Distribution:
        """Distribution of the flow's output."""
        return TransformedDistribution(super().encode(x), [_Moved(self.pythae.iaf_flow)])


class _Moved(Transform):
    """The flow as a transform; the way back takes a pass of each network for each entry of z."""

    domain = codomain = constraints.real_vector
    bijective = True

    def __init__(self, flow: Any) -> None:
        super().__init__()
        self.flow = flow

    def _call(self, x: Tensor) -> Tensor:
        moved: Tensor = self.flow.inverse(x.reshape(-1, x.shape[-1])).out
        return moved.reshape(x.shape)

    def _inverse(self, y: Tensor) -> Tensor:
        start: Tensor = self.flow(y.reshape(-1, y.shape[-1])).out
        return start.reshape(y.shape)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Log-determinant of the way out, in nats."""
        found: Tensor = self.flow.inverse(x.reshape(-1, x.shape[-1])).log_abs_det_jac
        return found.reshape(x.shape[:-1])
