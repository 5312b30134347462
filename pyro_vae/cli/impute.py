"""``pyro-vae impute``: complete tables from one with empty cells, with intervals."""

from __future__ import annotations

import io
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pyro_vae.cli.options import DataRoot, Json, Limit, RunFolder, Seed
from pyro_vae.cli.output import print_json
from pyro_vae.disk.files import write_whole
from pyro_vae.disk.runs import Run
from pyro_vae.errors import SettingError
from pyro_vae.figures.of_runs_with_holes import imputation_figure
from pyro_vae.pages.report import save_figure
from pyro_vae.progress import measuring
from pyro_vae.stored.imputed import (
    Imputed,
    cells_frame,
    columns_frame,
    completed_frame,
    hidden_errors,
    impute_run,
    weights_of,
)
from pyro_vae.stored.loading import load_model

__all__ = ["impute"]


def impute(
    run: RunFolder,
    file: Annotated[
        Path | None,
        typer.Argument(help="File with rows of the run's schema. Default: its test rows."),
    ] = None,
    draws: Annotated[
        int,
        typer.Option(help="Complete tables; 0 for one alone, with the median in each cell."),
    ] = 20,
    level: Annotated[float, typer.Option(help="Probability of the intervals.")] = 0.9,
    particles: Annotated[
        int, typer.Option("--particles", "--num-particles", min=2, help="Draws of z per row.")
    ] = 1000,
    limit: Limit = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where to write the complete tables. Default: RUN/imputed.csv, of images .npz."
        ),
    ] = None,
    seed: Seed = 0,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Fill in missing cells by draws from p(missing | observed), with intervals; write tables.

    The tables stand one below the other, in the units, levels and columns of the file, numbered
    in .imp from 1, after the one with its empty cells, 0: analyse each, and pool by Rubin's rules.
    A second file, -cells.csv, has a line for each missing cell. Where k-hat is above 0.7 a row's
    imputations are not to be relied on.
    """
    opened = Run.open(run)
    shape: Any = load_model(opened).event_shape
    is_table = len(shape) == 1
    suffix = ".csv" if is_table else ".npz"
    _check_settings(draws, level, out, suffix)
    with measuring("imputing", show=False if as_json else None) as progress:
        found = impute_run(
            opened,
            file,
            data_root=data_root,
            draws=draws,
            level=level,
            num_particles=particles,
            limit=limit,
            seed=seed,
            progress=progress,
        )
    target = out or opened.path / f"imputed{suffix}"
    contents = _contents(found, target, is_table=is_table, long=draws > 0)
    pictured = imputation_figure(found.results, found.data) if draws else None
    written = list(contents)
    with opened.locked() if pictured is not None or out is None else nullcontext():
        for path, content in contents.items():
            write_whole(path, content)
        if pictured is not None:
            written.append(opened.path / "figures" / "imputations.png")
            save_figure(pictured, written[-1])
    weights = weights_of(found.results)
    errors = hidden_errors(found)
    if as_json:
        document: dict[str, Any] = {
            "run": str(run),
            "rows": weights.rows,
            "rows_not_trusted": weights.heavy,
        }
        if is_table and draws:
            lines = columns_frame(found).astype(object)
            times = lines.map(lambda cell: str(cell) if isinstance(cell, pd.Timestamp) else cell)
            document["columns"] = times.to_dict("index")
        print_json({**document, "hidden": errors, "written": list(map(str, written))})
        return
    if is_table and draws:
        _print_columns(found)
    worth = ", whose imputations are not to be relied on" if weights.heavy else ""
    lines = [
        f"{weights.rows} rows with missing cells; k-hat is above 0.7 for {weights.heavy} of "
        f"them{worth}"
    ]
    if weights.unknown:
        lines += [f"k-hat is not known for {weights.unknown} of them: more --particles would tell"]
    lines += _hidden_lines(errors, level)
    lines += [f"wrote {path}" for path in written]
    Console(highlight=False, soft_wrap=True).print("\n".join(lines), markup=False)


def _check_settings(draws: int, level: float, out: Path | None, suffix: str) -> None:
    """Refuse what cannot be done, or not be written, before any work."""
    if draws < 0:
        raise SettingError(f"--draws got {draws}: it must be 0 or more")
    if not 0 < level < 1:
        raise SettingError(f"--level got {level:g}: it must be between 0 and 1, such as 0.9")
    if out is not None and out.suffix != suffix:
        raise SettingError(f"--out got {out}, and this is written as {suffix}: name it so")
    if out is not None and not out.parent.is_dir():
        raise SettingError(
            f"--out got {out}, and there is no folder {out.parent}: make it, or give another path"
        )


def _hidden_lines(errors: dict[str, float] | None, level: float) -> list[str]:
    """How well cells are imputed that were hidden on purpose, in words."""
    if errors is None:
        return []
    parts = []
    if "rmse" in errors:
        inside, wanted = 100 * errors["coverage"], 100 * level
        parts.append(
            f"RMSE {errors['rmse']:.3f} standard deviations, {inside:.1f} % in their {wanted:g} % "
            "intervals"
        )
    if "wrong" in errors:
        parts.append(f"{100 * errors['wrong']:.1f} % of the levels are not the most probable ones")
    return [f"of {errors['cells']} cells that were hidden on purpose: {'; '.join(parts)}"]


def _contents(
    found: Imputed, target: Path, *, is_table: bool, long: bool
) -> dict[Path, str | bytes]:
    """What is written, by path."""
    if is_table:
        return {
            target: completed_frame(found, long=long).to_csv(index=False),
            target.with_name(f"{target.stem}-cells.csv"): cells_frame(found).to_csv(index=False),
        }
    results, shape = found.results, found.data.event_shape
    arrays: dict[str, Any] = {
        str(name): values.values.reshape(*values.shape[:-1], *shape)
        if "feature" in values.dims
        else values.values
        for name, values in results.data_vars.items()
    }
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return {target: content.getvalue()}


def _print_columns(found: Imputed) -> None:
    """What was imputed in each column, beside what is observed there."""
    frame = columns_frame(found)
    table = Table(
        title="mean of numbers, most frequent of levels",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for column in ("column", "missing", "observed cells", "imputed cells"):
        table.add_column(Text(column), justify="left" if column == "column" else "right")
    for name, line in frame.iterrows():
        missing = f"{line['missing']} of {line['of']}"
        cells = (str(name), missing, _cell(line["observed"]), _cell(line["imputed"]))
        table.add_row(*map(Text, cells))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    console.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, pd.Timestamp):
        return str(value.round("s")).removesuffix(" 00:00:00")
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
