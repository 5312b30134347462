"""The derivation as files: one HTML page that needs no network, and Markdown with LaTeX."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from pyro_vae.disk.files import make_folder, write_whole
from pyro_vae.explaining.mathml import mathml
from pyro_vae.explaining.written import numbers, terms, verdict, written_out
from pyro_vae.pages.report import save_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from pyro_vae.explaining.derivation_lines import Step

__all__ = ["Chapter", "write_derivation"]


@dataclass(frozen=True)
class Chapter:
    """A part of the page.

    Attributes
    ----------
    title, text
        Heading, and a paragraph.
    steps
        Lines with their numbers.
    notes
        Paragraphs behind the lines.
    figures
        Caption and figure by file name.
    columns, rows
        A small table of text, or none.
    """

    title: str
    text: str
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    figures: Mapping[str, tuple[str, Figure]] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def write_derivation(
    folder: Path,
    *,
    title: str,
    introduction: str,
    chapters: Sequence[Chapter],
    provenance: Mapping[str, str],
) -> tuple[Path, Path]:
    """Write ``derivation.html``, ``derivation.md`` and the figures of both.

    Parameters
    ----------
    folder
        Where to; it is made if it is not there.
    title, introduction
        Heading, and the paragraph below it.
    chapters
        Its parts.
    provenance
        Where the numbers come from.

    Returns
    -------
    Path, Path
        The page and the Markdown.
    """
    make_folder(folder)
    for chapter in chapters:
        for name, (_, figure) in chapter.figures.items():
            save_figure(figure, folder / "figures" / f"{name}.png")
    environment = Environment(
        loader=PackageLoader("pyro_vae.pages", ""),
        autoescape=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(mathml=mathml, numbers=numbers, verdict=verdict, terms=terms)
    html = environment.get_template("derivation.html.jinja").render(
        title=title,
        introduction=introduction,
        chapters=chapters,
        provenance=provenance,
        png=lambda name: _encoded(folder / "figures" / f"{name}.png"),
    )
    page, text = folder / "derivation.html", folder / "derivation.md"
    markdown = _markdown(title, introduction, chapters, provenance)
    for path, content in ((page, html), (text, markdown)):
        write_whole(path, content)
    return page, text


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _markdown(
    title: str,
    introduction: str,
    chapters: Sequence[Chapter],
    provenance: Mapping[str, str],
) -> str:
    parts = [f"# {title}\n", f"{introduction}\n"]
    for chapter in chapters:
        parts += [f"## {chapter.title}\n", f"{chapter.text}\n"]
        if chapter.rows:
            rule = ("---:",) * len(chapter.columns)
            table = (chapter.columns, rule, *chapter.rows)
            parts.append("\n".join(f"| {' | '.join(row)} |" for row in table) + "\n")
        if chapter.steps:
            parts.append(written_out(chapter.steps, chapter.notes))
        for name, (caption, _) in chapter.figures.items():
            parts.append(f"![{caption}](figures/{name}.png)\n")
    parts.append("## Where the numbers come from\n")
    parts += [f"- {key}: {value}" for key, value in provenance.items()]
    return "\n".join(parts) + "\n"
