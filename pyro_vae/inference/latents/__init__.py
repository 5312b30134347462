"""What the codes say.

Which latent units carry information and of which factor, the ELBO taken apart where the aggregate
posterior shows, what is decoded back, and what is decoded between codes.
"""

from typing import TYPE_CHECKING

from pyro_vae.on_demand import names_on_demand

if TYPE_CHECKING:
    from pyro_vae.inference.latents.disentanglement import (
        mutual_information_gap as mutual_information_gap,
    )
    from pyro_vae.inference.latents.holes import compare_holes as compare_holes
    from pyro_vae.inference.latents.holes import hole_summary as hole_summary
    from pyro_vae.inference.latents.holes import hole_test as hole_test
    from pyro_vae.inference.latents.reconstruction import reconstruct as reconstruct
    from pyro_vae.inference.latents.reconstruction import (
        reconstruction_error as reconstruction_error,
    )
    from pyro_vae.inference.latents.reference import ReferenceDensity as ReferenceDensity
    from pyro_vae.inference.latents.reference import fit_reference as fit_reference
    from pyro_vae.inference.latents.surgery import elbo_surgery as elbo_surgery
    from pyro_vae.inference.latents.units import latent_report as latent_report

#: Where the public names are.
_NAMES = {
    "ReferenceDensity": "pyro_vae.inference.latents.reference",
    "compare_holes": "pyro_vae.inference.latents.holes",
    "elbo_surgery": "pyro_vae.inference.latents.surgery",
    "fit_reference": "pyro_vae.inference.latents.reference",
    "hole_summary": "pyro_vae.inference.latents.holes",
    "hole_test": "pyro_vae.inference.latents.holes",
    "latent_report": "pyro_vae.inference.latents.units",
    "mutual_information_gap": "pyro_vae.inference.latents.disentanglement",
    "reconstruct": "pyro_vae.inference.latents.reconstruction",
    "reconstruction_error": "pyro_vae.inference.latents.reconstruction",
}

__all__ = names_on_demand(__name__, _NAMES)
