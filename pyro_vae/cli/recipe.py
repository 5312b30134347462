"""From what a person types to a model: parts by name and settings, checked against the data."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

import typer

from pyro_vae.cli.options import Activation, Hidden, LatentDim, widths
from pyro_vae.errors import SettingError, UnknownNameError
from pyro_vae.inference.training.objectives import OBJECTIVES, objective_named
from pyro_vae.models import (
    PCA,
    VAE,
    VQVAE,
    Autoencoder,
    Covariates,
    DenoisingAutoencoder,
    HierarchicalVAE,
    Labels,
    LinearVAE,
    MixtureModel,
    PoorMansVAE,
)
from pyro_vae.models.autoencoders import Corruption
from pyro_vae.models.code_priors import CodePrior
from pyro_vae.models.guides import Guide
from pyro_vae.models.likelihoods import Likelihood, Normal, PerColumn
from pyro_vae.models.mechanisms import Mechanism
from pyro_vae.models.priors import Prior
from pyro_vae.networks import Architecture, ConvolutionalGrid, Unamortised
from pyro_vae.spelling import parse_call, split_names

if TYPE_CHECKING:
    from typing import Unpack

    from pyro_vae.data import Dataset, Schema
    from pyro_vae.models import Condition, LatentVariableModel
    from pyro_vae.models.autoencoders.autoencoder import NetworkSettings

__all__ = ["FAMILIES", "Recipe"]

#: Models that can be fitted, and which of the options on parts each one uses.
FAMILIES: dict[str, tuple[str, ...]] = {
    "vae": ("prior", "guide", "condition", "unamortised", "missing", "mechanism"),
    "hierarchical-vae": ("prior", "guide"),
    "linear-vae": ("guide", "missing"),
    "mixture": ("missing",),
    "pca": (),
    "autoencoder": (),
    "denoising-autoencoder": (),
    "poor-mans-vae": (),
    "vq-vae": (),
}

#: Models without a prior program, which an objective made of log-weights would need.
_OWN_LOSS = ("autoencoder", "denoising-autoencoder", "poor-mans-vae")

#: Models whose likelihood is normal.
_NORMAL = ("pca", "linear-vae")

_DEFAULT_LIKELIHOODS = {
    "binary": "bernoulli",
    "counts": "binomial",
    "real": "normal",
    "unit-interval": "normal",
}


class _PCASettings(TypedDict, total=False):
    """Settings of ``pca``, in brackets."""

    min_scale: float


class _Penalty(TypedDict, total=False):
    """Settings of ``poor-mans-vae``, in brackets."""

    penalty: Literal["norm", "half-squared-norm"]
    weight: float


class _Codes(TypedDict, total=False):
    """Settings of ``vq-vae``, in brackets, beside its prior."""

    num_codes: int
    code_dim: int
    num_positions: int | None
    commitment_cost: float
    updates: str
    decay: float
    revive_below: float


#: What a conditional VAE may be given beside columns of a table.
_GIVEN = ("nothing", "labels", "covariates")


@dataclass(frozen=True)
class Recipe:
    """A model in the words of the command line: each field is an option of ``fit``.

    Raises
    ------
    typer.BadParameter
        If ``hidden`` is not a list of numbers.
    """

    model: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(FAMILIES)}; settings of its own in brackets, as in "
            "'denoising-autoencoder(corruption=masking-noise)'."
        ),
    ] = "vae"
    likelihood: Annotated[
        str | None,
        typer.Option(
            help=f"p(x|z): {', '.join(Likelihood.registry)}; settings in brackets, as in "
            "'student-t(df=4)'. Default: the one for the data."
        ),
    ] = None
    scale: Annotated[
        str | None,
        typer.Option(
            help="Sigma of a likelihood that has one: a number, shared, per-feature, or latent "
            "(a function of z)."
        ),
    ] = None
    prior: Annotated[
        str, typer.Option(help=f"p(z): {', '.join(Prior.registry)}; settings in brackets.")
    ] = "standard-normal"
    guide: Annotated[
        str, typer.Option(help=f"q(z|x): {', '.join(Guide.registry)}; settings in brackets.")
    ] = "mean-field-normal"
    objective: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(OBJECTIVES)}, with particles behind, as in iwae-50."),
    ] = None
    latent_dim: LatentDim = 10
    network: Annotated[
        str,
        typer.Option(
            help="Networks: dense, convolutional; settings in brackets, as in "
            "'convolutional(channels=[16,32])'."
        ),
    ] = "dense"
    hidden: Hidden = "200,200"
    activation: Activation = "relu"
    condition: Annotated[
        str,
        typer.Option(
            help="What a conditional VAE is given beside x: nothing, labels, covariates, or "
            "columns of a table with commas between."
        ),
    ] = "nothing"
    unamortised: Annotated[
        bool, typer.Option("--unamortised", help="Free guide parameters per datum, no encoder.")
    ] = False
    missing: Annotated[
        str | None,
        typer.Option(
            help="What the encoder is shown of missing cells: zeros, or zeros and the mask; none "
            "in a model of whole data. A mixture has no encoder: marginal. Default: mask, or "
            "marginal, where the data have such cells."
        ),
    ] = None
    mechanism: Annotated[
        str | None,
        typer.Option(
            help=f"Why cells are missing, if not at random: {', '.join(Mechanism.registry)}, as "
            "in 'self-masking(columns=[age], slope=-1)', log-odds of being there per standard "
            "deviation."
        ),
    ] = None
    components: Annotated[int, typer.Option(help="Components of a mixture.")] = 20

    def __post_init__(self) -> None:
        widths(self.hidden)  # refused here, whatever the model makes of them

    @property
    def condition_columns(self) -> list[str]:
        """Columns of a table that the model is given rather than models."""
        return [] if self.condition in _GIVEN else split_names(self.condition)

    def build(self, data: Dataset, *, seed: int) -> LatentVariableModel:
        """Make the model for a data set.

        Parameters
        ----------
        data
            What it is to be fitted to.
        seed
            Seed of its first weights.

        Raises
        ------
        SettingError
            If parts do not go together, or the likelihood cannot be put on the data.
        """
        family, settings = parse_call(self.model)
        if family not in FAMILIES:
            raise UnknownNameError("model", family, FAMILIES)
        self._refuse_parts(family)
        self._refuse_holes(family, data)
        likelihood = self.build_likelihood(data, family)
        if self.objective is not None:
            enumerated = "prior" in FAMILIES[family] and Prior.parse(self.prior).enumerated
            objective_named(self.objective, enumerate_discrete=enumerated)
            if family in _OWN_LOSS and parse_call(self.objective)[0].split("-")[0] != "elbo":
                raise SettingError(
                    f"--objective {self.objective} beside --model {family}, whose loss is its own "
                    "and no bound from a prior: leave --objective out, or take --model vae"
                )
        build = getattr(self, f"_{family.replace('-', '_')}")
        try:
            model: LatentVariableModel = build(data, likelihood, seed=seed, **settings)
        except TypeError as error:
            # Python's message begins with the name of a function of ours.
            reason = re.sub(r"^[\w.]+\(\) ", "it ", str(error))
            raise SettingError(f"--model {self.model!r} cannot be made: {reason}") from error
        return model

    def _refuse_parts(self, family: str) -> None:
        """Refuse a prior, a guide or a condition that the model would not use."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for part in ("prior", "guide", "condition", "unamortised", "missing", "mechanism"):
            if part not in FAMILIES[family] and getattr(self, part) != defaults[part]:
                raise SettingError(
                    f"--{part} {getattr(self, part)} beside --model {family}, which has none of "
                    f"its own choice: leave --{part} out, or take --model vae"
                )

    def _refuse_holes(self, family: str, data: Dataset) -> None:
        """Refuse data with missing cells for a model that cannot have such."""
        if data.observed is None:
            return
        others = [name for name, parts in FAMILIES.items() if "missing" in parts]
        if family not in others or self.missing == "none":
            said = "--missing none" if family in others else f"--model {family}"
            remedy = "leave --missing out" if family in others else f"take {', '.join(others)}"
            raise SettingError(
                f"{said} is for whole data, and {data.name} has {data.num_missing} missing cells: "
                f"{remedy}, or leave out rows with such cells by --drop-empty"
            )

    def _missing(self, data: Dataset, default: Any) -> Any:
        """What a model is to do about missing cells."""
        whole = data.observed is None and self.mechanism is None
        return self.missing or ("none" if whole else default)

    def _vae(self, data: Dataset, likelihood: Likelihood, seed: int) -> VAE:
        return VAE(
            data.event_shape,
            self.latent_dim,
            prior=Prior.parse(self.prior),
            likelihood=likelihood,
            guide=Guide.parse(self.guide),
            encoder=Unamortised(len(data.train)) if self.unamortised else self._network(1),
            decoder=self._network(-1),
            condition=self._condition(data),
            missing=self._missing(data, "mask"),
            mechanism=self._mechanism(data),
            seed=seed,
        )

    def _hierarchical_vae(
        self, data: Dataset, likelihood: Likelihood, seed: int
    ) -> HierarchicalVAE:
        hidden = widths(self.hidden)
        return HierarchicalVAE(
            data.event_shape,
            (2 * self.latent_dim, self.latent_dim),
            prior=Prior.parse(self.prior),
            likelihood=likelihood,
            guide=Guide.parse(self.guide),
            hidden=(hidden, tuple(max(1, width // 2) for width in hidden)),
            activation=self.activation,
            seed=seed,
        )

    def _linear_vae(self, data: Dataset, likelihood: Likelihood, seed: int) -> LinearVAE:
        if not isinstance(likelihood, Normal):
            raise SettingError(
                f"--model linear-vae has a normal likelihood, not {likelihood.name}: its log p(x) "
                "is exact for no other; of a table, give the columns of numbers alone"
            )
        return LinearVAE(
            data.event_shape,
            self.latent_dim,
            scale=likelihood.scale,
            min_scale=likelihood.min_scale,
            guide=Guide.parse(self.guide),
            missing=self._missing(data, "mask"),
            seed=seed,
        )

    def _mixture(self, data: Dataset, likelihood: Likelihood, seed: int) -> MixtureModel:
        # It starts from clusters of the data, not from a seed.
        missing = self._missing(data, "marginal")
        return MixtureModel(self.components, likelihood, data.event_shape, missing=missing)

    def _pca(
        self, data: Dataset, likelihood: Likelihood, seed: int, **settings: Unpack[_PCASettings]
    ) -> PCA:
        if not isinstance(likelihood, Normal):
            raise SettingError(
                f"--model pca has a normal likelihood, not {likelihood.name}: give grey levels as "
                "--values unit-interval or dequantised, and of a table the columns of numbers "
                "alone, as in --columns 'site=drop'"
            )
        return PCA(data.event_shape, self.latent_dim, seed=seed, **settings)

    def _autoencoder(self, data: Dataset, likelihood: Likelihood, seed: int) -> Autoencoder:
        return Autoencoder(
            data.event_shape, self.latent_dim, likelihood=likelihood, **self._networks(seed)
        )

    def _denoising_autoencoder(
        self, data: Dataset, likelihood: Likelihood, seed: int, corruption: str = "gaussian-noise"
    ) -> Autoencoder:
        return DenoisingAutoencoder(
            data.event_shape,
            self.latent_dim,
            likelihood=likelihood,
            corruption=Corruption.parse(corruption),
            **self._networks(seed),
        )

    def _poor_mans_vae(
        self, data: Dataset, likelihood: Likelihood, seed: int, **penalty: Unpack[_Penalty]
    ) -> Autoencoder:
        return PoorMansVAE(
            data.event_shape,
            self.latent_dim,
            likelihood=likelihood,
            **penalty,
            **self._networks(seed),
        )

    def _vq_vae(
        self,
        data: Dataset,
        likelihood: Likelihood,
        seed: int,
        prior: str = "uniform-codes",
        frozen: bool = False,
        **codes: Unpack[_Codes],
    ) -> VQVAE:
        if frozen:
            raise SettingError(
                f"--model {self.model!r} is frozen before it has learned anything: fit it without "
                "frozen, then learn a prior over its codes with `pyro-vae prior`"
            )
        networks = self._networks(seed)
        # z has one code for each of its entries; a grid of places has its own number of them.
        grid = isinstance(networks["encoder"], ConvolutionalGrid)
        codes.setdefault("num_positions", None if grid else self.latent_dim)
        return VQVAE(
            data.event_shape,
            **codes,
            prior=CodePrior.parse(prior),
            likelihood=likelihood,
            **networks,
        )

    def build_likelihood(self, data: Dataset, family: str = "vae") -> Likelihood:
        """Likelihood with the settings that the data decide; refused where it cannot be put."""
        normal = family in _NORMAL and data.kind == "real"
        if self.likelihood is None and data.schema is not None and not normal:
            return self._by_schema(data.schema)
        text = self.likelihood or _default_likelihood(data)
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

    def _by_schema(self, schema: Schema) -> Likelihood:
        """The likelihood of each column of a table."""
        if self.scale is not None:
            raise SettingError(
                f"--scale {self.scale} is for one likelihood, and the columns of a table have one "
                "each: say it of a column, as in --columns 'age=normal(scale=latent)'"
            )
        return PerColumn(schema.likelihoods)

    def _networks(self, seed: int) -> NetworkSettings:
        """Both networks, and the seed of their first weights."""
        return {"encoder": self._network(1), "decoder": self._network(-1), "seed": seed}

    def _network(self, step: int) -> Architecture:
        """Architecture with its lists of layers in order (1) or mirrored (-1)."""
        name, settings = parse_call(self.network)
        settings = {"hidden": list(widths(self.hidden)), "activation": self.activation, **settings}
        return Architecture.from_config(
            {
                "name": name,
                **{k: v[::step] if isinstance(v, list) else v for k, v in settings.items()},
            }
        )

    def _mechanism(self, data: Dataset) -> Mechanism | None:
        """The mechanism, its columns by number."""
        if self.mechanism is None:
            return None
        made, names = Mechanism.parse(self.mechanism), list(data.columns or ())
        for name in made.columns or ():
            if isinstance(name, str) and name not in names:
                known = ", ".join(names) or f"numbers up to {data.num_features - 1}"
                raise SettingError(
                    f"--mechanism names the column {name!r}, and {data.name} has {known}: correct "
                    "the name"
                )
        if made.columns is None:
            return made
        numbers = [names.index(c) if isinstance(c, str) else c for c in made.columns]
        return made.with_params(columns=numbers)

    def _condition(self, data: Dataset) -> Condition | None:
        if self.condition == "nothing":
            return None
        source = self.condition if self.condition in _GIVEN else "covariates"
        size = data.inputs("train", (source,))["condition"].shape[1]
        return Labels(size) if source == "labels" else Covariates(size)


def _default_likelihood(data: Dataset) -> str:
    """The likelihood for data of one kind."""
    if data.kind == "counts" and not data.bounded:
        return "negative-binomial"  # nothing says what the largest count could be
    return _DEFAULT_LIKELIHOODS[data.kind]
