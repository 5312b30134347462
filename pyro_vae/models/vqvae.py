"""Vector-quantised VAE: a discrete z, the nearest codes of a codebook.

van den Oord, Vinyals & Kavukcuoglu (2017), "Neural discrete representation learning", arXiv
1711.00937. The model is z ~ p(z) over {0, ..., K - 1}^S, x | z ~ p(x | z) with parameters from a
decoder of the S codes; the guide puts all its mass on the codes z*(x) nearest to the encoder's
output. As z is discrete, log p(x | z*) + log p(z*) is one term of the sum in log p(x) = log sum_z
p(z) p(x | z), hence a lower bound, and it is the ELBO.
"""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

import pyro
import pyro.distributions as dist
import torch
from torch import nn

from pyro_vae.conversion import takes_data
from pyro_vae.errors import DataError, ProgramError
from pyro_vae.formulas import described
from pyro_vae.models.code_priors import CodePrior, UniformCodes
from pyro_vae.models.codebook import Codebook
from pyro_vae.models.encoder_decoder import (
    EncoderDecoder,
    Network,
    network_plan,
)
from pyro_vae.models.latent_variable_model import (
    check_event_shape,
    data_plate,
    layers_text,
    objective_text,
)
from pyro_vae.models.likelihoods import Likelihood
from pyro_vae.models.parameters import declare_parameters
from pyro_vae.networks import (
    Architecture,
    ConvolutionalGrid,
    Unamortised,
)
from pyro_vae.settings import require_part, require_positive_integer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro.distributions import TorchDistribution
    from pyro.infer import ELBO
    from torch import Tensor

__all__ = ["VQVAE"]

#: Positions of an encoder that has no grid.
_POSITIONS = 8


@final
class VQVAE(EncoderDecoder):
    """VQ-VAE: ``model`` and ``guide`` are plain Pyro programs with a discrete site ``"z"``.

    Both have one plate ``"data"``; z holds S indices. Trained by ``Trace_ELBO``: the decoder's
    gradient passes straight through the codes to the encoder, and a commitment cost keeps the
    encoder's output h near its codes e, its weight times D times the mean of (h - e)^2 over the
    L = S d numbers, so that like log p(x | z) it grows with the number D of features. Neither
    changes a value: the training loss, too, is minus the bound. All of it, and the codebook's
    moving averages, happen in training mode with gradients on; nothing moves under
    ``eval()`` or ``torch.no_grad()``.

    Parameters
    ----------
    event_shape
        Shape of one datum.
    num_codes
        Number K of codes.
    code_dim
        Length d of a code.
    num_positions
        Number S of codes that stand for a datum. That of the places of a ``ConvolutionalGrid``
        encoder; else 8 unless given. One is a mixture of K components.
    prior
        p(z); ``UniformCodes()`` unless given. See ``with_prior`` for one that is learned.
    likelihood
        p(x | z); Bernoulli unless given.
    encoder, decoder
        Hidden widths of an MLP, an ``Architecture``, or a module of your own: the encoder maps
        ``(..., D)`` to ``(..., S * d)``, one code after the other; the decoder maps that to
        ``(..., likelihood.num_params(event_shape))``.
    commitment_cost
        Weight of the commitment.
    updates, decay, revive_below
        How the codes learn: see ``Codebook``. By ``"gradient"``, they follow the squared distance
        with weight 1.
    frozen
        Train nothing but the prior: what ``with_prior`` makes.
    activation
        Activation of the MLPs.
    seed
        Seed of the networks' first weights and of the codes.

    Raises
    ------
    ValueError
        If a size is not positive, or S is not the number of the encoder's places.
    DataError
        If a module of your own does not map these shapes.

    Examples
    --------
    >>> vq = VQVAE((8, 8), num_codes=16, code_dim=4, num_positions=3)
    >>> vq.eval().assign(torch.zeros(5, 8, 8)).shape
    torch.Size([5, 3])
    """

    _roles: ClassVar[dict[str, Any]] = {
        "prior": CodePrior,
        "likelihood": Likelihood,
        "encoder": Architecture,
        "decoder": Architecture,
    }

    def __init__(
        self,
        event_shape: Sequence[int],
        num_codes: int = 64,
        code_dim: int = 8,
        num_positions: int | None = None,
        *,
        prior: CodePrior | None = None,
        likelihood: Likelihood | None = None,
        encoder: Network = (200, 200),
        decoder: Network = (200, 200),
        commitment_cost: float = 0.25,
        updates: str = "ema",
        decay: float = 0.99,
        revive_below: float = 0.05,
        frozen: bool = False,
        activation: str = "relu",
        seed: int = 0,
    ) -> None:
        if not commitment_cost >= 0:
            raise ValueError(f"commitment_cost got {commitment_cost!r}: it must not be negative")
        codebook = Codebook(
            num_codes, code_dim, updates=updates, decay=decay, revive_below=revive_below, seed=seed
        )
        plan = network_plan(encoder, activation)
        if isinstance(plan, Unamortised):
            raise ValueError("encoder got Unamortised: codes need an encoder; take Dense")
        positions = _positions(plan, check_event_shape(event_shape), num_positions)
        super().__init__(event_shape, positions * code_dim, likelihood)
        self.num_positions = positions
        self.commitment_cost = commitment_cost
        self.codebook = codebook
        self.prior = UniformCodes() if prior is None else prior
        require_part("prior", self.prior, CodePrior, "UniformCodes()")
        self.prior.build(num_codes, positions)
        plans = self._make_networks(
            plan, decoder, self.latent_dim, activation=activation, seed=seed
        )
        self.frozen = False
        if frozen:
            self._freeze()
        self.config = self._config(
            "vq-vae",
            plans,
            seed,
            num_codes=num_codes,
            code_dim=code_dim,
            num_positions=positions,
            prior=self.prior.to_config(),
            commitment_cost=commitment_cost,
            updates=updates,
            decay=decay,
            revive_below=revive_below,
            frozen=self.frozen,
        )

    def with_prior(self, prior: CodePrior) -> Self:
        """The second stage: a copy of this model, frozen, under a prior that is to be learned.

        ``fit`` of the copy then trains the prior alone, on the codes z*(x); its bound is
        log p(x | z*) + log p(z*) as before, so what the prior learns is what the bound gains.

        Parameters
        ----------
        prior
            A new ``CodePrior``, such as ``AutoregressiveCodes()``.
        """
        twin = copy.deepcopy(self)
        prior.build(self.codebook.num_codes, self.num_positions)
        twin.prior = prior.to(self.codebook.codes)
        twin._freeze()
        if self.config is not None:
            twin.config = {**self.config, "prior": prior.to_config(), "frozen": True}
        return twin

    def model(
        self, x: Tensor | None = None, exposure: Tensor | None = None, num_data: int = 1
    ) -> Tensor:
        """Generative story: z ~ p(z), x | z ~ p(x | e_z).

        Takes what ``VAE.model`` takes; returns x, observed or drawn, ``(..., B, *event_shape)``.
        """
        if x is not None:
            self.likelihood.check(x)
        declare_parameters(
            prior=self.prior,
            likelihood=self.likelihood,
            codebook=self.codebook,
            decoder=self.decoder,
        )
        with data_plate(x, exposure, num_data=num_data):
            e = self.embed(pyro.sample("z", self.prior()))
            if x is not None and self.learning:
                e = self._straight_through(e, self._code(x))
            return pyro.sample("x", super().observation(e, exposure=exposure), obs=x)

    def guide(
        self, x: Tensor | None = None, exposure: Tensor | None = None, num_data: int = 1
    ) -> Tensor:
        """Guide q(z | x) = 1[z = z*(x)]; without data q is p(z).

        In training the codebook then takes the batch into its averages; the model decodes the
        codes as they are after that.

        Parameters
        ----------
        x, exposure, num_data
            As for ``VAE.model``.

        Returns
        -------
        Tensor
            z, ``(..., B, S)``, int64.
        """
        declare_parameters(encoder=self.encoder)
        with data_plate(x, exposure, num_data=num_data):
            if x is None:
                return pyro.sample("z", self.prior())
            with torch.no_grad():
                h = self._vectors(self._code(x))
            z = self.codebook.assign(h)
            if self.learning:
                self.codebook.update(h, z)
            return pyro.sample("z", dist.Delta(z, event_dim=1))

    @takes_data("x", gradients=True)
    def posterior(self, x: Tensor) -> TorchDistribution:
        """Guide distribution q(z | x), a point mass: batch shape ``(B,)``, event ``(S,)``."""
        return dist.Delta(self.assign(x), event_dim=1)

    def observation(
        self,
        z: Tensor,
        condition: Tensor | None = None,
        exposure: Tensor | None = None,
        observed: Tensor | None = None,
    ) -> TorchDistribution:
        """Likelihood p(x | z) for indices z of shape ``(..., S)``: event shape ``event_shape``."""
        return super().observation(self.embed(z), condition, exposure, observed)

    @takes_data("x", gradients=True)
    def code(self, x: Tensor) -> Tensor:
        """The encoder's output h, not yet quantised: ``(B, L)``, one vector after the other."""
        return self._code(x)

    def _code(self, x: Tensor) -> Tensor:
        return self.encoder(self._features(x))

    def decode(
        self, z: Tensor, condition: Tensor | None = None, exposure: Tensor | None = None
    ) -> Tensor:
        """Mean of p(x | z), ``(..., *event_shape)``, at the codes nearest to ``(..., L)``."""
        return super().observation(self.quantise(z), condition, exposure).mean

    @takes_data("x", gradients=True)
    def assign(self, x: Tensor) -> Tensor:
        """Indices z*(x) of the nearest codes, ``(B, S)``."""
        with torch.no_grad():
            return self.codebook.assign(self._vectors(self.code(x)))

    def embed(self, z: Tensor) -> Tensor:
        """Codes e_z of indices ``(..., S)``, one after the other: ``(..., L)``."""
        return self.codebook(z).flatten(-2)

    def quantise(self, code: Tensor) -> Tensor:
        """The nearest codes in the place of every vector of ``code``, ``(..., L)``."""
        return self.embed(self.codebook.assign(self._vectors(code)))

    def train(self, mode: bool = True) -> Self:
        """Set training mode; the networks of a frozen model stay as they are evaluated."""
        super().train(mode)
        if self.frozen:
            # Batch normalisation would go on with its averages, and decode by the batch's own.
            for part in self._first_stage:
                part.eval()
        return self

    @takes_data("x", gradients=True)
    def usage(self, x: Tensor) -> Tensor:
        """How often each code stands for something in these data, ``(K,)``; their sum is B S."""
        return torch.bincount(self.assign(x).flatten(), minlength=self.codebook.num_codes)

    @takes_data("x", gradients=True)
    def perplexity(self, x: Tensor) -> float:
        """Number of codes in effective use: exp of the entropy of ``usage``, from 1 to K."""
        return self.code_use(x)["perplexity"]

    @takes_data("x", gradients=True)
    def code_use(self, x: Tensor) -> dict[str, float]:
        """``perplexity``, ``num_codes`` K, and ``codes_in_use``, how many stand for something."""
        usage = self.usage(x)
        share = usage.double() / usage.sum()
        return {
            "perplexity": float(torch.special.entr(share).sum().exp()),
            "num_codes": len(usage),
            "codes_in_use": int((usage > 0).sum()),
        }

    @takes_data("x", gradients=True)
    def enumerated_log_prob(
        self, x: Tensor, exposure: Tensor | None = None, *, limit: int = 4096, chunk_size: int = 16
    ) -> Tensor:
        """Exact log p(x) = log sum_z p(z) p(x | z) over all K^S values of z, in nats.

        Parameters
        ----------
        x, exposure
            Data ``(n, *event_shape)``, and the exposure of a likelihood that takes one.
        limit
            Largest K^S to sum over.
        chunk_size
            Data at a time; it bounds the memory and has no effect on the result.

        Returns
        -------
        Tensor
            Shape ``(n,)``.

        Raises
        ------
        ProgramError
            If K^S is above the limit.
        """
        codes, positions = self.codebook.num_codes, self.num_positions
        if codes**positions > limit:
            raise ProgramError(
                f"z has {codes}^{positions} values, above limit={limit}: they are not summed "
                "over; the ELBO is a lower bound"
            )
        self.likelihood.check(x)
        every = itertools.product(range(codes), repeat=positions)
        z = torch.tensor(list(every), device=self.codebook.codes.device)
        log_prior, eta = self.prior().log_prob(z), self.decoder(self.embed(z))
        parts = []
        for start in range(0, len(x), chunk_size):
            rows = slice(start, start + chunk_size)
            given = () if exposure is None else (exposure[rows].unsqueeze(1),)
            log_likelihood = self.likelihood(eta, *given).log_prob(x[rows].unsqueeze(1))
            parts.append((log_prior + log_likelihood).logsumexp(-1))
        return torch.cat(parts)

    @takes_data("x")
    def initialise(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        exposure: Tensor | None = None,
        observed: Tensor | None = None,
    ) -> None:
        """Start from the data: codes at encoder outputs, the decoder's bias at their moments.

        Parameters
        ----------
        x
            Data ``(n, *event_shape)``, with n S at least K.
        condition, exposure
            Not needed for the start.
        observed
            Not taken: the model is one of whole data.

        Raises
        ------
        DataError
            If there are fewer vectors than codes.
        ProgramError
            If the model is frozen: its weights are those of a first stage.
        """
        if self.frozen:
            raise ProgramError(
                "a frozen VQVAE has nothing to start from data: fit the first stage, then make it "
                "with_prior (`pyro-vae prior RUN --run OUT`, with --resume to go on)"
            )
        x = self._filled(x, observed)
        self.likelihood.check(x)
        with torch.no_grad():
            self.codebook.start(self._vectors(self.code(x)).flatten(0, 1))
        super().initialise(x, condition, exposure)

    @property
    def learning(self) -> bool:
        """Whether a run of the programs is a step of training."""
        return self.training and torch.is_grad_enabled() and not self.frozen

    def description(self, objective: ELBO | None = None) -> str:
        """Text of ``describe``."""
        book, goal = self.codebook, described(objective or self.default_objective())
        formula, bound = goal.formula
        if goal.is_elbo:
            formula = "log p(x | z*(x)) + log p(z*(x)), z* the nearest codes"
            bound = "a lower bound: one term of log p(x) = log sum_z p(z) p(x | z)"
        learning = {
            "ema": f"moving averages of the h that they stand for, decay {book.decay:g}",
            "gradient": "gradient steps on |h - e|^2",
        }[book.updates]
        training = (
            "the prior alone: networks and codes are frozen"
            if self.frozen
            else f"straight through the codes; commitment {self.commitment_cost:g}"
        )
        return "\n".join(
            [
                f"VQ-VAE  x in R^{self.num_features}, shape {self.event_shape}; one plate 'data'",
                f"  model      {self.prior.formula()}     [site 'z']",
                f"             {self.likelihood.formula()}     [site 'x']",
                f"             eta(z) of the codes e_z in R^{self.num_positions}x{book.code_dim}: "
                f"{layers_text(self.decoder)}",
                "  guide      z = z*(x), z*_s = argmin_k |h_s(x) - e_k|     [site 'z']",
                f"             h(x): {layers_text(self.encoder)}",
                f"  codes      {learning}",
                objective_text(formula, bound),
                f"  training   {training}",
                self._units(),
            ]
        )

    def _straight_through(self, e: Tensor, h: Tensor) -> Tensor:
        """The value of e with the gradient of h, and the costs' gradients with no value."""
        fixed, weight = e.detach(), self.num_features / self.latent_dim
        cost = self.commitment_cost * weight * (h - fixed).square().sum(-1)
        if self.codebook.updates == "gradient":
            cost = cost + weight * (h.detach() - e).square().sum(-1)
        pyro.factor("commitment", cost.detach() - cost)
        return fixed + (h - h.detach())

    def _vectors(self, code: Tensor) -> Tensor:
        """``(..., L)`` as ``(..., S, d)``."""
        if code.shape[-1] != self.latent_dim:
            raise DataError(
                f"code has shape {tuple(code.shape)}: its last size must be S d = "
                f"{self.num_positions} x {self.codebook.code_dim} = {self.latent_dim}"
            )
        return code.unflatten(-1, (self.num_positions, self.codebook.code_dim))

    def _freeze(self) -> None:
        self.frozen = True
        for part in self._first_stage:
            part.requires_grad_(False)
        self.train(self.training)

    @property
    def _first_stage(self) -> tuple[nn.Module, ...]:
        """All but the prior."""
        return self.encoder, self.decoder, self.codebook, self.likelihood


def _positions(encoder: Any, event_shape: tuple[int, ...], given: int | None) -> int:
    """Number S of codes for a datum: what was asked for, where the encoder can give it."""
    if given is not None:
        require_positive_integer("num_positions", given, "such as 8")
    if not isinstance(encoder, ConvolutionalGrid):
        return _POSITIONS if given is None else given
    height, width = encoder.grid(event_shape)
    if given not in (None, height * width):
        raise ValueError(
            f"num_positions got {given}: the encoder's grid of {height}x{width} has "
            f"{height * width} places; leave it out, or change the number of channels"
        )
    return height * width
