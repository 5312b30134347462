"""``pyro-vae fit``: train a model on a named data set, and keep the run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console

from pyro_vae import inference
from pyro_vae.cli.options import (
    DataOptions,
    DataRoot,
    Json,
    Optimisation,
    Patience,
    Precision,
    Seed,
    overwrite_of,
)
from pyro_vae.cli.output import print_json, print_schema, training_line, training_summary
from pyro_vae.cli.recipe import Recipe
from pyro_vae.disk.runs import Run
from pyro_vae.errors import RunError
from pyro_vae.inference.training.devices import is_first_process
from pyro_vae.inference.training.objectives import objective_of
from pyro_vae.inference.training.settings import SCHEDULES
from pyro_vae.spelling import command_line
from pyro_vae.stored.loading import load_data, make_model

if TYPE_CHECKING:
    from pyro_vae.inference.training.fit import FitResult
    from pyro_vae.models import LatentVariableModel

__all__ = ["fit"]


class _Plan(NamedTuple):
    """What is to be fitted, to which data, and how: arguments of ``inference.fit``."""

    model: LatentVariableModel
    data: Any
    training: dict[str, Any]


def fit(
    run: Annotated[Path, typer.Option(help="Folder to keep the run in.")],
    *,
    source: DataOptions,
    total_exposure: Annotated[
        bool,
        typer.Option(
            "--total-exposure",
            help="Counts: each row's total as its exposure, for likelihoods with exposure=true.",
        ),
    ] = False,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="Read rows by blocks: a file may be larger than memory."),
    ] = False,
    stream_mb: Annotated[
        int, typer.Option(min=1, help="Memory for rows with --stream, in MiB.")
    ] = 256,
    recipe: Recipe,
    optimisation: Optimisation,
    clip_norm: Annotated[
        float | None, typer.Option(help="Bound on the norm of the gradient.")
    ] = None,
    patience: Patience = None,
    seed: Seed = 0,
    data_root: DataRoot = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run, with the settings it has.")
    ] = False,
    overwrite: Annotated[bool, overwrite_of("the run in the folder")] = False,
    accelerator: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "cpu",
    devices: Annotated[int, typer.Option(min=1, help="Processes that share a batch.")] = 1,
    precision: Precision = "32-true",
    as_json: Json = False,
) -> None:
    """Fit a model by stochastic variational inference, and keep the run in a folder.

    The weights kept are those with the best bound on the validation data.
    """
    if resume:
        plan = _plan_of(run, data_root)
    else:
        data = source.load(
            seed=seed,
            data_root=data_root,
            total_exposure=total_exposure,
            condition=recipe.condition_columns,
            stream_mb=stream_mb if stream else None,
        )
        training = {
            "objective": recipe.objective,
            **vars(optimisation),
            "clip_norm": clip_norm,
            "patience": patience,
            "seed": seed,
            "precision": precision,
        }
        plan = _Plan(recipe.build(data, seed=seed), data, training)
    # Of several processes, each of which runs this command, one speaks.
    speaks = is_first_process()
    objective = plan.training["objective"]
    if speaks and not as_json:
        if plan.data.schema is not None:
            print_schema(plan.data)
        plan.model.describe(objective_of(plan.model, objective))
    started = time.monotonic()
    result = inference.fit(
        plan.model,
        plan.data,
        run=run,
        resume=resume,
        overwrite=overwrite,
        accelerator=accelerator,
        devices=devices,
        **plan.training,
    )
    summary = training_summary(run, result, seconds=time.monotonic() - started)
    if speaks and as_json:
        print_json(summary)
    elif speaks:
        if summary["train_elbo"] is not None:
            line = training_line(summary, plan.model, objective)
            Console(highlight=False, soft_wrap=True).print(line)
        _print_next(run, result, plan.model, overwrite=overwrite)
    if result.stopped == "interrupt":
        raise typer.Exit(130)


def _plan_of(run: Path, data_root: Path | None) -> _Plan:
    """What a run was fitted by, with fresh weights."""
    opened = Run.open(run)
    settings = opened.config()
    if settings["model"] is None:
        raise RunError(f"{run} holds a model made in Python: resume it there")
    if settings["fit"]["schedule"] not in SCHEDULES:
        raise RunError(f"{run} was fitted with a schedule made in Python: resume it there")
    data = load_data(run, data_root=data_root)
    return _Plan(make_model(opened), data, settings["fit"])


def _print_next(
    run: Path, result: FitResult, model: LatentVariableModel, *, overwrite: bool
) -> None:
    """What to type next: to go on, or to see what was learned."""
    out = Console(highlight=False, soft_wrap=True)
    if result.stopped == "interrupt" and overwrite and result.metrics.empty:
        out.print("interrupted before an epoch was done, and nothing replaced: repeat the command")
    elif result.stopped == "interrupt":
        out.out(f"interrupted: go on with `{command_line('fit', '--run', run, '--resume')}`")
    else:
        command = "evaluate" if model.has_evidence else "report"
        out.out(f"next: {command_line(command, run)}")
