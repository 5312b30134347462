"""``pyro-vae sample``: draw data from a run's generative story."""

from __future__ import annotations

import io
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
import typer
from rich.console import Console

from pyro_vae import plots
from pyro_vae.cli.options import DataRoot, Json, RunFolder, Seed
from pyro_vae.cli.output import print_json
from pyro_vae.disk.files import write_whole
from pyro_vae.disk.runs import Run
from pyro_vae.pages.report import save_figure
from pyro_vae.pictures.decoded import draw_samples
from pyro_vae.stored.loading import load_data, load_model

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["sample"]


def sample(
    run: RunFolder,
    count: Annotated[int, typer.Option(min=1, help="How many data to draw.")] = 40,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the array. Default: RUN/samples.npy.")
    ] = None,
    seed: Seed = 0,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Draw z from the prior and x from p(x | z); write the array, and a picture of images.

    The values are in the original units of data that were standardised.
    A conditional model is given what the first test data have, from the first again at the end.
    """
    opened = Run.open(run)
    model = load_model(opened)
    given: dict[str, Tensor] = {}
    standardised = bool((opened.config().get("data") or {}).get("standardise"))
    data = load_data(opened, data_root=data_root) if model.inputs or standardised else None
    if model.inputs and data is not None:
        side = data.inputs("test", model.inputs)
        rows = torch.arange(count) % len(side.pop("x"))
        given = {name: part[rows] for name, part in side.items()}
    drawn = draw_samples(model, count, given=given, seed=seed)
    if data is not None:
        drawn = data.in_original_units(drawn)
    # In their own units, dates and the like need more digits than float32 has.
    samples = drawn.numpy()
    target = out or opened.path / "samples.npy"
    written = [target]
    content = io.BytesIO()
    np.save(content, samples, allow_pickle=False)
    pictured = samples.ndim == 3
    with opened.locked() if pictured or out is None else nullcontext():
        write_whole(target, content.getvalue())
        if pictured:
            written.append(opened.path / "figures" / "samples.png")
            save_figure(plots.prior_samples(samples), written[-1])
    if as_json:
        document = {
            "run": str(run),
            "shape": list(samples.shape),
            "written": list(map(str, written)),
        }
        print_json({**document, "units": "original" if standardised else "as fitted"})
    else:
        note = ", in the units that the data had before they were standardised"
        lines = [f"wrote {w}{note if standardised else ''}" for w in written]
        Console(highlight=False, soft_wrap=True).print("\n".join(lines), markup=False)
