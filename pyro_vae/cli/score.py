"""``pyro-vae score``: how likely each row is under a run, and what makes it unlikely."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from pyro_vae.cli.options import DataRoot, Json, RunFolder, Seed
from pyro_vae.cli.output import print_json
from pyro_vae.disk.files import write_whole
from pyro_vae.disk.runs import Run
from pyro_vae.pages.report import save_figure
from pyro_vae.progress import measuring
from pyro_vae.spelling import split_list
from pyro_vae.stored.scored import score_run, scores_frame

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["score"]

#: Columns that are named for each of the least likely rows.
_NAMED = 3


def score(
    run: RunFolder,
    file: Annotated[
        Path | None,
        typer.Argument(help="File with rows of the run's schema. Default: its test rows."),
    ] = None,
    given: Annotated[
        str,
        typer.Option(help="Columns that are known, with commas between: log p(others | these)."),
    ] = "",
    particles: Annotated[
        int, typer.Option("--particles", "--num-particles", min=2, help="Draws per row.")
    ] = 1000,
    reference: Annotated[
        int, typer.Option(min=2, help="Training rows that the percentile is among, at most.")
    ] = 1000,
    top: Annotated[int, typer.Option(min=1, help="How many of the least likely to print.")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the scores. Default: RUN/scores.csv.")
    ] = None,
    seed: Seed = 0,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Score rows: log p(x) with its error, percentile among training rows, and every column.

    The scores are written as CSV, in nats and the units of the table; the least likely rows are
    printed, with the columns that are least likely given z.
    """
    opened = Run.open(run)
    with measuring("scoring", show=False if as_json else None) as progress:
        results = score_run(
            opened,
            file,
            data_root=data_root,
            given=split_list(given),
            num_particles=particles,
            reference=reference,
            seed=seed,
            progress=progress,
        )
    frame = scores_frame(results)
    target = out or opened.path / "scores.csv"
    written = [target]
    with opened.locked():
        write_whole(target, frame.to_csv())
        if "percentile" in results:
            written.append(opened.path / "figures" / "outliers.png")
            save_figure(_figure(results), written[-1])
    lowest = frame.sort_values(frame.columns[0]).head(top)
    if as_json:
        rows = [{"row": int(row), **values} for row, values in lowest.to_dict("index").items()]
        print_json({"run": str(run), "lowest": rows, "written": list(map(str, written))})
        return
    _print_lowest(results, lowest.index.to_numpy(), given)
    lines = "\n".join(f"wrote {path}" for path in written)
    Console(highlight=False, soft_wrap=True).print(lines, markup=False)


def _print_lowest(results: xr.Dataset, rows: np.ndarray, given: str) -> None:
    """The least likely rows, and what about them is unlikely."""
    what = f"log p(others | {given})" if given else "log p(x)"
    name = "log_conditional" if given else "log_evidence"
    table = Table(
        title=f"the least likely of {results.sizes['datum']} rows, nats in the table's units",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for column in ("row", what, "SE", "k-hat"):
        table.add_column(column, justify="right")
    full = "percentile" in results
    if full:
        table.add_column("% of training rows below", justify="right")
    if "contribution" in results:
        table.add_column("least likely columns, nats against the mean")
        spread = results["contribution"] - results["contribution"].mean("datum")
    at = {int(row): i for i, row in enumerate(results["row"].values)}
    for row in rows:
        one = results.isel(datum=at[int(row)])
        error = float(one[f"{name}_se"])
        cells = [f"{row}", f"{float(one[name]):.2f}", "" if np.isnan(error) else f"{error:.3f}"]
        cells.append("" if np.isnan(one["khat"]) else f"{float(one['khat']):.2f}")
        if full:
            cells.append(f"{float(one['percentile']):.1f}")
        if "contribution" in results:
            least = spread.isel(datum=at[int(row)]).sortby(spread.isel(datum=at[int(row)]))
            named = least[:_NAMED]
            cells.append(
                ", ".join(
                    f"{k} {float(v):+.1f}"
                    for k, v in zip(named["feature"].values, named, strict=True)
                )
            )
        table.add_row(*cells)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    console.print(table)
