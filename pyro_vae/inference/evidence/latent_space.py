"""The continuous latent sites of a pair as one unconstrained vector per datum.

What gradient-based samplers move through: every site's value is taken to the real numbers by
the bijection that belongs to its support, and densities carry its Jacobian.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from pyro import poutine
from torch.distributions import biject_to

from pyro_vae.errors import ProgramError
from pyro_vae.inference.engine.inputs import count, take
from pyro_vae.inference.engine.traces import (
    given_trace,
    latent_sites,
    model_terms,
    run_in_plate,
    sum_sites,
    values_of,
)
from pyro_vae.inference.engine.whole import layout_of_pair

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.traces import Program

__all__ = ["LatentSpace", "LogDensities"]


class LogDensities(NamedTuple):
    """Log-densities at one point per particle and datum, each ``(K, B)``, in nats.

    Attributes
    ----------
    log_prior
        log p(z).
    log_likelihood
        log p(x | z).
    log_det
        log |dz/du| of the bijection from the unconstrained u, to be added to any density of z.
    """

    log_prior: Tensor
    log_likelihood: Tensor
    log_det: Tensor


class LatentSpace:
    """Unconstrained coordinates ``u``, shape ``(K, B, L)``, of a pair's latent sites.

    Parameters
    ----------
    model, guide, x
        Pyro pair whose latent sites lie in one data plate, and B data.
    enumerate_discrete
        Sum out the discrete sites of the model that the guide does not have.
    data_plate
        Name of the plate over data, where several hold every site.

    Attributes
    ----------
    whole
        Whether the pair has rows by position, so that ``x`` must be all the data.

    Raises
    ------
    ProgramError
        If a site of the guide is discrete, or the pair cannot be weighted.
    """

    def __init__(
        self,
        model: Program,
        guide: Program,
        x: Inputs,
        *,
        enumerate_discrete: bool = False,
        data_plate: str | None = None,
    ) -> None:
        self.model, self.guide, self.x = model, guide, x
        self.structure, self.whole = layout_of_pair(
            model, guide, x, enumerate_discrete, data_plate
        )
        some = x if self.whole else take(x, slice(1))
        trace = run_in_plate(guide, some, self.structure, 1)
        self.sites = {site["name"]: site for site in latent_sites(trace)}
        for name, site in self.sites.items():
            # A point mass says that its support is real, whatever it stands at.
            if site["fn"].support.is_discrete or not site["value"].is_floating_point():
                raise ProgramError(
                    f"latent site {name!r} is discrete, and gradients and grids need a "
                    "continuous one: leave it out of the guide and sum it out with "
                    "enumerate_discrete=True"
                )
        self.bijections = {n: biject_to(site["fn"].support) for n, site in self.sites.items()}
        values = values_of(list(self.sites.values()), self.structure, 1, count(some))
        self.shapes = {
            name: self.bijections[name].inv(value).shape[2:] for name, value in values.items()
        }
        self.size = sum(shape.numel() for shape in self.shapes.values())

    def draw(self, num_particles: int, *, prior: bool) -> Tensor:
        """Draws from the prior or from the guide, ``(K, B, L)``."""
        program = poutine.uncondition(self.model) if prior else self.guide
        with torch.no_grad():
            trace = run_in_plate(program, self.x, self.structure, num_particles)
            sites = [trace.nodes[name] for name in self.sites]
            return self.flatten(values_of(sites, self.structure, num_particles, count(self.x)))

    def of_row(self, row: int) -> LatentSpace:
        """That of one datum: the guide draws for all of them, the model runs on it alone."""
        return _RowSpace(self, row)

    def flatten(self, values: dict[str, Tensor]) -> Tensor:
        """Coordinates of values ``(K, B, *site shape)``."""
        parts = [self.bijections[name].inv(values[name]) for name in self.sites]
        return torch.cat([part.reshape(*part.shape[:2], -1) for part in parts], dim=-1)

    def values(self, u: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Values of the sites, and log |dz/du|, ``(K, B)``."""
        sizes = [shape.numel() for shape in self.shapes.values()]
        found, log_det = {}, torch.zeros(u.shape[:2]).to(u)
        for (name, shape), part in zip(self.shapes.items(), u.split(sizes, dim=-1), strict=True):
            flat = part.reshape(*u.shape[:2], *shape)
            found[name] = self.bijections[name](flat)
            jacobian = self.bijections[name].log_abs_det_jacobian(flat, found[name])
            log_det = log_det + jacobian.reshape(*u.shape[:2], -1).sum(2, dtype=torch.float64)
        return found, log_det

    def densities(self, u: Tensor) -> LogDensities:
        """Log p(z), log p(x | z) and the Jacobian at u."""
        values, log_det = self.values(u)
        trace = given_trace(values, self.sites, self.structure)
        log_likelihood, log_prior = model_terms(self.model, self.x, trace, self.structure, len(u))
        return LogDensities(log_prior, log_likelihood, log_det)

    def log_guide(self, u: Tensor) -> Tensor:
        """Log q(z | x) at u, without the Jacobian, ``(K, B)``."""
        values, _ = self.values(u)
        replayed = poutine.replay(
            self.guide, trace=given_trace(values, self.sites, self.structure)
        )
        trace = run_in_plate(replayed, self.x, self.structure, len(u))
        return sum_sites(latent_sites(trace), self.structure, len(u), count(self.x))


class _RowSpace(LatentSpace):
    """One datum of a space over all the data."""

    def __init__(self, whole: LatentSpace, row: int) -> None:
        vars(self).update(vars(whole))
        self.x = take(whole.x, slice(row, row + 1))
        self._all, self._row = whole, row

    def draw(self, num_particles: int, *, prior: bool) -> Tensor:
        """Draws from the prior or from the guide, ``(K, 1, L)``."""
        if prior:
            return super().draw(num_particles, prior=True)
        return self._all.draw(num_particles, prior=False)[:, self._row : self._row + 1]
