"""``python -m pyro_vae``: the command line."""

from pyro_vae.cli import main

main()
