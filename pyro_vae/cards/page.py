"""A card as a page to read, and as a table in Markdown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from pyro_vae import plots
from pyro_vae.pages.report import Section, write_report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.figure import Figure

    from pyro_vae.cards.card import Card, Found, Number, Row

__all__ = ["card_table", "markdown", "part_text", "provenance", "sources", "write_page"]

_INTRODUCTION = (
    "{source}. Published numbers beside ours, whose standard error over the data is in brackets; "
    "that of the draws is given where it is more than a tenth of it. {read_in} {differs}"
)


def card_table(card: Card) -> pd.DataFrame:
    """Published numbers, ours with their standard errors, and the differences, as text.

    A number in brackets behind a published one says where it was read: see ``sources``.
    """
    marks = {source: number for number, source in enumerate(sources(card), start=1)}
    rows = {
        row.label: {
            "published": _published(row, marks),
            "ours": "not run" if row.ours is None else _with_errors(row.ours),
            "difference": _apart(row),
            "what differs": row.differs,
        }
        for row in card.rows
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.loc[:, [name for name in table if (table[name] != "").any()]]


def sources(card: Card) -> list[str]:
    """Where the published numbers of a card were read, in the order of its table."""
    return list(dict.fromkeys(row.source for row in card.rows if row.source))


def markdown(card: Card) -> str:
    """The table of a card in Markdown, and where the published numbers were read."""
    table = card_table(card)
    lines = [["", *table.columns], ["---"] * (1 + len(table.columns))]
    lines += [[str(label), *row] for label, row in zip(table.index, table.values, strict=True)]
    text = "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)
    read_in = [f"({number}) {source}." for number, source in enumerate(sources(card), start=1)]
    return f"{text}\n\n{' '.join(read_in)}".rstrip()


def write_page(
    path: Path, card: Card, figures: Mapping[str, tuple[str, Figure]] | None = None
) -> None:
    """Write a card as HTML, its figures inside.

    Parameters
    ----------
    path
        File to write.
    card
        The card.
    figures
        By title, a caption and a figure, beside those of every card.
    """
    write_report(
        path,
        title=card.title,
        introduction=_INTRODUCTION.format(
            source=card.source,
            read_in=" ".join(
                f"({number}): {source}." for number, source in enumerate(sources(card), start=1)
            ),
            differs=" ".join(card.differs),
        ),
        table=card_table(card),
        sections=[
            *_side_by_side(card),
            *(
                Section(title, figures={caption: figure})
                for title, (caption, figure) in (figures or {}).items()
            ),
            *_training(card),
            *(Section(part.title, part_text(part)) for part in card.parts),
        ],
        conclusions=[],
        provenance=provenance(card),
    )


def provenance(card: Card) -> dict[str, str]:
    """Where the numbers of a card come from, for the foot of its page."""
    return {
        "command": card.command,
        "date": card.date,
        "data": f"{card.data['form']}, checksum {card.data['checksum'][:16]}",
        "versions": ", ".join(f"{name} {number}" for name, number in card.versions.items()),
        "machine": ", ".join(f"{name}: {value}" for name, value in card.machine.items()),
    }


def _side_by_side(card: Card) -> list[Section]:
    """The rows that have both numbers."""
    both = [
        (row.label, row.published, row.ours)
        for row in card.rows
        if row.published is not None and row.ours is not None
    ]
    if not both:
        return []
    labels, published, ours = zip(*both, strict=True)
    figure = plots.published_and_ours(
        list(labels),
        list(published),
        [number.value for number in ours],
        [number.sampling_error or 0.0 for number in ours],
    )
    caption = "Published numbers and ours; bars are two standard errors."
    return [Section("Side by side", figures={caption: figure})]


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


def part_text(part: Found) -> str:
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


def _published(row: Row, marks: Mapping[str, int]) -> str:
    if row.published is None:
        return ""
    text = f"{row.published:.6g}"
    return f"{text} ({marks[row.source]})" if row.source else text


def _with_errors(number: Number) -> str:
    """A number with its sampling error in brackets, and that of its draws where it matters."""
    if number.sampling_error is None and number.value == int(number.value):
        return f"{number.value:.0f}"
    sampling, drawn = number.sampling_error, number.monte_carlo_error
    digits = _digits(sampling or drawn)
    text = f"{number.value:.{digits}f}"
    if sampling:
        text += f" ({sampling:.{digits}f})"
    if drawn and drawn > 0.1 * (sampling or 0.0):
        text += f", draws {drawn:.{_digits(drawn)}f}"
    return text


def _digits(error: float | None) -> int:
    """Decimals of a number with this error: two of the error's own, at least two and at most 6."""
    return min(6, max(2, 1 - math.floor(math.log10(error)))) if error else 3


def _apart(row: Row) -> str:
    if row.ours is None or row.published is None:
        return ""
    apart = row.ours.value - row.published
    return f"{apart:+.{_digits(row.ours.sampling_error or abs(apart))}f}"
