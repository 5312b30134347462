"""``pyro-vae fit``: train a model on a named data set, and keep the run."""

from __future__ import annotations

import enum
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pyro_vae import data as datasets
from pyro_vae import inference
from pyro_vae.cli.options import DataRoot, Json, Seed
from pyro_vae.cli.output import print_json
from pyro_vae.errors import RunError
from pyro_vae.inference.fit import SCHEDULES
from pyro_vae.models import VAE, MixtureModel, model_from_config
from pyro_vae.models.guides import Guide
from pyro_vae.models.likelihoods import Likelihood
from pyro_vae.models.priors import Prior

if TYPE_CHECKING:
    from pyro_vae.data import Dataset

__all__ = ["fit"]


class Family(enum.StrEnum):
    """Models that can be fitted."""

    vae = "vae"
    mixture = "mixture"


_TRAINING = ("epochs", "batch_size", "learning_rate", "schedule", "clip_norm", "patience", "seed")


def fit(
    run: Annotated[Path, typer.Option(help="Folder to keep the run in.")],
    model: Annotated[Family, typer.Option(help="VAE, or finite mixture.")] = Family.vae,
    data: Annotated[str, typer.Option(help="Data set; `pyro-vae data` lists them.")] = "digits",
    binarisation: Annotated[
        str,
        typer.Option(
            help="none; threshold; stochastic (drawn once); dynamic (drawn afresh every epoch)."
        ),
    ] = "none",
    likelihood: Annotated[
        str | None,
        typer.Option(
            help=f"p(x|z): {', '.join(Likelihood.registry)}. Default: the one for the data."
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="Sigma of the normal likelihood: a number, shared, per-feature, or latent "
            "(a function of z)."
        ),
    ] = None,
    prior: Annotated[
        str, typer.Option(help=f"p(z): {', '.join(Prior.registry)}.")
    ] = "standard-normal",
    guide: Annotated[
        str, typer.Option(help=f"q(z|x): {', '.join(Guide.registry)}.")
    ] = "mean-field-normal",
    latent_dim: Annotated[int, typer.Option(help="Length of z.")] = 10,
    hidden: Annotated[
        str, typer.Option(help="Hidden widths of encoder and (mirrored) decoder.")
    ] = "200,200",
    activation: Annotated[
        str, typer.Option(help="Activation of the networks: relu, tanh, elu, silu, softplus.")
    ] = "relu",
    components: Annotated[int, typer.Option(help="Components of a mixture.")] = 20,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 100,
    batch_size: Annotated[int, typer.Option(help="Data per step.")] = 128,
    learning_rate: Annotated[float, typer.Option(help="Step size of Adam.")] = 1e-3,
    schedule: Annotated[
        str, typer.Option(help=f"Learning rate over time: {', '.join(SCHEDULES)}.")
    ] = "constant",
    clip_norm: Annotated[
        float | None, typer.Option(help="Bound on the norm of the gradient.")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Stop after so many epochs without a better validation bound."),
    ] = None,
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
        saved = inference.Run.open(run).config()
        about, settings = saved["data"], saved["fit"]
        if saved["model"] is None:
            raise RunError(f"{run} holds a model made in Python: resume it there")
        training = {name: settings[name] for name in _TRAINING}
        precision = settings["precision"]
        dataset = datasets.load(
            about["name"],
            binarisation=about["binarisation"],
            seed=about["seed"],
            data_root=data_root,
        )
        fitted = model_from_config(saved["model"])
    else:
        dataset = datasets.load(data, binarisation=binarisation, seed=seed, data_root=data_root)
        part = _likelihood(likelihood, scale, dataset)
        if model is Family.vae:
            widths = _widths(hidden)
            fitted = VAE(
                dataset.event_shape,
                latent_dim,
                prior=Prior.named(prior),
                likelihood=part,
                guide=Guide.named(guide),
                encoder=widths,
                decoder=widths[::-1],
                activation=activation,
                seed=seed,
            )
        else:
            fitted = MixtureModel(components, part, dataset.event_shape)
        training = dict(
            zip(
                _TRAINING,
                (epochs, batch_size, learning_rate, schedule, clip_norm, patience, seed),
                strict=True,
            )
        )
    # Of several processes, each of which runs this command, one speaks.
    first = os.environ.get("LOCAL_RANK", "0") == "0"
    if first and not as_json:
        fitted.describe()
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
    last = result.metrics.iloc[-1] if len(result.metrics) else None
    best = result.metrics[result.metrics["epoch"] == result.best_epoch]
    summary: dict[str, Any] = {
        "run": str(run),
        "stopped": result.stopped,
        "epochs": 0 if last is None else int(last["epoch"]),
        "best_epoch": result.best_epoch,
        "validation_elbo": float(best["validation_elbo"].iloc[0]) if len(best) else None,
        "train_elbo": float(best["train_elbo"].iloc[0]) if len(best) else None,
        "seconds": time.monotonic() - started,
        "units": "nats per datum",
    }
    if first and as_json:
        print_json(summary)
    elif first:
        out = Console(highlight=False, soft_wrap=True)
        if len(best):
            out.print(
                f"best epoch {result.best_epoch} of {summary['epochs']}: ELBO "
                f"{summary['train_elbo']:.2f} (training), {summary['validation_elbo']:.2f} "
                f"(validation) nats per datum; {summary['seconds']:.0f} s"
            )
        if result.stopped == "interrupt":
            out.print(f"interrupted: go on with `pyro-vae fit --run {run} --resume`")
        else:
            out.print(f"next: pyro-vae evaluate {run}")
    if result.stopped == "interrupt":
        raise typer.Exit(130)


def _likelihood(name: str | None, scale: str | None, data: Dataset) -> Likelihood:
    """Likelihood by name, with the settings that the data decide; refused where it cannot be."""
    defaults = {
        "binary": "bernoulli",
        "counts": "binomial",
        "real": "normal",
        "unit-interval": "normal",
    }
    name = name or defaults[data.kind]
    part = Likelihood.registry.get(name)
    settings: dict[str, Any] = {} if part is None else part.settings_for(data.maximum)
    if scale is not None:
        if name != "normal":
            raise typer.BadParameter(f"--scale belongs to the normal likelihood, not to {name}")
        settings["scale"] = _number(scale)
    likelihood = Likelihood.named(name, **settings)
    if data.kind not in likelihood.kinds:
        raise typer.BadParameter(
            f"the {name} likelihood takes {likelihood.support_text()}, and {data.name} has "
            f"{data.kind} values with binarisation={data.binarisation!r}. {likelihood.remedy}"
        )
    return likelihood


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(",") if width.strip())
    except ValueError:
        raise typer.BadParameter(
            f"--hidden got {text!r}: give widths with commas between, as in 200,200"
        ) from None
