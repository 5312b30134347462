"""The schema of a table: what each column is, printed before anything is fitted."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from pyro_vae.data.affine import Affine
from pyro_vae.data.schema.cells import cells_of_frame
from pyro_vae.data.schema.choices import Choice
from pyro_vae.data.schema.column import LEVELLED, Column
from pyro_vae.data.schema.kinds import (
    MOST_LEVELS,
    Guess,
    guess_kind,
    levels_of,
    likelihood_of,
)
from pyro_vae.data.schema.numbers import NumbersOfArray
from pyro_vae.data.schema.recognise import in_type, with_times
from pyro_vae.disk.schema import checked
from pyro_vae.errors import DataError, SettingError
from pyro_vae.spelling import in_quotes, spelt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyro_vae.data.kind import Kind
    from pyro_vae.data.schema.cells import Cells
    from pyro_vae.data.schema.numbers import Numbers

__all__ = ["Encoded", "Schema", "kind_of_table", "levels_said", "with_likelihood"]

#: Roles of columns that a model needs.
_MODELLED = ("data", "covariate")


class Encoded(NamedTuple):
    """A table as numbers.

    Attributes
    ----------
    x
        Columns that are data, in their own units, float64 ``(n, D)``; NaN in empty cells.
    covariates
        What a conditional model is given, float64 ``(n, C)``; None without covariates.
    labels
        Class of each row, int64 ``(n,)``; None without.
    """

    x: np.ndarray
    covariates: np.ndarray | None
    labels: np.ndarray | None


@dataclass(frozen=True)
class Schema:
    """What the columns of a table are.

    Attributes
    ----------
    columns
        All of them, those that are dropped too, in the order of the table.
    """

    columns: tuple[Column, ...]

    @classmethod
    def read(
        cls,
        cells: Mapping[str, Cells],
        choices: Mapping[str, Choice] | None = None,
        *,
        name: str = "table",
    ) -> Schema:
        """The schema of a table, told by its types and values.

        Parameters
        ----------
        cells
            Columns by name.
        choices
            What a person says of some columns, by name.
        name
            What the table is called.

        Raises
        ------
        DataError
            If a column cannot be data as it is: an identifier, free text, or one value only.
        SettingError
            If a choice names no column, or cannot be made of the column.
        """
        choices = choices or {}
        for said in choices:
            if said not in cells:
                raise SettingError(
                    f"columns names {said!r}, and {name} has {', '.join(map(repr, cells))}: "
                    "correct the name"
                )
        made = {
            label: _column(label, column, choices.get(label), name)
            for label, column in cells.items()
        }
        return cls.of_columns(made, name)

    @classmethod
    def of_columns(cls, made: Mapping[str, Column | str], name: str) -> Schema:
        """The schema of columns by name; in the place of one, why it is no data.

        Raises
        ------
        DataError
            If one is no data, or none is.
        """
        refused = {label: why for label, why in made.items() if isinstance(why, str)}
        if refused:
            drop = ", ".join(f"{spelt(label)}=drop" for label in refused)
            other = f"{spelt(next(iter(refused)))}=category"
            parts = "; ".join(f"{label!r} ({why})" for label, why in refused.items())
            raise DataError(
                f"{name} has columns that are no data as they are: {parts}. Leave them out with "
                f"columns={in_quotes(drop)} (--columns), or say what they are, as in "
                f"{in_quotes(other)}"
            )
        schema = cls(tuple(column for column in made.values() if isinstance(column, Column)))
        if not schema.data:
            raise DataError(
                f"{name} has no column that is data: leave at least one that is no covariate, "
                "label, split or group, and is not dropped"
            )
        return schema

    @classmethod
    def from_config(cls, config: Sequence[Mapping[str, Any]]) -> Schema:
        """The schema that ``to_config`` described."""
        return cls(tuple(checked(Column, column) for column in config))

    def to_config(self) -> list[dict[str, Any]]:
        """Every column's attributes, ready for JSON."""
        return [column.model_dump() for column in self.columns]

    def of_role(self, role: str) -> list[Column]:
        """Columns that are for one thing."""
        return [column for column in self.columns if column.role == role]

    @property
    def data(self) -> list[Column]:
        """Columns that are modelled."""
        return self.of_role("data")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that are modelled."""
        return tuple(column.name for column in self.data)

    @property
    def likelihoods(self) -> list[str]:
        """The likelihood of each column that is modelled, as it is typed."""
        return [column.likelihood for column in self.data]

    @property
    def label(self) -> Column | None:
        """The column with the class of each row."""
        return next(iter(self.of_role("label")), None)

    @property
    def covariate_names(self) -> tuple[str, ...]:
        """What stands in each covariate, one for a number, one for each level of a category."""
        names = []
        for column in self.of_role("covariate"):
            wide = column.width > 1 or column.kind in ("category", "ordinal")
            names += [f"{column.name}={v}" for v in column.levels] if wide else [column.name]
        return tuple(names)

    def with_covariates(self, names: Sequence[str]) -> Schema:
        """The same with some columns as covariates, which are then no data.

        Raises
        ------
        SettingError
            If a name is none of a column.
        """
        known = {column.name: column.role for column in self.columns}
        for name in names:
            if name not in known:
                raise SettingError(
                    f"condition names the column {name!r}, and there are "
                    f"{', '.join(map(repr, sorted(known)))}: correct the name"
                )
            if known[name] not in ("data", "covariate", "label"):
                raise SettingError(
                    f"condition names the column {name!r}, which was said to be {known[name]}: "
                    "say one of the two"
                )
        made = replace(
            self,
            columns=tuple(
                c.model_copy(update={"role": "covariate", "likelihood": ""})
                if c.name in names
                else c
                for c in self.columns
            ),
        )
        if not made.data:
            raise SettingError(
                f"condition names {', '.join(map(repr, names))}, which leaves no column to model: "
                "name fewer"
            )
        return made

    def standardised_by(self, table: Mapping[str, Cells], name: str) -> Schema:
        """The same with location and scale of every continuous column from these rows.

        Parameters
        ----------
        table
            Training rows.
        name
            What they are called.
        """
        return replace(
            self,
            columns=tuple(
                _scaled(c, table[c.name], name) if c.name in table else c for c in self.columns
            ),
        )

    def affine(self) -> Affine:
        """Map from the units of the columns that are data to the scale they are modelled on."""
        pair = ([getattr(c, what) for c in self.data] for what in ("location", "scale"))
        return Affine(*(torch.tensor(part, dtype=torch.double) for part in pair))

    def cells_of(self, given: Any, name: str) -> dict[str, Cells]:
        """Cells of another table of this schema, in the types that it has.

        Columns are found by name; those that are not needed may be missing, and others are left
        out.

        Raises
        ------
        DataError
            If a column is missing, or cannot be read in its type.
        """
        table = given if isinstance(given, dict) else cells_of_frame(given, name)
        needed = [c for c in self.columns if c.role in _MODELLED]
        missing = [c.name for c in needed if c.name not in table]
        if missing:
            raise DataError(
                f"{name} has no column {', '.join(map(repr, missing))}, and has "
                f"{', '.join(map(repr, table))}: give a table of the same schema"
            )
        found = {}
        for c in self.columns:
            if c.name in table and c.role != "drop":
                _refuse_fault(table[c.name], c.kind if c.role in _MODELLED else "category")
                found[c.name] = in_type(table[c.name], c.type, c.name, name)
        return found

    def encode(self, table: Mapping[str, Cells], name: str) -> Encoded:
        """Rows as numbers, in the units of the columns.

        Raises
        ------
        DataError
            If a cell of a column that is not modelled is empty, or a cell holds what its column
            cannot.
        """
        self.require_filled(table, name)
        data = [c.numbers(table[c.name], name) for c in self.data]
        beside = [c.covariates(c.numbers(table[c.name], name)) for c in self.of_role("covariate")]
        label = self.label
        labels = None
        if label is not None and label.name in table:
            labels = label.numbers(table[label.name], name).astype(np.int64)
        return Encoded(
            np.stack(data, axis=1), np.concatenate(beside, axis=1) if beside else None, labels
        )

    def empty_rows(self, table: Mapping[str, Cells]) -> np.ndarray:
        """Which rows have an empty cell that is needed, ``(n,)``."""
        columns = [table[c.name].empty for c in self.columns if c.name in table]
        return np.logical_or.reduce(columns)

    def require_filled(self, table: Mapping[str, Cells], name: str) -> None:
        """Refuse empty cells of columns that are no data, which no model fills in.

        Raises
        ------
        DataError
            With the first of them by row and column, and how many there are.
        """
        beside = [c.name for c in self.columns if c.role != "data" and c.name in table]
        counts = {label: int(table[label].empty.sum()) for label in beside}
        counts = {label: count for label, count in counts.items() if count}
        if not counts:
            return
        rows = np.flatnonzero(np.logical_or.reduce([table[label].empty for label in counts]))
        row = int(rows[0])
        first = next(label for label in counts if table[label].empty[row])
        role = next(c.role for c in self.columns if c.name == first)
        parts = ", ".join(f"{label!r} {count}" for label, count in counts.items())
        raise DataError(
            f"{name} has an empty cell in row {row}, column {first!r}, which is {role} (empty "
            f"cells by column: {parts}), and only a column that is data may have such: drop those "
            "rows with drop_empty=True (--drop-empty), say another use of the column, or fill "
            "them in"
        )

    def fingerprint(self, numbers: Any) -> np.ndarray:
        """One number per row, ``(n,)``, by which rows are known whatever columns are said to be.

        The order of columns and of levels has no part in it; words count by their spelling.

        Parameters
        ----------
        numbers
            Rows in the units of the columns, ``(n, D)``.
        """
        x = np.asarray(numbers, dtype=np.float64)
        total = np.zeros(len(x))
        for d, column in enumerate(self.data):
            values = x[:, d]
            if column.levels:
                spelt = column.type == "number"
                known = [float(v) if spelt else _number_of(v) for v in column.levels]
                values = np.array(known)[np.rint(values).astype(int)]
            total += (0.5 + _number_of(column.name)) * values
        return total

    def decode(
        self,
        numbers: Any,
        *,
        only: Sequence[str] | None = None,
        observed: np.ndarray | None = None,
    ) -> pd.DataFrame:
        """Rows of a frame from numbers in the units of the columns, ``(n, D)``.

        Parameters
        ----------
        numbers
            Draws, means or data: levels by their position, times in their unit.
        only
            Names of the columns that there are numbers of; all that are data unless given.
        observed
            Which cells are there, bool ``(n, D)``: the others are empty. All unless given.
        """
        x = np.asarray(numbers, dtype=np.float64)
        columns = self.data if only is None else [c for c in self.data if c.name in only]
        made = {c.name: c.cells(x[:, d]) for d, c in enumerate(columns)}
        if observed is not None:
            there = zip(made.items(), observed.T, strict=True)
            made = {label: _emptied(cells, seen) for (label, cells), seen in there}
        return pd.DataFrame(made)

    def table(self) -> pd.DataFrame:
        """One row a column: kind, role, likelihood, levels or range, empty cells, scale, why."""
        rows = [
            {
                "column": c.name,
                "kind": "" if c.role in ("drop", "split", "group") else c.kind,
                "use": c.role,
                # The levels say how many classes there are.
                "likelihood": c.likelihood.partition("(num_classes=")[0],
                "levels or range": c.contents,
                "empty": c.empty,
                "scale": _scale_text(c),
                "told by": c.why,
            }
            for c in self.columns
        ]
        return pd.DataFrame(rows).set_index("column")

    def choices_text(self) -> str:
        """A file of choices that says of every column what this schema has."""
        names = {c.name: spelt(c.name) for c in self.columns}
        width = max(map(len, names.values()))
        lines = ["# kind or likelihood of each column; or covariate, label, split, group, drop"]
        for c in self.columns:
            word = c.likelihood.partition("(num_classes")[0] if c.role == "data" else c.role
            if c.role == "data" and c.kind == "ordinal":
                word = f"ordinal(levels=[{', '.join(map(spelt, c.levels))}])"
            elif c.role in ("covariate", "label"):
                word = f"{c.kind}+{c.role}"
            lines.append(f"{names[c.name]:<{width}} = {word}  # {c.contents}".rstrip(" #"))
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        return self.table().to_string()

    def _repr_html_(self) -> str:
        return self.table().to_html()


def _emptied(cells: pd.Series, observed: np.ndarray) -> pd.Series:
    """A column with empty cells, whose others stay of their type."""
    if observed.all():
        return cells
    nullable = {"b": "boolean", "i": "Int64"}.get(cells.dtype.kind)
    return (cells if nullable is None else cells.astype(nullable)).where(observed)


def _column(label: str, cells: Cells, choice: Choice | None, name: str) -> Column | str:
    """A column of the schema; or why it is no data, in words."""
    choice = Choice() if choice is None else choice
    role, empty = choice.role or "data", int(cells.empty.sum())
    about: dict[str, Any] = {"name": label, "role": role, "empty": empty}
    if role in ("drop", "split", "group"):
        return Column(kind="text", type=cells.type, why="as was said", **about)
    _refuse_fault(cells, choice.kind)
    if cells.empty.all():
        return "every cell is empty"
    told, cells = _told(cells, choice)
    if told.kind in ("id", "text"):
        return told.why
    cells = _in_type_of_kind(cells, told.kind, label, name)
    levels = levels_said(cells, told.kind, choice, label, name)
    if len(set(cells.filled)) == 1 and role != "label":
        return f"one value in all rows, {str(cells.filled[0])!r}"
    about |= {"kind": told.kind, "type": cells.type, "why": told.why}
    column = Column(levels=levels, unit=_unit(cells) if told.kind == "date" else "", **about)
    numbers = column.numbers(cells, name)[~cells.empty]
    return with_likelihood(column, NumbersOfArray(numbers), choice, name)


def with_likelihood(column: Column, numbers: Numbers, choice: Choice, name: str) -> Column:
    """A column with its range and, where it is data, its likelihood.

    Raises
    ------
    DataError
        If its kind cannot have such numbers.
    """
    if not column.levels:
        ends = {"least": numbers.least, "largest": numbers.largest}
        column = column.model_copy(update=ends)
    if column.role != "data":
        return column
    _check_support(column.kind, numbers, column.name, name)
    said, levels = choice.likelihood, column.levels
    text = _with_settings(said, numbers, levels) if said else ""
    return column.model_copy(
        update={"likelihood": text or likelihood_of(column.kind, numbers, len(levels))}
    )


def _refuse_fault(cells: Cells, kind: str | None) -> None:
    """Refuse cells that are words at most for a kind of column that is not of words."""
    if cells.fault and not (kind in LEVELLED and cells.type == "word"):
        raise DataError(cells.fault)


def _told(cells: Cells, choice: Choice) -> tuple[Guess, Cells]:
    """The kind that was said, or else the one that the values tell; times as times."""
    times = with_times(cells)
    if choice.kind is None:
        told = guess_kind(times)
        if choice.role == "label" and told.kind not in LEVELLED:
            return Guess("category", "as was said"), cells
        return told, times
    if choice.kind == "real" and times.type == "time":
        return Guess("date", "as was said"), times
    return Guess(choice.kind, "as was said"), cells


def _unit(times: Cells) -> str:
    """Days, where no time of day is given; else seconds."""
    days = times.filled.astype("datetime64[D]")
    return "days" if bool((times.filled == days).all()) else "seconds"


def _in_type_of_kind(cells: Cells, kind: str, label: str, name: str) -> Cells:
    """Cells of a type that the kind can have."""
    if kind in LEVELLED:
        return cells if cells.type != "time" else in_type(cells, "word", label, name)
    if kind == "date":
        times = with_times(cells)
        if times.type != "time":
            raise DataError(
                f"{name}: column {label!r} has {cells.filled[0]!r}, which is no date as "
                "YYYY-MM-DD or YYYY-MM-DD HH:MM:SS: write dates so, or say another kind"
            )
        return times
    if cells.type == "time":
        raise DataError(
            f"{name}: column {label!r} holds dates, and {kind} is a kind of numbers: say "
            f"{spelt(label)}=date"
        )
    return in_type(cells, "number", label, name)


def levels_said(
    cells: Cells, kind: str, choice: Choice | None, label: str, name: str
) -> list[str]:
    """Levels in order, those that were said where some were."""
    if kind not in LEVELLED:
        return []
    levels = levels_of(cells)
    said = None if choice is None else choice.levels
    if said is not None:
        lacking = [level for level in levels if level not in said]
        if lacking:
            raise SettingError(
                f"columns: levels of {label!r} lack {lacking[0]!r}, which is in {name}: name "
                "every level, in order"
            )
        levels = said
    if len(levels) > MOST_LEVELS:
        raise DataError(
            f"{name}: column {label!r} has {len(levels):,} levels, and {MOST_LEVELS:,} is the "
            f"most that a category may have: group them, or say {spelt(label)}=drop"
        )
    if kind == "yes-no" and len(levels) > 2:
        raise DataError(
            f"{name}: column {label!r} has {len(levels)} levels ({', '.join(levels[:4])}, ...), "
            f"and yes-no is for two: say {spelt(label)}=category"
        )
    if kind == "yes-no" and cells.type == "number" and len(levels) == 1:
        levels = ["0", "1"]
    return levels


def _check_support(kind: str, numbers: Numbers, label: str, name: str) -> None:
    """Refuse a kind whose support the numbers leave."""
    inside = {
        "positive": (math.inf, "positive numbers"),
        "share": (1.0, "numbers strictly between 0 and 1"),
    }
    if kind in inside and (worst := numbers.outside(0.0, inside[kind][0])) is not None:
        raise DataError(
            f"{name}: column {label!r} has {worst:g}, and {kind} is for {inside[kind][1]}: say "
            f"{spelt(label)}=real"
        )


def _with_settings(likelihood: str, numbers: Numbers, levels: list[str]) -> str:
    """A likelihood with the settings that the data decide, where none were said."""
    if "(" in likelihood:
        return likelihood
    if likelihood == "categorical":
        return f"categorical(num_classes={len(levels)})"
    if likelihood == "ordinal":
        return f"ordinal(num_classes={len(levels)})"
    top = int(numbers.largest) if numbers.size else 1
    if likelihood == "binomial":
        return f"binomial(total_count={max(top, 1)})"
    if likelihood == "discretised-logistic":
        return f"discretised-logistic(num_levels={max(top, 1) + 1})"
    return likelihood


def _scaled(column: Column, cells: Cells, name: str) -> Column:
    """The column with its location and scale over training rows."""
    if column.role == "data" and cells.empty.all():
        raise DataError(
            f"{name}: column {column.name!r} has no cell that is not empty among the training "
            f"rows: give other shares, or say {spelt(column.name)}=drop"
        )
    counted = column.kind == "count" and column.role == "covariate"
    if not (counted or column.kind in ("real", "positive", "date")):
        return column
    numbers = column.numbers(cells, name)
    numbers = numbers[~np.isnan(numbers)]
    if column.kind == "positive" and column.role == "data":
        # Without a shift, so that it stays positive: about the geometric mean.
        location, scale = 0.0, math.exp(float(np.log(numbers).mean()))
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            location, scale = float(numbers.mean()), float(numbers.std())
    if not math.isfinite(location + scale):
        raise DataError(
            f"{name}: column {column.name!r} has numbers as large as {np.abs(numbers).max():g}, "
            f"whose variance is no number: give it in another unit, or say "
            f"{spelt(column.name)}=drop"
        )
    if not scale > 0 or numbers.min() == numbers.max():  # rounding is no spread
        scale = scale if column.kind == "positive" and column.role == "data" else 1.0
    return column.model_copy(update={"location": location, "scale": scale})


def _number_of(word: str) -> float:
    """A number in [0, 1) that a word always has."""
    digest = hashlib.blake2b(word.encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48


def _scale_text(column: Column) -> str:
    if column.location == 0 and column.scale == 1:
        return ""
    if column.kind == "date":
        return f"{column.scale:.3g} {column.unit}"
    return f"{column.scale:.4g}"


def kind_of_table(schema: Schema) -> Kind:
    """Kind of a data set with these columns."""
    kinds = {column.kind for column in schema.data}
    if kinds == {"yes-no"}:
        return "binary"
    if kinds == {"count"}:
        return "counts"
    return "real" if kinds <= {"real", "positive", "share", "date"} else "mixed"
