"""The lecture: one HTML file of panels, each with a control, a picture and its numbers."""

from pyro_vae.lecture.lesson import PANELS, TOY, write_explorer, write_lecture
from pyro_vae.lecture.panels.decoder import describe_run
from pyro_vae.lecture.panels.decoder_document import describe_decoder
from pyro_vae.lecture.serve import serve_page

__all__ = [
    "PANELS",
    "TOY",
    "describe_decoder",
    "describe_run",
    "serve_page",
    "write_explorer",
    "write_lecture",
]
