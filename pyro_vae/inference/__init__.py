"""What is done with any (model, guide) pair, ours or the user's: train, weigh, measure, rank."""

from pyro_vae.inference.compare import Comparison, compare, compare_results, describe_data
from pyro_vae.inference.diagnostics import (
    active_directions,
    active_units,
    effective_sample_size,
    pareto_khat,
    pareto_smoothed,
)
from pyro_vae.inference.evaluate import elbo, evaluate, iwae_bound, summary
from pyro_vae.inference.evidence import log_evidence
from pyro_vae.inference.fit import FitResult, fit
from pyro_vae.inference.gap import gap
from pyro_vae.inference.ladder import ladder
from pyro_vae.inference.local import GuideFit, fit_guide
from pyro_vae.inference.measure import measure
from pyro_vae.inference.objectives import IWAE, objective_named
from pyro_vae.inference.planner import ParticlePlan, interval, plan_particles, reach
from pyro_vae.inference.proposals import widened
from pyro_vae.inference.runs import Run
from pyro_vae.inference.weights import (
    LogWeights,
    log_weights,
    sample_log_weights,
    stream_log_weights,
)

__all__ = [
    "IWAE",
    "Comparison",
    "FitResult",
    "GuideFit",
    "LogWeights",
    "ParticlePlan",
    "Run",
    "active_directions",
    "active_units",
    "compare",
    "compare_results",
    "describe_data",
    "effective_sample_size",
    "elbo",
    "evaluate",
    "fit",
    "fit_guide",
    "gap",
    "interval",
    "iwae_bound",
    "ladder",
    "log_evidence",
    "log_weights",
    "measure",
    "objective_named",
    "pareto_khat",
    "pareto_smoothed",
    "plan_particles",
    "reach",
    "sample_log_weights",
    "stream_log_weights",
    "summary",
    "widened",
]
