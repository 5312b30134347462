"""What an experiment is: parts that are trained and measured, and a table that was published."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from pyro_vae import data as datasets
from pyro_vae.cards.card import Found, Row, error_over_data, over_data, unlisted
from pyro_vae.errors import UnknownNameError
from pyro_vae.inference.training.by_graph import COMPILE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from matplotlib.figure import Figure

    from pyro_vae.data import Dataset

__all__ = ["Difference", "Experiment", "Level", "Part", "Place", "Plan", "ScheduleName"]

#: The paper's own schedule of training, or one that gets there in fewer epochs.
ScheduleName = Literal["paper", "sooner"]


@dataclass(frozen=True)
class Plan:
    """What decides the numbers of an experiment.

    Attributes
    ----------
    data
        Name of the data set.
    schedule
        ``"paper"`` or ``"sooner"``.
    epochs
        Passes over the data; those of the schedule unless given.
    minutes
        What the training of a part may take at most, by which its epochs are made fewer.
    num_particles
        Particles of log p(x).
    limit
        Test data to measure on; all of them unless given.
    num_annealed
        Test data on which annealing is held against it.
    seed
        Seed of first weights, binarisation, order of the data, draws.
    precision, compile
        How a step of training is computed, as for ``inference.fit``.
    """

    data: str
    schedule: ScheduleName = "sooner"
    epochs: int | None = None
    minutes: float | None = None
    num_particles: int = 5000
    limit: int | None = None
    num_annealed: int = 500
    seed: int = 0
    precision: str = "32-true"
    compile: str = "auto"

    def __post_init__(self) -> None:
        if self.schedule not in get_args(ScheduleName):
            raise UnknownNameError("schedule", str(self.schedule), get_args(ScheduleName))
        if self.compile not in COMPILE:
            raise UnknownNameError("compile", self.compile, COMPILE)

    def of_training(self) -> dict[str, Any]:
        """Those settings that decide the weights, but for rounding."""
        names = ("data", "schedule", "epochs", "minutes", "seed")
        return {name: vars(self)[name] for name in names}

    def as_trained(self, training: Mapping[str, Any]) -> Plan:
        """For going on with a training, or doing it again: as long, and computed, as that was."""
        known = {
            name: training[name] for name in ("epochs", "precision", "compile") if name in training
        }
        return replace(self, **known, minutes=None)

    def of_measuring(self) -> dict[str, Any]:
        """Those settings that decide what is measured of the weights."""
        names = ("num_particles", "limit", "num_annealed", "seed")
        return {name: vars(self)[name] for name in names}


@dataclass(frozen=True)
class Place:
    """Where a part works, and how it says how far it is.

    Attributes
    ----------
    folder
        Folder of the part.
    data_root
        Folder with the data sets; see ``data.load``.
    overwrite
        Whether to begin again.
    show
        Whether to show bars; None for where somebody can see them.
    certify
        Whether other estimates are held against the numbers, too.
    progress
        Called with the number of data measured and their total.
    """

    folder: Path
    data_root: Path | None = None
    overwrite: bool = False
    show: bool | None = None
    certify: bool = True
    progress: Callable[[int, int], None] | None = None

    def telling(self, progress: Callable[[int, int], None]) -> Place:
        """The same, where measuring says how far it is."""
        return replace(self, progress=progress)

    def beside(self, name: str) -> Place:
        """The folder of another part, whose work is kept."""
        return replace(self, folder=self.folder.parent / name, overwrite=False)


class Part(ABC):
    """A part of an experiment.

    Attributes
    ----------
    name, title
        Folder of its work, and heading.
    """

    name: str
    title: str

    @abstractmethod
    def train(self, plan: Plan, place: Place) -> None:
        """Train, or go on, or find it done; nothing where there is nothing to train."""

    @abstractmethod
    def measure(self, plan: Plan, place: Place) -> Found:
        """Measure what was trained."""

    def protocol(self, plan: Plan) -> dict[str, Any]:
        """What decides the numbers of ``measure`` beside the weights, as the plan names it."""
        return plan.of_measuring()

    def weights(self, folder: Path) -> str | None:
        """Checksum of the weights in a folder; None where a part has none."""
        return None

    def before(self, plan: Plan) -> Part | None:
        """The part that has to be trained before this one; None where there is none."""
        return None


@dataclass(frozen=True)
class Level:
    """A row of a table: one number of one part.

    Attributes
    ----------
    label
        What it is.
    part, number
        Where ours is found.
    published
        The published number; None where none was read; or the name of another number of the
        part, which is the closed form.
    source
        Where it was read.
    sign
        -1 where the table has minus our number, as of -log p(x).
    differs
        What differs in this row alone.
    """

    label: str
    part: str
    number: str
    published: float | str | None = None
    source: str = ""
    sign: int = 1
    differs: str = ""

    def elsewhere(self) -> Level:
        """The line for other data than the paper's."""
        if isinstance(self.published, str):
            return self
        return replace(self, published=None, source="", differs="")

    def row(self, found: Mapping[str, Found]) -> Row:
        """The row with what was found."""
        part = found.get(self.part)
        ours = None if part is None else part.numbers.get(self.number)
        if ours is not None:
            ours = ours.model_copy(update={"value": self.sign * ours.value})
        published = self.published
        if isinstance(published, str):
            published = None if part is None else self.sign * part.numbers[published].value
            # Both are of the same data, which are no source of a difference.
            ours = ours and ours.model_copy(update={"sampling_error": None})
        return Row(
            label=self.label,
            published=published,
            ours=ours,
            source=self.source,
            differs=self.differs,
        )


@dataclass(frozen=True)
class Difference:
    """A row of a table: what one part has over another, paired by datum.

    Attributes
    ----------
    label, published, source, differs
        As for ``Level``.
    first, second
        The parts: first minus second.
    values
        What they have for every datum.
    errors
        The Monte Carlo errors of that.
    """

    label: str
    first: str
    second: str
    published: float | None = None
    source: str = ""
    differs: str = ""
    values: str = "log_evidence"
    errors: str = "log_evidence_se"

    def elsewhere(self) -> Difference:
        """The line for other data than the paper's."""
        return replace(self, published=None, source="", differs="")

    def row(self, found: Mapping[str, Found]) -> Row:
        """The row with what was found, of the data that both parts have."""
        ours = None
        if self.first in found and self.second in found:
            a, b = (
                unlisted(found[name].per_datum[self.values]) for name in (self.first, self.second)
            )
            size = min(len(a), len(b))
            apart = a[:size] - b[:size]
            noise = (
                unlisted(found[name].per_datum[self.errors])[:size]
                for name in (self.first, self.second)
            )
            ours = over_data(apart, error_over_data(np.hypot(*noise)))
        return Row(
            label=self.label,
            published=self.published,
            ours=ours,
            source=self.source,
            differs=self.differs,
        )


@dataclass(frozen=True)
class Experiment:
    """A published experiment.

    Attributes
    ----------
    name, title, source
        What it goes by; heading; authors (year), title, arXiv.
    data
        Name of its data set.
    form
        How ``data.load`` is asked for it.
    parts
        What is trained and measured, in order.
    table
        Published numbers beside ours.
    differs
        Sentences on what always differs from the paper.
    optional
        Names of parts that run only where they are asked for.
    figures
        By title, a caption and a figure of what was found, beside those of every experiment.
    """

    name: str
    title: str
    source: str
    data: str
    form: Mapping[str, Any]
    parts: tuple[Part, ...]
    table: tuple[Level | Difference, ...]
    differs: tuple[str, ...]
    optional: frozenset[str] = frozenset()
    figures: Callable[[Mapping[str, Found]], dict[str, tuple[str, Figure]]] = lambda _: {}

    def load(self, plan: Plan, data_root: Path | None) -> Dataset:
        """Its data; other data than its own have their own split."""
        return load_form(self.form, plan, data_root, own=plan.data == self.data)

    def chosen(self, names: list[str] | None) -> list[Part]:
        """The parts of these names, in order; unless given, all that are not optional.

        Raises
        ------
        UnknownNameError
            If there is no part of a name.
        """
        known = [part.name for part in self.parts]
        if names is None:
            return [part for part in self.parts if part.name not in self.optional]
        for name in names:
            if name not in known:
                raise UnknownNameError(f"part of {self.name}", name, known)
        return [part for part in self.parts if part.name in names]

    def rows(self, found: Mapping[str, Found], plan: Plan) -> list[Row]:
        """Published numbers and ours; on other data only a closed form is known."""
        own = plan.data == self.data
        lines = self.table if own else [line.elsewhere() for line in self.table]
        rows = [line.row(found) for line in lines]
        return [row for row in rows if row.ours is not None or row.published is not None]


def load_form(
    form: Mapping[str, Any], plan: Plan, data_root: Path | None, *, own: bool
) -> Dataset:
    """Data in the form of an experiment; its number of validation data is that of its own set."""
    given = {key: value for key, value in form.items() if own or key != "num_validation"}
    return datasets.load(plan.data, seed=plan.seed, data_root=data_root, **given)
