"""``pyro-vae explore``: an interactive page of the identity, the weights and a run's decoder."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pyro_vae.cli.options import DataRoot
from pyro_vae.disk.files import make_folder
from pyro_vae.disk.runs import Run
from pyro_vae.errors import SettingError
from pyro_vae.explorer import describe_run, serve_page, write_page
from pyro_vae.stored.loading import load_model, load_rows

__all__ = ["explore"]


def explore(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="Run folder, as made by `pyro-vae fit`. Without it the page has no decoder."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="HTML file to write. Default: RUN/explore.html, or ./explore.html."),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the page, on this machine only, until Ctrl-C.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of --serve. Default: any that is free."),
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Write one HTML file to explore: the bound, importance sampling, the run's decoder.

    It needs no network and no server. The decoder of a VAE on images is shown if it is an MLP.
    """
    if port is not None and not serve:
        raise SettingError(f"--port got {port} without --serve: add --serve, or leave it out")
    if out is not None and out.is_dir():
        raise SettingError(f"--out got {out}, a folder: give the name of an HTML file in it")
    part = None
    target = out or Path("explore.html")
    if run is not None:
        opened = Run.open(run)
        data = load_rows(opened, data_root=data_root)
        part = describe_run(load_model(opened).evidence_model, data, name=run.resolve().name)
        target = out or opened.path / "explore.html"
    make_folder(target.parent)
    with nullcontext() if run is None or out is not None else Run(run).locked():
        write_page(target, part)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"wrote {target}", markup=False)
    if not serve:
        return
    with serve_page(target, port or 0) as server:
        console.print(f"serving http://127.0.0.1:{server.server_port}/ until Ctrl-C")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("stopped")
