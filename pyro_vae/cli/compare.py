"""``pyro-vae compare``: runs ranked by held-out log p(x), with errors of the differences."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pyro_vae import plots
from pyro_vae.cli.options import DataRoot, Jobs, Json, Limit, On, Particles, Seed
from pyro_vae.cli.output import print_json, with_error
from pyro_vae.disk.runs import Run
from pyro_vae.errors import SettingError
from pyro_vae.inference.evidence import compare_results
from pyro_vae.pages.report import save_figure
from pyro_vae.progress import measuring
from pyro_vae.referee import compare_cards
from pyro_vae.stored.measured import results_of_run

if TYPE_CHECKING:
    from pyro_vae.inference.evidence import Comparison

__all__ = ["compare", "print_comparison"]


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders, two or more; or cards of `pyro-vae referee`, .json."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="PNG file for the figure; none is drawn without it.")
    ] = None,
    particles: Particles = 1000,
    limit: Limit = None,
    seed: Seed = 0,
    on: On = None,
    jobs: Jobs = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Rank runs by log p(x) of their test data, with standard errors of the paired differences.

    A run that was evaluated with these settings is not measured again; cards are never.
    """
    if len(runs) < 2:
        raise typer.BadParameter("give two runs or more")
    cards = [run for run in runs if run.suffix == ".json"]
    if cards:
        given = {"--limit": limit, "--on": on, "--jobs": jobs, "--data-root": data_root}
        _refuse_beside_cards(runs, cards, given)
        _print(compare_cards(cards), "data of the cards", out, as_json)
        return
    names = _names(runs)
    opened = [Run.open(run) for run in runs]
    settings: dict[str, Any] = {
        "num_particles": particles,
        "limit": limit,
        "seed": seed,
        "data_root": data_root,
        "on": on,
        "n_jobs": jobs,
    }
    results = {}
    for name, run in zip(names, opened, strict=True):
        with measuring(f"measuring {name}", show=False if as_json else None) as progress:
            results[name] = results_of_run(run, progress=progress, **settings)
    comparison = compare_results(results)
    count = results[names[0]].sizes["datum"]
    rows = "held-out data" if on is None else f"rows of {on.name}"
    which = f"{count} {rows}" if limit is None else f"the first {count} {rows}"
    _print(comparison, which, out, as_json)


def _refuse_beside_cards(runs: list[Path], cards: list[Path], given: dict[str, Any]) -> None:
    """Refuse runs beside cards, and what would change how a card was measured."""
    others = [run for run in runs if run not in cards]
    if others:
        raise SettingError(
            f"{cards[0]} is a card and {others[0]} a run: compare cards with cards; `pyro-vae "
            "referee` writes one of a model in a Python file, which may load a run"
        )
    options = [name for name, value in given.items() if value is not None]
    if options:
        raise SettingError(f"{options[0]} is for runs, and cards are not measured: leave it out")


def _print(comparison: Comparison, title: str, out: Path | None, as_json: bool) -> None:
    """The ranking and its figure, as they were asked for."""
    if out is not None:
        save_figure(plots.model_comparison(comparison), out)
    if as_json:
        print_json(comparison.to_json())
        return
    print_comparison(comparison, title)
    if out is not None:
        Console(highlight=False, soft_wrap=True).print(f"figure: {out}", markup=False)


def print_comparison(comparison: Comparison, title: str) -> None:
    """Print the ranking, and what it cannot be relied on for."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    shown = Table(
        title=Text(f"{title}, nats per datum (standard error)"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    shown.add_column("", overflow="fold")
    for column in (
        "log p(x)",
        "minus the best's",
        "of it MC",
        "ELBO",
        "gap",
        "units",
        "weights",
        "fit, s",
    ):
        shown.add_column(column, justify="right", no_wrap=True)
    for name, row in comparison.table.iterrows():
        total = math.hypot(row["sampling_se"], 0.0 if math.isnan(row["mc_se"]) else row["mc_se"])
        best = row["rank"] == 1
        shown.add_row(
            Text(str(name)),
            with_error(row["log_evidence"], total) + (" exact" if row["exact"] else ""),
            "" if best else with_error(row["difference"], row["dse"]),
            "" if best or math.isnan(row["dse_mc"]) else f"{row['dse_mc']:.3f}",
            f"{row['elbo']:.2f}",
            "" if math.isnan(row["gap"]) else f"{row['gap']:.2f}",
            _whole(row["active_units"]),
            _whole(row["parameters"]),
            _whole(row["seconds"]),
        )
    console.print(shown)
    for note in comparison.notes:
        console.print(note, markup=False)


def _names(runs: list[Path]) -> list[str]:
    """Names of the folders; whole paths where two have the same name."""
    names = [run.resolve().name for run in runs]
    if len(set(names)) == len(names):
        return names
    paths = [str(run) for run in runs]
    if len(set(paths)) < len(paths):
        raise typer.BadParameter("a run was given twice: give each once")
    return paths


def _whole(number: float) -> str:
    return "" if number != number else f"{number:,.0f}"
