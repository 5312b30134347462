"""Objectives, one a file, and the SVI loop that raises any of them.

``fit`` trains a pair and keeps it in a run, ``sweep`` fits one run of many, ``local`` a guide with
parameters of its own for each datum; ``gradients`` compares objectives by the noise of their
gradients.
"""

from typing import TYPE_CHECKING

from pyro_vae.on_demand import names_on_demand

if TYPE_CHECKING:
    from pyro_vae.inference.training.fit import FitResult as FitResult
    from pyro_vae.inference.training.fit import fit as fit
    from pyro_vae.inference.training.gradients import gradient_snr as gradient_snr
    from pyro_vae.inference.training.local import GuideFit as GuideFit
    from pyro_vae.inference.training.local import fit_guide as fit_guide
    from pyro_vae.inference.training.objectives import IWAE as IWAE
    from pyro_vae.inference.training.objectives import objective_named as objective_named

#: Where the public names are.
_NAMES = {
    "FitResult": "pyro_vae.inference.training.fit",
    "GuideFit": "pyro_vae.inference.training.local",
    "IWAE": "pyro_vae.inference.training.objectives",
    "fit": "pyro_vae.inference.training.fit",
    "fit_guide": "pyro_vae.inference.training.local",
    "gradient_snr": "pyro_vae.inference.training.gradients",
    "objective_named": "pyro_vae.inference.training.objectives",
}

__all__ = names_on_demand(__name__, _NAMES)
