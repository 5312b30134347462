"""``pyro-vae reproduce``: a published experiment again, and its card; or a card checked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pyro_vae.cards import card_table
from pyro_vae.cli.options import (
    Compile,
    DataRoot,
    Json,
    Limit,
    Particles,
    Precision,
    Seed,
    overwrite_of,
)
from pyro_vae.cli.output import print_card, print_json
from pyro_vae.errors import SettingError
from pyro_vae.reproduction import EXPERIMENTS
from pyro_vae.reproduction import check as check_card
from pyro_vae.reproduction import reproduce as do_again
from pyro_vae.reproduction.reproduce import folder_of
from pyro_vae.spelling import split_list

if TYPE_CHECKING:
    from pyro_vae.cards import Card

__all__ = ["reproduce"]


def reproduce(
    name: Annotated[
        str | None, typer.Argument(help="Name of the experiment; they are listed without one.")
    ] = None,
    parts: Annotated[
        str,
        typer.Option(help="Parts to run, with commas between; all but the optional by default."),
    ] = "",
    minutes: Annotated[
        float | None,
        typer.Option(help="What each part may train at most; its epochs are made so many fewer."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of each part. Default: the schedule's.")
    ] = None,
    schedule: Annotated[
        str, typer.Option(help="paper: the paper's own; sooner: fewer epochs.")
    ] = "sooner",
    data: Annotated[
        str | None, typer.Option(help="Another data set than the paper's, by its name.")
    ] = None,
    particles: Particles = 5000,
    limit: Limit = None,
    annealed: Annotated[
        int, typer.Option(help="Test data that are annealed, too; fewer than 2 for none.")
    ] = 500,
    out: Annotated[Path | None, typer.Option(help="Folder. Default: runs/reproduce-NAME.")] = None,
    check: Annotated[
        Path | None,
        typer.Option(metavar="CARD", help="Measure again what a card says, from its weights."),
    ] = None,
    train: Annotated[
        bool,
        typer.Option("--train", help="With --check: train again where weights are missing."),
    ] = False,
    seed: Seed = 0,
    precision: Precision = "32-true",
    compile: Compile = "auto",
    data_root: DataRoot = None,
    overwrite: Annotated[bool, overwrite_of("the runs of an earlier reproduction")] = False,
    as_json: Json = False,
) -> None:
    """Do a published experiment again: its table beside ours, with errors, on a card to check.

    Every part is trained, measured, and added to the card, NAME.json and NAME.html. Stopped, the
    same command goes on. --check says whether a card holds, with exit status 1 where it does not.
    """
    show = False if as_json else None
    console = Console(highlight=False, soft_wrap=True, stderr=True)

    def tell(line: str) -> None:
        console.print(line, markup=False)

    if check is not None:
        if name is not None:
            raise SettingError(f"--check got a card, and {name} was given too: leave one out")
        found = check_card(
            check, limit=limit, train=train, data_root=data_root, tell=tell, progress=show
        )
        if as_json:
            print_json({"holds": all(c.holds for c in found), "parts": [vars(c) for c in found]})
        else:
            for each in found:
                print(f"{each.part}: {each.verdict} (at most {each.largest:.2g}; {each.reason})")
            print("The card holds." if all(c.holds for c in found) else "The card does NOT hold.")
        if not all(each.holds for each in found):
            sys.exit(1)
        return
    if train:
        raise SettingError("--train is for --check, and no card was given: leave it out")
    if name is None:
        _print_list(as_json)
        return
    card = do_again(
        name,
        out,
        parts=split_list(parts) or None,
        data=data,
        schedule=schedule,  # type: ignore[arg-type]
        minutes=minutes,
        epochs=epochs,
        num_particles=particles,
        limit=limit,
        num_annealed=annealed,
        seed=seed,
        precision=precision,
        compile=compile,
        data_root=data_root,
        overwrite=overwrite,
        tell=tell,
        progress=show,
    )
    _print_card(card, folder_of(name, out), as_json)


def _print_card(card: Card, out: Path, as_json: bool) -> None:
    """The table of a card, and where it is."""
    path = out / f"{card.experiment}.json"
    if as_json:
        print_json({"card": str(path), "rows": [row.model_dump() for row in card.rows]})
        return
    title = f"{card.title}: {card.source}"
    print_card(card, card_table(card), path, title=title, notes=card.differs)


def _print_list(as_json: bool) -> None:
    """The experiments that there are."""
    if as_json:
        listed = {
            each.name: {
                "source": each.source,
                "data": each.data,
                "parts": [part.name for part in each.parts],
                "optional": sorted(each.optional),
            }
            for each in EXPERIMENTS.values()
        }
        print_json({"experiments": listed})
        return
    table = Table()
    for column in ("name", "of", "data", "parts"):
        table.add_column(column, overflow="fold")
    for each in EXPERIMENTS.values():
        parts = ", ".join(
            f"({part.name})" if part.name in each.optional else part.name for part in each.parts
        )
        authors, _, _ = each.source.partition("), ")
        table.add_row(each.name, f"{authors})", each.data, parts)
    console = Console()
    console.print(table)
    console.print("Parts in brackets run only where --parts names them.", markup=False)
