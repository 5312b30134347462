"""What the codes say.

Which latent units carry information and of which factor, the ELBO taken apart where the aggregate
posterior shows, what is decoded back, and what is decoded between codes.
"""

from typing import TYPE_CHECKING

from pyro_vae.on_demand import names_on_demand

if TYPE_CHECKING:
    from pyro_vae.inference.latents.classes import Accuracy as Accuracy
    from pyro_vae.inference.latents.classes import attribute_test as attribute_test
    from pyro_vae.inference.latents.classes import augmentation_test as augmentation_test
    from pyro_vae.inference.latents.classes import neighbour_accuracy as neighbour_accuracy
    from pyro_vae.inference.latents.directions import direction_summary as direction_summary
    from pyro_vae.inference.latents.directions import direction_test as direction_test
    from pyro_vae.inference.latents.disentanglement import (
        mutual_information_gap as mutual_information_gap,
    )
    from pyro_vae.inference.latents.halfway import halfway_summary as halfway_summary
    from pyro_vae.inference.latents.halfway import halfway_test as halfway_test
    from pyro_vae.inference.latents.holes import compare_holes as compare_holes
    from pyro_vae.inference.latents.holes import hole_summary as hole_summary
    from pyro_vae.inference.latents.holes import hole_test as hole_test
    from pyro_vae.inference.latents.memory import MemoryTest as MemoryTest
    from pyro_vae.inference.latents.memory import memory_test as memory_test
    from pyro_vae.inference.latents.reconstruction import reconstruct as reconstruct
    from pyro_vae.inference.latents.reconstruction import (
        reconstruction_error as reconstruction_error,
    )
    from pyro_vae.inference.latents.reference import ReferenceDensity as ReferenceDensity
    from pyro_vae.inference.latents.reference import fit_reference as fit_reference
    from pyro_vae.inference.latents.sharpness import compare_sharpness as compare_sharpness
    from pyro_vae.inference.latents.sharpness import sharpness as sharpness
    from pyro_vae.inference.latents.surgery import elbo_surgery as elbo_surgery
    from pyro_vae.inference.latents.units import latent_report as latent_report

#: Where the public names are.
_NAMES = {
    "Accuracy": "pyro_vae.inference.latents.classes",
    "MemoryTest": "pyro_vae.inference.latents.memory",
    "ReferenceDensity": "pyro_vae.inference.latents.reference",
    "attribute_test": "pyro_vae.inference.latents.classes",
    "augmentation_test": "pyro_vae.inference.latents.classes",
    "compare_holes": "pyro_vae.inference.latents.holes",
    "compare_sharpness": "pyro_vae.inference.latents.sharpness",
    "direction_summary": "pyro_vae.inference.latents.directions",
    "direction_test": "pyro_vae.inference.latents.directions",
    "elbo_surgery": "pyro_vae.inference.latents.surgery",
    "fit_reference": "pyro_vae.inference.latents.reference",
    "halfway_summary": "pyro_vae.inference.latents.halfway",
    "halfway_test": "pyro_vae.inference.latents.halfway",
    "hole_summary": "pyro_vae.inference.latents.holes",
    "hole_test": "pyro_vae.inference.latents.holes",
    "latent_report": "pyro_vae.inference.latents.units",
    "memory_test": "pyro_vae.inference.latents.memory",
    "mutual_information_gap": "pyro_vae.inference.latents.disentanglement",
    "neighbour_accuracy": "pyro_vae.inference.latents.classes",
    "reconstruct": "pyro_vae.inference.latents.reconstruction",
    "reconstruction_error": "pyro_vae.inference.latents.reconstruction",
    "sharpness": "pyro_vae.inference.latents.sharpness",
}

__all__ = names_on_demand(__name__, _NAMES)
