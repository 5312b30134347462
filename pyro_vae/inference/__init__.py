"""What is done with any (model, guide) pair, ours or the user's: train, weigh, measure."""

from pyro_vae.inference.diagnostics import effective_sample_size, pareto_khat
from pyro_vae.inference.evaluate import elbo, evaluate, iwae_bound, summary
from pyro_vae.inference.evidence import log_evidence
from pyro_vae.inference.fit import FitResult, fit
from pyro_vae.inference.gap import gap
from pyro_vae.inference.runs import Run
from pyro_vae.inference.weights import (
    LogWeights,
    log_weights,
    sample_log_weights,
    stream_log_weights,
)

__all__ = [
    "FitResult",
    "LogWeights",
    "Run",
    "effective_sample_size",
    "elbo",
    "evaluate",
    "fit",
    "gap",
    "iwae_bound",
    "log_evidence",
    "log_weights",
    "pareto_khat",
    "sample_log_weights",
    "stream_log_weights",
    "summary",
]
