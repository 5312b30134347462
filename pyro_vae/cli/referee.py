"""``pyro-vae referee``: anybody's pair measured, and its card; or a card checked."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pyro_vae.cards import Card
from pyro_vae.cards.card import write_card
from pyro_vae.cli.options import (
    DataName,
    DataOptions,
    DataRoot,
    Json,
    Limit,
    Particles,
    Seed,
    overwrite_of,
)
from pyro_vae.cli.output import print_card, print_json
from pyro_vae.data.reading.origin import checksum_of_file
from pyro_vae.disk.files import locked, make_folder
from pyro_vae.errors import RunError, SettingError
from pyro_vae.referee import check as check_card
from pyro_vae.referee import referee as measure
from pyro_vae.referee.check import referee_card
from pyro_vae.referee.page import referee_table, write_referee_page
from pyro_vae.spelling import command_line
from pyro_vae.user_files.apart import run_apart
from pyro_vae.user_files.named import Reference, data_at, pair_at, reference_of

__all__ = ["check_apart", "measure_apart", "referee"]

#: How this command calls what the referee takes, for the command that a card keeps.
_OPTIONS = {
    "num_particles": "particles",
    "num_annealed": "annealed",
    "num_simulated": "simulated",
    "num_ranked": "ranked",
    "num_temperatures": "temperatures",
}

#: Options that say which rows of a file are for what; without them, all are measured.
_SPLITTING = ("test", "validation", "shares", "split_by")


@dataclass(frozen=True)
class RefereeData(DataOptions):
    """Which data: those of ``fit``, or an array out of a Python file."""

    data: DataName = ""

    def measured(self, *, seed: int, data_root: Path | None) -> tuple[Any, str]:
        """The data, and the split of them that is measured: of a file, all of its rows."""
        reference = reference_of(self.data)
        if reference is not None:
            return data_at(reference), "test"
        usual = {field.name: field.default for field in fields(self)}
        if not self._is_file() or any(vars(self)[n] != usual[n] for n in _SPLITTING):
            return self.load(seed=seed, data_root=data_root), "test"
        whole = replace(self, shares="1,0,0")
        return whole.load(seed=seed, data_root=data_root), "train"

    def as_json(self) -> dict[str, Any]:
        """The options that were given, as a card keeps them."""
        given = vars(self)
        changed = [f.name for f in fields(self) if given[f.name] != f.default]
        return {n: str(given[n]) if isinstance(given[n], Path) else given[n] for n in changed}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> RefereeData:
        """What ``as_json`` gave."""
        made: dict[str, Any] = dict(given)
        for name in ("test", "validation"):
            if name in made:
                made[name] = Path(made[name])
        return cls(**made)


def referee(
    pair: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE.py:NAME",
            help="A pair in a Python file: an object with Pyro programs model and guide, the two "
            "as a tuple, or a function of no argument that makes either.",
        ),
    ] = None,
    *,
    source: RefereeData,
    reported: Annotated[
        float | None,
        typer.Option(help="Number that others report, in nats per datum, to stand beside ours."),
    ] = None,
    reported_as: Annotated[str, typer.Option(help="Where the reported number was read.")] = "",
    reported_of: Annotated[
        str,
        typer.Option(help="What it is of: log_evidence, elbo, iwae_5, iwae_50, bits_per_dim."),
    ] = "log_evidence",
    particles: Particles = 5000,
    limit: Limit = None,
    annealed: Annotated[
        int,
        typer.Option(help="Data that are annealed, and whose gap is taken apart; 0 for none."),
    ] = 50,
    simulated: Annotated[
        int, typer.Option(help="Data simulated for the sandwich; 0 for none.")
    ] = 50,
    ranked: Annotated[int, typer.Option(help="Data simulated for calibration; 0 for none.")] = 500,
    temperatures: Annotated[int, typer.Option(min=1, help="Steps of annealing.")] = 500,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Folder. Default: runs/referee-NAME.")] = None,
    check: Annotated[
        Path | None, typer.Option(metavar="CARD", help="Measure again what a card says.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds that the file's process may take.")
    ] = None,
    data_root: DataRoot = None,
    overwrite: Annotated[bool, overwrite_of("the card in the folder")] = False,
    as_json: Json = False,
) -> None:
    """Measure anybody's model: log p(x), gap, and what vouches for both, on a card to check.

    The file is run in a process of its own. What does not apply to the pair is left out, with the
    reason. --check says whether a card holds, with exit status 1 where it does not.
    """
    shared = {"data_root": None if data_root is None else str(data_root), "quiet": as_json}
    if timeout is not None and not timeout > 0:
        raise SettingError(f"--timeout got {timeout:g}: give seconds above zero, or leave it out")
    if check is not None:
        if pair is not None or source != RefereeData():
            raise SettingError(
                "--check got a card, which says itself which pair and data: leave them out"
            )
        _check(check, shared, timeout, as_json)
        return
    reference = _reference_of(pair)
    if not source.data:
        raise SettingError(
            "--data is missing: give a data set by its name, a file, or FILE.py:NAME of an array"
        )
    folder = Path("runs") / f"referee-{reference.name}" if out is None else out
    path = folder / "referee.json"
    if path.exists() and not overwrite:
        raise RunError(f"{folder} holds a card: give another --out, or --overwrite to replace it")
    settings = {
        "num_particles": particles,
        "num_annealed": annealed,
        "num_simulated": simulated,
        "num_ranked": ranked,
        "num_temperatures": temperatures,
        "seed": seed,
    }
    about = {"reported": reported, "reported_as": reported_as, "reported_of": reported_of}
    job = {
        "pair": str(reference),
        "data": source.as_json(),
        "settings": {**settings, **about, "limit": limit},
        "folder": str(folder.absolute()),
        **shared,
    }
    make_folder(folder)
    with locked(folder):
        before = checksum_of_file(reference.file)
        found = run_apart(
            f"{__name__}:measure_apart", job, files=_files(reference, source), timeout=timeout
        )
        card = _finished(Card.model_validate(found), reference, source, before)
        write_card(path, card)
        write_referee_page(path.with_suffix(".html"), card)
    _print_card(card, path, as_json)


def _reference_of(pair: str | None) -> Reference:
    reference = None if pair is None else reference_of(pair)
    if reference is None:
        got = "nothing" if pair is None else repr(pair)
        raise SettingError(f"the pair got {got}: give FILE.py:NAME, as in model.py:vae")
    if not reference.file.is_file():
        raise SettingError(f"{reference.file}: there is no such file; give FILE.py:NAME")
    return reference


def _files(reference: Reference, source: RefereeData) -> list[Path]:
    """Python files of the user's."""
    other = reference_of(source.data)
    return [reference.file, *([] if other is None else [other.file])]


def measure_apart(job: dict[str, Any]) -> dict[str, Any]:
    """Measure a pair in this process, which is its own, and return the card."""
    pair = pair_at(_reference_of(job["pair"]))
    source = RefereeData.from_json(job["data"])
    data, split = source.measured(seed=job["settings"]["seed"], data_root=_root_of(job))
    card = measure(
        pair,
        data,
        name=_reference_of(job["pair"]).name,
        split=split,
        folder=job["folder"],
        tell=None if job["quiet"] else _tell,
        progress=False if job["quiet"] else None,
        **job["settings"],
    )
    return card.model_dump()


def check_apart(job: dict[str, Any]) -> dict[str, Any]:
    """Measure again what a card says, in this process, and return what was compared."""
    pair = pair_at(_reference_of(job["pair"]))
    source = RefereeData.from_json(job["data"])
    data, _ = source.measured(seed=job["seed"], data_root=_root_of(job))
    found = check_card(
        pair,
        data,
        job["card"],
        tell=None if job["quiet"] else _tell,
        progress=False if job["quiet"] else None,
    )
    return vars(found)


def _root_of(job: dict[str, Any]) -> Path | None:
    return None if job["data_root"] is None else Path(job["data_root"])


def _tell(line: str) -> None:
    Console(highlight=False, soft_wrap=True, stderr=True).print(line, markup=False)


def _finished(card: Card, reference: Reference, source: RefereeData, checksum: str) -> Card:
    """A card that says which file it is of, and the command that writes it anew."""
    plan = {**card.plan, "pair": str(reference), "file": checksum, "source": source.as_json()}
    return card.model_copy(update={"plan": plan, "command": _command(plan)})


def _command(plan: dict[str, Any]) -> str:
    words = [plan["pair"]]
    defaults = {p.replace("_", "-"): v for p, v in _defaults().items()}
    for name, value in {**plan["source"], **plan}.items():
        option = _OPTIONS.get(name, name).replace("_", "-")
        known = option in defaults or name in plan["source"]
        if not known or value is None or value == defaults.get(option):
            continue
        words += [f"--{option}"] if value is True else [f"--{option}", str(value)]
    return command_line("referee", *words)


def _defaults() -> dict[str, Any]:
    """What the options of a measurement are unless given."""
    defaults = referee.__kwdefaults__ or {}
    decides = ("reported", "reported_as", "reported_of", *_OPTIONS.values(), "limit", "seed")
    return {name: defaults[name] for name in decides}


def _check(path: Path, shared: dict[str, Any], timeout: float | None, as_json: bool) -> None:
    """Say whether a card holds."""
    plan = referee_card(path).plan
    if "pair" not in plan:
        raise RunError(
            f"{path} is of a pair in Python's memory: check it there, by pyro_vae.referee.check"
        )
    reference = _found_again(_reference_text(plan["pair"]), path)
    if checksum_of_file(reference.file) != plan["file"]:
        raise RunError(
            f"{reference.file} is not the file of which {path} speaks: it has changed since; "
            "restore it, or write the card anew"
        )
    source = RefereeData.from_json(plan["source"])
    other = reference_of(source.data)
    if other is not None:
        source = replace(source, data=str(_found_again(other, path)))
    job = {
        "pair": str(reference),
        "data": source.as_json(),
        "card": str(path.absolute()),
        "seed": plan["seed"],
        **shared,
    }
    found = run_apart(
        f"{__name__}:check_apart", job, files=_files(reference, source), timeout=timeout
    )
    holds = found["verdict"] != "differs"
    if as_json:
        print_json({"holds": holds, **found})
    else:
        print(
            f"{found['part']}: {found['verdict']} (at most {found['largest']:.2g}; "
            f"{found['reason']})"
        )
        print("The card holds." if holds else "The card does NOT hold.")
    if not holds:
        sys.exit(1)


def _reference_text(text: str) -> Reference:
    reference = reference_of(text)
    assert reference is not None
    return reference


def _found_again(reference: Reference, card: Path) -> Reference:
    """Where a file is now: as it was named, or beside the card."""
    for file in (reference.file, card.parent / reference.file, card.parent / reference.file.name):
        if file.is_file():
            return Reference(file, reference.name)
    raise RunError(
        f"{reference.file}, of which {card} speaks, is not there: run the command where it is, or "
        "put it beside the card"
    )


def _print_card(card: Card, path: Path, as_json: bool) -> None:
    """The table of a card, what was left out, and where it is."""
    (found,) = card.parts
    if as_json:
        rows = [row.model_dump() for row in card.rows]
        print_json({"card": str(path), "rows": rows, "notes": found.notes})
        return
    measure = found.protocol["base_measure"]
    title = f"{card.title}: {found.protocol['data']} data, nats per datum, measure {measure}"
    print_card(card, referee_table(card), path, title=title, notes=found.notes)
