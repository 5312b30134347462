"""``pyro-vae evaluate``: ELBO, IWAE bounds, log p(x) and the gap of a run on held-out data."""

from __future__ import annotations

import enum
from typing import Annotated

import typer
from rich.console import Console

from pyro_vae import inference
from pyro_vae.cli.options import DataRoot, Json, Limit, MemoryMB, Particles, RunFolder, Seed
from pyro_vae.cli.output import measuring, print_json, print_summary
from pyro_vae.held_out import measure_run, measure_summary

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
    memory_mb: MemoryMB = 32,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Measure a run: ELBO, IWAE bounds, log p(x) with errors, and the gap, per datum.

    The results per datum are kept in the run as evidence.nc.
    """
    opened = inference.Run.open(run)
    with measuring(f"measuring {run.name}", show=not as_json) as progress:
        results = measure_run(
            opened,
            split=split,
            num_particles=particles,
            limit=limit,
            seed=seed,
            memory_limit=memory_mb * 2**20,
            data_root=data_root,
            progress=progress,
        )
    table = measure_summary(results)
    if as_json:
        rows = {str(name): row.to_dict() for name, row in table.iterrows()}
        print_json({"run": str(run), "split": str(split), "summary": rows, **results.attrs})
        return
    exact = results.attrs["exact"]
    how = "log p(x) exact" if exact else f"{particles} particles"
    count = results.sizes["datum"]
    print_summary(table, f"{run}: {count} {split} data, {how}")
    unreliable = int((results["khat"] > inference.diagnostics.KHAT_LIMIT).sum())
    if unreliable:
        Console(highlight=False, soft_wrap=True).print(
            f"k-hat is above 0.7 for {unreliable} of {count} data: their log p(x) is a lower "
            "bound whose standard error is not to be trusted; more --particles may help."
        )
