"""``pyro-vae demo``: the main job, end to end, on real data that need no download."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from pyro_vae import data as datasets
from pyro_vae import inference
from pyro_vae.cli.options import Json, Particles, Seed, overwrite_of
from pyro_vae.cli.output import print_json
from pyro_vae.cli.report import SE_NOTE, provenance, report_section, table_row
from pyro_vae.disk.runs import Run
from pyro_vae.models import VAE, MixtureModel
from pyro_vae.models.likelihoods import Likelihood
from pyro_vae.pages.report import write_report
from pyro_vae.progress import measuring
from pyro_vae.stored.measured import measure_run, measure_summary

if TYPE_CHECKING:
    import xarray as xr

    from pyro_vae.data import Dataset
    from pyro_vae.models import LatentVariableModel

__all__ = ["demo"]

_LATENT_DIM = 8
_HIDDEN = (200, 200)
_COMPONENTS = 40


class _Fitted(NamedTuple):
    """A run of the demonstration, with what was measured."""

    run: Run
    model: LatentVariableModel
    data: Dataset
    results: xr.Dataset


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the runs and the report.")] = Path(
        "runs/demo"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data per model.")] = 100,
    particles: Particles = 5000,
    seed: Seed = 0,
    overwrite: Annotated[bool, overwrite_of("the runs of an earlier demonstration")] = False,
    as_json: Json = False,
) -> None:
    """Fit and measure VAEs and mixtures on the handwritten digits; write report.html.

    A Bernoulli VAE on binarised digits, a Binomial VAE on the raw counts, and for each a
    mixture with the same likelihood, whose log p(x) is exact: all on held-out images.
    """
    started = time.monotonic()
    names = [f"{p}-{m}" for p in ("bernoulli", "binomial") for m in ("vae", "mixture")]
    # All folders first: a folder that is taken must not be found out after minutes of work.
    for name in names:
        Run.require_free(out / name, overwrite=overwrite)
    fitted = []
    for name in names:
        part, family = name.split("-")
        binarisation = "stochastic" if part == "bernoulli" else "none"
        data = datasets.load("digits", binarisation=binarisation, seed=seed)
        likelihood = Likelihood.registry[part](
            **Likelihood.registry[part].settings_for(data.maximum)
        )
        fitted.append(
            _fit_and_measure(
                Run(out / name), overwrite, family, likelihood, data, epochs, particles, seed
            )
        )
    table = pd.DataFrame([table_row(item.results) for item in fitted], index=names)
    conclusions = _conclusions(*fitted)
    path = out / "report.html"
    write_report(
        path,
        title="Digits: two VAEs and two mixtures, measured",
        introduction=SE_NOTE + " Rows with the same likelihood have the same data and can be "
        "compared; Bernoulli and Binomial rows cannot, since their data differ.",
        table=table,
        sections=[report_section(*item) for item in fitted],
        conclusions=conclusions,
        provenance=provenance(fitted[0].data, fitted[0].results),
    )
    if as_json:
        summaries = {
            item.run.path.name: {
                str(name): row.to_dict() for name, row in measure_summary(item.results).iterrows()
            }
            for item in fitted
        }
        print_json({"summary": summaries, "conclusions": conclusions, "report": str(path)})
        return
    console = Console(highlight=False, soft_wrap=True)
    count = len(fitted[0].data.test)
    shown = Table(
        title=f"{count} held-out digits, nats per datum (Monte Carlo standard error)",
        title_justify="left",
    )
    shown.add_column("")
    for name in names:
        shown.add_column(name.replace("-", "\n"), justify="right", no_wrap=True)
    for quantity in table.columns:
        shown.add_row(quantity, *table[quantity])
    console.print(shown)
    for sentence in conclusions:
        console.print(sentence, markup=False)
    console.print(f"report: {path}  ({time.monotonic() - started:.0f} s)")


def _fit_and_measure(
    run: Run,
    overwrite: bool,
    family: str,
    likelihood: Likelihood,
    data: Dataset,
    epochs: int,
    particles: int,
    seed: int,
) -> _Fitted:
    model: LatentVariableModel
    if family == "vae":
        model = VAE(
            data.event_shape,
            _LATENT_DIM,
            likelihood=likelihood,
            encoder=_HIDDEN,
            decoder=_HIDDEN,
            seed=seed,
        )
        batch_size, learning_rate = 32, 1e-3
    else:
        model = MixtureModel(_COMPONENTS, likelihood, data.event_shape)
        batch_size, learning_rate = 128, 1e-2
    result = inference.fit(
        model,
        data,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="cosine",
        patience=30,
        seed=seed,
        run=run.path,
        overwrite=overwrite,
    )
    if result.stopped == "interrupt":
        raise KeyboardInterrupt
    model.eval()
    with measuring(f"measuring {run.path.name}") as progress:
        results = measure_run(run, num_particles=particles, seed=seed, progress=progress)
    return _Fitted(run, model, data, results)


def _conclusions(
    vae: _Fitted, mixture: _Fitted, counts: _Fitted, counts_mixture: _Fitted
) -> list[str]:
    """Three sentences with what the numbers mean."""
    first, second = (measure_summary(item.results) for item in (vae, counts))
    gap, gap_counts = first.loc["gap", "mean"], second.loc["gap", "mean"]
    particles = vae.results.attrs["particles"]
    lines = [
        f"The ELBO undersells the VAEs by {gap:.2f} nats per image (Bernoulli) and "
        f"{gap_counts:.2f} (Binomial): that gap is the KL from the guide q(z|x) to the true "
        "posterior, not a fault of the generative model."
    ]
    comparisons = []
    for ours, theirs, kind in ((vae, mixture, "binary"), (counts, counts_mixture, "count")):
        # Same images: the paired difference has the smaller error.
        paired = (ours.results["log_evidence"] - theirs.results["log_evidence"]).values
        error = paired.std(ddof=1) / len(paired) ** 0.5
        verb = "above" if paired.mean() > 0 else "below"
        comparisons.append(
            f"{abs(paired.mean()):.2f} nats {verb} it on {kind} images (standard error of the "
            f"paired difference {error:.2f})"
        )
    lines.append(
        f"Measured by log p(x) against a {mixture.model.num_components}-component mixture, "
        f"which is exact, the VAE is {', and '.join(comparisons)}."
    )
    lines.append(
        f"log p(x) of the VAEs comes from {particles} importance samples per image. For "
        f"{first.loc['withheld', 'mean']:.0%} of the binary and "
        f"{second.loc['withheld', 'mean']:.0%} of the count images nothing confirms its error, "
        "and log p(x) and the gap are lower bounds."
    )
    return lines
