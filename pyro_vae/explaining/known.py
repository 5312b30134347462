"""What a model knows exactly of one datum, and its derivation with that filled in."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.errors import DataError, ProgramError
from pyro_vae.explaining.derivation import derive
from pyro_vae.inference.engine.inputs import count, encoder_side, run_program, take
from pyro_vae.inference.training.local import fit_guide
from pyro_vae.models import LatentVariableModel
from pyro_vae.protocols import (
    Facts,
    HasEnumeratedLogProb,
    HasExactPosterior,
    HasIdentity,
    HasLogProb,
    Programs,
    Story,
    offers,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro_vae.explaining.derivation_lines import Derivation
    from pyro_vae.inference.engine.inputs import Inputs

__all__ = ["derivation_of", "in_double", "known_of", "one_datum"]


def one_datum(x: Inputs, datum: int) -> Inputs:
    """Row of the data, ``(1, ...)``.

    Raises
    ------
    DataError
        If there is no such row.
    """
    if not 0 <= datum < count(x):
        raise DataError(f"datum got {datum}: x has {count(x)} rows, so 0 to {count(x) - 1}")
    return take(x, slice(datum, datum + 1))


def in_double(model: Any, x: Inputs) -> tuple[Any, Inputs]:
    """One of the package's models and its data in float64, as copies; others as they are."""
    if not isinstance(model, LatentVariableModel):
        return model, x
    wide = copy.deepcopy(model).double().eval()
    if isinstance(x, torch.Tensor):
        return wide, _wide(x)
    return wide, {name: _wide(part) for name, part in x.items()}


def _wide(part: torch.Tensor) -> torch.Tensor:
    return part.double() if part.is_floating_point() else part


def derivation_of(
    model: Any,
    x: Inputs,
    *,
    guide: Callable[..., Any] | None = None,
    num_particles: int = 5000,
    seed: int = 0,
) -> Derivation:
    """``derive`` with all that a module knows of itself filled in.

    The arguments are those of ``explain``, with one datum. A guide without amortisation is
    first fitted to it; a model with another ``evidence_model`` is derived as that one.
    """
    settings: dict[str, Any] = {"num_particles": num_particles, "seed": seed}
    if guide is not None:
        story = model.model if offers(model, Story) else model
        return derive(story, guide, x, **settings)
    if not offers(model, Programs):
        raise ProgramError(
            "model got a program without a guide: give explain(model, x, guide=guide), or a "
            "module with both"
        )
    model, x = in_double(Facts(model).evidence_model, x)
    if not Facts(model).amortised:
        model = run_program(model.unamortised, encoder_side(x))
        fit_guide(model, x, seed=seed)
    return derive(model.model, model.guide, x, **known_of(model, x), **settings)


def known_of(model: Any, x: Inputs) -> dict[str, Any]:
    """What a module knows exactly of a datum, by the names that ``derive`` has for it."""
    known: dict[str, Any] = {}
    with torch.no_grad():
        if offers(model, HasLogProb):
            known["log_px"] = run_program(model.log_prob, x).item()
        elif offers(model, HasEnumeratedLogProb):
            # Refused where z has too many values to sum over.
            with contextlib.suppress(ProgramError):
                known["log_px"] = run_program(model.enumerated_log_prob, x).item()
        if offers(model, HasExactPosterior):
            known["posterior"] = run_program(model.exact_posterior, x)
        if offers(model, HasIdentity):
            known["exact_elbo"] = run_program(model.identity, x).elbo.item()
    return known
