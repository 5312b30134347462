"""``pyro-vae score``: how likely each row is under a run, and what makes it unlikely."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pyro_vae import plots
from pyro_vae.cli.options import DataRoot, Json, RunFolder, Seed
from pyro_vae.cli.output import print_json
from pyro_vae.disk.files import write_whole
from pyro_vae.disk.runs import Run
from pyro_vae.pages.report import save_figure
from pyro_vae.progress import measuring
from pyro_vae.spelling import split_names
from pyro_vae.stored.scored import Scores, score_run, scores_frame

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

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
        found = score_run(
            opened,
            file,
            data_root=data_root,
            given=split_names(given),
            num_particles=particles,
            reference=reference,
            seed=seed,
            progress=progress,
        )
    frame = scores_frame(found.rows)
    target = out or opened.path / "scores.csv"
    written = [target]
    with opened.locked():
        write_whole(target, frame.to_csv())
        if found.reference is not None:
            written.append(opened.path / "figures" / "outliers.png")
            save_figure(_figure(found), written[-1])
    lowest = frame.sort_values(frame.columns[0]).head(top)
    if as_json:
        rows = [{"row": int(row), **values} for row, values in lowest.to_dict("index").items()]
        print_json({"run": str(run), "lowest": rows, "written": list(map(str, written))})
        return
    _print_lowest(found.rows, lowest.index.to_numpy(), given)
    note = _note_on_holes(found.rows, given)
    lines = "\n".join([*note, *(f"wrote {path}" for path in written)])
    Console(highlight=False, soft_wrap=True).print(lines, markup=False)


def _note_on_holes(rows: xr.Dataset, given: str) -> list[str]:
    """What the scores of rows with missing cells are of."""
    if not rows.attrs["missing_cells"]:
        return []
    if given:
        return ["log p is that of the cells that are there, given those of the others that are"]
    return [
        "log p(x) is that of the cells that are there: a row with fewer of them has a higher one, "
        "and stands higher among the training rows"
    ]


def _figure(found: Scores) -> Figure:
    """Where the rows stand among training rows, and the columns of the least likely."""
    rows, known = found
    assert known is not None
    names = [str(row) for row in rows["row"].values]
    if "contribution" not in rows:
        return plots.outliers(rows["log_evidence"], reference=known["log_evidence"], rows=names)
    return plots.outliers(
        rows["log_evidence"],
        rows["contribution"],
        reference=known["log_evidence"],
        reference_contribution=known["contribution"],
        rows=names,
        columns=list(rows["feature"].values),
    )


def _print_lowest(results: xr.Dataset, rows: np.ndarray, given: str) -> None:
    """The least likely rows, and what about them is unlikely."""
    name = "log_conditional" if given else "log_evidence"
    table = Table(
        title=f"the least likely of {results.sizes['datum']} rows, nats in the data's own units",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    of_all = {
        "row": [str(row) for row in results["row"].values],
        f"log p(others | {given})" if given else "log p(x)": _cells(results[name], ".2f"),
        "SE": _cells(results[f"{name}_se"], ".3f"),
        "k-hat": _cells(results["khat"], ".2f"),
    }
    if "percentile" in results:
        of_all["% of training rows below"] = _cells(results["percentile"], ".1f")
    for column in of_all:
        table.add_column(Text(column), justify="right")
    if "contribution" in results:
        of_all["least likely columns, nats against the mean"] = _least_columns(results)
        table.add_column("least likely columns, nats against the mean")
    at_row = {row: at for at, row in enumerate(results["row"].values)}
    for at in (at_row[row] for row in rows):
        table.add_row(*(Text(cells[at]) for cells in of_all.values()))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    console.print(table)


def _cells(values: xr.DataArray, form: str) -> list[str]:
    """Numbers as they are printed; nothing for NaN."""
    return ["" if np.isnan(v) else format(float(v), form) for v in values.values]


def _least_columns(results: xr.Dataset) -> list[str]:
    """For each row, the columns whose contribution is farthest below its mean over the rows."""
    below = (results["contribution"] - results["contribution"].mean("datum")).values
    names = results["feature"].values
    return [
        ", ".join(
            f"{names[d]} {row[d]:+.1f}" for d in np.argsort(row)[:_NAMED] if not np.isnan(row[d])
        )
        for row in below
    ]
