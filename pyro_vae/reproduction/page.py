"""A card as a page to read, and as a table in Markdown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from pyro_vae import plots
from pyro_vae.pages.report import Section, write_report

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from pyro_vae.reproduction.card import Card, Found, Number, Row
    from pyro_vae.reproduction.experiment import Experiment

__all__ = ["card_table", "markdown", "write_page"]

_INTRODUCTION = (
    "{source}. Published numbers beside ours. In brackets: the standard error over the test data; "
    "that of the draws is given where it is more than a tenth of it. {differs}"
)


def card_table(card: Card) -> pd.DataFrame:
    """Published numbers, ours with their standard errors, and the differences, as text."""
    rows = {
        row.label: {
            "published": "" if row.published is None else f"{row.published:g}",
            "ours": "not run" if row.ours is None else _with_errors(row.ours),
            "ours - published": _apart(row),
            "read in": row.source,
            "differs": row.differs,
        }
        for row in card.rows
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.loc[:, [name for name in table if (table[name] != "").any()]]


def markdown(card: Card) -> str:
    """The table of a card in Markdown, as the documentation has it."""
    table = card_table(card)
    lines = [["", *table.columns], ["---"] * (1 + len(table.columns))]
    lines += [[str(label), *row] for label, row in zip(table.index, table.values, strict=True)]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def write_page(path: Path, card: Card, experiment: Experiment) -> None:
    """Write a card as HTML, its figures inside.

    Parameters
    ----------
    path
        File to write.
    card, experiment
        The card, and its experiment.
    """
    found = {part.name: part for part in card.parts}
    write_report(
        path,
        title=card.title,
        introduction=_INTRODUCTION.format(source=card.source, differs=" ".join(card.differs)),
        table=card_table(card),
        sections=[
            Section("Side by side", figures=_side_by_side(card)),
            *(
                Section(title, figures={caption: figure})
                for title, (caption, figure) in experiment.figures(found).items()
            ),
            *_training(card),
            *(Section(part.title, _text(part)) for part in card.parts),
        ],
        conclusions=[],
        provenance={
            "command": card.command,
            "date": card.date,
            "data": f"{card.data['form']}, checksum {card.data['checksum'][:16]}",
            "versions": ", ".join(f"{name} {number}" for name, number in card.versions.items()),
            "machine": ", ".join(f"{name}: {value}" for name, value in card.machine.items()),
        },
    )


def _side_by_side(card: Card) -> dict[str, Figure]:
    rows = [row for row in card.rows if row.ours is not None]
    if not rows:
        return {}
    caption = "Published numbers and ours; bars are two standard errors."
    labels = [row.label for row in rows]
    published = [math.nan if row.published is None else row.published for row in rows]
    ours = [row.ours.value for row in rows if row.ours is not None]
    errors = [row.ours.sampling_error or 0.0 for row in rows if row.ours is not None]
    return {caption: plots.published_and_ours(labels, published, ours, errors)}


def _training(card: Card) -> list[Section]:
    """How the bound grew, of the parts that were trained."""
    curves = {
        part.title: pd.DataFrame(part.curve).astype(float)
        for part in card.parts
        if len(part.curve.get("epoch", ())) > 1
    }
    if not curves:
        return []
    caption = "The bound of each objective on the training data, against the epoch."
    return [Section("Training", figures={caption: plots.learning_curves(curves)})]


def _text(part: Found) -> str:
    """What there is to say of a part: its numbers, how it was trained and measured."""
    lines = [part.model, ""] if part.model else []
    lines += [f"{name}  {_with_errors(number)}" for name, number in part.numbers.items()]
    for what, settings in (("training", part.training), ("measured", part.protocol)):
        if settings:
            lines += ["", f"{what}: " + ", ".join(f"{k} {v}" for k, v in settings.items())]
    lines += ["", *part.notes] if part.notes else []
    if part.certificate:
        lines += ["", part.certificate]
    return "\n".join(lines)


def _with_errors(number: Number) -> str:
    digits = 2 if abs(number.value) >= 10 else 3
    text = f"{number.value:.{digits}f}"
    sampling, drawn = number.sampling_error, number.monte_carlo_error
    if sampling:
        text += f" ({sampling:.{digits}f})"
    if drawn and drawn > 0.1 * (sampling or 0.0):
        text += f" draws {drawn:.{digits}f}"
    return text


def _apart(row: Row) -> str:
    if row.ours is None or row.published is None:
        return ""
    return f"{row.ours.value - row.published:+.2f}"
