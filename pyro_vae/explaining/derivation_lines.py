"""Lines of a derivation: an equality in symbols and in numbers, and whether it holds.

A line is a *check* where its sides were found in different ways, and an *identity* where they
agree by definition.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Required, TypedDict

import torch

from pyro_vae.errors import EqualityError
from pyro_vae.inference.engine.bounds import mean_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = [
    "QUANTITIES",
    "ROUNDING",
    "STANDARD_ERRORS",
    "Derivation",
    "Step",
    "Symbols",
    "Term",
    "compare_terms",
    "paired_mean",
    "require_lines",
]

#: How far a residual may be from zero, in its own Monte Carlo standard errors.
STANDARD_ERRORS = 4.0

#: Rounding that a closed form is granted, relative to the larger side, by the dtype of z.
ROUNDING = {torch.float64: 1e-6, torch.float32: 1e-4}

Kind = Literal["check", "identity", "not judged"]
Relation = Literal["=", ">=", "!="]


@dataclass(frozen=True)
class Term:
    """A quantity of one datum.

    Attributes
    ----------
    symbols, latex
        The quantity in plain text and in LaTeX.
    value, standard_error
        Its value and Monte Carlo standard error in nats; the error is zero where nothing was
        drawn.
    source
        How the value was found.
    sites
        The ``pyro.sample`` sites it is made of, as ``model: x``.
    sign
        1, or -1 where it is subtracted.
    """

    symbols: str
    latex: str
    value: float
    standard_error: float
    source: str
    sites: tuple[str, ...]
    sign: int = 1


@dataclass(frozen=True)
class Step:
    """One line: ``left relation sum of right``.

    Attributes
    ----------
    name
        What is done in this line.
    left, right
        The two sides.
    relation
        ``"="``, ``">="`` or ``"!="``.
    kind
        ``"check"`` where the sides were found in different ways, ``"identity"`` where they
        agree by definition, ``"not judged"`` where the weights do not allow it.
    standard_error
        Monte Carlo standard error of the right side, from paired draws.
    residual, residual_error
        Left minus right, and its Monte Carlo standard error, from paired draws.
    tolerance
        How far the residual may be from where the relation puts it.
    why
        In words, what the line compares or why it holds by definition.
    """

    name: str
    left: Term
    right: tuple[Term, ...]
    relation: Literal["=", ">=", "!="]
    kind: Kind
    standard_error: float
    residual: float
    residual_error: float
    tolerance: float
    why: str

    @property
    def value(self) -> float:
        """The right side, in nats."""
        return sum(term.sign * term.value for term in self.right)

    @property
    def sites(self) -> tuple[str, ...]:
        """Every site of the line, once."""
        return tuple(dict.fromkeys(s for t in (self.left, *self.right) for s in t.sites))

    @property
    def symbols(self) -> str:
        """The line in plain text."""
        return f"{self.left.symbols} {self.relation} {_joined(self.right, 'symbols')}"

    @property
    def latex(self) -> str:
        """The line in LaTeX."""
        relation = {"=": "=", ">=": r"\geq", "!=": r"\neq"}[self.relation]
        return f"{self.left.latex} {relation} {_joined(self.right, 'latex')}"

    @property
    def holds(self) -> bool:
        """Whether the residual is within the tolerance; a line that is not judged holds."""
        if self.kind == "not judged":
            return True
        if not math.isfinite(self.residual):
            return False
        if self.relation == "!=":
            return abs(self.residual) > self.tolerance
        low = self.residual >= -self.tolerance
        return low if self.relation == ">=" else low and self.residual <= self.tolerance


@dataclass(frozen=True)
class Derivation:
    """The derivation of one datum.

    Attributes
    ----------
    steps
        The lines, in order.
    log_evidence, elbo, kl
        log p(x), L_b and KL(q(z|x) || p(z|x)), as the lines have them.
    num_particles, seed
        Draws of z from the guide, and their seed.
    khat
        Pareto k-hat of the importance weights; NaN where nothing was drawn.
    notes
        What a reader must know of how the numbers came about.
    """

    steps: tuple[Step, ...]
    log_evidence: Term
    elbo: Term
    kl: Term
    num_particles: int
    seed: int
    khat: float
    notes: tuple[str, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """Whether every line holds."""
        return all(step.holds for step in self.steps)

    def check(self) -> None:
        """Refuse a derivation of which a line does not hold.

        Raises
        ------
        EqualityError
            With the first such line, its residual and its tolerance.
        """
        require_lines(self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers and text, for JSON."""
        document = asdict(self)
        extra = ("symbols", "latex", "value", "sites", "holds")
        document["steps"] = [
            {**asdict(step), **{name: getattr(step, name) for name in extra}}
            for step in self.steps
        ]
        return {**document, "holds": self.holds}


def require_lines(steps: Sequence[Step], *, where: str = "The derivation") -> None:
    """Raise ``EqualityError`` for the first line that does not hold."""
    for number, step in enumerate(steps, start=1):
        if not step.holds:
            raise EqualityError(
                f"{where}, line {number} ({step.name}) does not hold: {step.symbols}, but "
                f"the left side less the right is {step.residual:.6g} nats (standard error "
                f"{step.residual_error:.2g}), and the tolerance {step.tolerance:.2g}"
            )


class LineSettings(TypedDict, total=False):
    """What a line says beside its two sides: keywords of ``compare_terms``."""

    why: Required[str]
    kind: Kind
    relation: Relation
    paired: Tensor
    slack: float


def compare_terms(
    name: str,
    left: Term,
    right: tuple[Term, ...],
    *,
    why: str,
    kind: Kind = "check",
    relation: Relation = "=",
    paired: Tensor | None = None,
    rounding: float = ROUNDING[torch.float64],
    slack: float = 0.0,
) -> Step:
    """A line from its two sides.

    Parameters
    ----------
    name, left, right, why, kind, relation
        As for ``Step``.
    paired
        Left minus right draw by draw, ``(K,)``; without it the sides' own errors are added in
        quadrature, as for independent draws.
    rounding
        Granted error relative to the largest term, at least to 1 nat.
    slack
        Granted error in nats beside it.
    """
    scale = max(1.0, *(abs(term.value) for term in (left, *right)))
    error = math.sqrt(sum(term.standard_error**2 for term in right))
    if paired is None:
        residual = left.value - sum(term.sign * term.value for term in right)
        residual_error = math.hypot(left.standard_error, error)
    else:
        residual, residual_error = paired_mean(paired)
    tolerance = STANDARD_ERRORS * residual_error + rounding * scale + slack
    return Step(
        *(name, left, right, relation, kind, error, residual, residual_error, tolerance, why)
    )


class Symbols:
    """Quantities in plain text and LaTeX, named after the sites."""

    def __init__(self, latents: tuple[str, ...], observed: tuple[str, ...]) -> None:
        self.plain = (",".join(observed), ",".join(latents))
        self.tex = tuple(", ".join(map(_tex_name, names)) for names in (observed, latents))
        #: dz, and d(z1, z2).
        self.element = [f"d({z})" if "," in z else f"d{z}" for z in (self.plain[1], self.tex[1])]

    def both(self, plain: str, tex: str) -> tuple[str, str]:
        """A quantity, with X and Z for the names."""
        fill = {"X": self.plain[0], "Z": self.plain[1]}
        return (
            re.sub(r"\b[XZ]\b", lambda m: fill[m.group()], plain.replace("<dz>", self.element[0])),
            tex.replace("<dz>", self.element[1])
            .replace("<x>", self.tex[0])
            .replace("<z>", self.tex[1]),
        )


#: Plain text and LaTeX of every quantity of the derivation.
QUANTITIES = {
    "evidence": ("log p(X)", r"\log p(<x>)"),
    "constant": ("E_q[log p(X)]", r"\mathbb{E}_{q}[\log p(<x>)]"),
    "bayes": (
        "E_q[log p(X,Z)/p(Z|X)]",
        r"\mathbb{E}_{q}\left[\log \frac{p(<x>, <z>)}{p(<z> \mid <x>)}\right]",
    ),
    "weight": (
        "E_q[log p(X,Z)/q(Z|X)]",
        r"\mathbb{E}_{q}\left[\log \frac{p(<x>, <z>)}{q(<z> \mid <x>)}\right]",
    ),
    "ratio": (
        "E_q[log q(Z|X)/p(Z|X)]",
        r"\mathbb{E}_{q}\left[\log \frac{q(<z> \mid <x>)}{p(<z> \mid <x>)}\right]",
    ),
    "elbo": ("L_b", r"\mathcal{L}_{b}"),
    "kl": (
        "KL(q(Z|X) || p(Z|X))",
        r"\mathrm{KL}(q(<z> \mid <x>) \,\|\, p(<z> \mid <x>))",
    ),
    "mean weight": (
        "log E_q[p(X,Z)/q(Z|X)]",
        r"\log \mathbb{E}_{q}\left[\frac{p(<x>, <z>)}{q(<z> \mid <x>)}\right]",
    ),
    "reconstruction": (
        "E_q[log p(X|Z)]",
        r"\mathbb{E}_{q}[\log p(<x> \mid <z>)]",
    ),
    "prior ratio": (
        "E_q[log q(Z|X)/p(Z)]",
        r"\mathbb{E}_{q}\left[\log \frac{q(<z> \mid <x>)}{p(<z>)}\right]",
    ),
    "kl to prior": (
        "KL(q(Z|X) || p(Z))",
        r"\mathrm{KL}(q(<z> \mid <x>) \,\|\, p(<z>))",
    ),
    "mass": ("∫ q(Z|X) <dz>", r"\int q(<z> \mid <x>) \, <dz>"),
    "one": ("1", "1"),
    "sum": ("log sum_Z p(X,Z)", r"\log \sum_{<z>} p(<x>, <z>)"),
}


def paired_mean(values: Tensor) -> tuple[float, float]:
    """Mean of ``(K,)`` and its Monte Carlo standard error."""
    value, error = mean_of(values.unsqueeze(1))
    return float(value), float(error)


def _joined(terms: tuple[Term, ...], attribute: str) -> str:
    text = ""
    for term in terms:
        sign = " + " if term.sign > 0 else " - "
        text += (sign if text else sign.strip().replace("+", "")) + getattr(term, attribute)
    return text


def _tex_name(name: str) -> str:
    """A site's name in LaTeX: z1 as z_{1}, one letter as itself, other names upright."""
    indexed = re.fullmatch(r"([A-Za-z])_?(\d+)", name)
    if indexed:
        return f"{indexed[1]}_{{{indexed[2]}}}"
    if re.fullmatch(r"[A-Za-z]", name):
        return name
    escaped = re.sub(r"([_#$%&{}])", r"\\\1", name)
    return rf"\mathrm{{{escaped}}}"
