"""Training objectives by name: losses for ``pyro.infer.SVI``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pyro.infer import ELBO, Trace_ELBO, TraceEnum_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO

from pyro_vae.errors import SettingError, UnknownNameError
from pyro_vae.formulas import described
from pyro_vae.inference.training.objectives.at_draws import STL, DReG, ReweightedWakeSleep
from pyro_vae.inference.training.objectives.differentiable import differentiable_loss_of
from pyro_vae.inference.training.objectives.iwae import IWAE
from pyro_vae.inference.training.objectives.tempered import BetaELBO, FreeBits, RenyiBound
from pyro_vae.inference.training.objectives.told import tell_num_data, tell_share
from pyro_vae.inference.training.objectives.total_correlation import BetaTCELBO
from pyro_vae.inference.training.objectives.weighted import WeightedObjective
from pyro_vae.protocols import HasDefaultObjective, offers
from pyro_vae.spelling import parse_call

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = [
    "IWAE",
    "OBJECTIVES",
    "STL",
    "BetaELBO",
    "BetaTCELBO",
    "DReG",
    "FreeBits",
    "RenyiBound",
    "ReweightedWakeSleep",
    "WeightedObjective",
    "default_objective_of",
    "differentiable_loss_of",
    "objective_name",
    "objective_named",
    "objective_of",
    "tell_num_data",
    "tell_share",
]


def _elbo(num_particles: int = 1, enumerate_discrete: bool = False) -> ELBO:
    kind = TraceEnum_ELBO if enumerate_discrete else Trace_ELBO
    return kind(num_particles, max_plate_nesting=1, vectorize_particles=num_particles > 1)


def _by_dependencies(num_particles: int = 1) -> ELBO:
    return TraceGraph_ELBO(
        num_particles, max_plate_nesting=1, vectorize_particles=num_particles > 1
    )


def _mean_field(num_particles: int = 1) -> ELBO:
    return TraceMeanField_ELBO(
        num_particles, max_plate_nesting=1, vectorize_particles=num_particles > 1
    )


#: Objectives by name, each made from its settings, and but for those of ``_NO_DISCRETE`` from
#: whether to sum discrete sites out.
OBJECTIVES: dict[str, Callable[..., ELBO]] = {
    "elbo": _elbo,
    "mean-field-elbo": _mean_field,
    "free-bits": FreeBits,
    "beta-tc-elbo": BetaTCELBO,
    **{own.name: own for own in (IWAE, DReG, STL, BetaELBO, RenyiBound, ReweightedWakeSleep)},
}

#: Objectives that cannot sum discrete sites out: why, and what can.
_NO_DISCRETE = {
    "mean-field-elbo": "needs KL(q(z|x) || p(z)) in closed form, and a prior with a discrete site "
    "has none: take 'elbo' or 'iwae'",
    "free-bits": "needs the KL of each latent dimension, and a prior with a discrete site has "
    "none: take 'beta-elbo(schedule=linear)'",
    "beta-tc-elbo": "needs a prior that is independent over dimensions, and one with a discrete "
    "site is not: take 'beta-elbo'",
}

_PYROS = {
    Trace_ELBO: "elbo",
    TraceEnum_ELBO: "elbo",
    TraceGraph_ELBO: "trace-graph-elbo",
    TraceMeanField_ELBO: "mean-field-elbo",
}


def objective_named(name: str, *, enumerate_discrete: bool = False) -> ELBO:
    """Make an objective from its name: ``iwae-50``, or ``beta-elbo(beta=4, schedule=linear)``.

    Parameters
    ----------
    name
        One of ``OBJECTIVES``, with a number of particles after a hyphen, or its settings in
        brackets, where they are not the defaults.
    enumerate_discrete
        Sum out the discrete sites of the model.

    Raises
    ------
    UnknownNameError
        If there is no objective of that name.
    SettingError
        If the objective has no such setting, or cannot sum out discrete sites.
    """
    stem, settings = parse_call(name)
    match = re.fullmatch(r"(.+?)-(\d+)", stem)
    if match and match[1] in OBJECTIVES:
        stem, settings = match[1], {"num_particles": int(match[2]), **settings}
    if stem not in OBJECTIVES:
        raise UnknownNameError("objective", name, OBJECTIVES)
    asked = enumerate_discrete or settings.get("enumerate_discrete")
    if asked and stem in _NO_DISCRETE:
        raise SettingError(f"objective {stem!r} {_NO_DISCRETE[stem]}")
    discrete = {} if stem in _NO_DISCRETE else {"enumerate_discrete": enumerate_discrete}
    try:
        return OBJECTIVES[stem](**settings, **discrete)
    except TypeError as error:
        raise SettingError(f"objective {name!r} cannot be made: {error}") from error


def default_objective_of(model: Any) -> ELBO:
    """What a model is trained with unless told otherwise: its own choice, else ``Trace_ELBO``."""
    return model.default_objective() if offers(model, HasDefaultObjective) else Trace_ELBO()


def objective_of(model: Any, objective: ELBO | str | None = None) -> ELBO:
    """The objective that a model is trained with: its own where none is given.

    Parameters
    ----------
    model
        Module that may have a ``default_objective()``; where that sums discrete sites out, so
        does an objective given by name.
    objective
        A Pyro ``ELBO``, a name as for ``objective_named``, or None.
    """
    if isinstance(objective, ELBO):
        differentiable_loss_of(objective)  # one that has none is refused now
        return objective
    if not isinstance(objective, str | None):
        raise SettingError(
            f"objective got {type(objective).__name__}: give a pyro.infer.ELBO, or the name of "
            "one, such as 'iwae-50'"
        )
    default = default_objective_of(model)
    if objective is None:
        return default
    enumerate_discrete = described(default).enumerate_discrete
    return objective_named(objective, enumerate_discrete=enumerate_discrete)


def objective_name(objective: ELBO) -> str:
    """Name of an objective, as ``objective_named`` takes it; else the name of its class."""
    own = isinstance(objective, WeightedObjective)
    stem = objective.name if own else _PYROS.get(type(objective))
    if not stem:
        return type(objective).__name__
    settings = dict(objective.settings) if own else {}
    count = objective.num_particles
    if not settings:
        return stem if count == 1 else f"{stem}-{count}"
    if count != 1:
        settings = {"num_particles": count, **settings}
    return f"{stem}({', '.join(f'{key}={value}' for key, value in settings.items())})"
