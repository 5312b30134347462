"""What moves when: log p(x), L_b and the KL while the guide, the model or both are trained.

Neal & Hinton (1998), "A view of the EM algorithm that justifies incremental, sparse, and other
variants": raising L_b over the guide alone (the E-step) leaves log p(x) where it is and closes
the gap; raising it over the model alone (the M-step) moves log p(x).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from pyro.infer import Trace_ELBO

from pyro_vae.conversion import takes_data
from pyro_vae.explaining.derivation import derive
from pyro_vae.explaining.derivation_lines import Derivation, Step, Term, compare_terms
from pyro_vae.inference.engine.inputs import encoder_side, run_program
from pyro_vae.inference.training.local import fit_guide
from pyro_vae.isolation import isolated

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pyro_vae.inference.engine.conjugate import ConjugateNormal
    from pyro_vae.inference.engine.inputs import Inputs

__all__ = ["GuideView", "TrainingView", "e_step_view", "em_view", "joint_view"]

Moving = Literal["guide and model", "guide", "model"]

#: Particles per step of the training of the toy.
_PARTICLES = 16

#: Change of log p(x), in nats, below which it has not moved.
_STILL = 1e-6


@dataclass(frozen=True)
class TrainingView:
    """Training whose log p(x), L_b and KL are known in closed form at every step.

    Attributes
    ----------
    table
        Columns ``step``, ``moving`` (what was trained in the step), ``log_px``, ``elbo`` and
        ``kl``: means over the data in nats, each from its own formula.
    claims
        What must hold of them, as lines to be checked.
    """

    table: pd.DataFrame
    claims: tuple[Step, ...]


@dataclass(frozen=True)
class GuideView:
    """The E-step of one datum: its own guide parameters trained, the model held fixed.

    Attributes
    ----------
    before, after
        Derivations with the encoder's guide q, and with the trained one q*.
    elbo
        L_b of every step, by the few draws of that step, in nats.
    converged
        Whether L_b had ceased to rise.
    claims
        What must hold, as lines to be checked.
    """

    before: Derivation
    after: Derivation
    elbo: np.ndarray
    converged: bool
    claims: tuple[Step, ...]


@takes_data("x")
def joint_view(
    program: ConjugateNormal,
    x: Tensor,
    *,
    steps: int = 300,
    learning_rate: float = 0.03,
    seed: int = 0,
) -> TrainingView:
    """Train guide and model together, by SVI, and watch the three quantities.

    Parameters
    ----------
    program
        The pair, which is trained in place.
    x
        Data ``(n,)``, all of them in every step.
    steps
        Steps of Adam.
    learning_rate
        Its step size.
    seed
        Seed of the draws.

    Returns
    -------
    TrainingView
        Row 0 is before training. Claims: the identity at every step, L_b higher and the KL
        lower at the end, and log p(x) moved.
    """
    table = _train(program, x, "guide and model", steps, learning_rate, seed)
    first, last = table.iloc[0], table.iloc[-1]
    return TrainingView(
        table,
        (
            _identity_claim(table, "SVI on guide and model"),
            _claim("SVI raises L_b", "elbo", last, ">=", first, "L_b is what SVI maximises"),
            _claim(
                "SVI shrinks the KL", "kl", first, ">=", last, "the guide's family holds p(z|x)"
            ),
            _claim("SVI moves log p(x)", "log_px", last, "!=", first, "the model's theta moved"),
        ),
    )


@takes_data("x")
def em_view(
    program: ConjugateNormal,
    x: Tensor,
    *,
    rounds: int = 2,
    steps: int = 150,
    learning_rate: float = 0.03,
    seed: int = 0,
) -> TrainingView:
    """E-steps (the guide alone) and M-steps (the model alone) in turn.

    Parameters
    ----------
    program, x, learning_rate, seed
        As for ``joint_view``.
    rounds
        Pairs of an E-step and an M-step.
    steps
        Steps of Adam in each of them.

    Returns
    -------
    TrainingView
        Claims: the identity at every step; in every E-step log p(x) is still, to 1e-6 nats,
        while L_b rises; in every M-step log p(x) moves.
    """
    parts, claims = [], []
    for number in range(rounds):
        expectation = _train(program, x, "guide", steps, learning_rate, seed + 2 * number)
        maximisation = _train(program, x, "model", steps, learning_rate, seed + 2 * number + 1)
        claims += _phase_claims(number + 1, expectation, maximisation)
        # A phase begins where the last one ended: the row is there once.
        parts += [expectation if number == 0 else expectation.iloc[1:], maximisation.iloc[1:]]
    table = pd.concat(parts, ignore_index=True)
    table["step"] = np.arange(len(table))
    return TrainingView(table, (_identity_claim(table, "E-steps and M-steps"), *claims))


@takes_data("x")
def e_step_view(
    model: Any,
    x: Inputs,
    before: Derivation,
    *,
    steps: int = 400,
    known: Callable[[], dict[str, Any]] = dict,
) -> GuideView:
    """The E-step of one datum of a model with ``unamortised(x)``.

    Parameters
    ----------
    model
        Module with ``model``, ``guide`` and ``unamortised``, such as ``VAE``.
    x
        The datum, ``(1, ...)``.
    before
        Its derivation with the encoder's guide, which says how many draws and which seed.
    steps
        Largest number of steps of Adam.
    known
        Called when the guide is trained, for what ``derive`` is to know exactly of the model:
        log_px, posterior.

    Returns
    -------
    GuideView
        Claims: the model's parameters and log p(x) are where they were, and L_b has not
        fallen.
    """
    local = run_program(model.unamortised, encoder_side(x))
    own = {id(parameter) for parameter in local.local_parameters}
    others = [p for p in local.parameters() if id(p) not in own]
    kept = [parameter.detach().clone() for parameter in others]
    fitted = fit_guide(local, x, steps=steps, seed=before.seed)
    moved = max(
        (
            float((a.detach() - b).abs().max())
            for a, b in zip(others, kept, strict=True)
            if a.numel()
        ),
        default=0.0,
    )
    settings: dict[str, Any] = {"num_particles": before.num_particles, "seed": before.seed}
    after = derive(local.model, local.guide, x, **known(), **settings)
    return GuideView(
        before,
        after,
        np.array(fitted.elbo),
        fitted.converged,
        _guide_claims(before, after, moved),
    )


def _guide_claims(before: Derivation, after: Derivation, moved: float) -> tuple[Step, ...]:
    still = Term("|theta* - theta|", r"|\theta^{*} - \theta|", moved, 0.0, "largest change", ())
    zero = Term("0", "0", 0.0, 0.0, "definition", ())
    evidence = [_marked(after.log_evidence), before.log_evidence]
    sampled = any(term.standard_error > 0 for term in evidence)
    gridded = any(term.source.startswith("quadrature") for term in evidence)
    judged = all(step.kind != "not judged" for each in (before, after) for step in each.steps)
    closed = not sampled and not gridded
    why = "theta is fixed, and log p(x) has no q in it"
    if not closed:
        why += ": estimated twice, once from either guide"
    return (
        compare_terms(
            "the E-step leaves theta",
            still,
            (zero,),
            rounding=0.0,
            why="only the guide is trained",
        ),
        compare_terms(
            "the E-step leaves log p(x)",
            evidence[0],
            (evidence[1],),
            kind="check" if judged else "not judged",
            slack=1e-4 if gridded else 0.0,
            why=why,
        ),
        compare_terms(
            "the E-step raises L_b",
            _marked(after.elbo),
            (before.elbo,),
            relation=">=",
            why="the guide is trained to raise it",
        ),
    )


def _marked(term: Term) -> Term:
    """A quantity after the E-step: with q* in the place of q."""
    return replace(
        term, symbols=f"{term.symbols} at q*", latex=rf"{term.latex} \, \mathrm{{at}} \, q^{{*}}"
    )


def _train(
    program: ConjugateNormal,
    x: Tensor,
    moving: Moving,
    steps: int,
    learning_rate: float,
    seed: int,
) -> pd.DataFrame:
    """Steps of Adam on the parameters that move; means of the identity before and after each."""
    parameters = {
        "guide": program.guide_parameters,
        "model": program.model_parameters,
        "guide and model": [*program.guide_parameters, *program.model_parameters],
    }[moving]
    optimiser = torch.optim.Adam(parameters, lr=learning_rate)
    objective = Trace_ELBO(num_particles=_PARTICLES, vectorize_particles=True, max_plate_nesting=1)
    rows = [_row(program, x, 0, moving)]
    with isolated(seed):
        for step in range(1, steps + 1):
            optimiser.zero_grad(set_to_none=True)
            loss = objective.differentiable_loss(program.model, program.guide, x) / len(x)
            gradients = torch.autograd.grad(loss, parameters)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimiser.step()
            rows.append(_row(program, x, step, moving))
    return pd.DataFrame(rows)


def _row(program: ConjugateNormal, x: Tensor, step: int, moving: Moving) -> dict[str, Any]:
    with torch.no_grad():
        found = program.identity(x)
    means = {name: float(value.mean()) for name, value in found._asdict().items()}
    return {"step": step, "moving": moving, **means}


def _phase_claims(number: int, guide: pd.DataFrame, model: pd.DataFrame) -> list[Step]:
    start, middle, begin, end = guide.iloc[0], guide.iloc[-1], model.iloc[0], model.iloc[-1]
    # Over all the steps of the phase, not only at its end.
    farthest = guide.iloc[(guide["log_px"] - start["log_px"]).abs().argmax()]
    e, m = f"E-step {number}", f"M-step {number}"
    return [
        _claim(f"{e} leaves log p(x)", "log_px", farthest, "=", start, "theta is fixed"),
        _claim(f"{e} raises L_b", "elbo", middle, ">=", start, "the gap closes from below"),
        _claim(f"{m} raises L_b", "elbo", end, ">=", begin, "theta is trained to raise it"),
        _claim(f"{m} moves log p(x)", "log_px", end, "!=", begin, "theta moved"),
    ]


_NAMES = {
    "log_px": ("mean log p(x)", r"\mathrm{mean} \, \log p(x)"),
    "elbo": ("mean L_b", r"\mathrm{mean} \, \mathcal{L}_{b}"),
    "kl": (
        "mean KL(q(z|x) || p(z|x))",
        r"\mathrm{mean} \, \mathrm{KL}(q(z \mid x) \,\|\, p(z \mid x))",
    ),
}


def _quantity(name: str, row: Any, when: str) -> Term:
    symbols, latex = _NAMES[name]
    sites = ("model: x", "model: z") if name == "log_px" else ("model: x", "model: z", "guide: z")
    plain, tex = f"{symbols} {when}", rf"{latex} \, \mathrm{{{when}}}"
    return Term(plain.strip(), tex if when else latex, float(row[name]), 0.0, "closed form", sites)


def _claim(
    name: str, quantity: str, left: Any, relation: Literal["=", ">=", "!="], right: Any, why: str
) -> Step:
    # Within a phase the steps are counted from its start.
    when = ("after", "before") if left["step"] >= right["step"] else ("before", "after")
    return compare_terms(
        name,
        _quantity(quantity, left, when[0]),
        (_quantity(quantity, right, when[1]),),
        relation=relation,
        rounding=0.0,
        slack=_STILL,
        why=why,
    )


def _identity_claim(table: pd.DataFrame, name: str) -> Step:
    """The step of a table at which log p(x) is farthest from L_b + KL."""
    residual = (table["log_px"] - table["elbo"] - table["kl"]).abs()
    worst = table.iloc[int(residual.argmax())]
    right = (_quantity("elbo", worst, ""), _quantity("kl", worst, ""))
    why = f"step {worst['step']}, the worst of {len(table)}; each term from its own formula"
    return compare_terms(
        f"{name}: the identity at every step", _quantity("log_px", worst, ""), right, why=why
    )
