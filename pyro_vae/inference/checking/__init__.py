"""Is the guide right, is the model right, is the code right.

Calibration of the guide by simulation, posterior and predictive draws with their p-values, their
way to ArviZ, and ``verify``, which holds an objective or an estimator of anybody's against models
with known answers.
"""

from typing import TYPE_CHECKING

from pyro_vae.on_demand import names_on_demand

if TYPE_CHECKING:
    from pyro_vae.inference.checking.arviz_data import to_inference_data as to_inference_data
    from pyro_vae.inference.checking.calibration import (
        calibration_sentences as calibration_sentences,
    )
    from pyro_vae.inference.checking.calibration import sbc_ranks as sbc_ranks
    from pyro_vae.inference.checking.posterior import posterior_samples as posterior_samples
    from pyro_vae.inference.checking.predictive import log_likelihood as log_likelihood
    from pyro_vae.inference.checking.predictive import posterior_predictive as posterior_predictive
    from pyro_vae.inference.checking.predictive import predictive_p_values as predictive_p_values
    from pyro_vae.inference.checking.predictive import prior_draws as prior_draws
    from pyro_vae.inference.checking.predictive import simulator as simulator
    from pyro_vae.inference.checking.verify import Report as Report
    from pyro_vae.inference.checking.verify import verify as verify

#: Where the public names are.
_NAMES = {
    "Report": "pyro_vae.inference.checking.verify",
    "calibration_sentences": "pyro_vae.inference.checking.calibration",
    "log_likelihood": "pyro_vae.inference.checking.predictive",
    "posterior_predictive": "pyro_vae.inference.checking.predictive",
    "posterior_samples": "pyro_vae.inference.checking.posterior",
    "predictive_p_values": "pyro_vae.inference.checking.predictive",
    "prior_draws": "pyro_vae.inference.checking.predictive",
    "sbc_ranks": "pyro_vae.inference.checking.calibration",
    "simulator": "pyro_vae.inference.checking.predictive",
    "to_inference_data": "pyro_vae.inference.checking.arviz_data",
    "verify": "pyro_vae.inference.checking.verify",
}

__all__ = names_on_demand(__name__, _NAMES)
