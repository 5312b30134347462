"""The HTML report: one self-contained file, its figures inside it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from pyro_vae.inference.runs import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Section", "save_figure", "write_report"]


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes
    ----------
    title, text
        Heading, and text; a line of its own stays one.
    figures
        Figures by caption.
    table
        Numbers of this part alone, above the figures; cells are printed as they are.
    """

    title: str
    text: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    table: pd.DataFrame | None = None


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as scratch:
        figure.savefig(scratch, format="png")


def write_report(
    path: Path,
    *,
    title: str,
    introduction: str,
    table: pd.DataFrame,
    sections: Sequence[Section],
    conclusions: Sequence[str],
    provenance: Mapping[str, str],
) -> None:
    """Write the report.

    Parameters
    ----------
    path
        HTML file to write, whole or not at all.
    title, introduction
        Heading, and the paragraph below it.
    table
        The main results; cells are printed as they are.
    sections
        Parts with their figures.
    conclusions
        Sentences that say what the numbers mean.
    provenance
        Where the numbers come from: versions, seeds, data.
    """
    environment = Environment(
        loader=PackageLoader("pyro_vae", ""), autoescape=True, undefined=StrictUndefined
    )
    html = environment.get_template("report.html.jinja").render(
        title=title,
        introduction=introduction,
        table=_cells(table),
        sections=[
            (
                part.title,
                part.text,
                None if part.table is None else _cells(part.table),
                [(c, _png(f)) for c, f in part.figures.items()],
            )
            for part in sections
        ],
        conclusions=conclusions,
        provenance=provenance,
    )
    with whole_file(path) as scratch:
        scratch.write_text(html, encoding="utf-8")


def _cells(table: pd.DataFrame) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Columns, and rows by their names, as the template takes them."""
    return list(table.columns), [(str(name), list(row)) for name, row in table.iterrows()]


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()
