"""CSV and TSV: pandas' reader for the cells, and a look at every line for what it lets pass."""

from __future__ import annotations

import csv
import io
import itertools
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pyro_vae.data.schema.cells import LARGEST_WHOLE, Cells
from pyro_vae.data.schema.recognise import number_of
from pyro_vae.errors import DataError
from pyro_vae.spelling import spelt

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_delimited"]

#: Share of numerals above which a word among them is taken for a slip.
_MOSTLY = 0.9

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
#: A numeral that is a name, such as a postcode.
_LEADING_ZERO = re.compile(r"[+-]?0\d")


def read_delimited(
    content: bytes, name: str, *, separator: str | None, num_rows: int | None
) -> dict[str, Cells]:
    """Columns of a CSV or TSV file, each numbers where all of its cells are.

    Parameters
    ----------
    content
        What the file holds.
    name
        What to call it.
    separator
        Character between cells; out of comma, semicolon, tab and bar, the one that the first
        line has most of, unless given.
    num_rows
        Read the first so many rows only.

    Raises
    ------
    DataError
        If it is no text in UTF-8, has lines of different lengths, two columns of one name or a
        second header.
    """
    text = _text(content, name)
    if num_rows is not None:
        text = "".join(itertools.islice(io.StringIO(text, newline=""), 20 * (num_rows + 1)))
    separator = separator or _separator(text)
    header = _check_lines(text, separator, name, num_rows)
    try:
        frame = pd.read_csv(
            io.StringIO(text), sep=separator, dtype=str, nrows=num_rows, skipinitialspace=True
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{name} cannot be read as a table ({reason}): mend the file") from error
    if not len(frame):
        raise DataError(f"{name} has a header and no rows: give at least one")
    comma = separator == ";"
    frame.columns = header
    return {label: _cells(frame[label], label, name, comma) for label in header}


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        other = "utf16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin1"
        raise DataError(
            f"{name} is not text in UTF-8 (byte {error.start}): save it in UTF-8, as "
            f"`iconv -f {other} -t utf8` does for such files, or read a frame of it yourself"
        ) from error


def _separator(text: str) -> str:
    first = text.partition("\n")[0]
    return max(",;\t|", key=first.count)


def _check_lines(text: str, separator: str, name: str, num_rows: int | None) -> list[str]:
    """Names of the columns; refuse what pandas would fill in or rename."""
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        header = [_one_line(word) for word in next(lines, [])]
        if len(header) > 1 and not header[0] and "index" not in header:
            header[0] = "index"  # pandas writes the index of a frame without a name
        _check_header(header, name)
        for row, line in enumerate(_rows(lines, num_rows)):
            if line and len(line) != len(header) and header[0][:1] in "#%":
                raise DataError(
                    f"{name} begins with {header[0][:40]!r}, a comment, and not with names of "
                    "columns: remove the lines before the header"
                )
            if line and len(line) != len(header):
                raise DataError(
                    f"{name} has {len(line)} cells in line {lines.line_num}, and its header names "
                    f"{len(header)} columns: mend the line; a cell that holds {separator!r} must "
                    "stand in double quotes"
                )
            if list(map(_one_line, line)) == header:
                raise DataError(
                    f"{name} has its header again in line {lines.line_num} (row {row}): remove it "
                    "there, as where files were joined"
                )
    except csv.Error as error:
        raise DataError(
            f"{name} cannot be read at line {lines.line_num} ({error}): mend the file"
        ) from error
    return header


def _one_line(word: str) -> str:
    """A name without blanks around it, on one line: spreadsheets break long headers."""
    return " ".join(word.splitlines()).strip()


def _rows(lines: Iterator[list[str]], num_rows: int | None) -> Iterator[list[str]]:
    return itertools.islice(lines, num_rows)


def _check_header(header: list[str], name: str) -> None:
    if not header:
        raise DataError(f"{name} is empty, or its first line is: it must name the columns")
    for position, label in enumerate(header):
        if not label:
            last = ", or remove the separator at the end of each line"
            raise DataError(
                f"{name} has no name for column {position + 1} in its header: name it"
                f"{last if position == len(header) - 1 else ''}"
            )
        if header.index(label) != position:
            raise DataError(
                f"{name} has two columns {label!r} in its header: rename one of them, or remove it"
            )
    numerals = [label for label in header if number_of(label) is not None]
    if len(numerals) == len(header):
        raise DataError(
            f"{name} begins with {', '.join(header[:3])}, ... and not with names of columns: put "
            "a header into its first line"
        )


def _cells(column: pd.Series, label: str, name: str, comma: bool) -> Cells:
    """Numbers where every cell that is not empty is a numeral, else words."""
    empty = column.isna().to_numpy()
    words = [str(word).strip() for word in column[~empty]]
    # Beside a decimal point, a comma is one of thousands.
    if comma and any(map(_DECIMAL_COMMA.fullmatch, words)) and not any("." in w for w in words):
        words = [w.replace(",", ".") if _DECIMAL_COMMA.fullmatch(w) else w for w in words]
    found = [number_of(word) for word in words]
    numerals, fault = sum(number is not None for number in found), ""
    if words and numerals == len(words) and not any(map(_is_name, words)):
        values = np.full(len(column), np.nan)
        values[~empty] = found
        whole = all(word.lstrip("+-").isdigit() for word in words)
        return Cells("number", values, empty, whole=whole)
    if _MOSTLY * len(words) <= numerals < len(words):
        at = next(i for i, number in enumerate(found) if number is None)
        row = int(np.flatnonzero(~empty)[at])
        second = " (a second header?)" if row == 0 else ""
        fault = (
            f"{name}: column {label!r} has {words[at]!r} in row {row}{second}, and numbers in "
            f"{numerals} of its {len(words)} cells: correct or empty that cell, or remove its "
            f"line; or say {spelt(label)}=category, if they are classes"
        )
    values = np.full(len(column), "", dtype=object)
    values[~empty] = words
    return Cells("word", values, empty, fault=fault)


def _is_name(word: str) -> bool:
    """Whether a whole number is a name: its zeros, or its last digits, would be lost."""
    whole = word.lstrip("+-").isdigit()
    return whole and bool(_LEADING_ZERO.match(word) or abs(int(word)) > LARGEST_WHOLE)
