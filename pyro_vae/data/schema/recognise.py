"""Words that stand for times, numbers or truth values, and the other way round."""

from __future__ import annotations

import re

import numpy as np

from pyro_vae.data.schema.cells import Cells
from pyro_vae.data.schema.column import level_texts
from pyro_vae.errors import DataError

__all__ = [
    "in_type",
    "looks_like_another_date",
    "looks_like_another_number",
    "number_of",
    "with_times",
]

#: What is kept of a time, digits beyond microseconds, and the zone.
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?)((?<=\.\d{6})\d{1,3})?"
    r"(Z|(?<!-\d\d)[+-]\d\d(?::?\d\d)?)?"
)
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_OTHER_DATE = re.compile(
    r"(?:\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}[./]\d{1,2}[./]\d{1,2}"
    r"|\d{4}-(?:\d-\d{1,2}|\d\d-\d)"
    rf"|\d{{1,2}}[ -]{_MONTH}[.,]?[ -]\d{{2,4}}|{_MONTH}\.? \d{{1,2}},? \d{{4}})"
    r"(?:[T ,]+\d{1,2}:\d\d.*)?",
    re.IGNORECASE,
)

_MONEY = "(?:[$€£¥]|USD|EUR|GBP|CHF|JPY)"
#: Numbers in the writing of people: currencies, percent, thousands, a decimal comma.
_WRITTEN = re.compile(
    rf"[+\-−(]?{_MONEY}?\s?[+\-−]?"
    rf"(?:\d{{1,3}}(?:[,.'’\s]\d{{3}})+(?:[.,]\d+)?|\d+(?:[.,]\d+)?)\s?(?:[%‰]|{_MONEY})?\)?"
)
#: What stands among numbers where one is too large, or beyond what can be measured.
_BEYOND = re.compile(r"[+-]?inf(?:inity)?|[<>≤≥]=?\s?\d+(?:\.\d+)?", re.IGNORECASE)


def with_times(cells: Cells) -> Cells:
    """Words that are all dates of ISO 8601 as times; other cells as they are."""
    if cells.type != "word" or not len(cells.filled):
        return cells
    found = [_ISO.fullmatch(word) for word in cells.filled]
    matches = [match for match in found if match is not None]
    # Times of which some have a zone are of two clocks.
    if len(matches) < len(found) or len({match[3] is None for match in matches}) > 1:
        return cells
    times = np.full(len(cells.values), "NaT", dtype="datetime64[us]")
    try:
        times[~cells.empty] = [np.datetime64(match[1], "us") - _offset(match) for match in matches]
    except ValueError:  # such as the 30th of February
        return cells
    return Cells("time", times, cells.empty)


def _offset(match: re.Match[str]) -> np.timedelta64:
    """How far the clock of a time is ahead of UTC."""
    zone = (match[3] or "Z").replace(":", "")
    minutes = 0 if zone == "Z" else 60 * int(zone[1:3]) + int(zone[3:] or 0)
    return np.timedelta64(-minutes if zone[0] == "-" else minutes, "m")


def looks_like_another_date(cells: Cells) -> bool:
    """Whether words are dates, not all in the form of ISO 8601."""
    if cells.type != "word":
        return False
    other = [word for word in cells.filled if not _ISO.fullmatch(word)]
    return bool(other) and all(map(_OTHER_DATE.fullmatch, other))


def looks_like_another_number(cells: Cells) -> bool:
    """Whether words are numbers as people write them: currencies, percent, thousands, infinity."""
    other = [word for word in cells.filled if number_of(word) is None]
    if cells.type != "word" or not other:
        return False
    written = [word for word in other if _WRITTEN.fullmatch(word)]
    beyond = [word for word in other if _BEYOND.fullmatch(word)]
    # "<65" and ">65" alone are two groups.
    among = bool(written) or len(other) < len(cells.filled)
    return len(written) + len(beyond) == len(other) and among


def number_of(word: str) -> float | None:
    """The finite number that a word is; None for another word."""
    try:
        number = float(word)
    except ValueError:
        return None
    # Python reads "1_000", "nan" and "infinity"; in a table they are words.
    plain = "_" not in word and np.isfinite(number)
    return number if plain else None


def in_type(cells: Cells, kind: str, column: str, name: str) -> Cells:
    """Cells as a column of a type has them, where they can be read so.

    Parameters
    ----------
    cells
        Cells of a column.
    kind
        The type that they should have.
    column, name
        What the column and the table are called.

    Raises
    ------
    DataError
        If a word is no number, or no truth value.
    """
    if cells.type == kind:
        return cells
    if kind == "word":
        words = np.empty(len(cells.values), dtype=object)
        words[:] = level_texts(cells)
        return Cells("word", words, cells.empty)
    if cells.type == "word" and kind == "time":
        return with_times(cells)
    if cells.type == "word" and kind == "number":
        return _numbers(cells, column, name)
    if cells.type == "word" and kind == "truth":  # "true" as polars writes it
        lower = np.array([word.lower() for word in cells.values])
        if set(lower[~cells.empty]) <= {"true", "false"}:
            return Cells("truth", lower == "true", cells.empty)
    if kind == "number" and cells.type == "truth":
        return Cells("number", cells.values.astype(np.float64), cells.empty)
    if kind == "truth" and cells.type == "number" and set(cells.filled) <= {0.0, 1.0}:
        return Cells("truth", cells.values == 1.0, cells.empty)
    return cells


def _numbers(cells: Cells, column: str, name: str) -> Cells:
    values = np.full(len(cells.values), np.nan)
    for row in np.flatnonzero(~cells.empty):
        number = number_of(cells.values[row])
        if number is None:
            raise DataError(
                f"{name}: column {column!r} has {cells.values[row]!r} in row {row}, and is a "
                "column of numbers, as 1234.5: correct the cell, or empty it"
            )
        values[row] = number
    return Cells("number", values, cells.empty)
