"""The lines of a derivation in words: as plain text, and as Markdown with LaTeX."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro_vae.explaining.derivation_lines import Step, Term

__all__ = ["aligned", "aligned_numbers", "numbers", "terms", "verdict", "written_out"]


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
        f"$$\n\\begin{{aligned}}\n{aligned(step)} \\\\\n{aligned_numbers(step)}\n"
        f"\\end{{aligned}}\n$$\n\nWhy: {step.why}.\n\n"
        + "".join(f"- {term}\n" for term in terms(step))
        for number, step in enumerate(steps, start=1)
    ]
    return heading + "\n".join([*parts, *(f"> {note}\n" for note in notes)])


_TEX_RELATIONS = {"=": "=", ">=": r"\geq", "!=": r"\neq"}


def aligned(step: Step) -> str:
    """The line in LaTeX, aligned at its relation."""
    relation = _TEX_RELATIONS[step.relation]
    left = step.left.latex
    return f"{left} &{step.latex[len(left) + 1 :]}".replace(f"& {relation}", f"&{relation}", 1)


def aligned_numbers(step: Step) -> str:
    """The line in numbers in LaTeX, aligned at its relation."""
    text = numbers(step)
    for sign, tex in (("≈", r"&\approx"), ("≥", r"&\geq"), ("≠", r"&\neq")):
        text = text.replace(sign, tex)
    return text
