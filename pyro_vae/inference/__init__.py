"""What is done with any (model, guide) pair, ours or the user's: train, weigh, measure, rank.

The verbs that are used most are here; each wing has all of its own.
"""

from typing import TYPE_CHECKING

from pyro_vae.on_demand import names_on_demand, without_trace

with without_trace():
    import pyro  # noqa: F401 - every module stands on it and on PyTorch, which adds filters

if TYPE_CHECKING:
    from pyro_vae.inference import checking as checking
    from pyro_vae.inference import engine as engine
    from pyro_vae.inference import evidence as evidence
    from pyro_vae.inference import latents as latents
    from pyro_vae.inference import training as training
    from pyro_vae.inference.checking.calibration import sbc_ranks as sbc_ranks
    from pyro_vae.inference.checking.posterior import posterior_samples as posterior_samples
    from pyro_vae.inference.checking.predictive import simulator as simulator
    from pyro_vae.inference.checking.verify import verify as verify
    from pyro_vae.inference.engine.weights import log_weights as log_weights
    from pyro_vae.inference.evidence.certify import certify as certify
    from pyro_vae.inference.evidence.compare import compare as compare
    from pyro_vae.inference.evidence.conditional import conditional as conditional
    from pyro_vae.inference.evidence.evaluate import elbo as elbo
    from pyro_vae.inference.evidence.evaluate import evaluate as evaluate
    from pyro_vae.inference.evidence.evaluate import summary as summary
    from pyro_vae.inference.evidence.gap import gap as gap
    from pyro_vae.inference.evidence.gap import gap_parts as gap_parts
    from pyro_vae.inference.evidence.importance import log_evidence as log_evidence
    from pyro_vae.inference.evidence.impute import impute as impute
    from pyro_vae.inference.evidence.ladder import ladder as ladder
    from pyro_vae.inference.evidence.planner import plan_particles as plan_particles
    from pyro_vae.inference.evidence.pooling import pool as pool
    from pyro_vae.inference.evidence.quadrature import quadrature as quadrature
    from pyro_vae.inference.evidence.score import score as score
    from pyro_vae.inference.latents.reconstruction import reconstruct as reconstruct
    from pyro_vae.inference.latents.units import latent_report as latent_report
    from pyro_vae.inference.training.fit import fit as fit
    from pyro_vae.inference.training.gradients import gradient_snr as gradient_snr

#: Where the verbs are.
_NAMES = {
    "certify": "pyro_vae.inference.evidence.certify",
    "compare": "pyro_vae.inference.evidence.compare",
    "conditional": "pyro_vae.inference.evidence.conditional",
    "elbo": "pyro_vae.inference.evidence.evaluate",
    "evaluate": "pyro_vae.inference.evidence.evaluate",
    "fit": "pyro_vae.inference.training.fit",
    "gap": "pyro_vae.inference.evidence.gap",
    "gap_parts": "pyro_vae.inference.evidence.gap",
    "gradient_snr": "pyro_vae.inference.training.gradients",
    "impute": "pyro_vae.inference.evidence.impute",
    "ladder": "pyro_vae.inference.evidence.ladder",
    "latent_report": "pyro_vae.inference.latents.units",
    "log_evidence": "pyro_vae.inference.evidence.importance",
    "log_weights": "pyro_vae.inference.engine.weights",
    "plan_particles": "pyro_vae.inference.evidence.planner",
    "pool": "pyro_vae.inference.evidence.pooling",
    "posterior_samples": "pyro_vae.inference.checking.posterior",
    "quadrature": "pyro_vae.inference.evidence.quadrature",
    "reconstruct": "pyro_vae.inference.latents.reconstruction",
    "sbc_ranks": "pyro_vae.inference.checking.calibration",
    "score": "pyro_vae.inference.evidence.score",
    "simulator": "pyro_vae.inference.checking.predictive",
    "summary": "pyro_vae.inference.evidence.evaluate",
    "verify": "pyro_vae.inference.checking.verify",
}

_WINGS = ("engine", "training", "evidence", "checking", "latents")

__all__ = [*_WINGS, *names_on_demand(__name__, _NAMES)]
