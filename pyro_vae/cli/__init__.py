"""The command ``pyro-vae``: one file a command."""

from pyro_vae.on_demand import without_trace

with without_trace():
    from pyro_vae.cli.app import main

__all__ = ["main"]
