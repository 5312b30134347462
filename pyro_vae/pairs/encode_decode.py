"""A pair of an encoder, a decoder and a prior, each a function that makes a distribution."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from pyro_vae.errors import ProgramError, UnknownNameError
from pyro_vae.pairs.form import Form
from pyro_vae.pairs.given import Given
from pyro_vae.pairs.normalisation import cells_normalised, of_library
from pyro_vae.pairs.rows import (
    innermost,
    require_same_again,
    require_same_alone,
    require_support,
    spread,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FAMILIES", "EncodeDecode"]

#: What an encoder's tensors are, by name: the distribution that they make.
FAMILIES: dict[str, Callable[[Tensor, Tensor], Distribution]] = {
    "normal": lambda mean, scale: Normal(mean, scale),
    "normal-variance": lambda mean, variance: Normal(mean, variance.sqrt()),
    "normal-log-variance": lambda mean, log_variance: Normal(mean, (0.5 * log_variance).exp()),
}


@dataclass
class EncodeDecode(Form):
    """Distributions that functions make.

    Attributes
    ----------
    encode
        From x to a distribution of z for each row, or to tensors for ``family``.
    decode
        From z, ``(N, *z_shape)``, to a distribution of x for each row.
    given_prior
        A distribution of one z, or a function that makes one.
    family
        What makes a distribution of the encoder's tensors: a function, or one of ``FAMILIES``.
    measure
        Base measure; that of the decoder's support unless given.
    """

    encode: Callable[..., Any]
    decode: Callable[..., Any]
    given_prior: Any
    family: str | Callable[..., Any] | None = None
    measure: str = ""
    event_shape: tuple[int, ...] = field(default=(), init=False)
    z_shape: tuple[int, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        if isinstance(self.family, str) and self.family not in FAMILIES:
            raise UnknownNameError("family", self.family, FAMILIES)
        self.z_shape = tuple(self.prior().event_shape)

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """The functions, and whose methods they are."""
        own = self.given_prior if callable(self.given_prior) else None
        return tuple(f for f in (self.encode, self.decode, own, self.family) if callable(f))

    def prior(self) -> Given:
        """Distribution p(z), made anew where a function makes it, for its gradient."""
        made = self.given_prior
        if not isinstance(made, Distribution) and callable(made):
            made = made()
        if not isinstance(made, Distribution):
            raise ProgramError(
                f"prior got {type(made).__name__}: give a distribution of one z, such as "
                "torch.distributions.Normal(torch.zeros(20), 1.0), or a function that makes one"
            )
        return Given(made)

    def posterior(self, x: Tensor, beside: dict[str, Tensor]) -> Given:
        """Distribution that the encoder makes of these rows."""
        made = self.encode(x, **beside)
        if not isinstance(made, Distribution):
            made = self._of_family(made)
        return self._rows_of(made, "encode", (len(x),))

    def _of_family(self, made: Any) -> Distribution:
        parts = made if isinstance(made, tuple | list) else (made,)
        if self.family is None:
            what = ", ".join(type(part).__name__ for part in parts)
            raise ProgramError(
                f"encode gave {what}, and no family says what distribution that is: give "
                f"family=, one of {', '.join(FAMILIES)} for (mean, spread), or a function of "
                "these tensors; or have encode give a distribution"
            )
        family = FAMILIES[self.family] if isinstance(self.family, str) else self.family
        return family(*parts)

    def likelihood(self, z: Tensor, beside: dict[str, Tensor]) -> Given:
        """Distribution that the decoder makes, of as many rows as there are z."""
        rows = z.shape[: z.dim() - len(self.z_shape)]
        flat = z.reshape(rows.numel(), *self.z_shape)
        laid_out = {n: spread(part, rows, part.dim() - 1) for n, part in beside.items()}
        made = self.decode(flat, **laid_out)
        if not isinstance(made, Distribution):
            raise ProgramError(
                f"decode gave {type(made).__name__}: it must give the distribution of x, such as "
                "torch.distributions.Bernoulli(logits=...) or Normal(mean, sigma); a "
                "reconstruction alone, or an error of one, is no density of x"
            )
        return self._rows_of(made, "decode", rows)

    def _rows_of(self, made: Distribution, name: str, rows: tuple[int, ...]) -> Given:
        shape = made.batch_shape + made.event_shape
        count = torch.Size(rows).numel()
        if not made.batch_shape or made.batch_shape[0] != count:
            raise ProgramError(
                f"{name} gave a distribution of batch shape {tuple(made.batch_shape)} and event "
                f"shape {tuple(made.event_shape)} for {count} rows: the first dimension of its "
                "batch shape must be the rows"
            )
        wanted = self.z_shape if name == "encode" else self.event_shape
        if tuple(shape[1:]) != tuple(wanted):
            of_what = "z, by the prior," if name == "encode" else "x"
            raise ProgramError(
                f"{name} gave a distribution of {tuple(shape[1:])} in each row, and {of_what} has "
                f"{tuple(wanted)}: make them equal, for example by a reshape"
            )
        return Given(made, rows)

    @torch.no_grad()
    def check(self, x: Tensor, beside: dict[str, Tensor]) -> list[str]:
        """Look at shapes, determinism, independence of rows, supports, normalisation."""
        self.event_shape = tuple(x.shape[1:])
        two, beside_two = x[:2], {name: part[:2] for name, part in beside.items()}
        posterior = self.posterior(two, beside_two)
        z = posterior.sample()

        def log_q(rows: slice) -> Tensor:
            given = {name: part[rows] for name, part in beside_two.items()}
            return self.posterior(two[rows], given).log_prob(z[rows])

        def log_p(rows: slice) -> Tensor:
            given = {name: part[rows] for name, part in beside_two.items()}
            return self.likelihood(z[rows], given).log_prob(two[rows])

        _require_prior_reaches(self.prior(), z)
        likelihood = self.likelihood(z, beside_two)
        # First, since a distribution that looks at its data raises an error of its own.
        require_support(likelihood.whole, x)
        for name, of_rows in (("encode", log_q), ("decode", log_p)):
            require_same_again(name, of_rows)
            require_same_alone(name, of_rows)
        if not self.measure:
            self.measure = _measure_of(likelihood)
        seen = [
            f"q(z | x): {_named(posterior)}, {_shaped(self.z_shape)}",
            f"p(x | z): {_named(likelihood)}, {_shaped(self.event_shape)}, {self.measure} measure",
            f"p(z): {_named(self.prior())}",
            "encode and decode give the same at a second call, and for a row alone",
        ]
        if of_library(likelihood.whole):
            return [*seen, "p(x | z) is a distribution of PyTorch or Pyro: taken as normalised"]
        return [*seen, cells_normalised(likelihood, two)]


def _require_prior_reaches(prior: Given, z: Tensor) -> None:
    """Refuse a guide that draws where the prior has no density."""
    inside = prior.support.check(z)
    if not bool(inside.all()):
        raise ProgramError(
            "encode gives a distribution that draws z outside the support of the prior "
            f"({prior.whole.support}), where p(z) = 0: give both the same support"
        )


def _measure_of(likelihood: Given) -> str:
    """Base measure by the support: counting where it is discrete."""
    return "counting" if innermost(likelihood.whole.support).is_discrete else "lebesgue"


def _named(given: Given) -> str:
    return type(given.whole).__name__


def _shaped(shape: tuple[int, ...]) -> str:
    return "one number" if not shape else "x".join(map(str, shape)) + " numbers"
