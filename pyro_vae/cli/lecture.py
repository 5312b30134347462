"""``pyro-vae lecture``: the whole story as one HTML file to play with."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pyro_vae.cli.explore import Port, Serve, check_page, part_of, serve_until_interrupted
from pyro_vae.cli.options import DataRoot, Seed
from pyro_vae.disk.files import make_folder
from pyro_vae.lecture import write_lecture
from pyro_vae.spelling import split_list

__all__ = ["lecture"]


def lecture(
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("lecture.html"),
    run: Annotated[
        Path | None,
        typer.Option(
            help="Run folder of a VAE on images, for the last panel in place of a model made here."
        ),
    ] = None,
    panels: Annotated[
        str | None,
        typer.Option(help="Names of panels with commas between them. Default: all."),
    ] = None,
    seed: Seed = 0,
    serve: Serve = False,
    port: Port = None,
    data_root: DataRoot = None,
) -> None:
    """Write one HTML file for a class: from PCA to the VAE, each step a panel to play with.

    Trains its small models first, in a minute or two. The file needs no network and no server,
    and speaks English and Chinese.
    """
    started = time.monotonic()
    check_page(out, serve=serve, port=port)
    part = None if run is None else part_of(run, data_root)
    make_folder(out.parent)
    write_lecture(out, panels=None if panels is None else split_list(panels), run=part, seed=seed)
    console = Console(highlight=False, soft_wrap=True)
    size = out.stat().st_size / 1e6
    seconds = time.monotonic() - started
    console.print(f"wrote {out} ({size:.1f} MB, {seconds:.0f} s)", markup=False)
    if serve:
        serve_until_interrupted(out, port)
