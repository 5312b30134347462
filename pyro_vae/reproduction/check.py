"""Measuring again what a card says, from the weights that lie beside it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pyro_vae.cards.card import Card, Found, read_card
from pyro_vae.cards.checked import Checked, compared
from pyro_vae.disk.schema import arguments_of
from pyro_vae.errors import DataError, RunError, SettingError
from pyro_vae.progress import measuring
from pyro_vae.reproduction.experiment import Place, Plan
from pyro_vae.reproduction.reproduce import about_data, experiment_of
from pyro_vae.spelling import command_line
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro_vae.reproduction.experiment import Experiment, Part

__all__ = ["check"]

#: Results of the run, which are to be found again and not read.
_KEPT = shutil.ignore_patterns("*.nc", ".lock*", "figures")


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
        found = _measured_again(path, part, held, asked, root, progress)
        checked.append(compared(said, found))
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
    path: Path, part: Part, card: Card, plan: Plan, data_root: Path | None, show: bool | None
) -> Found:
    """A part measured from a copy of its weights, or from weights that are trained for it."""
    said = card.part(part.name)
    assert said is not None
    with tempfile.TemporaryDirectory() as scratch:
        place = Place(Path(scratch) / part.name, data_root, show=show, certify=False)
        if said.weights is not None and part.weights(path.parent / part.name) == said.weights:
            shutil.copytree(path.parent / part.name, place.folder, ignore=_KEPT)
        else:
            _train_again(part, card, plan, place)
        with measuring(f"measuring {part.name}", show=show) as progress:
            return part.measure(plan, place.telling(progress))


def _train_again(part: Part, card: Card, plan: Plan, place: Place) -> None:
    """Train a part for as long as the card says, and before it the part that it begins at."""
    before = part.before(plan)
    if before is not None:
        _train_again(before, card, plan, place.beside(before.name))
    said = card.part(part.name)
    place.folder.mkdir()
    part.train(plan.as_trained({} if said is None else said.training), place)
