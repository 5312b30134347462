"""A part that is several runs of one model: one for every mask, or for every seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.cards.card import Number
from pyro_vae.disk.runs import Run
from pyro_vae.disk.sealed import checksum
from pyro_vae.reproduction.trained import TrainedPart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pyro_vae.data import Dataset
    from pyro_vae.reproduction.experiment import Place, Plan

__all__ = ["RepeatedPart", "over_repeats"]


@dataclass(frozen=True)
class RepeatedPart(TrainedPart):
    """A model of the package, trained in several runs, whose seeds follow one another.

    Attributes
    ----------
    repeats
        Number of runs; each is in a folder of its own, ``run-0`` and so on.
    """

    repeats: int = 5

    def train(self, plan: Plan, place: Place) -> None:
        """Fit every run in its folder, go on, or find it done."""
        for repeat, one, there in self.each(plan, place):
            self.train_run(self.data_of(repeat, plan, place), one, there)

    def data_of(self, repeat: int, plan: Plan, place: Place) -> Dataset:
        """The data of a run; those of the part unless a subclass says otherwise."""
        return self.load(plan, place)

    def each(self, plan: Plan, place: Place) -> Iterator[tuple[int, Plan, Place]]:
        """Number, plan and place of every run; ``minutes`` are shared out among them."""
        minutes = None if plan.minutes is None else plan.minutes / self.repeats
        for repeat in range(self.repeats):
            one = replace(plan, seed=plan.seed + repeat, minutes=minutes)
            there = replace(
                place,
                folder=place.folder / f"run-{repeat}",
                progress=_share_of(place.progress, repeat, self.repeats),
            )
            yield repeat, one, there

    def weights(self, folder: Path) -> str | None:
        """Checksum of the weights of all the runs; None where one has none."""
        seals = [super(RepeatedPart, self).weights(path) for path in self._folders(folder)]
        known = [seal for seal in seals if seal is not None]
        return checksum(*known) if len(known) == self.repeats else None

    def trained(self, plan: Plan, place: Place) -> dict[str, Any]:
        """How the first run was trained, and the seconds of all of them."""
        each = [self._trained(Run.open(path), plan) for path in self._folders(place.folder)]
        seconds = round(sum(one["seconds"] for one in each), 1)
        return {**each[0], "runs": self.repeats, "seconds": seconds}

    def _folders(self, folder: Path) -> list[Path]:
        return [folder / f"run-{repeat}" for repeat in range(self.repeats)]


def over_repeats(values: Sequence[float], drawn: Sequence[float] | None = None) -> Number:
    """The mean over repeats, with its standard error over them.

    Parameters
    ----------
    values
        What each repeat came to.
    drawn
        Monte Carlo standard errors of these, independent of each other; None where there are
        none.
    """
    size = len(values)
    return Number(
        value=float(np.mean(values)),
        sampling_error=float(np.std(values, ddof=1)) / math.sqrt(size) if size > 1 else None,
        monte_carlo_error=None if drawn is None else math.hypot(*drawn) / size,
    )


def _share_of(
    progress: Callable[[int, int], None] | None, repeat: int, repeats: int
) -> Callable[[int, int], None] | None:
    """Progress of one repeat as that of all."""
    if progress is None:
        return None

    def tell(done: int, total: int) -> None:
        progress(repeat * total + done, repeats * total)

    return tell
