"""A pair of log p(x, z), log q(z | x) and draws of q, each a function of arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch.distributions import Distribution, constraints

from pyro_vae.errors import ProgramError
from pyro_vae.pairs.form import Form
from pyro_vae.pairs.given import Given
from pyro_vae.pairs.normalisation import function_normalised
from pyro_vae.pairs.rows import (
    CheckedSupport,
    innermost,
    require_same_again,
    require_same_alone,
    spread,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from pyro_vae.pairs.bridges import Bridge

__all__ = ["ByDensities"]


@dataclass
class ByDensities(Form):
    """Distributions of which no more is known than densities and draws.

    Attributes
    ----------
    log_joint, log_guide, sample, simulate
        Functions of arrays; see ``Pair.from_functions``.
    given_prior
        A distribution of one z; None where log p(x, z) is not taken apart.
    support
        Support of a cell of x.
    measure
        Base measure.
    bridge
        How they are called.
    log_joint_gradient, log_guide_gradient
        Gradients in z, where the library has none.
    """

    log_joint: Callable[..., Any]
    log_guide: Callable[..., Any]
    sample: Callable[..., Any]
    simulate: Callable[..., Any] | None
    given_prior: Distribution | None
    support: Any
    measure: str
    bridge: Bridge
    log_joint_gradient: Callable[..., Any] | None = None
    log_guide_gradient: Callable[..., Any] | None = None
    event_shape: tuple[int, ...] = field(default=(), init=False)
    z_shape: tuple[int, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        valued, drawing = self.bridge.valued, self.bridge.drawing
        self._densities = {
            "log_joint": valued(self.log_joint, self.log_joint_gradient, "log_joint"),
            "log_guide": valued(self.log_guide, self.log_guide_gradient, "log_guide"),
        }
        self._sample = drawing(self.sample)
        self._simulate = None if self.simulate is None else drawing(self.simulate)
        prior = self.given_prior
        if prior is not None and not isinstance(prior, Distribution):
            raise ProgramError(
                f"prior got {type(prior).__name__}: beside log_joint it must be a distribution "
                "of one z, by which log p(x, z) is taken apart"
            )

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """The functions, and whose methods they are."""
        given = (self.log_joint, self.log_guide, self.sample, self.simulate)
        return tuple(function for function in given if function is not None)

    def prior(self) -> TorchDistribution:
        """Distribution p(z); without one, a site of log-density zero that cannot be drawn."""
        if self.given_prior is None:
            return _Untold((), self.z_shape)
        return Given(self.given_prior)

    def posterior(self, x: Tensor, beside: dict[str, Tensor]) -> TorchDistribution:
        """Draws and log q(z | x) of these rows."""
        return _Posterior(self, x, beside)

    def likelihood(self, z: Tensor, beside: dict[str, Tensor]) -> TorchDistribution:
        """Log p(x, z) - log p(z) as a distribution of x."""
        return _Likelihood(self, z, beside)

    def of_rows(self, name: str, x: Tensor, z: Tensor, beside: dict[str, Tensor]) -> Tensor:
        """``log_joint`` or ``log_guide`` at z ``(..., B, *z_shape)`` and x that goes with it."""
        rows = z.shape[: z.dim() - len(self.z_shape)]
        named = {name: spread(part, rows, part.dim() - 1) for name, part in beside.items()}
        flat = z.reshape(rows.numel(), *self.z_shape)
        given = spread(x, rows, len(self.event_shape))
        found: Tensor = self._densities[name](given, flat, named)
        if found.shape != (rows.numel(),):
            raise ProgramError(
                f"{name} gave shape {tuple(found.shape)} for {rows.numel()} rows: it must "
                "give one number for each, the sum over all that belongs to a row"
            )
        return found.reshape(rows)

    @torch.no_grad()
    def check(self, x: Tensor, beside: dict[str, Tensor]) -> list[str]:
        """Look at shapes, determinism, independence of rows, support, normalisation."""
        self.event_shape = tuple(x.shape[1:])
        two, beside_two = x[:2], {name: part[:2] for name, part in beside.items()}
        z = self._drawn(two, 3, beside_two)
        self.z_shape = tuple(z.shape[2:])
        prior = self.prior()
        if tuple(prior.event_shape) != self.z_shape:
            raise ProgramError(
                f"sample gave z of shape {self.z_shape}, and prior has {tuple(prior.event_shape)}"
                ": make them equal"
            )
        z = z[0]
        for name in ("log_guide", "log_joint"):

            def of_rows(rows: slice, name: str = name) -> Tensor:
                given = {key: part[rows] for key, part in beside_two.items()}
                return self.of_rows(name, two[rows], z[rows], given)

            require_same_again(name, of_rows)
            require_same_alone(name, of_rows)
        fixed = CheckedSupport.of(self.support)
        if fixed is not None:
            fixed.check(x)
        seen = [
            f"log q(z | x) and log p(x, z) are functions of z of shape {self.z_shape} and x of "
            f"{self.event_shape}; {self.measure} measure",
            "log_guide and log_joint give the same at a second call, and for a row alone",
        ]
        if self.given_prior is None:
            return [
                *seen,
                "without prior= log p(x, z) is not taken apart: whether p(x | z) adds up to one "
                "was not checked",
            ]
        return [*seen, self._normalised(two, z, beside_two)]

    def _normalised(self, x: Tensor, z: Tensor, beside: dict[str, Tensor]) -> str:
        likelihood = self.likelihood(z[:1], {name: part[:1] for name, part in beside.items()})

        def log_density(rows: Tensor) -> Tensor:
            return likelihood.expand((len(rows), 1)).log_prob(rows.unsqueeze(1))[:, 0]

        return function_normalised(log_density, x, self.support, "log_joint")

    def _drawn(self, x: Tensor, k: int, beside: dict[str, Tensor]) -> Tensor:
        drawn: Tensor = self._sample(x, k, **beside)
        if not isinstance(drawn, torch.Tensor) or drawn.shape[:2] != (k, len(x)):
            got = tuple(drawn.shape) if isinstance(drawn, torch.Tensor) else type(drawn).__name__
            raise ProgramError(
                f"sample gave {got} for {len(x)} rows and k = {k}: it must give z of shape "
                f"({k}, {len(x)}, ...)"
            )
        return drawn


class _Function(TorchDistribution):
    """A distribution that is no more than functions."""

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support: Any = constraints.real

    def __init__(self, batch_shape: Sequence[int], event_shape: Sequence[int]) -> None:
        super().__init__(torch.Size(batch_shape), torch.Size(event_shape), validate_args=False)
        if self.event_shape:
            self.support = constraints.independent(self.support, len(self.event_shape))


class _Untold(_Function):
    """The site of z where log p(z) is not told apart from log p(x, z)."""

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> _Untold:
        return _Untold(batch_shape, self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        left = value.shape[: value.dim() - len(self.event_shape)]
        return value.new_zeros(torch.broadcast_shapes(left, self.batch_shape))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        raise ProgramError(
            "the pair was made of log_joint without a prior, so that z cannot be drawn from "
            "p(z): give prior=, a distribution of one z"
        )


class _Posterior(_Function):
    """Distribution q(z | x) by ``sample`` and ``log_guide``."""

    def __init__(
        self, form: ByDensities, x: Tensor, beside: dict[str, Tensor], lead: Sequence[int] = ()
    ) -> None:
        self.form, self.x, self.beside, self.lead = form, x, beside, torch.Size(lead)
        super().__init__((*lead, len(x)), form.z_shape)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> _Posterior:
        return _Posterior(self.form, self.x, self.beside, batch_shape[:-1])

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = torch.Size(sample_shape) + self.batch_shape + self.event_shape
        k = (torch.Size(sample_shape) + self.lead).numel()
        return self.form._drawn(self.x, k, self.beside).reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.form.of_rows("log_guide", self.x, value, self.beside)


class _Likelihood(_Function):
    """Distribution p(x | z) = p(x, z) / p(z), and draws of it where they can be simulated."""

    def __init__(
        self, form: ByDensities, z: Tensor, beside: dict[str, Tensor], lead: Sequence[int] = ()
    ) -> None:
        self.form, self.z, self.beside, self.lead = form, z, beside, torch.Size(lead)
        self.support = innermost(form.support)
        rows = z.shape[: z.dim() - len(form.z_shape)]
        super().__init__((*lead, *rows), form.event_shape)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> _Likelihood:
        count = self.z.dim() - len(self.form.z_shape)
        return _Likelihood(self.form, self.z, self.beside, batch_shape[: len(batch_shape) - count])

    def log_prob(self, value: Tensor) -> Tensor:
        # log p(x | z) = log p(x, z) - log p(z)
        z = self.z.expand(*self.batch_shape, *self.form.z_shape)
        log_joint = self.form.of_rows("log_joint", value, z, self.beside)
        return log_joint - self.form.prior().log_prob(z)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        simulate = self.form._simulate
        if simulate is None:
            raise ProgramError(
                "the pair was made of log_joint, by which x cannot be drawn: give simulate(z), "
                "draws of x for rows of z"
            )
        rows = torch.Size(sample_shape) + self.batch_shape
        z = self.z.expand(*rows, *self.form.z_shape).reshape(rows.numel(), *self.form.z_shape)
        named = {n: spread(part, rows, part.dim() - 1) for n, part in self.beside.items()}
        drawn: Tensor = simulate(z, **named)
        return drawn.reshape(rows + self.event_shape)
