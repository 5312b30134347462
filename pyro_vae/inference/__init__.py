"""What is done with any (model, guide) pair, ours or the user's: train, weigh, measure, rank."""

from pyro_vae.inference.arviz_data import to_inference_data
from pyro_vae.inference.calibration import calibration_sentences, sbc_ranks
from pyro_vae.inference.certify import Certificate, certify, estimate
from pyro_vae.inference.compare import Comparison, compare, compare_results, describe_data
from pyro_vae.inference.conjugate import ConjugateNormal
from pyro_vae.inference.derivation import derive
from pyro_vae.inference.derivation_lines import Derivation
from pyro_vae.inference.diagnostics import (
    active_directions,
    active_units,
    effective_sample_size,
    pareto_khat,
    pareto_smoothed,
)
from pyro_vae.inference.disentanglement import mutual_information_gap
from pyro_vae.inference.evaluate import elbo, evaluate, iwae_bound, summary
from pyro_vae.inference.evidence import ais, bdmc, log_evidence, quadrature
from pyro_vae.inference.fit import FitResult, fit
from pyro_vae.inference.gap import gap, gap_parts
from pyro_vae.inference.gradients import gradient_snr
from pyro_vae.inference.holes import compare_holes, hole_summary, hole_test
from pyro_vae.inference.ladder import ladder
from pyro_vae.inference.latents import latent_report
from pyro_vae.inference.local import GuideFit, fit_guide
from pyro_vae.inference.measure import measure
from pyro_vae.inference.objectives import IWAE, objective_named
from pyro_vae.inference.planner import ParticlePlan, interval, plan_particles, reach
from pyro_vae.inference.posterior import posterior_samples
from pyro_vae.inference.predictive import (
    log_likelihood,
    posterior_predictive,
    predictive_p_values,
    prior_draws,
    simulator,
)
from pyro_vae.inference.proposals import widened
from pyro_vae.inference.reconstruction import reconstruct, reconstruction
from pyro_vae.inference.reference import ReferenceDensity, fit_reference
from pyro_vae.inference.runs import Run
from pyro_vae.inference.surgery import elbo_surgery
from pyro_vae.inference.verify import Report, verify
from pyro_vae.inference.weights import (
    LogWeights,
    log_weights,
    sample_log_weights,
    stream_log_weights,
)

__all__ = [
    "IWAE",
    "Certificate",
    "Comparison",
    "ConjugateNormal",
    "Derivation",
    "FitResult",
    "GuideFit",
    "LogWeights",
    "ParticlePlan",
    "ReferenceDensity",
    "Report",
    "Run",
    "active_directions",
    "active_units",
    "ais",
    "bdmc",
    "calibration_sentences",
    "certify",
    "compare",
    "compare_holes",
    "compare_results",
    "derive",
    "describe_data",
    "effective_sample_size",
    "elbo",
    "elbo_surgery",
    "estimate",
    "evaluate",
    "fit",
    "fit_guide",
    "fit_reference",
    "gap",
    "gap_parts",
    "gradient_snr",
    "hole_summary",
    "hole_test",
    "interval",
    "iwae_bound",
    "ladder",
    "latent_report",
    "log_evidence",
    "log_likelihood",
    "log_weights",
    "measure",
    "mutual_information_gap",
    "objective_named",
    "pareto_khat",
    "pareto_smoothed",
    "plan_particles",
    "posterior_predictive",
    "posterior_samples",
    "predictive_p_values",
    "prior_draws",
    "quadrature",
    "reach",
    "reconstruct",
    "reconstruction",
    "sample_log_weights",
    "sbc_ranks",
    "simulator",
    "stream_log_weights",
    "summary",
    "to_inference_data",
    "verify",
    "widened",
]
