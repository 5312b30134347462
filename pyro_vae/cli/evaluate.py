"""``pyro-vae evaluate``: ELBO, IWAE bounds, log p(x) and the gap of a run on held-out data."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console

from pyro_vae.cli.options import (
    DataRoot,
    Jobs,
    Json,
    Limit,
    MemoryMB,
    On,
    Particles,
    RunFolder,
    Seed,
)
from pyro_vae.cli.output import print_json, print_summary
from pyro_vae.disk.runs import Run
from pyro_vae.errors import UnknownNameError
from pyro_vae.inference.evidence.certify import ESTIMATORS
from pyro_vae.inference.evidence.trust import withheld_note
from pyro_vae.progress import measuring
from pyro_vae.spelling import split_list
from pyro_vae.stored.measured import (
    certify_run,
    gap_of_run,
    gap_sentence,
    measure_notes,
    measure_run,
    measure_summary,
    require_gap_parts,
)

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from pyro_vae.inference.evidence import Certificate

__all__ = ["evaluate"]


class Split(enum.StrEnum):
    """Parts of a data set."""

    train = "train"
    validation = "validation"
    test = "test"


def evaluate(
    run: RunFolder,
    split: Annotated[Split, typer.Option(help="Part of the data to measure on.")] = Split.test,
    particles: Particles = 5000,
    limit: Limit = None,
    seed: Seed = 0,
    estimator: Annotated[
        str,
        typer.Option(
            help=f"Further estimates of log p(x), with commas between: {', '.join(ESTIMATORS)}."
        ),
    ] = "",
    temperatures: Annotated[
        int, typer.Option(min=1, help="Steps of annealed importance sampling.")
    ] = 200,
    chains: Annotated[
        int, typer.Option(min=2, help="Chains per datum of annealed importance sampling.")
    ] = 16,
    gap: Annotated[
        bool, typer.Option("--gap", help="Take the gap apart: guide family, and encoder.")
    ] = False,
    on: On = None,
    memory_mb: MemoryMB = 32,
    jobs: Jobs = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Measure a run: ELBO, IWAE bounds, log p(x) with errors, and the gap, per datum.

    The results per datum are kept in the run as evidence.nc. Stopped, the same command goes on
    where it was.
    """
    names = split_list(estimator)
    for name in names:
        if name not in ESTIMATORS:
            raise UnknownNameError("estimator", name, ESTIMATORS)
    opened = Run.open(run)
    if gap:
        require_gap_parts(opened)  # before the long work
    shared: dict[str, Any] = {
        "split": str(split),
        "num_particles": particles,
        "limit": limit,
        "seed": seed,
        "data_root": data_root,
        "on": on,
        "n_jobs": jobs,
    }
    certificate = parts = None
    with opened.locked():  # for all of it, so that none of it is of other weights
        with measuring(f"measuring {run.name}", show=False if as_json else None) as progress:
            memory_limit = memory_mb * 2**20
            results = measure_run(opened, memory_limit=memory_limit, progress=progress, **shared)
        if names:
            with measuring("other estimators", show=False if as_json else None) as progress:
                certificate = certify_run(
                    opened,
                    names,
                    num_temperatures=temperatures,
                    num_chains=chains,
                    progress=progress,
                    **shared,
                )
        if gap:
            with measuring(
                "best guide of each datum", show=False if as_json else None
            ) as progress:
                parts = gap_of_run(opened, progress=progress, **shared)
    found = _Found(results, certificate, parts)
    if as_json:
        print_json({"run": str(run), "split": str(split), **found.to_json()})
    else:
        count = results.sizes["datum"]
        rows = f"{split} data" if on is None else f"rows of {on.name}"
        which = f"{count} {rows}" if limit is None else f"the first {count} {rows}"
        _print_found(found, f"{run}: {which}")


class _Found(NamedTuple):
    """What was measured, and of what was asked for: other estimates, and the gap taken apart."""

    results: xr.Dataset
    certificate: Certificate | None
    parts: xr.Dataset | None

    def to_json(self) -> dict[str, Any]:
        """Means with their standard errors, in nats per datum."""
        table = measure_summary(self.results)
        document: dict[str, Any] = {"summary": _rows(table), **self.results.attrs}
        if self.certificate is not None:
            document["estimators"] = _rows(self.certificate.table)
            document["agree"] = self.certificate.agree
            document["left out"] = self.certificate.left_out
        if self.parts is not None:
            document["gap parts"] = _gap_means(self.parts)
        return document


def _print_found(found: _Found, title: str) -> None:
    """The table of bounds, then what there is to say of it."""
    results = found.results
    exact = results.attrs["exact"]
    bound = bool(results.attrs.get("deterministic_guide"))
    how = f"{results.attrs['particles']} particles"
    if exact or bound:
        how = "log p(x) exact" if exact else "at the guide's one value of z"
    print_summary(measure_summary(results), f"{title}, {how}", bound=bound)
    console = Console(highlight=False, soft_wrap=True)
    for note in measure_notes(results):
        console.print(note, markup=False)
    if bound:
        console.print(results.attrs["bound"], markup=False)
    else:
        withheld = (withheld_note(results, of) for of in ("log_evidence", "gap"))
        if note := next(filter(None, withheld), ""):
            console.print(note, markup=False)
    if "perplexity" in results.attrs:
        used, size, effective = (
            results.attrs[k] for k in ("codes_in_use", "num_codes", "perplexity")
        )
        console.print(f"codebook: {used} of {size} codes in use, perplexity {effective:.1f}")
    if found.certificate is not None:
        console.print(str(found.certificate), markup=False)
    if found.parts is not None:
        console.print(gap_sentence(found.parts), markup=False)


def _rows(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {str(name): row.to_dict() for name, row in table.iterrows()}


def _gap_means(parts: xr.Dataset) -> dict[str, float]:
    names = ("gap", "approximation_gap", "amortisation_gap", "log_evidence", "elbo", "best_elbo")
    return {name: float(parts[name].mean()) for name in names}
