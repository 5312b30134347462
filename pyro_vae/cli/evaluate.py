"""``pyro-vae evaluate``: ELBO, IWAE bounds, log p(x) and the gap of a run on held-out data."""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pyro_vae import inference
from pyro_vae.cli.options import DataRoot, Json, Limit, MemoryMB, Particles, RunFolder, Seed
from pyro_vae.cli.output import measuring, print_json, print_summary
from pyro_vae.errors import DataError
from pyro_vae.loading import load_data, load_model
from pyro_vae.models import MixtureModel

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    import xarray as xr
    from torch import Tensor

    from pyro_vae.models import VAE

__all__ = ["evaluate", "measure", "measure_summary"]


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
    model, data = load_model(opened), load_data(opened, data_root=data_root)
    x = getattr(data, split)[:limit]
    if len(x) == 0:
        raise DataError(f"the {split} split of {data.name} is empty: choose another --split")
    with measuring(f"measuring {len(x)} data", show=not as_json) as progress:
        results = measure(
            model, x, particles, seed=seed, memory_limit=memory_mb * 2**20, progress=progress
        )
    results.attrs.update(data=data.name, split=str(split))
    opened.write_results(results)
    table = measure_summary(results)
    if as_json:
        rows = {str(name): row.to_dict() for name, row in table.iterrows()}
        print_json({"run": str(run), "split": str(split), "summary": rows, **results.attrs})
        return
    exact = results.attrs["exact"]
    how = "exact by enumeration" if exact else f"{particles} particles"
    print_summary(table, f"{run}: {len(x)} {split} data, {how}")
    unreliable = int((results["khat"] > inference.diagnostics.KHAT_LIMIT).sum())
    if unreliable:
        Console(highlight=False, soft_wrap=True).print(
            f"k-hat is above 0.7 for {unreliable} of {len(x)} data: their log p(x) is a lower "
            "bound whose standard error is not to be trusted; more --particles may help."
        )


def measure(
    model: LatentVariableModel,
    x: Tensor,
    particles: int,
    *,
    seed: int = 0,
    memory_limit: int = 2**25,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """``inference.evaluate`` with what the model knows: a mixture's sum over z is exact."""
    exact = isinstance(model, MixtureModel)
    results = inference.evaluate(
        model.model,
        model.guide,
        x,
        # Every particle has the same weight, p(x) itself: two show it.
        2 if exact else particles,
        seed=seed,
        memory_limit=memory_limit,
        enumerate_discrete=exact,
        progress=progress,
    )
    results.attrs.update(
        exact=int(exact),
        measure=model.likelihood.measure,
        num_features=math.prod(x.shape[1:]),
    )
    if exact:
        results.attrs["bound"] = "log_evidence is exact: z is summed out"
    return results


def measure_summary(results: xr.Dataset) -> pd.DataFrame:
    """``inference.summary``, with bits per dimension where x is discrete."""
    table = inference.summary(results)
    if results.attrs["measure"] == "counting":
        # A mass of 2^-b per feature: b = -log p(x) / (D log 2).
        per_bit = results.attrs["num_features"] * math.log(2)
        row = table.loc["log_evidence"] / per_bit
        table.loc["bits_per_dim"] = [-row["mean"], row["mc_se"], row["sampling_se"]]
    return table
