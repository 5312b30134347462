"""``pyro-vae evaluate``: ELBO, IWAE bounds, log p(x) and the gap of a run on held-out data."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pyro_vae import inference
from pyro_vae.cli.options import DataRoot, Json, Limit, MemoryMB, Particles, RunFolder, Seed
from pyro_vae.cli.output import measuring, print_json, print_summary
from pyro_vae.errors import UnknownNameError
from pyro_vae.held_out import (
    certify_run,
    gap_of_run,
    gap_sentence,
    measure_notes,
    measure_run,
    measure_summary,
    require_gap_parts,
)
from pyro_vae.inference.certify import ESTIMATORS
from pyro_vae.inference.trust import withheld_note
from pyro_vae.spelling import split_list

if TYPE_CHECKING:
    import xarray as xr

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
    memory_mb: MemoryMB = 32,
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
    opened = inference.Run.open(run)
    if gap:
        require_gap_parts(opened)  # before the long work
    where: dict[str, Any] = {"split": str(split), "limit": limit, "data_root": data_root}
    certificate = parts = None
    with opened.locked():  # for all of it, so that none of it is of other weights
        with measuring(f"measuring {run.name}", show=not as_json) as progress:
            results = measure_run(
                opened,
                split=str(split),
                num_particles=particles,
                limit=limit,
                seed=seed,
                memory_limit=memory_mb * 2**20,
                data_root=data_root,
                progress=progress,
            )
        if names:
            with measuring("other estimators", show=not as_json) as progress:
                certificate = certify_run(
                    opened,
                    names,
                    num_particles=particles,
                    num_temperatures=temperatures,
                    num_chains=chains,
                    seed=seed,
                    progress=progress,
                    **where,
                )
        if gap:
            with measuring("best guide of each datum", show=not as_json) as progress:
                parts = gap_of_run(
                    opened, num_particles=particles, seed=seed, progress=progress, **where
                )
    table = measure_summary(results)
    if as_json:
        rows = {str(name): row.to_dict() for name, row in table.iterrows()}
        document = {"run": str(run), "split": str(split), "summary": rows, **results.attrs}
        if certificate is not None:
            by_name = {str(name): row.to_dict() for name, row in certificate.table.iterrows()}
            document["estimators"] = by_name
            document["agree"] = certificate.agree
            document["left out"] = certificate.left_out
        if parts is not None:
            document["gap parts"] = _gap_means(parts)
        print_json(document)
        return
    exact = results.attrs["exact"]
    bound = bool(results.attrs.get("deterministic_guide"))
    how = f"{results.attrs['particles']} particles"
    if exact or bound:
        how = "log p(x) exact" if exact else "at the guide's one value of z"
    count = results.sizes["datum"]
    which = f"{count} {split} data" if limit is None else f"the first {count} {split} data"
    print_summary(table, f"{run}: {which}, {how}", bound=bound)
    console = Console(highlight=False, soft_wrap=True)
    for note in measure_notes(results):
        console.print(note, markup=False)
    if not bound:
        for of in ("log_evidence", "gap"):
            if note := withheld_note(results, of):
                console.print(note, markup=False)
                break
    if bound:
        console.print(results.attrs["bound"], markup=False)
    if "perplexity" in results.attrs:
        used, size, effective = (
            results.attrs[k] for k in ("codes_in_use", "num_codes", "perplexity")
        )
        console.print(f"codebook: {used} of {size} codes in use, perplexity {effective:.1f}")
    if certificate is not None:
        console.print(str(certificate), markup=False)
    if parts is not None:
        console.print(gap_sentence(parts), markup=False)


def _gap_means(parts: xr.Dataset) -> dict[str, float]:
    names = ("gap", "approximation_gap", "amortisation_gap", "log_evidence", "elbo", "best_elbo")
    return {name: float(parts[name].mean()) for name in names}
