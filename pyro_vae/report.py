"""The HTML report: one self-contained file, its figures inside it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined

from pyro_vae.inference.runs import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Section", "save_figure", "save_figures", "write_report"]

#: Pixels per inch for slides: a figure of 6.4 inches is 1,920 pixels wide.
_SLIDE_DPI = 300


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
        _draw(figure, scratch, "png")


def save_figures(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write a figure as NAME.pdf and, at the resolution of slides, NAME.png.

    Returns
    -------
    tuple
        The two files.
    """
    pdf, png = folder / f"{name}.pdf", folder / f"{name}.png"
    with whole_file(pdf) as first, whole_file(png) as second:
        # Both are drawn before either is in its place.
        _draw(figure, first, "pdf", _SLIDE_DPI)
        _draw(figure, second, "png", _SLIDE_DPI)
    return pdf, png


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


def _draw(figure: Figure, file: Path | io.BytesIO, kind: str, dpi: int | None = None) -> None:
    """Write a figure: the same one gives the same bytes, and a PDF holds TrueType fonts."""
    # Of the time a PDF would keep only that it was made at another one.
    metadata = {"CreationDate": None} if kind == "pdf" else None
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.savefig(file, format=kind, dpi=dpi or "figure", metadata=metadata)


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    _draw(figure, buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()
