"""Functions of tensors as flat graphs of their PyTorch operations.

Pyro's handlers run once, while a graph is recorded (``graphs``); what is left is the arithmetic,
in the same order and with the same random operations, so that its numbers are those of the
function to the bit. Recorded with ``make_fx`` (He & Zou, 2021, functorch).

A graph holds for the shapes of its inputs. Tensors that it does not take as inputs are part of
it, as is whatever Python decided while it was recorded: a check of values stands in ``with
unrecorded():``.
"""

from pyro_vae.recording.bindings import bound
from pyro_vae.recording.compiler import compiled, has_compiler
from pyro_vae.recording.graphs import NotRecordableError, not_recordable, record, unrecorded
from pyro_vae.recording.noise import Noise, noise_as_inputs
from pyro_vae.recording.repeated import COMPARED, WORTH_RECORDING, Repeated, equal, shapes_of

__all__ = [
    "COMPARED",
    "WORTH_RECORDING",
    "Noise",
    "NotRecordableError",
    "Repeated",
    "bound",
    "compiled",
    "equal",
    "has_compiler",
    "noise_as_inputs",
    "not_recordable",
    "record",
    "shapes_of",
    "unrecorded",
]
