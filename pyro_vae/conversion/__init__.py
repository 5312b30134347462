"""The one door for data: whatever a person holds becomes tensors, or is refused in a sentence."""

from pyro_vae.conversion.arrays import Converted, convert
from pyro_vae.conversion.labels import convert_labels
from pyro_vae.conversion.places import check_finite, place
from pyro_vae.conversion.programs import as_inputs, own_device, own_dtype, takes_data
from pyro_vae.conversion.rounding import cast
from pyro_vae.conversion.streamed import StreamedArray, look_through, pieces, streamed_part

__all__ = [
    "Converted",
    "StreamedArray",
    "as_inputs",
    "cast",
    "check_finite",
    "convert",
    "convert_labels",
    "look_through",
    "own_device",
    "own_dtype",
    "pieces",
    "place",
    "streamed_part",
    "takes_data",
]
