"""``pyro-vae explore``: an interactive page of the identity, the weights and a run's decoder."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pyro_vae.cli.options import DataRoot
from pyro_vae.disk.files import make_folder
from pyro_vae.disk.runs import Run
from pyro_vae.errors import SettingError
from pyro_vae.lecture import describe_run, serve_page, write_explorer
from pyro_vae.stored.loading import load_model, load_rows

__all__ = ["Port", "Serve", "check_page", "explore", "part_of", "serve_until_interrupted"]

Serve = Annotated[
    bool, typer.Option("--serve", help="Serve the page, on this machine only, until Ctrl-C.")
]
Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port of --serve. Default: any that is free."),
]


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
    serve: Serve = False,
    port: Port = None,
    data_root: DataRoot = None,
) -> None:
    """Write one HTML file to explore: the bound, importance sampling, the run's decoder.

    It needs no network and no server. The decoder of a VAE on images is shown if it is an MLP.
    """
    check_page(out, serve=serve, port=port)
    part = None if run is None else part_of(run, data_root)
    target = out or (run or Path()) / "explore.html"
    make_folder(target.parent)
    with nullcontext() if run is None or out is not None else Run(run).locked():
        write_explorer(target, part)
    Console(highlight=False, soft_wrap=True).print(f"wrote {target}", markup=False)
    if serve:
        serve_until_interrupted(target, port)


def check_page(out: Path | None, *, serve: bool, port: int | None) -> None:
    """Refuse settings of a page before anything is made."""
    if port is not None and not serve:
        raise SettingError(f"--port got {port} without --serve: add --serve, or leave it out")
    if out is not None and out.is_dir():
        raise SettingError(f"--out got {out}, a folder: give the name of an HTML file in it")


def part_of(run: Path, data_root: Path | None) -> dict[str, Any]:
    """What a page shows of a run."""
    opened = Run.open(run)
    data = load_rows(opened, data_root=data_root)
    return describe_run(load_model(opened).evidence_model, data, name=run.resolve().name)


def serve_until_interrupted(page: Path, port: int | None) -> None:
    """Serve a page on this machine until Ctrl-C."""
    console = Console(highlight=False, soft_wrap=True)
    with serve_page(page, port or 0) as server:
        console.print(f"serving http://127.0.0.1:{server.server_port}/ until Ctrl-C")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("stopped")
