"""Training objectives by name: losses for ``pyro.infer.SVI``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyro.infer import Trace_ELBO, TraceEnum_ELBO, TraceMeanField_ELBO

from pyro_vae.errors import SettingError, UnknownNameError
from pyro_vae.inference.objectives.iwae import IWAE
from pyro_vae.inference.objectives.weighted import WeightedObjective

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro.infer import ELBO

__all__ = ["IWAE", "OBJECTIVES", "WeightedObjective", "objective_name", "objective_named"]


def _elbo(num_particles: int, enumerate_discrete: bool) -> ELBO:
    kind = TraceEnum_ELBO if enumerate_discrete else Trace_ELBO
    return kind(num_particles, max_plate_nesting=1, vectorize_particles=num_particles > 1)


def _mean_field(num_particles: int, enumerate_discrete: bool) -> ELBO:
    if enumerate_discrete:
        raise SettingError(
            "objective 'mean-field-elbo' needs KL(q(z|x) || p(z)) in closed form, and a prior "
            "with a discrete site has none: take 'elbo' or 'iwae'"
        )
    return TraceMeanField_ELBO(
        num_particles, max_plate_nesting=1, vectorize_particles=num_particles > 1
    )


def _iwae(num_particles: int, enumerate_discrete: bool) -> ELBO:
    return IWAE(num_particles, enumerate_discrete=enumerate_discrete)


#: Objectives by name, each made from a number of particles and whether to sum discrete sites.
OBJECTIVES: dict[str, Callable[[int, bool], ELBO]] = {
    "elbo": _elbo,
    "iwae": _iwae,
    "mean-field-elbo": _mean_field,
}

_TYPES = {
    Trace_ELBO: "elbo",
    TraceEnum_ELBO: "elbo",
    TraceMeanField_ELBO: "mean-field-elbo",
    IWAE: "iwae",
}


def objective_named(name: str, *, enumerate_discrete: bool = False) -> ELBO:
    """Make an objective from its name, with the number of particles behind it: ``iwae-50``.

    Parameters
    ----------
    name
        One of ``OBJECTIVES``, and a number of particles after a hyphen if not one.
    enumerate_discrete
        Sum out the discrete sites of the model.

    Raises
    ------
    UnknownNameError
        If there is no objective of that name.
    SettingError
        If the objective cannot sum out discrete sites.
    """
    match = re.fullmatch(r"(.+?)(?:-(\d+))?", name)
    stem, count = (match[1], match[2]) if match else (name, None)
    if stem not in OBJECTIVES:
        raise UnknownNameError("objective", name, OBJECTIVES)
    return OBJECTIVES[stem](int(count or 1), enumerate_discrete)


def objective_name(objective: ELBO) -> str:
    """Name of an objective, as ``objective_named`` takes it; else the name of its class."""
    stem = _TYPES.get(type(objective))
    if stem is None:
        return type(objective).__name__
    return stem if objective.num_particles == 1 else f"{stem}-{objective.num_particles}"
