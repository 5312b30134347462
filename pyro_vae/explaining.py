"""``explain``: the derivation of the ELBO for a model and a datum, as formulas or as text."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference.derivation import derive
from pyro_vae.inference.inputs import check_inputs, count, run_program, take
from pyro_vae.inference.local import fit_guide
from pyro_vae.mathml import mathml
from pyro_vae.models import LatentVariableModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyro_vae.inference.derivation_lines import Derivation, Step, Term
    from pyro_vae.inference.inputs import Inputs

__all__ = [
    "Explanation",
    "derivation_of",
    "explain",
    "in_double",
    "known_of",
    "numbers",
    "one_datum",
    "terms",
    "verdict",
    "written_out",
]


@dataclass(frozen=True)
class Explanation:
    """A derivation that a notebook shows as formulas, and ``print`` as text.

    Attributes
    ----------
    derivation
        Its lines and numbers.
    title
        What it is of.
    """

    derivation: Derivation
    title: str

    def __str__(self) -> str:
        lines = [self.title, ""]
        for number, step in enumerate(self.derivation.steps, start=1):
            lines += [
                f"({number}) {step.name}: {step.kind}, {verdict(step)}",
                f"    {step.symbols}",
                f"    {numbers(step)}",
                f"    {step.why}",
                *(f"      {term}" for term in terms(step)),
            ]
        return "\n".join([*lines, *(f"note: {note}" for note in self.derivation.notes)])

    def _repr_latex_(self) -> str:
        rows = []
        for step in self.derivation.steps:
            rows.append(rf"{_aligned(step)} && \text{{({step.kind})}}")
            rows.append(rf"{_aligned_numbers(step)} && ")
        body = " \\\\\n".join(rows)
        return f"$$\n\\begin{{aligned}}\n{body}\n\\end{{aligned}}\n$$"

    def _repr_markdown_(self) -> str:
        return written_out(self.derivation.steps, self.derivation.notes, f"### {self.title}\n\n")

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{number}</td>"
            f"<td>{mathml(step.latex)}<div>{escape(numbers(step))}</div></td>"
            f"<td>{escape(step.name)}: {step.kind}, {escape(verdict(step))}<br>"
            f"<small>{escape(step.why)}.<br>{'<br>'.join(map(escape, terms(step)))}</small></td>"
            "</tr>"
            for number, step in enumerate(self.derivation.steps, start=1)
        )
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.derivation.notes)
        return f"<h4>{escape(self.title)}</h4><table>{rows}</table>{notes}"


def explain(
    model: Any,
    x: Inputs,
    *,
    guide: Callable[..., Any] | None = None,
    datum: int = 0,
    num_particles: int = 5000,
    seed: int = 0,
) -> Explanation:
    """Derive the ELBO line by line for a model and one of its data, each line with its numbers.

    Parameters
    ----------
    model
        Module with Pyro programs ``model`` and ``guide``, such as ``VAE``; or the generative
        program, with its ``guide`` beside it. Exact log p(x) is used where the module has
        ``log_prob(x)``, and the exact posterior where it has ``exact_posterior(x)``.
    x
        Data, ``(n, ...)`` or named tensors of such.
    guide
        Guide program of a model that is a program.
    datum
        Which row of x.
    num_particles
        Draws of z from the guide.
    seed
        Seed of the draws.

    Returns
    -------
    Explanation
        A line that does not hold is shown as such; ``.derivation.check()`` refuses it.

    Raises
    ------
    DataError
        If x has no such row.
    ProgramError
        If there is no guide, or the pair cannot be weighted.

    Examples
    --------
    >>> import pyro_vae
    >>> toy = pyro_vae.inference.ConjugateNormal()
    >>> story = pyro_vae.explain(toy, torch.tensor([1.3], dtype=torch.double))
    >>> story.derivation.holds
    True
    """
    found = derivation_of(
        model, one_datum(x, datum), guide=guide, num_particles=num_particles, seed=seed
    )
    name = type(model).__name__ if hasattr(model, "guide") else getattr(model, "__name__", "model")
    size = found.num_particles
    drawn = f"{size} draws from q, seed {seed}" if size else "no draws"
    return Explanation(found, f"log p(x) = L_b + KL for datum {datum} of {name}; {drawn}, in nats")


def one_datum(x: Inputs, datum: int) -> Inputs:
    """Row of the data, ``(1, ...)``.

    Raises
    ------
    DataError
        If there is no such row.
    """
    check_inputs(x)
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
    first fitted to it; a model that is ``measured_as`` another is derived as that one.
    """
    settings: dict[str, Any] = {"num_particles": num_particles, "seed": seed}
    if guide is not None:
        return derive(getattr(model, "model", model), guide, x, **settings)
    if not (hasattr(model, "model") and hasattr(model, "guide")):
        raise ProgramError(
            "model got a program without a guide: give explain(model, x, guide=guide), or a "
            "module with both"
        )
    model, x = in_double(getattr(model, "measured_as", model), x)
    if not getattr(model, "amortised", True):
        model = run_program(model.unamortised, _encoder_side(x))
        fit_guide(model, x, seed=seed)
    return derive(model.model, model.guide, x, **known_of(model, x), **settings)


def known_of(model: Any, x: Inputs) -> dict[str, Any]:
    """What a module knows exactly of a datum, by the names that ``derive`` has for it."""
    known: dict[str, Any] = {}
    with torch.no_grad():
        if hasattr(model, "log_prob"):
            known["log_px"] = run_program(model.log_prob, x).item()
        elif hasattr(model, "enumerated_log_prob"):
            # Refused where z has too many values to sum over.
            with contextlib.suppress(ProgramError):
                known["log_px"] = run_program(model.enumerated_log_prob, x).item()
        if hasattr(model, "exact_posterior"):
            known["posterior"] = run_program(model.exact_posterior, x)
        if hasattr(model, "identity"):
            known["exact_elbo"] = run_program(model.identity, x).elbo.item()
    return known


def _encoder_side(x: Inputs) -> Inputs:
    """What the guide sees: the exposure is the likelihood's alone."""
    return x if isinstance(x, torch.Tensor) else {k: v for k, v in x.items() if k != "exposure"}


def numbers(step: Step) -> str:
    """A line in numbers, with Monte Carlo standard errors in brackets behind what was drawn."""
    right = ""
    for term in step.right:
        sign = " + " if term.sign > 0 else " - "
        right += (sign if right else sign.strip().replace("+", "")) + _number(term)
    return f"{_number(step.left)} {_RELATIONS[step.relation]} {right}"


#: Of measured numbers, an equality that holds within an error.
_RELATIONS = {"=": "≈", ">=": "≥", "!=": "≠"}


def _number(term: Term) -> str:
    value = f"{term.value:.4f}"
    if term.sign < 0 and value.startswith("-"):
        value = f"({value})"
    # Below this a spread is that of rounding, not of draws.
    return f"{value} ({term.standard_error:.2g})" if term.standard_error > 1e-9 else value


def terms(step: Step) -> list[str]:
    """How each term of the right side was found, and the sample sites it is made of."""
    return [
        f"{term.symbols}: {term.source}; "
        + (f"sites {', '.join(term.sites)}" if term.sites else "no site")
        for term in step.right
    ]


def verdict(step: Step) -> str:
    """Whether a line holds, with residual and tolerance."""
    if step.kind == "not judged":
        return "its sides cannot be held against each other"
    word = "holds" if step.holds else "DOES NOT HOLD"
    return f"{word} (left less right {step.residual:.2g}, tolerance {step.tolerance:.2g})"


def written_out(steps: Sequence[Step], notes: Sequence[str] = (), heading: str = "") -> str:
    """Lines as Markdown with LaTeX."""
    parts = [
        f"**({number}) {step.name}**: {step.kind}, {verdict(step)}\n\n"
        f"$$\n\\begin{{aligned}}\n{_aligned(step)} \\\\\n{_aligned_numbers(step)}\n"
        f"\\end{{aligned}}\n$$\n\nWhy: {step.why}.\n\n"
        + "".join(f"- {term}\n" for term in terms(step))
        for number, step in enumerate(steps, start=1)
    ]
    return heading + "\n".join([*parts, *(f"> {note}\n" for note in notes)])


_TEX_RELATIONS = {"=": "=", ">=": r"\geq", "!=": r"\neq"}


def _aligned(step: Step) -> str:
    """The line in LaTeX, aligned at its relation."""
    relation = _TEX_RELATIONS[step.relation]
    left = step.left.latex
    return f"{left} &{step.latex[len(left) + 1 :]}".replace(f"& {relation}", f"&{relation}", 1)


def _aligned_numbers(step: Step) -> str:
    text = numbers(step)
    for sign, tex in (("≈", r"&\approx"), ("≥", r"&\geq"), ("≠", r"&\neq")):
        text = text.replace(sign, tex)
    return text


LatentVariableModel.explainer = explain
