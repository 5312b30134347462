"""The HTML report: one self-contained file, its figures inside it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined

from pyro_vae.disk.files import make_folder, write_whole

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
    make_folder(path.parent)
    write_whole(path, _drawn(figure, "png"))


def save_figures(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write a figure as NAME.pdf and, at the resolution of slides, NAME.png.

    Returns
    -------
    tuple
        The two files.
    """
    pdf, png = folder / f"{name}.pdf", folder / f"{name}.png"
    # Both are drawn before either is in its place.
    drawn = [
        (file, _drawn(figure, kind, _SLIDE_DPI)) for file, kind in ((pdf, "pdf"), (png, "png"))
    ]
    make_folder(folder)
    for file, content in drawn:
        write_whole(file, content)
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
        loader=PackageLoader("pyro_vae.pages", ""), autoescape=True, undefined=StrictUndefined
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
    make_folder(path.parent)
    write_whole(path, html)


def _cells(table: pd.DataFrame) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Columns, and rows by their names, as the template takes them."""
    return list(table.columns), [(str(name), list(row)) for name, row in table.iterrows()]


def _drawn(figure: Figure, kind: str, dpi: int | None = None) -> bytes:
    """A figure's file: the same one gives the same bytes, and a PDF holds TrueType fonts."""
    buffer = io.BytesIO()
    # Of the time a PDF would keep only that it was made at another one.
    metadata = {"CreationDate": None} if kind == "pdf" else None
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.savefig(buffer, format=kind, dpi=dpi or "figure", metadata=metadata)
    return buffer.getvalue()


def _png(figure: Figure) -> str:
    return base64.b64encode(_drawn(figure, "png")).decode()
