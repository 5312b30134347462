"""The variational autoencoder as a pair of Pyro programs.

Kingma & Welling (2014), "Auto-encoding variational Bayes", arXiv 1312.6114; Rezende, Mohamed
& Wierstra (2014), arXiv 1401.4082. The model is z ~ p(z), x | z ~ p(x | z) with parameters
from a decoder network; the guide is q(z | x) with parameters from an encoder network.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pyro
import torch
from torch import nn

from pyro_vae.conversion import takes_data
from pyro_vae.formulas import described
from pyro_vae.marginals import with_masks
from pyro_vae.models.condition import Condition
from pyro_vae.models.encoder_decoder import EncoderDecoder, Missing, Network
from pyro_vae.models.guides import Guide, MeanFieldNormal
from pyro_vae.models.latent_variable_model import data_plate, layers_text, objective_text
from pyro_vae.models.likelihoods import Likelihood
from pyro_vae.models.mechanisms import Mechanism
from pyro_vae.models.not_at_random import draw_cells, observe_cells, require_drawable
from pyro_vae.models.parameters import declare_parameters
from pyro_vae.models.priors import Prior, StandardNormal
from pyro_vae.networks import Architecture, FreeParameters
from pyro_vae.settings import require_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro.distributions import TorchDistribution
    from pyro.infer import ELBO
    from torch import Tensor

__all__ = ["VAE"]


class VAE(EncoderDecoder):
    """Variational autoencoder: ``model`` and ``guide`` are plain Pyro programs.

    Both have one plate ``"data"`` and one latent site ``"z"`` (a prior may add a discrete one);
    the observed site is ``"x"``. They work with ``pyro.infer.SVI``, ``Predictive``,
    ``poutine`` and MCMC as they stand. Parameters live in this module, never in Pyro's global
    param store.

    Parameters
    ----------
    event_shape
        Shape of one datum, such as ``(8, 8)``.
    latent_dim
        Length L of z.
    prior
        p(z); the standard normal unless given.
    likelihood
        p(x | z); Bernoulli unless given.
    guide
        Family of q(z | x); the mean-field normal unless given.
    encoder, decoder
        Hidden widths of an MLP, an ``Architecture``, or a module of your own: the encoder maps
        ``(..., D + C)``, the flattened datum and the condition, to
        ``(..., guide.num_params((L,)))``; the decoder maps ``(..., L + C)`` to
        ``(..., likelihood.num_params(event_shape))``, for any leading dimensions.
    condition
        What the model is conditioned on, a vector of length C: ``Labels(10)`` or
        ``Covariates(3)`` (Sohn, Lee & Yan, 2015). Nothing unless given, and C = 0.
    missing
        What the encoder is shown of data with missing cells, which the programs are told of by
        ``observed`` (Mattei & Frellsen, 2019, arXiv 1812.02633): ``"zeros"`` in the place of the
        missing cells; ``"mask"``: these, and behind them D numbers that are 1 for an observed
        cell, 0 for a missing one. ``"none"``: every cell of every datum must be there.
    mechanism
        p(m | x) of data that are missing not at random (Ipsen, Mattei & Frellsen, 2021, arXiv
        2006.12871), such as ``SelfMasking([0])``. Which cells of its columns are observed is then
        data too, a site ``"observed"``, of whole data as well; what is missing in them is a
        latent site ``"x_missing"``; and every objective and estimate that is said to be of
        log p(x) is of log p(x, m), x the observed cells and m the masks. Missingness at random
        unless given.
    activation
        Activation of the MLPs.
    seed
        Seed of the networks' first weights.

    Raises
    ------
    ValueError
        If ``latent_dim`` or a size in ``event_shape`` is not positive.
    DataError
        If a module of your own does not map these shapes.

    Examples
    --------
    >>> vae = VAE((8, 8), latent_dim=2)
    >>> vae.model(torch.zeros(5, 8, 8)).shape
    torch.Size([5, 8, 8])
    """

    _roles: ClassVar[dict[str, Any]] = {
        "prior": Prior,
        "likelihood": Likelihood,
        "guide": Guide,
        "encoder": Architecture,
        "decoder": Architecture,
        "condition": Condition,
        "mechanism": Mechanism,
    }

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_dim: int,
        *,
        prior: Prior | None = None,
        likelihood: Likelihood | None = None,
        guide: Guide | None = None,
        encoder: Network = (200, 200),
        decoder: Network = (200, 200),
        condition: Condition | None = None,
        missing: Missing = "none",
        mechanism: Mechanism | None = None,
        activation: str = "relu",
        seed: int = 0,
    ) -> None:
        super().__init__(event_shape, latent_dim, likelihood, condition, missing)
        self.prior = StandardNormal() if prior is None else prior
        self.guide_family = MeanFieldNormal() if guide is None else guide
        require_part("prior", self.prior, Prior, "StandardNormal()")
        require_part("guide", self.guide_family, Guide, "MeanFieldNormal()")
        self._take_mechanism(mechanism)
        self.prior.build(latent_dim)
        self.guide_family.build((latent_dim,))
        eta_z = self.guide_family.num_params((latent_dim,))
        plans = self._make_networks(encoder, decoder, eta_z, activation=activation, seed=seed)
        if self.prior.uses_guide and isinstance(self.encoder, FreeParameters):
            raise ValueError(
                f"prior got {self.prior.name}, which is made of the guide at points that are no "
                "data: an encoder without amortisation has nothing to say of them; take another "
                "prior, or an encoder"
            )
        self.prior.connect(self._posterior_of, self.num_features)
        self.config = self._config(
            "vae",
            plans,
            seed,
            latent_dim=latent_dim,
            prior=self.prior.to_config(),
            guide=self.guide_family.to_config(),
            condition=None if condition is None else condition.to_config(),
            **({} if mechanism is None else {"mechanism": mechanism.to_config()}),
        )

    def model(
        self,
        x: Tensor | None = None,
        condition: Tensor | None = None,
        exposure: Tensor | None = None,
        num_data: int = 1,
        observed: Tensor | None = None,
    ) -> Tensor:
        """Generative story: z ~ p(z), x | z ~ p(x | z); with a mechanism m | x ~ p(m | x).

        Parameters
        ----------
        x
            Data ``(B, *event_shape)``; None draws x.
        condition
            Labels ``(B,)`` or covariates ``(B, C)`` of a conditional model.
        exposure
            Exposure ``(B,)`` of a likelihood that takes one.
        num_data
            Size of the plate where x is None.
        observed
            Which cells of x are there, bool ``(B, *event_shape)``; all unless given. The others
            are integrated out, or drawn where there is a mechanism, and what stands in them has
            no effect.

        Returns
        -------
        Tensor
            x, observed or drawn, ``(..., B, *event_shape)``.
        """
        if x is not None:
            x = self._filled(x, observed)
            self.likelihood.check(x)
        declare_parameters(prior=self.prior, **self._of_data())
        with data_plate(x, condition, exposure, observed, num_data=num_data):
            z = self.prior.sample()
            if self.mechanism is not None:
                return observe_cells(self.observation(z, condition), self.mechanism, x, observed)
            return pyro.sample("x", self.observation(z, condition, exposure, observed), obs=x)

    def guide(
        self,
        x: Tensor | None = None,
        condition: Tensor | None = None,
        exposure: Tensor | None = None,
        num_data: int = 1,
        observed: Tensor | None = None,
    ) -> Tensor:
        """Guide q(z | x); without data there is nothing to condition on, so q is p(z).

        Where there is a mechanism it draws what is missing from p(x | z), as the model does.

        Parameters
        ----------
        x, condition, exposure, num_data, observed
            As for ``model``.

        Returns
        -------
        Tensor
            z, ``(..., B, L)``.
        """
        shared = {} if self.mechanism is None else self._of_data()
        declare_parameters(guide=self.guide_family, encoder=self.encoder, **shared)
        with data_plate(x, condition, exposure, observed, num_data=num_data):
            q = self.prior() if x is None else self._posterior(x, condition, observed)
            z = pyro.sample("z", q)
            if self.mechanism is not None and x is not None:
                draw_cells(self.observation(z, condition), self.mechanism)
            return z

    @takes_data("x", gradients=True)
    def posterior(
        self, x: Tensor, condition: Tensor | None = None, observed: Tensor | None = None
    ) -> TorchDistribution:
        """Guide distribution q(z | x): batch shape ``(B,)``, event shape ``(L,)``."""
        return self._posterior(x, condition, observed)

    def _posterior(
        self, x: Tensor, condition: Tensor | None, observed: Tensor | None
    ) -> TorchDistribution:
        return self._posterior_of(self._features(x, condition, observed))

    @takes_data("x", gradients=True)
    def code(
        self, x: Tensor, condition: Tensor | None = None, observed: Tensor | None = None
    ) -> Tensor:
        """Mean of q(z | x), ``(B, L)``."""
        return self.guide_family.code(self.encoder(self._features(x, condition, observed)))

    @takes_data("x")
    def initialise(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        exposure: Tensor | None = None,
        observed: Tensor | None = None,
    ) -> None:
        """Start from the data: the decoder's output bias at their moments, as Burda et al. (2016).

        A prior made of pseudo-data starts at data; a table of free parameters learns its rows;
        a mechanism starts at the shares of cells that are observed.
        A network of your own is left as it is, unless it has a method ``set_output``.
        """
        super().initialise(x, condition, exposure, observed)
        if self.mechanism is not None:
            columns = list(self.mechanism.chosen)
            there = torch.ones_like(x, dtype=torch.bool) if observed is None else observed
            self.mechanism.initialise(x[:, columns], there[:, columns])
        features = self._features(x, condition, observed)
        if isinstance(self.encoder, FreeParameters):
            self.encoder.enrol(features)
        with torch.no_grad():
            self.prior.initialise(features)

    @takes_data("x")
    def unamortised(
        self, x: Tensor, condition: Tensor | None = None, observed: Tensor | None = None
    ) -> Self:
        """The same model with free guide parameters for each of these data, no encoder.

        Prior, likelihood and decoder are shared, not copied. The parameters start at what the
        encoder gives, or at zero where it has no row for a datum; ``inference.training.fit_guide``
        optimises them with the model held fixed.

        Parameters
        ----------
        x, condition, observed
            Data ``(n, *event_shape)``, what they are conditioned on, and which cells are there.
        """
        self.likelihood.check(self._filled(x, observed))
        twin = copy.copy(self)
        size = self.guide_family.num_params((self.latent_dim,))
        twin._modules = {**self._modules, "encoder": FreeParameters(1, size)}
        twin.config = None
        # Equal data share their parameters.
        features = twin._features(x, condition, observed).unique(dim=0)
        start = None
        if not isinstance(self.encoder, FreeParameters):
            with torch.no_grad():
                start = self.encoder(self._without_mask(features))
        table = FreeParameters(len(features), size, start=start).to(features)
        table.enrol(features)
        twin._modules["encoder"] = table
        return twin

    @property
    def measure(self) -> str:
        """Base measure of log p(x), or of log p(x, m): unequal ones are never ranked together."""
        if self.mechanism is None:
            return super().measure
        return with_masks(super().measure, self.mechanism.chosen)

    @property
    def amortised(self) -> bool:
        """Whether an encoder serves data that it was not trained on."""
        return not isinstance(self.encoder, FreeParameters)

    @property
    def local_parameters(self) -> list[nn.Parameter]:
        """Guide parameters of each datum, of an unamortised guide; none otherwise."""
        return [] if self.amortised else list(self.encoder.parameters())

    def default_objective(self) -> ELBO:
        """``Trace_ELBO``; ``TraceEnum_ELBO`` where the prior has a discrete site to sum out."""
        return self.prior.default_objective()

    def description(self, objective: ELBO | None = None) -> str:
        """Text of ``describe``."""
        goal = described(objective or self.default_objective()).formula
        features = math.prod(self.event_shape)
        given = "" if self.condition is None else ", c"
        shown = {"none": "x", "zeros": "x o m", "mask": "x o m, m"}[self.missing]
        lines = [
            f"VAE  x in R^{features}, shape {self.event_shape}; one plate 'data'",
            f"  model      {self.prior.formula()}                 [site 'z']",
            f"             {self.likelihood.formula()}     [site 'x']",
            f"             eta(z{given}): {layers_text(self.decoder)}",
            *self._mechanism_lines(),
            f"  guide      {self.guide_family.formula()}     [site 'z']",
            f"             eta({shown}{given}): {layers_text(self.encoder)}",
        ]
        lines.extend(self._missing_lines())
        if self.condition is not None:
            lines.append(f"  condition  c: {self.condition.source}, {self.condition.size} numbers")
        of = "log p(x)" if self.mechanism is None else "log p(x, m)"
        return "\n".join([*lines, objective_text(goal.formula, goal.bound), self._units(of)])

    def _missing_lines(self) -> list[str]:
        """The lines of ``description`` on missing cells."""
        if self.missing == "none":
            return []
        scored = "  missing    m_d = 1 where x_d is observed; p(x | z) is of those alone"
        if self.mechanism is None:
            return [scored]
        return [
            f"{scored};",
            "             x_d with a term for m_d is latent where m_d = 0, drawn from p(x | z) in",
            "             model and guide     [site 'x_missing']; m is data, so that log p(x)",
            "             stands for log p(x, m)",
        ]

    def _mechanism_lines(self) -> list[str]:
        """The line of ``description`` on p(m | x), where there is one."""
        if self.mechanism is None:
            return []
        columns = ", ".join(map(str, self.mechanism.chosen))
        return [
            f"             {self.mechanism.formula()},  d in {{{columns}}}     [site 'observed']"
        ]

    def _take_mechanism(self, mechanism: Mechanism | None) -> None:
        self.mechanism = mechanism
        if mechanism is not None:
            require_part("mechanism", mechanism, Mechanism, "SelfMasking([0])")
            mechanism.build(self.event_shape)
            require_drawable(self.likelihood, mechanism, self.missing)

    def _of_data(self) -> dict[str, nn.Module]:
        """Modules of p(x | z), and of p(m | x) where there is one."""
        modules = {"likelihood": self.likelihood, "decoder": self.decoder}
        return modules if self.mechanism is None else {**modules, "mechanism": self.mechanism}

    def _without_mask(self, features: Tensor) -> Tensor:
        """A table's features as the encoder gets them, which may not be shown the mask."""
        if self.missing != "zeros":
            return features
        size = math.prod(self.event_shape)
        return torch.cat([features[..., :size], features[..., 2 * size :]], dim=-1)

    def _posterior_of(self, features: Tensor) -> TorchDistribution:
        return self.guide_family(self.encoder(features))
