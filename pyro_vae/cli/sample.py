"""``pyro-vae sample``: draw data from a run's generative story."""

from __future__ import annotations

import io
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
import torch
import typer
from rich.console import Console

from pyro_vae import plots
from pyro_vae.cli.options import DataRoot, Json, On, RunFolder, Seed
from pyro_vae.cli.output import print_json
from pyro_vae.disk.files import write_whole
from pyro_vae.disk.runs import Run
from pyro_vae.pages.report import save_figure
from pyro_vae.pictures.decoded import draw_samples
from pyro_vae.stored.loading import Units, load_data, load_model, units_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["sample"]


class _Drawn(NamedTuple):
    """Draws as they are written: their file's ending, its content, and the values as an array."""

    suffix: str
    content: bytes
    values: np.ndarray


def sample(
    run: RunFolder,
    count: Annotated[int, typer.Option(min=1, help="How many data to draw.")] = 40,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write them. Default: RUN/samples.csv of a table, else .npy."),
    ] = None,
    seed: Seed = 0,
    on: On = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Draw z from the prior and x from p(x | z); write them, and a picture of images.

    Rows of a table are written as CSV with its columns, units and levels, other data as an array,
    in the units that they had before they were standardised. A conditional model is given what
    the first test data have, from the first again at the end; or rows of --on.
    """
    opened = Run.open(run)
    model = load_model(opened)
    given: dict[str, Tensor] = {}
    if set(model.inputs) - {"observed"}:
        side = load_data(opened, data_root=data_root, on=on).inputs("test", model.inputs)
        rows = torch.arange(count) % len(side.pop("x"))
        side.pop("observed", None)  # whole data are drawn
        given = {name: part[rows] for name, part in side.items()}
    units = units_of(opened, data_root=data_root)
    drawn = _written(draw_samples(model, count, given=given, seed=seed), units)
    target = out or opened.path / f"samples{drawn.suffix}"
    written = [target]
    pictured = drawn.values.ndim == 3
    with opened.locked() if pictured or out is None else nullcontext():
        write_whole(target, drawn.content)
        if pictured:
            written.append(opened.path / "figures" / "samples.png")
            save_figure(plots.prior_samples(drawn.values), written[-1])
    if as_json:
        document = {
            "run": str(run),
            "shape": list(drawn.values.shape),
            "written": list(map(str, written)),
        }
        print_json({**document, "units": "original" if units.changed else "as fitted"})
        return
    note = ""
    if units.schema is not None:
        note = ", in the columns, units and levels of the table"
    elif units.changed:
        note = ", in the units that the data had before they were standardised"
    lines = [f"wrote {path}{note}" for path in written]
    Console(highlight=False, soft_wrap=True).print("\n".join(lines), markup=False)


def _written(draws: Tensor, units: Units) -> _Drawn:
    """Draws in the user's own units: a frame as CSV, or an array."""
    # In their own units, dates and the like need more digits than float32 has.
    values = units.original(draws).numpy()
    if units.schema is not None:
        text = units.schema.decode(values).to_csv(index=False)
        return _Drawn(".csv", text.encode(), values)
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    return _Drawn(".npy", content.getvalue(), values)
