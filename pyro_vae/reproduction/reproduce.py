"""Running an experiment: each part trained and measured, and the card written after each."""

from __future__ import annotations

import datetime
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pyro_vae.cards.card import Card, Found, read_card, write_card
from pyro_vae.cards.machine import machine, versions
from pyro_vae.cards.page import write_page
from pyro_vae.disk.files import locked, make_folder
from pyro_vae.disk.sealed import checksum_of_arrays
from pyro_vae.errors import UnknownNameError
from pyro_vae.inference.training.sweep import claimed_folder
from pyro_vae.progress import measuring
from pyro_vae.reproduction.experiment import Experiment, Part, Place, Plan, ScheduleName
from pyro_vae.reproduction.experiments import EXPERIMENTS
from pyro_vae.spelling import command_line
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyro_vae.data import Dataset

__all__ = ["about_data", "experiment_of", "folder_of", "reproduce"]

_PLAN = "plan.json"


@verb
def reproduce(
    name: str,
    out: str | Path | None = None,
    *,
    parts: Sequence[str] | None = None,
    data: str | None = None,
    schedule: ScheduleName = "sooner",
    minutes: float | None = None,
    epochs: int | None = None,
    num_particles: int = 5000,
    limit: int | None = None,
    num_annealed: int = 500,
    seed: int = 0,
    precision: str = "32-true",
    compile: str = "auto",
    data_root: str | Path | None = None,
    overwrite: bool = False,
    tell: Callable[[str], None] | None = None,
    progress: bool | None = None,
) -> Card:
    """Do a published experiment again, and put our numbers beside the published ones.

    Every part is trained in a folder of its own and then measured; after each the card,
    ``NAME.json`` and ``NAME.html``, is written anew. Stopped, the same call goes on. Parts may
    run in processes of their own, with the same ``out``.

    Parameters
    ----------
    name
        Name of the experiment, out of ``EXPERIMENTS``.
    out
        Folder; ``runs/reproduce-NAME`` unless given.
    parts
        Names of the parts to run; all that are not optional unless given.
    data
        Name of another data set than the paper's, of which nothing is published.
    schedule
        ``"paper"``, the paper's own, or ``"sooner"``, which takes fewer epochs.
    minutes
        What the training of each part may take: its epochs are made so many fewer, by a short
        trial on this machine.
    epochs
        Epochs of each part, in the place of those of the schedule.
    num_particles, limit
        Particles of log p(x), and on how many of the test data; all of them unless given.
    num_annealed
        Test data on which annealing is held against importance sampling; fewer than 2 for none.
    seed
        Seed of first weights, binarisation, order of the data and draws.
    precision, compile
        How a step of training is computed, as for ``inference.fit``; a run that was begun goes on
        as it began.
    data_root
        Folder with the data sets; see ``data.load``.
    overwrite
        Begin again where another reproduction is in the folder.
    tell
        Called with a line on what is done next.
    progress
        Show bars; by default in a terminal.

    Returns
    -------
    Card
        With every part that is in the folder, those of earlier calls too.

    Raises
    ------
    UnknownNameError
        If there is no experiment, part, schedule or way to compile of a name.
    MissingDataError
        If the data are not there.
    RunError
        If the folder holds a reproduction with other settings.
    """
    experiment = experiment_of(name)
    chosen = experiment.chosen(None if parts is None else list(parts))
    plan = Plan(
        data=experiment.data if data is None else data,
        schedule=schedule,
        epochs=epochs,
        minutes=minutes,
        num_particles=num_particles,
        limit=limit,
        num_annealed=num_annealed,
        seed=seed,
        precision=precision,
        compile=compile,
    )
    root = None if data_root is None else Path(data_root)
    dataset = experiment.load(plan, root)
    folder = folder_of(name, out)
    holds = f"another experiment than {name}, or one with other settings"
    settings = {"experiment": name, **plan.of_training()}
    with claimed_folder(folder / _PLAN, settings, holds=holds, overwrite=overwrite):
        if overwrite:
            (folder / f"{name}.json").unlink(missing_ok=True)
    for number, part in enumerate(chosen, start=1):
        if tell is not None:
            tell(f"{number} of {len(chosen)}: {part.title}")
        place = Place(folder / part.name, root, overwrite, progress)
        card = _with_part(experiment, part, plan, place, dataset, folder)
    return card


def folder_of(name: str, out: str | Path | None) -> Path:
    """Where an experiment is done, unless told otherwise."""
    return Path("runs") / f"reproduce-{name}" if out is None else Path(out)


def experiment_of(name: str) -> Experiment:
    """The experiment of a name.

    Raises
    ------
    UnknownNameError
        If there is none.
    """
    if name not in EXPERIMENTS:
        raise UnknownNameError("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]


def _with_part(
    experiment: Experiment, part: Part, plan: Plan, place: Place, data: Dataset, out: Path
) -> Card:
    """Train and measure a part, and write the card with it."""
    path = out / f"{experiment.name}.json"
    make_folder(place.folder)
    part.train(plan, place)
    begun = read_card(path) if path.is_file() else None
    found = None if begun is None else begun.part(part.name)
    if found is None or not _is_of(found, part, plan, place):
        with measuring(f"measuring {part.name}", show=place.show) as progress:
            found = part.measure(plan, place.telling(progress))
    with locked(out):
        # Once more: another process may have added its part.
        begun = read_card(path) if path.is_file() else None
        card = _card(experiment, plan, data, begun, found)
        write_card(path, card)
        figures = experiment.figures({part.name: part for part in card.parts})
        write_page(out / f"{experiment.name}.html", card, figures)
    return card


def _is_of(found: Found, part: Part, plan: Plan, place: Place) -> bool:
    """Whether what was found is of these weights, measured as planned."""
    return (
        not place.overwrite
        and found.weights == part.weights(place.folder)
        and found.protocol == part.protocol(plan)
    )


def _card(
    experiment: Experiment, plan: Plan, data: Dataset, begun: Card | None, found: Found
) -> Card:
    """The card with one more part, or with one in the place of an older."""
    known = {} if begun is None else {part.name: part for part in begun.parts}
    known[found.name] = found
    parts = [known[part.name] for part in experiment.parts if part.name in known]
    return Card(
        experiment=experiment.name,
        title=experiment.title,
        source=experiment.source,
        command=_command(experiment, plan, [part.name for part in parts]),
        plan=asdict(plan),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        versions=versions(),
        machine=machine(),
        data=about_data(data),
        parts=parts,
        rows=experiment.rows({part.name: part for part in parts}, plan),
        differs=list(experiment.differs),
    )


def _command(experiment: Experiment, plan: Plan, parts: Sequence[str]) -> str:
    """The command that does it again."""
    given = {key: value for key, value in asdict(plan).items() if value != _DEFAULTS.get(key)}
    if given.get("data") == experiment.data:
        del given["data"]
    words: list[str] = []
    for key, value in given.items():
        words += [f"--{_OPTIONS.get(key, key.replace('_', '-'))}", str(value)]
    usual = [part.name for part in experiment.chosen(None)]
    if list(parts) != usual:
        words += ["--parts", ",".join(parts)]
    return command_line("reproduce", experiment.name, *words)


#: What a plan has unless it is told otherwise.
_DEFAULTS = asdict(Plan(data=""))
_OPTIONS = {"num_particles": "particles", "num_annealed": "annealed"}


def about_data(data: Dataset) -> dict[str, str | int]:
    """Name, sizes, form and checksum of the data that a part is trained and measured on."""
    splits = (data.train, data.validation, data.test)
    return {
        "name": data.name,
        "train": len(data.train),
        "validation": len(data.validation),
        "test": len(data.test),
        "form": repr(data),
        "checksum": checksum_of_arrays(part.numpy() for part in splits),
    }
