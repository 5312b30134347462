"""``explain``: the derivation of the ELBO for a model and a datum, as formulas or as text."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from pyro_vae.conversion import takes_data
from pyro_vae.explaining.known import derivation_of, one_datum
from pyro_vae.explaining.mathml import mathml
from pyro_vae.explaining.written import (
    aligned,
    aligned_numbers,
    numbers,
    terms,
    verdict,
    written_out,
)
from pyro_vae.protocols import Facts
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro_vae.explaining.derivation_lines import Derivation
    from pyro_vae.inference.engine.inputs import Inputs

__all__ = ["Explanation", "explain"]


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
            rows.append(rf"{aligned(step)} && \text{{({step.kind})}}")
            rows.append(rf"{aligned_numbers(step)} && ")
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


@verb
@takes_data("x")
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
    >>> import torch
    >>> toy = pyro_vae.inference.engine.ConjugateNormal()
    >>> story = pyro_vae.explain(toy, torch.tensor([1.3], dtype=torch.double))
    >>> story.derivation.holds
    True
    """
    found = derivation_of(
        model, one_datum(x, datum), guide=guide, num_particles=num_particles, seed=seed
    )
    name = Facts(model).name
    size = found.num_particles
    drawn = f"{size} draws from q, seed {seed}" if size else "no draws"
    return Explanation(found, f"log p(x) = L_b + KL for datum {datum} of {name}; {drawn}, in nats")
