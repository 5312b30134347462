"""``pyro-vae fit``: train a model on a named data set, and keep the run."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pyro_vae import data as datasets
from pyro_vae import inference
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
    Patience,
    Schedule,
    Seed,
    Standardise,
    Values,
    widths,
)
from pyro_vae.cli.output import print_json, training_line, training_summary
from pyro_vae.cli.recipe import FAMILIES, Given, Recipe
from pyro_vae.errors import RunError
from pyro_vae.inference.objectives import OBJECTIVES, objective_of
from pyro_vae.loading import load_data, make_model
from pyro_vae.models.guides import Guide
from pyro_vae.models.likelihoods import Likelihood
from pyro_vae.models.priors import Prior
from pyro_vae.spelling import command_line

__all__ = ["fit"]

_TRAINING = (
    "objective",
    "epochs",
    "batch_size",
    "learning_rate",
    "schedule",
    "clip_norm",
    "patience",
    "seed",
)


def fit(
    run: Annotated[Path, typer.Option(help="Folder to keep the run in.")],
    model: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(FAMILIES)}; settings of its own in brackets, as in "
            "'denoising-autoencoder(corruption=masking-noise)'."
        ),
    ] = "vae",
    data: DataName = "digits",
    binarisation: Binarise = "none",
    values: Values = None,
    standardise: Standardise = False,
    total_exposure: Annotated[
        bool,
        typer.Option(
            "--total-exposure",
            help="Counts: each row's total as its exposure, for likelihoods with exposure=true.",
        ),
    ] = False,
    likelihood: Annotated[
        str | None,
        typer.Option(
            help=f"p(x|z): {', '.join(Likelihood.registry)}; settings in brackets, as in "
            "'student-t(df=4)'. Default: the one for the data."
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="Sigma of a likelihood that has one: a number, shared, per-feature, or latent "
            "(a function of z)."
        ),
    ] = None,
    prior: Annotated[
        str, typer.Option(help=f"p(z): {', '.join(Prior.registry)}; settings in brackets.")
    ] = "standard-normal",
    guide: Annotated[
        str, typer.Option(help=f"q(z|x): {', '.join(Guide.registry)}; settings in brackets.")
    ] = "mean-field-normal",
    objective: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(OBJECTIVES)}, with particles behind, as in iwae-50."),
    ] = None,
    latent_dim: LatentDim = 10,
    network: Annotated[
        str,
        typer.Option(
            help="Networks: dense, convolutional; settings in brackets, as in "
            "'convolutional(channels=[16,32])'."
        ),
    ] = "dense",
    hidden: Hidden = "200,200",
    activation: Activation = "relu",
    condition: Annotated[
        Given, typer.Option(help="What a conditional VAE is given beside x.")
    ] = Given.nothing,
    unamortised: Annotated[
        bool, typer.Option("--unamortised", help="Free guide parameters per datum, no encoder.")
    ] = False,
    components: Annotated[int, typer.Option(help="Components of a mixture.")] = 20,
    epochs: Epochs = 100,
    batch_size: BatchSize = 128,
    learning_rate: LearningRate = 1e-3,
    schedule: Schedule = "constant",
    clip_norm: Annotated[
        float | None, typer.Option(help="Bound on the norm of the gradient.")
    ] = None,
    patience: Patience = None,
    seed: Seed = 0,
    data_root: DataRoot = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run, with the settings it has.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run in the folder.")
    ] = False,
    accelerator: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "cpu",
    devices: Annotated[int, typer.Option(min=1, help="Processes that share a batch.")] = 1,
    precision: Annotated[str, typer.Option(help="32-true, bf16-mixed or 64-true.")] = "32-true",
    as_json: Json = False,
) -> None:
    """Fit a model by stochastic variational inference, and keep the run in a folder.

    The weights kept are those with the best bound on the validation data.
    """
    if resume:
        opened = inference.Run.open(run)
        saved = opened.config()
        settings = saved["fit"]
        if saved["model"] is None:
            raise RunError(f"{run} holds a model made in Python: resume it there")
        training = {name: settings[name] for name in _TRAINING}
        precision = settings["precision"]
        dataset = load_data(run, data_root=data_root)
        fitted = make_model(opened)
    else:
        dataset = datasets.load(
            data,
            binarisation=binarisation,
            values=values,
            standardise=standardise,
            total_exposure=total_exposure,
            seed=seed,
            data_root=data_root,
        )
        fitted = Recipe(
            model=model,
            likelihood=likelihood,
            scale=scale,
            prior=prior,
            guide=guide,
            latent_dim=latent_dim,
            network=network,
            hidden=widths(hidden),
            activation=activation,
            condition=condition,
            unamortised=unamortised,
            components=components,
            objective=objective,
            seed=seed,
        ).build(dataset)
        training = {
            "objective": objective,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "schedule": schedule,
            "clip_norm": clip_norm,
            "patience": patience,
            "seed": seed,
        }
    # Of several processes, each of which runs this command, one speaks.
    first = os.environ.get("LOCAL_RANK", "0") == "0"
    if first and not as_json:
        fitted.describe(objective_of(fitted, training["objective"]))
    started = time.monotonic()
    result = inference.fit(
        fitted,
        dataset,
        run=run,
        resume=resume,
        overwrite=overwrite,
        accelerator=accelerator,
        devices=devices,
        precision=precision,
        **training,
    )
    summary = training_summary(run, result, seconds=time.monotonic() - started)
    if first and as_json:
        print_json(summary)
    elif first:
        out = Console(highlight=False, soft_wrap=True)
        if summary["train_elbo"] is not None:
            out.print(training_line(summary, fitted, training["objective"]))
        if result.stopped == "interrupt" and overwrite and result.metrics.empty:
            out.print(
                "interrupted before an epoch was done, and nothing replaced: repeat the command"
            )
        elif result.stopped == "interrupt":
            out.out(f"interrupted: go on with `{command_line('fit', '--run', run, '--resume')}`")
        else:
            command = "evaluate" if fitted.has_evidence else "report"
            out.out(f"next: {command_line(command, run)}")
    if result.stopped == "interrupt":
        raise typer.Exit(130)
