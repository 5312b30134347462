"""The interactive page: one HTML file in which a reader moves the guide, the draws and z."""

from pyro_vae.explorer.decoder import describe_decoder
from pyro_vae.explorer.page import TOY, write_page
from pyro_vae.explorer.serve import serve_page
from pyro_vae.explorer.trained import describe_run

__all__ = ["TOY", "describe_decoder", "describe_run", "serve_page", "write_page"]
