"""``pyro-vae report``: the figures of a run, and one HTML file with all of it."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console

from pyro_vae.cli.options import DataRoot, Json, RunFolder
from pyro_vae.cli.output import print_json, with_error
from pyro_vae.disk.runs import Run
from pyro_vae.errors import PyroVAEError
from pyro_vae.figures import FIGURES, Fitted, report_figures
from pyro_vae.inference.training.objectives import objective_of
from pyro_vae.pages.report import Section, save_figure, write_report
from pyro_vae.stored.loading import load_model
from pyro_vae.stored.measured import (
    further_results,
    measure_notes,
    measure_reconstruction,
    measure_summary,
    measured_data,
)

if TYPE_CHECKING:
    import xarray as xr
    from pyro.infer import ELBO

    from pyro_vae.data import Dataset
    from pyro_vae.models import LatentVariableModel

__all__ = ["SE_NOTE", "provenance", "report", "report_section", "table_row"]

SE_NOTE = (
    "All bounds are in nats per datum, on held-out data; in brackets the Monte Carlo standard "
    "error. The sampling standard error says how far the mean would move with other data."
)


def no_prior_note(data: Dataset) -> str:
    """What stands for log p(x) in the report of a model without a prior, and its units."""
    units = "on the unit interval"
    if data.kind == "real":
        units = "of one standard deviation" if data.standardise else "in the units of the data"
    return (
        "Without a prior there is no log p(x), and no bound on it. The squared error is the mean "
        f"over features {units}, on held-out data; in brackets its standard error."
    )


def report(run: RunFolder, data_root: DataRoot = None, as_json: Json = False) -> None:
    """Draw the figures of an evaluated run, and write report.html.

    A run without log p(x), such as an autoencoder, needs no evaluation.
    """
    opened = Run.open(run)
    with opened.locked():
        model = load_model(opened)
        results = opened.results() if model.has_evidence else None
        data = measured_data(opened, results, data_root=data_root)
        row = _reconstruction_row(model, data) if results is None else table_row(results)
        path = opened.path / "report.html"
        write_report(
            path,
            title=f"{run.name}: {data.name}",
            introduction=no_prior_note(data) if results is None else SE_NOTE,
            table=pd.DataFrame([row], index=[run.name]),
            sections=[report_section(opened, model, data, results)],
            conclusions=[],
            provenance=provenance(data, results),
        )
    if as_json:
        print_json({"run": str(run), "report": str(path)})
    else:
        Console(highlight=False, soft_wrap=True).print(f"wrote {path}", markup=False)


def report_section(
    run: Run, model: LatentVariableModel, data: Dataset, results: xr.Dataset | None
) -> Section:
    """One run's story and figures, which are also kept in its folder."""
    figures = report_figures(Fitted.of(run, model, data, results))
    for name, figure in figures.items():
        save_figure(figure, run.path / "figures" / f"{name}.png")
    captioned = {FIGURES[name].caption: figure for name, figure in figures.items()}
    notes = [] if results is None else measure_notes(results)
    story = model.description(_objective_of(run, model))
    text = "\n".join(filter(None, (story, further_results(run), *notes)))
    return Section(run.path.name, text, captioned)


def _objective_of(run: Run, model: LatentVariableModel) -> ELBO | None:
    """What the run was trained by; None where that was an object of the user's own."""
    try:
        return objective_of(model, run.config()["fit"]["objective"])
    except PyroVAEError:
        return None


def table_row(results: xr.Dataset) -> dict[str, str]:
    """One run's line in a table of runs: bounds in nats per datum."""
    table = measure_summary(results)

    def cell(name: str) -> str:
        return with_error(table.loc[name, "mean"], table.loc[name, "mc_se"])

    exact = bool(results.attrs["exact"])
    row = {"ELBO": "-" if exact else cell("elbo")}
    for k in (5, 50, 500):
        name = f"iwae_{k}"
        row[f"IWAE_{k}"] = cell(name) if name in table.index and not exact else "-"
    row["log p(x)"] = (
        f"{table.loc['log_evidence', 'mean']:.2f} exact" if exact else (cell("log_evidence"))
    )
    row["sampling SE"] = f"{table.loc['log_evidence', 'sampling_se']:.2f}"
    row["gap"] = "0" if exact else cell("gap")
    bits = "bits_per_dim"
    row["bits/dim"] = f"{table.loc[bits, 'mean']:.3f}" if bits in table.index else "-"
    row["no error bar"] = "-" if exact else f"{table.loc['withheld', 'mean']:.0%}"
    return row


def _reconstruction_row(model: LatentVariableModel, data: Dataset) -> dict[str, str]:
    errors = measure_reconstruction(model, data)["squared_error"].values
    return {"squared error": f"{errors.mean():.5f} ({errors.std() / len(errors) ** 0.5:.5f})"}


def provenance(data: Dataset, results: xr.Dataset | None) -> dict[str, str]:
    """Versions, data and seeds behind the numbers."""
    packages = ("pyro-vae", "pyro-ppl", "torch", "numpy")
    drawn = {}
    if results is not None:
        drawn["particles"] = f"{results.attrs['particles']}, seed {results.attrs['seed']}"
    return {
        "data": repr(data),
        **drawn,
        "versions": ", ".join(f"{name} {version(name)}" for name in packages),
        "Python": platform.python_version(),
    }
