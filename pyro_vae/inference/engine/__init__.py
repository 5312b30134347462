"""Log-weights of any (model, guide) pair, and what they stand on.

The data that a pair takes, its traces, the weights, and what weights alone tell: bounds, effective
sample sizes, k-hat. It rests on Pyro, PyTorch and NumPy; everything that the other wings
train or measure is a reduction of what is here.
"""

from typing import TYPE_CHECKING

from pyro_vae.on_demand import names_on_demand

if TYPE_CHECKING:
    from pyro_vae.inference.engine.conjugate import ConjugateNormal as ConjugateNormal
    from pyro_vae.inference.engine.diagnostics import active_directions as active_directions
    from pyro_vae.inference.engine.diagnostics import active_units as active_units
    from pyro_vae.inference.engine.diagnostics import (
        effective_sample_size as effective_sample_size,
    )
    from pyro_vae.inference.engine.diagnostics import pareto_khat as pareto_khat
    from pyro_vae.inference.engine.diagnostics import pareto_smoothed as pareto_smoothed
    from pyro_vae.inference.engine.proposals import widened as widened
    from pyro_vae.inference.engine.weights import LogWeights as LogWeights
    from pyro_vae.inference.engine.weights import log_weights as log_weights
    from pyro_vae.inference.engine.weights import sample_log_weights as sample_log_weights
    from pyro_vae.inference.engine.weights import stream_log_weights as stream_log_weights

#: Where the public names are.
_NAMES = {
    "ConjugateNormal": "pyro_vae.inference.engine.conjugate",
    "LogWeights": "pyro_vae.inference.engine.weights",
    "active_directions": "pyro_vae.inference.engine.diagnostics",
    "active_units": "pyro_vae.inference.engine.diagnostics",
    "effective_sample_size": "pyro_vae.inference.engine.diagnostics",
    "log_weights": "pyro_vae.inference.engine.weights",
    "pareto_khat": "pyro_vae.inference.engine.diagnostics",
    "pareto_smoothed": "pyro_vae.inference.engine.diagnostics",
    "sample_log_weights": "pyro_vae.inference.engine.weights",
    "stream_log_weights": "pyro_vae.inference.engine.weights",
    "widened": "pyro_vae.inference.engine.proposals",
}

__all__ = names_on_demand(__name__, _NAMES)
