"""``pyro-vae figure``: one figure, or all that a run allows, as PDF and PNG for slides."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from pyro_vae.cli.options import DataRoot, Json, Seed
from pyro_vae.cli.output import print_json
from pyro_vae.disk.runs import Run
from pyro_vae.errors import PyroVAEError, SettingError, UnknownNameError
from pyro_vae.figures import FIGURES, Fitted, RegisteredFigure
from pyro_vae.pages.report import save_figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figure"]

_ALL = "all"


def figure(
    name: Annotated[
        str | None, typer.Argument(help="Name of a figure, as --list has them; or all.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Argument(
            help="Run folder, as made by `pyro-vae fit`; none for a figure of the toy."
        ),
    ] = None,
    show_list: Annotated[
        bool, typer.Option("--list", help="List the figures, and what each of them needs.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to. Default: RUN/figures, or runs/figures."),
    ] = None,
    seed: Seed = 0,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Write a figure as NAME.pdf and NAME.png, for slides and papers.

    `all RUN` writes every figure that the run allows, and says which not and why; `all` alone
    those of the toy, which need no run. The same command writes the same bytes.
    """
    if show_list:
        _print_list(as_json)
        return
    chosen = _chosen(name, run)
    fitted = None
    if run is not None:
        fitted = Fitted.from_run(Run.open(run), data_root=data_root, seed=seed)
    refused = _refused(chosen, fitted)
    if refused and name != _ALL:
        raise refused[str(name)]
    folder = out or (Path("runs") / "figures" if run is None else run / "figures")
    _check_writable(folder)
    console = Console(highlight=False, soft_wrap=True)
    written = []
    with nullcontext() if run is None or out is not None else Run(run).locked():
        for entry in chosen:
            if entry.name in refused:
                continue
            drawn: Figure = entry.draw_toy(seed) if fitted is None else entry.draw(fitted)
            files = save_figures(drawn, folder, entry.name)
            written += [str(file) for file in files]
            if not as_json:
                console.print(f"wrote {' and '.join(map(str, files))}", markup=False)
    if as_json:
        reasons = {key: str(error) for key, error in refused.items()}
        print_json({"written": written, "left out": reasons})
        return
    for key, error in refused.items():
        console.print(f"left out {key}: {error}", markup=False)


def _chosen(name: str | None, run: Path | None) -> list[RegisteredFigure]:
    """The figures that were asked for, if they go with the run or with its absence."""
    if name is None:
        raise SettingError("NAME is missing: give a figure's name, `all`, or --list to see them")
    if name == _ALL:
        return [entry for entry in FIGURES.values() if entry.of_run == (run is not None)]
    if name not in FIGURES:
        raise UnknownNameError("figure", name, [*FIGURES, _ALL])
    entry = FIGURES[name]
    if entry.of_run and run is None:
        raise SettingError(
            f"figure {name!r} is of a run, and none was given: `pyro-vae figure {name} RUN`"
        )
    if run is not None and not entry.of_run:
        raise SettingError(f"figure {name!r} takes no run, and got {run}: leave it out")
    return [entry]


def _refused(chosen: list[RegisteredFigure], fitted: Fitted | None) -> dict[str, PyroVAEError]:
    """Why some cannot be made, before any is."""
    if fitted is None:
        return {}
    found = {entry.name: entry.refusal(fitted) for entry in chosen}
    return {name: error for name, error in found.items() if error is not None}


def _check_writable(folder: Path) -> None:
    """Make the folder, or fail before any work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"--out got {folder}, which cannot be made ({error.strerror}): give a folder in a "
            "place where you may write"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SettingError(f"--out got {folder}, where you may not write: give another folder")


def _print_list(as_json: bool) -> None:
    rows: list[dict[str, Any]] = [
        {"name": entry.name, "shows": entry.shows, "needs": entry.needs_text}
        for entry in FIGURES.values()
    ]
    if as_json:
        print_json({"figures": rows})
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    table = Table("name", "what it shows", "needs", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*row.values())
    console.print(table)
