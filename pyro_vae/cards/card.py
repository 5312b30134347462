"""The card of an experiment: what was found, and all that it takes to find it again, in one file.

A card is JSON with a checksum. Its numbers are in nats unless they are named otherwise.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pydantic

from pyro_vae.disk.schema import Settings, checked
from pyro_vae.disk.sealed import altered, read_json, write_json
from pyro_vae.errors import RunError, SettingError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Card",
    "Found",
    "Number",
    "Row",
    "error_over_data",
    "listed",
    "over_data",
    "read_card",
    "unlisted",
    "write_card",
]


class Number(Settings):
    """A number with its errors.

    Attributes
    ----------
    value
        The number.
    sampling_error
        Standard error over the data, or over repeats; None where there is none.
    monte_carlo_error
        Standard error of the draws; None where it is withheld, or there is none.
    """

    value: float
    sampling_error: float | None = None
    monte_carlo_error: float | None = None


def over_data(values: np.ndarray, drawn: float) -> Number:
    """The mean of what there is for every datum, with both its errors.

    Parameters
    ----------
    values
        Numbers ``(n,)``.
    drawn
        Monte Carlo standard error of their mean; NaN where it is withheld.
    """
    return Number(
        value=float(values.mean()),
        sampling_error=float(values.std(ddof=1)) / math.sqrt(len(values)),
        monte_carlo_error=drawn if math.isfinite(drawn) else None,
    )


def error_over_data(errors: np.ndarray) -> float:
    """Monte Carlo standard error of a mean, from those of every datum, which are independent."""
    return float(np.sqrt((errors**2).sum())) / len(errors)


class Found(Settings):
    """What one part of an experiment came to.

    Attributes
    ----------
    name, title
        Which part.
    model
        The model and its guide, as ``description`` has them.
    numbers
        Means by name.
    per_datum
        Values by name, one a datum (or one a repeat); None where there is none.
    protocol
        How it was measured: particles, images, seed.
    training
        How it was trained, and the seconds that it took; empty where nothing was.
    curve
        ``epoch``, and the bound of the training data at it, thinned.
    weights
        Checksum of the weights; None where there are none.
    certificate
        Other estimates of the same, and whether they agree.
    notes
        What a reader must know of these numbers.
    """

    name: str
    title: str
    model: str = ""
    numbers: dict[str, Number]
    per_datum: dict[str, list[float | None]] = pydantic.Field(default_factory=dict)
    protocol: dict[str, Any] = pydantic.Field(default_factory=dict)
    training: dict[str, Any] = pydantic.Field(default_factory=dict)
    curve: dict[str, list[float | None]] = pydantic.Field(default_factory=dict)
    weights: str | None = None
    certificate: str = ""
    notes: list[str] = pydantic.Field(default_factory=list)


class Row(Settings):
    """A published number and ours.

    Attributes
    ----------
    label
        What it is.
    published
        The published number; None where none is.
    ours
        Ours; None where the part was not run.
    source
        Where the published one was read.
    differs
        What differs, beyond what differs of the whole experiment.
    """

    label: str
    published: float | None
    ours: Number | None
    source: str = ""
    differs: str = ""


class Card(Settings):
    """What ``reproduce`` writes.

    Attributes
    ----------
    experiment, title, source
        Which experiment, of whom.
    command
        The command that does it again.
    plan
        Settings of the whole: see ``Plan``.
    date
        Day on which the last part was measured.
    versions, machine
        What it ran with, and on.
    data
        Name, sizes, form and checksum.
    parts
        What was found, in the order of the experiment.
    rows
        Published numbers and ours.
    differs
        What differs from the published experiment.
    """

    format: Literal["pyro_vae card"] = "pyro_vae card"
    version: Literal[1] = 1
    experiment: str
    title: str
    source: str
    command: str
    plan: dict[str, Any]
    date: str
    versions: dict[str, str]
    machine: dict[str, Any]
    data: dict[str, Any]
    parts: list[Found]
    rows: list[Row]
    differs: list[str]

    @pydantic.model_validator(mode="after")
    def _names_differ(self) -> Card:
        names = [part.name for part in self.parts]
        if len(set(names)) < len(names):
            raise ValueError("parts of different names")
        return self

    def part(self, name: str) -> Found | None:
        """What was found of a part; None where it was not run."""
        return next((part for part in self.parts if part.name == name), None)


def listed(values: Iterable[float], decimals: int = 3) -> list[float | None]:
    """Values as a card keeps them: to so many decimals, and None for NaN or infinity."""
    return [round(v, decimals) if math.isfinite(v) else None for v in map(float, values)]


def unlisted(values: Iterable[float | None]) -> np.ndarray:
    """What ``listed`` gave, as an array with NaN for None."""
    return np.array([math.nan if v is None else v for v in values], dtype=float)


def write_card(path: Path, card: Card) -> None:
    """Write a card, whole or not at all."""
    write_json(path, card.model_dump())


def read_card(path: str | Path) -> Card:
    """Read a card.

    Parameters
    ----------
    path
        The ``.json`` that ``reproduce`` wrote.

    Raises
    ------
    RunError
        If it is missing, was changed after it was written, or is none.
    """
    path = Path(path)
    remedy = "give the .json that `pyro-vae reproduce` wrote, under the name that it had"
    document, intact = read_json(path, remedy=remedy)
    if not intact:
        raise altered(path, remedy)
    try:
        return checked(Card, document)
    except SettingError as error:
        raise RunError(f"{path} is no card: {error}; {remedy}") from error
