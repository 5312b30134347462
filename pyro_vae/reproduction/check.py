"""Measuring again what a card says, from the weights that lie beside it."""

from __future__ import annotations

import math
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from pyro_vae.disk.schema import arguments_of
from pyro_vae.errors import DataError, RunError, SettingError
from pyro_vae.progress import measuring
from pyro_vae.reproduction.card import Card, Found, read_card, unlisted
from pyro_vae.reproduction.experiment import Place, Plan
from pyro_vae.reproduction.reproduce import about_data, experiment_of
from pyro_vae.spelling import command_line
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro_vae.reproduction.experiment import Experiment, Part

__all__ = ["Checked", "check"]

#: What rounding on another machine may move of one datum, in nats or in a number's own unit.
_ROUNDING = 0.01

#: What rounding may move of a mean over data, relative to it.
_ROUNDING_OF_MEANS = 1e-4

#: Standard errors of the draws within which two means are the same.
_STANDARD_ERRORS = 4.0

#: Results of the run, which are to be found again and not read.
_KEPT = shutil.ignore_patterns("*.nc", ".lock*", "figures")


@dataclass(frozen=True)
class Checked:
    """What became of one part of a card.

    Attributes
    ----------
    part
        Its name.
    verdict
        ``"equal"`` to rounding, datum by datum; ``"within error"`` of the draws, where another
        machine or version draws otherwise; or ``"differs"``.
    largest
        Largest difference of a datum, or of a number where there are no data.
    reason
        What was compared, in a sentence.
    """

    part: str
    verdict: Literal["equal", "within error", "differs"]
    largest: float
    reason: str

    @property
    def holds(self) -> bool:
        """Whether the card is right about this part."""
        return self.verdict != "differs"


@verb
def check(
    card: str | Path,
    *,
    limit: int | None = None,
    train: bool = False,
    data_root: str | Path | None = None,
    tell: Callable[[str], None] | None = None,
    progress: bool | None = None,
) -> list[Checked]:
    """Measure again what a card says, and say whether it holds.

    The weights are looked for beside the card, where ``reproduce`` left them; they are not
    touched, and neither is the card.

    Parameters
    ----------
    card
        The ``.json`` that ``reproduce`` wrote.
    limit
        The first so many test data alone: a datum's numbers do not depend on the others.
    train
        Train again the parts whose weights are not there, as the card says, in a folder that is
        thrown away.
    data_root
        Folder with the data sets; see ``data.load``.
    tell
        Called with a line on what is done next.
    progress
        Show bars; by default in a terminal.

    Returns
    -------
    list of Checked
        One for each part of the card.

    Raises
    ------
    RunError
        If the card was changed, or the weights of a part are not there, or are others.
    DataError
        If the data are not those of the card.
    """
    path = Path(card)
    held = read_card(path)
    experiment = experiment_of(held.experiment)
    plan = _plan_of(path, held)
    parts = experiment.chosen([found.name for found in held.parts])
    for part in parts:
        _require_weights(path, held, part, train=train)
    root = None if data_root is None else Path(data_root)
    _require_same_data(experiment, plan, held, root)
    checked = []
    for part in parts:
        if tell is not None:
            tell(f"measuring {part.title} again")
        said = held.part(part.name)
        assert said is not None
        asked = _as_measured(path, plan, said, limit)
        found = _measured_again(path, part, said, asked, root, progress)
        checked.append(_compared(said, found))
    return checked


def _plan_of(path: Path, card: Card) -> Plan:
    try:
        return Plan(**arguments_of(Plan, card.plan))
    except SettingError as error:
        raise RunError(f"{path}: plan: {error}") from error


def _as_measured(path: Path, plan: Plan, said: Found, limit: int | None) -> Plan:
    """The plan by which a part was measured, on so many data at most."""
    known = {name: said.protocol[name] for name in plan.of_measuring() if name in said.protocol}
    try:
        plan = Plan(**arguments_of(Plan, {**vars(plan), **known}))
    except SettingError as error:
        raise RunError(f"{path}: {said.name}: protocol: {error}") from error
    return replace(
        plan,
        limit=_least(plan.limit, limit),
        num_annealed=_least(plan.num_annealed, limit) or 0,
    )


def _least(first: int | None, second: int | None) -> int | None:
    return min((v for v in (first, second) if v is not None), default=None)


def _require_weights(path: Path, card: Card, part: Part, *, train: bool) -> None:
    """See that the weights of a part lie beside the card, unless it has none."""
    said = card.part(part.name)
    assert said is not None
    if said.weights is None or train:
        return
    folder = path.parent / part.name
    kept = part.weights(folder)
    if kept is None:
        raise RunError(
            f"{folder} has no weights, of which {path.name} speaks: put the run there, or "
            f"have it trained again by `{command_line('reproduce', '--check', path, '--train')}` "
            f"({said.training.get('seconds', 0) / 60:.0f} minutes when the card was made)"
        )
    if kept != said.weights:
        raise RunError(
            f"{folder} has other weights than those of which {path.name} speaks: restore them, "
            "or write the card anew"
        )


def _require_same_data(
    experiment: Experiment, plan: Plan, card: Card, data_root: Path | None
) -> None:
    now = about_data(experiment.load(plan, data_root))
    if now["checksum"] != card.data["checksum"]:
        raise DataError(
            f"the data {plan.data} are not those of the card ({card.data['form']}): their "
            "checksums differ, so that no number could be the same"
        )


def _measured_again(
    path: Path, part: Part, said: Found, plan: Plan, data_root: Path | None, show: bool | None
) -> Found:
    """A part measured from a copy of its weights, or from weights that are trained for it."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Place(Path(scratch) / part.name, data_root, show=show, certify=False)
        if said.weights is not None and part.weights(path.parent / part.name) == said.weights:
            shutil.copytree(path.parent / part.name, place.folder, ignore=_KEPT)
        else:
            place.folder.mkdir()
            part.train(replace(plan, epochs=said.training.get("epochs"), minutes=None), place)
        with measuring(f"measuring {part.name}", show=show) as progress:
            return part.measure(plan, place.telling(progress))


def _compared(said: Found, found: Found) -> Checked:
    """Whether what was found is what was said: first datum by datum, then the numbers."""
    drawn_anew, count, largest, unexplained = False, 0, 0.0, ""
    for name, values in found.per_datum.items():
        if name not in said.per_datum or name.endswith("_se"):
            continue
        before, again = unlisted(said.per_datum[name]), unlisted(values)
        count = min(len(before), len(again))
        apart = np.abs(before[:count] - again[:count])
        moved = float(np.nanmax(apart, initial=0.0))
        largest = max(largest, moved)
        if moved <= _ROUNDING:
            continue
        error = _error_of_mean(name, count, said, found)
        if error is None:
            unexplained = f"{name} moved by {moved:.3g}, and has no error"
            continue
        drawn_anew = True
        gap = abs(float(np.nanmean(before[:count] - again[:count])))
        if gap > _STANDARD_ERRORS * error:
            reason = (
                f"the mean of {name} over {count} data moved by {gap:.4f}, and the Monte Carlo "
                f"standard error of that is {error:.4f}"
            )
            return Checked(said.name, "differs", largest, reason)
    # What has no error of its own, as k-hat, is as good as the draws that it is made of.
    if unexplained and not drawn_anew:
        return Checked(said.name, "differs", largest, unexplained)
    whole = all(
        len(values) == len(found.per_datum.get(name, ()))
        for name, values in said.per_datum.items()
    )
    if whole:
        return _numbers_compared(said, found, largest, drawn_anew=drawn_anew)
    verdict: Literal["equal", "within error"] = "within error" if drawn_anew else "equal"
    return Checked(said.name, verdict, largest, f"{count} data, and no mean over all of them")


def _error_of_mean(name: str, count: int, said: Found, found: Found) -> float | None:
    """Monte Carlo error of the difference of two means; None where there is none."""
    if f"{name}_se" not in said.per_datum or f"{name}_se" not in found.per_datum:
        return None
    drawn = [unlisted(part.per_datum[f"{name}_se"])[:count] for part in (said, found)]
    return math.sqrt(sum(float(np.nansum(part**2)) for part in drawn)) / count


def _numbers_compared(said: Found, found: Found, largest: float, *, drawn_anew: bool) -> Checked:
    """Whether the numbers are the same: to rounding or, drawn anew, within their errors."""
    for name, before in said.numbers.items():
        again = found.numbers.get(name)
        if again is None:
            return Checked(said.name, "differs", math.inf, f"{name} was not found again")
        gap = abs(before.value - again.value)
        if gap <= _ROUNDING_OF_MEANS * (1 + abs(before.value)):
            continue
        errors = [number.monte_carlo_error for number in (before, again)]
        known = [error for error in errors if error is not None]
        if known and gap <= _STANDARD_ERRORS * math.hypot(*known):
            drawn_anew = True
        elif known or not drawn_anew:
            return Checked(said.name, "differs", gap, f"{name} moved by {gap:.3g}")
        largest = max(largest, gap)
    verdict: Literal["equal", "within error"] = "within error" if drawn_anew else "equal"
    data = max((len(values) for values in said.per_datum.values()), default=0)
    what = f"{data} data and " if data else ""
    return Checked(said.name, verdict, largest, f"{what}{len(said.numbers)} numbers")
