"""From what a person types to a model: parts by name and settings, checked against the data."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyro_vae.errors import SettingError
from pyro_vae.inference.objectives import objective_named
from pyro_vae.models import (
    VAE,
    Covariates,
    HierarchicalVAE,
    Labels,
    LinearVAE,
    MixtureModel,
)
from pyro_vae.models.guides import Guide
from pyro_vae.models.likelihoods import Likelihood, Normal
from pyro_vae.models.priors import Prior
from pyro_vae.networks import Architecture, Unamortised
from pyro_vae.spelling import parse_call

if TYPE_CHECKING:
    from pyro_vae.data import Dataset
    from pyro_vae.models import Condition, LatentVariableModel

__all__ = ["Family", "Given", "Recipe"]

_DEFAULT_LIKELIHOODS = {
    "binary": "bernoulli",
    "counts": "binomial",
    "real": "normal",
    "unit-interval": "normal",
}


class Family(enum.StrEnum):
    """Models that can be fitted."""

    vae = "vae"
    hierarchical_vae = "hierarchical-vae"
    linear_vae = "linear-vae"
    mixture = "mixture"


class Given(enum.StrEnum):
    """What a conditional VAE is given."""

    nothing = "nothing"
    labels = "labels"
    covariates = "covariates"


@dataclass(frozen=True)
class Recipe:
    """A model in the words of the command line.

    Attributes
    ----------
    likelihood, prior, guide
        Names, with settings in brackets: ``student-t(df=4)``. No likelihood means the one for
        the data.
    scale
        Sigma of the normal likelihood, or None.
    network
        Name of an architecture with its settings; ``hidden`` and ``activation`` are settings
        that every architecture has.
    """

    family: Family = Family.vae
    likelihood: str | None = None
    scale: str | None = None
    prior: str = "standard-normal"
    guide: str = "mean-field-normal"
    latent_dim: int = 10
    network: str = "dense"
    hidden: tuple[int, ...] = (200, 200)
    activation: str = "relu"
    condition: Given = Given.nothing
    unamortised: bool = False
    components: int = 20
    objective: str | None = None
    seed: int = 0

    def build(self, data: Dataset) -> LatentVariableModel:
        """Make the model for a data set.

        Raises
        ------
        SettingError
            If parts do not go together, or the likelihood cannot be put on the data.
        """
        likelihood = self.build_likelihood(data)
        if self.objective is not None:
            objective_named(self.objective)
        if self.family is Family.mixture:
            return MixtureModel(self.components, likelihood, data.event_shape)
        guide = Guide.parse(self.guide)
        if self.family is Family.linear_vae:
            return self._linear(likelihood, guide, data)
        prior = Prior.parse(self.prior)
        if self.objective is not None:
            objective_named(self.objective, enumerate_discrete=prior.enumerated)
        if self.family is Family.hierarchical_vae:
            return HierarchicalVAE(
                data.event_shape,
                (2 * self.latent_dim, self.latent_dim),
                prior=prior,
                likelihood=likelihood,
                guide=guide,
                hidden=(self.hidden, tuple(max(1, width // 2) for width in self.hidden)),
                activation=self.activation,
                seed=self.seed,
            )
        return VAE(
            data.event_shape,
            self.latent_dim,
            prior=prior,
            likelihood=likelihood,
            guide=guide,
            encoder=Unamortised(len(data.train)) if self.unamortised else self._network(1),
            decoder=self._network(-1),
            condition=self._condition(data),
            seed=self.seed,
        )

    def build_likelihood(self, data: Dataset) -> Likelihood:
        """Likelihood with the settings that the data decide; refused where it cannot be put."""
        text = self.likelihood or _DEFAULT_LIKELIHOODS[data.kind]
        if self.scale is not None:
            name, settings = parse_call(text)
            if settings:
                raise SettingError(
                    f"--scale {self.scale} beside --likelihood {text!r}: write all its settings "
                    "in brackets, as in 'student-t(df=4, scale=latent)'"
                )
            text = f"{name}(scale={self.scale})"
        likelihood = Likelihood.parse(text, lambda part: part.settings_for(data.maximum))
        if data.kind not in likelihood.kinds:
            raise SettingError(
                f"the {likelihood.name} likelihood takes {likelihood.support_text()}, and "
                f"{data.name} has {data.kind} values with binarisation={data.binarisation!r}. "
                f"{likelihood.remedy}"
            )
        return likelihood

    def _linear(self, likelihood: Likelihood, guide: Guide, data: Dataset) -> LinearVAE:
        if not isinstance(likelihood, Normal):
            raise SettingError(
                f"--model linear-vae has a normal likelihood, not {likelihood.name}: its log p(x) "
                "is exact for no other"
            )
        if self.prior != "standard-normal":
            raise SettingError("--model linear-vae has the standard-normal prior")
        return LinearVAE(
            data.event_shape,
            self.latent_dim,
            scale=likelihood.scale,
            min_scale=likelihood.min_scale,
            guide=guide,
            seed=self.seed,
        )

    def _network(self, step: int) -> Architecture:
        """Architecture with its lists of layers in order (1) or mirrored (-1)."""
        name, settings = parse_call(self.network)
        settings = {"hidden": list(self.hidden), "activation": self.activation, **settings}
        return Architecture.from_config(
            {
                "name": name,
                **{k: v[::step] if isinstance(v, list) else v for k, v in settings.items()},
            }
        )

    def _condition(self, data: Dataset) -> Condition | None:
        if self.condition is Given.nothing:
            return None
        size = data.inputs("train", (str(self.condition),))["condition"].shape[1]
        return Labels(size) if self.condition is Given.labels else Covariates(size)
