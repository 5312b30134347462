"""``pyro-vae prior``: the second stage of a VQ-VAE, a prior over its codes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pyro_vae import inference
from pyro_vae.cli.options import (
    DataRoot,
    Json,
    Optimisation,
    Patience,
    RunFolder,
    Seed,
    overwrite_of,
)
from pyro_vae.cli.output import print_json, training_line, training_summary
from pyro_vae.disk.runs import Run
from pyro_vae.errors import RunError
from pyro_vae.models import VQVAE, AutoregressiveCodes
from pyro_vae.spelling import command_line
from pyro_vae.stored.loading import load_data, load_model

__all__ = ["prior"]


def prior(
    source: RunFolder,
    run: Annotated[Path, typer.Option(help="Folder to keep the new run in.")],
    *,
    width: Annotated[
        int, typer.Option(min=1, help="Width of the transformer, a multiple of its 4 heads.")
    ] = 64,
    layers: Annotated[int, typer.Option(min=1, help="Layers of the transformer.")] = 2,
    optimisation: Optimisation,
    patience: Patience = None,
    seed: Seed = 0,
    data_root: DataRoot = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the new run; repeat its settings.")
    ] = False,
    overwrite: Annotated[bool, overwrite_of("the run in the folder")] = False,
    as_json: Json = False,
) -> None:
    """Learn p(z) over the codes of a fitted VQ-VAE, whose networks and codes stay as they are.

    The new run holds the whole model: evaluate it and draw from it as from any other.
    """
    opened = Run.open(source)
    first = load_model(opened)
    if not isinstance(first, VQVAE):
        family = opened.config()["model"]["model"]
        raise RunError(
            f"{source} holds the model {family}, and only a vq-vae has codes that a prior can be "
            "learned over: fit one with `pyro-vae fit --model vq-vae`"
        )
    if run.resolve() == source.resolve():
        raise RunError(f"--run got {run}, the run of the first stage: give the new run its own")
    model = first.with_prior(AutoregressiveCodes(width, layers, seed=seed))
    if not as_json:
        model.describe()
    started = time.monotonic()
    result = inference.fit(
        model,
        load_data(opened, data_root=data_root),
        run=run,
        **vars(optimisation),
        patience=patience,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
    )
    seconds = time.monotonic() - started
    summary = training_summary(run, result, seconds=seconds, source=str(source))
    if as_json:
        print_json(summary)
    else:
        out = Console(highlight=False, soft_wrap=True)
        if summary["train_elbo"] is not None:
            out.print(training_line(summary, model))
        if result.stopped == "interrupt":
            out.print("interrupted: go on with the same command and --resume")
        else:
            out.out(f"next: {command_line('evaluate', run)}")
    if result.stopped == "interrupt":
        raise typer.Exit(130)
