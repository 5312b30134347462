"""``pyro-vae grid``: every combination of likelihoods, priors, guides and objectives, compared."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console

from pyro_vae import inference, plots
from pyro_vae.cli.compare import print_comparison
from pyro_vae.cli.options import (
    Activation,
    DataOptions,
    DataRoot,
    Hidden,
    Jobs,
    Json,
    LatentDim,
    Limit,
    Optimisation,
    Particles,
    Patience,
    Seed,
    overwrite_of,
    widths,
)
from pyro_vae.cli.output import print_json
from pyro_vae.cli.recipe import Recipe
from pyro_vae.disk.files import write_whole
from pyro_vae.disk.runs import Run
from pyro_vae.errors import PyroVAEError, RunError, WriteError
from pyro_vae.inference.training.sweep import claimed_folder, fit_in
from pyro_vae.pages.report import save_figure
from pyro_vae.progress import measuring
from pyro_vae.spelling import split_list
from pyro_vae.stored.measured import results_of_run
from pyro_vae.workers import shared_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr

    from pyro_vae.data import Dataset
    from pyro_vae.inference.evidence import Comparison

__all__ = ["grid"]


@dataclass(frozen=True)
class Choices:
    """The parts to combine: names with commas between."""

    likelihood: Annotated[
        str, typer.Option(help="Likelihoods with commas between; empty for the one of the data.")
    ] = ""
    prior: Annotated[str, typer.Option(help="Priors with commas between.")] = Recipe.prior
    guide: Annotated[str, typer.Option(help="Guides with commas between.")] = Recipe.guide
    objective: Annotated[
        str, typer.Option(help="Objectives with commas between, as in elbo,iwae-50.")
    ] = "elbo"

    def lists(self) -> dict[str, list[Any]]:
        """Names by their part; None is the likelihood for the data."""
        named: dict[str, list[Any]] = {k: split_list(text) for k, text in vars(self).items()}
        return {**named, "likelihood": named["likelihood"] or [None]}


class _Cell(NamedTuple):
    """One combination: its name, and what it is made of."""

    name: str
    recipe: Recipe


def grid(
    out: Annotated[Path, typer.Option(help="Folder for the runs and the comparison.")] = Path(
        "runs/grid"
    ),
    *,
    choices: Choices,
    source: DataOptions,
    latent_dim: LatentDim = Recipe.latent_dim,
    hidden: Hidden = Recipe.hidden,
    activation: Activation = Recipe.activation,
    optimisation: Optimisation,
    patience: Patience = None,
    particles: Particles = 1000,
    limit: Limit = None,
    seed: Seed = 0,
    jobs: Jobs = None,
    data_root: DataRoot = None,
    overwrite: Annotated[bool, overwrite_of("the runs of an earlier grid")] = False,
    as_json: Json = False,
) -> None:
    """Fit every combination of parts, and rank them by held-out log p(x).

    Combinations that cannot be are listed with the reason, before anything is fitted. Stopped,
    the same command goes on where it was.
    """
    data = source.load(seed=seed, data_root=data_root)
    networks = {"latent_dim": latent_dim, "hidden": hidden, "activation": activation}
    training = {**vars(optimisation), "patience": patience, "seed": seed}
    measurement: dict[str, Any] = {
        "num_particles": particles,
        "limit": limit,
        "seed": seed,
        "data_root": data_root,
        "n_jobs": jobs,
    }
    console = Console(highlight=False, soft_wrap=True, stderr=True)
    cells, refused = _possible(_cells(choices.lists(), networks), data, seed, console)
    shared = {**networks, "hidden": list(widths(hidden))}
    with claimed_folder(
        out / "grid.json",
        {"data": repr(data), "network": shared, "training": training},
        holds="a grid with other data, networks or training",
        overwrite=overwrite,
    ):
        fit = partial(_fit, out, data, seed, overwrite, training)
        fitted = shared_out(fit, [(cell,) for cell in cells], jobs)
        for number, cell in enumerate(cells, start=1):
            console.print(f"{number} of {len(cells)}: {cell.name}", markup=False)
            if (failure := next(fitted)) is not None:
                refused[cell.name] = failure
                console.print(f"failed {cell.name}: {failure}", markup=False)
        results: dict[str, xr.Dataset] = {}
        for cell in cells:
            if cell.name in refused:
                continue
            with measuring(f"measuring {cell.name}", show=False if as_json else None) as progress:
                run = Run.open(out / cell.name)
                results[cell.name] = results_of_run(run, progress=progress, **measurement)
        _conclude(out, _by_measure(results), refused, as_json)


def _fit(
    out: Path,
    data: Dataset,
    seed: int,
    overwrite: bool,
    training: dict[str, Any],
    cell: _Cell,
) -> Iterator[str | None]:
    """Fit a combination; why it failed, in words."""
    try:
        fit_in(
            out / cell.name,
            cell.recipe.build(data, seed=seed),
            data,
            cell.recipe.objective,
            overwrite=overwrite,
            **training,
        )
    except WriteError:
        raise  # the next would fare no better
    except PyroVAEError as error:
        yield str(error)
    else:
        yield None


def _cells(parts: dict[str, list[Any]], settings: dict[str, Any]) -> list[_Cell]:
    """The product of the parts; a cell's name has those that differ between cells."""
    cells: dict[str, _Cell] = {}
    for chosen in itertools.product(*parts.values()):
        words = [
            str(value)
            for value, choices in zip(chosen, parts.values(), strict=True)
            if len(choices) > 1
        ]
        name = re.sub(r"[^A-Za-z0-9.]+", "-", "+".join(words or [str(chosen[1])])).strip("-")
        recipe = Recipe(**dict(zip(parts, chosen, strict=True)), **settings)
        if name in cells and cells[name].recipe != recipe:
            raise typer.BadParameter(
                f"two combinations have the folder name {name!r}: give settings that differ in "
                "more than punctuation"
            )
        cells[name] = _Cell(name, recipe)
    return list(cells.values())


def _possible(
    cells: list[_Cell], data: Dataset, seed: int, console: Console
) -> tuple[list[_Cell], dict[str, str]]:
    """The cells that can be fitted, and by name why the others cannot.

    Raises
    ------
    RunError
        If none can.
    """
    refused = {c.name: reason for c in cells if (reason := _refusal(c.recipe, data, seed))}
    for name, reason in refused.items():
        console.print(f"left out {name}: {reason}", markup=False)
    if len(refused) == len(cells):
        raise RunError("no combination can be fitted: see the reasons above")
    return [cell for cell in cells if cell.name not in refused], refused


def _refusal(recipe: Recipe, data: Dataset, seed: int) -> str | None:
    """Why a combination cannot be fitted, in words; None if it can."""
    try:
        model = recipe.build(data, seed=seed)
        model.likelihood.check(data.epoch_train(0))
    except (PyroVAEError, ValueError) as error:
        return str(error)
    return None


def _by_measure(results: dict[str, xr.Dataset]) -> dict[str, Comparison]:
    """One comparison for each base measure: masses and densities have rankings of their own."""
    groups: dict[str, dict[str, xr.Dataset]] = {}
    for name, result in results.items():
        groups.setdefault(str(result.attrs["base_measure"]), {})[name] = result
    return {
        measure: inference.evidence.compare_results(group) for measure, group in groups.items()
    }


def _conclude(
    out: Path, comparisons: dict[str, Comparison], refused: dict[str, str], as_json: bool
) -> None:
    """Write the comparison and its figures, and print it."""
    document = {
        "comparisons": {measure: found.to_json() for measure, found in comparisons.items()},
        "left out": refused,
    }
    write_whole(out / "comparison.json", json.dumps(document, indent=2) + "\n")
    for measure, comparison in comparisons.items():
        stem = re.sub(r"[^a-z]+", "-", measure).strip("-")
        save_figure(plots.model_comparison(comparison), out / f"comparison-{stem}.png")
        if not as_json:
            count = next(iter(comparison.results.values())).sizes["datum"]
            print_comparison(comparison, f"{count} held-out data, {measure} measure")
    if as_json:
        print_json(document)
    else:
        Console(highlight=False, soft_wrap=True).print(f"runs and figures: {out}", markup=False)
