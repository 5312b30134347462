"""``pyro-vae grid``: every combination of likelihoods, priors, guides and objectives, compared."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console

from pyro_vae import data as datasets
from pyro_vae import inference, plots
from pyro_vae.cli.compare import print_comparison
from pyro_vae.cli.options import (
    Activation,
    BatchSize,
    Binarise,
    DataName,
    DataRoot,
    Epochs,
    Hidden,
    Json,
    LatentDim,
    LearningRate,
    Limit,
    Particles,
    Patience,
    Schedule,
    Seed,
    Standardise,
    Values,
    widths,
)
from pyro_vae.cli.output import measuring, print_json
from pyro_vae.cli.recipe import Recipe
from pyro_vae.errors import PyroVAEError, RunError, WriteError
from pyro_vae.files import write_whole
from pyro_vae.held_out import measured_run
from pyro_vae.inference.sweep import claimed_folder, fit_in
from pyro_vae.report import save_figure
from pyro_vae.spelling import split_list

if TYPE_CHECKING:
    import xarray as xr

    from pyro_vae.data import Dataset
    from pyro_vae.inference import Comparison

__all__ = ["grid"]


class _Cell(NamedTuple):
    """One combination: its name, and what it is made of."""

    name: str
    recipe: Recipe


def grid(
    out: Annotated[Path, typer.Option(help="Folder for the runs and the comparison.")] = Path(
        "runs/grid"
    ),
    likelihood: Annotated[
        str, typer.Option(help="Likelihoods with commas between; empty for the one of the data.")
    ] = "",
    prior: Annotated[str, typer.Option(help="Priors with commas between.")] = "standard-normal",
    guide: Annotated[str, typer.Option(help="Guides with commas between.")] = "mean-field-normal",
    objective: Annotated[
        str, typer.Option(help="Objectives with commas between, as in elbo,iwae-50.")
    ] = "elbo",
    data: DataName = "digits",
    binarisation: Binarise = "none",
    values: Values = None,
    standardise: Standardise = False,
    latent_dim: LatentDim = 10,
    hidden: Hidden = "200,200",
    activation: Activation = "relu",
    epochs: Epochs = 100,
    batch_size: BatchSize = 128,
    learning_rate: LearningRate = 1e-3,
    schedule: Schedule = "constant",
    patience: Patience = None,
    particles: Particles = 1000,
    limit: Limit = None,
    seed: Seed = 0,
    data_root: DataRoot = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the runs of an earlier grid.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fit every combination of parts, and rank them by held-out log p(x).

    Combinations that cannot be are listed with the reason, before anything is fitted. Stopped,
    the same command goes on where it was.
    """
    dataset = datasets.load(
        data,
        binarisation=binarisation,
        values=values,
        standardise=standardise,
        seed=seed,
        data_root=data_root,
    )
    shared = {"latent_dim": latent_dim, "hidden": widths(hidden), "activation": activation}
    training: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "patience": patience,
        "seed": seed,
    }
    measurement = {
        "num_particles": particles,
        "limit": limit,
        "seed": seed,
        "data_root": data_root,
    }
    cells = _cells(
        {
            "likelihood": [str(name) for name in split_list(likelihood)] or [None],
            "prior": split_list(prior),
            "guide": split_list(guide),
            "objective": split_list(objective),
        },
        {**shared, "seed": seed},
    )
    refused = {cell.name: reason for cell in cells if (reason := _refusal(cell.recipe, dataset))}
    cells = [cell for cell in cells if cell.name not in refused]
    console = Console(highlight=False, soft_wrap=True, stderr=True)
    for name, reason in refused.items():
        console.print(f"left out {name}: {reason}", markup=False)
    if not cells:
        raise RunError("no combination can be fitted: see the reasons above")
    about = {"data": repr(dataset), "network": {**shared, "hidden": list(widths(hidden))}}
    with claimed_folder(
        out / "grid.json",
        {**about, "training": training},
        holds="a grid with other data, networks or training",
        overwrite=overwrite,
    ):
        results: dict[str, xr.Dataset] = {}
        for number, cell in enumerate(cells, start=1):
            console.print(f"{number} of {len(cells)}: {cell.name}", markup=False)
            try:
                run = fit_in(
                    out / cell.name,
                    cell.recipe.build(dataset),
                    dataset,
                    cell.recipe.objective,
                    overwrite=overwrite,
                    **training,
                )
            except WriteError:
                raise  # the next would fare no better
            except PyroVAEError as error:
                refused[cell.name] = f"{error}"
                console.print(f"failed {cell.name}: {error}", markup=False)
                continue
            with measuring(f"measuring {cell.name}", show=not as_json) as progress:
                results[cell.name] = measured_run(run, progress=progress, **measurement)
        _conclude(out, _by_measure(results), refused, as_json)


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


def _refusal(recipe: Recipe, data: Dataset) -> str | None:
    """Why a combination cannot be fitted, in words; None if it can."""
    try:
        model = recipe.build(data)
        model.likelihood.check(data.epoch_train(0))
    except (PyroVAEError, ValueError) as error:
        return str(error)
    return None


def _by_measure(results: dict[str, xr.Dataset]) -> dict[str, Comparison]:
    """One comparison for each base measure: masses and densities have rankings of their own."""
    groups: dict[str, dict[str, xr.Dataset]] = {}
    for name, result in results.items():
        groups.setdefault(str(result.attrs["base_measure"]), {})[name] = result
    return {measure: inference.compare_results(group) for measure, group in groups.items()}


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
