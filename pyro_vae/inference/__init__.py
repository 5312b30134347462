"""What is done with any (model, guide) pair, ours or the user's: train, weigh, measure, rank."""

from typing import TYPE_CHECKING

from pyro_vae.on_demand import names_on_demand, without_trace

with without_trace():
    import pyro  # noqa: F401 - every module stands on it and on PyTorch, which adds filters

if TYPE_CHECKING:
    from pyro_vae.inference.arviz_data import to_inference_data as to_inference_data
    from pyro_vae.inference.calibration import calibration_sentences as calibration_sentences
    from pyro_vae.inference.calibration import sbc_ranks as sbc_ranks
    from pyro_vae.inference.certify import Certificate as Certificate
    from pyro_vae.inference.certify import certify as certify
    from pyro_vae.inference.certify import estimate as estimate
    from pyro_vae.inference.compare import Comparison as Comparison
    from pyro_vae.inference.compare import compare as compare
    from pyro_vae.inference.compare import compare_results as compare_results
    from pyro_vae.inference.compare import describe_data as describe_data
    from pyro_vae.inference.conjugate import ConjugateNormal as ConjugateNormal
    from pyro_vae.inference.derivation import derive as derive
    from pyro_vae.inference.derivation_lines import Derivation as Derivation
    from pyro_vae.inference.diagnostics import active_directions as active_directions
    from pyro_vae.inference.diagnostics import active_units as active_units
    from pyro_vae.inference.diagnostics import effective_sample_size as effective_sample_size
    from pyro_vae.inference.diagnostics import pareto_khat as pareto_khat
    from pyro_vae.inference.diagnostics import pareto_smoothed as pareto_smoothed
    from pyro_vae.inference.disentanglement import mutual_information_gap as mutual_information_gap
    from pyro_vae.inference.evaluate import elbo as elbo
    from pyro_vae.inference.evaluate import evaluate as evaluate
    from pyro_vae.inference.evaluate import iwae_bound as iwae_bound
    from pyro_vae.inference.evaluate import summary as summary
    from pyro_vae.inference.evidence import ais as ais
    from pyro_vae.inference.evidence import bdmc as bdmc
    from pyro_vae.inference.evidence import log_evidence as log_evidence
    from pyro_vae.inference.evidence import quadrature as quadrature
    from pyro_vae.inference.fit import FitResult as FitResult
    from pyro_vae.inference.fit import fit as fit
    from pyro_vae.inference.gap import gap as gap
    from pyro_vae.inference.gap import gap_parts as gap_parts
    from pyro_vae.inference.gradients import gradient_snr as gradient_snr
    from pyro_vae.inference.holes import compare_holes as compare_holes
    from pyro_vae.inference.holes import hole_summary as hole_summary
    from pyro_vae.inference.holes import hole_test as hole_test
    from pyro_vae.inference.ladder import ladder as ladder
    from pyro_vae.inference.latents import latent_report as latent_report
    from pyro_vae.inference.local import GuideFit as GuideFit
    from pyro_vae.inference.local import fit_guide as fit_guide
    from pyro_vae.inference.measure import measure as measure
    from pyro_vae.inference.objectives import IWAE as IWAE
    from pyro_vae.inference.objectives import objective_named as objective_named
    from pyro_vae.inference.planner import ParticlePlan as ParticlePlan
    from pyro_vae.inference.planner import interval as interval
    from pyro_vae.inference.planner import plan_particles as plan_particles
    from pyro_vae.inference.planner import reach as reach
    from pyro_vae.inference.posterior import posterior_samples as posterior_samples
    from pyro_vae.inference.predictive import log_likelihood as log_likelihood
    from pyro_vae.inference.predictive import posterior_predictive as posterior_predictive
    from pyro_vae.inference.predictive import predictive_p_values as predictive_p_values
    from pyro_vae.inference.predictive import prior_draws as prior_draws
    from pyro_vae.inference.predictive import simulator as simulator
    from pyro_vae.inference.proposals import widened as widened
    from pyro_vae.inference.reconstruction import reconstruct as reconstruct
    from pyro_vae.inference.reconstruction import reconstruction as reconstruction
    from pyro_vae.inference.reference import ReferenceDensity as ReferenceDensity
    from pyro_vae.inference.reference import fit_reference as fit_reference
    from pyro_vae.inference.runs import Run as Run
    from pyro_vae.inference.surgery import elbo_surgery as elbo_surgery
    from pyro_vae.inference.verify import Report as Report
    from pyro_vae.inference.verify import verify as verify
    from pyro_vae.inference.weights import LogWeights as LogWeights
    from pyro_vae.inference.weights import log_weights as log_weights
    from pyro_vae.inference.weights import sample_log_weights as sample_log_weights
    from pyro_vae.inference.weights import stream_log_weights as stream_log_weights

#: Where the public names are.
_NAMES = {
    "IWAE": "pyro_vae.inference.objectives",
    "Certificate": "pyro_vae.inference.certify",
    "Comparison": "pyro_vae.inference.compare",
    "ConjugateNormal": "pyro_vae.inference.conjugate",
    "Derivation": "pyro_vae.inference.derivation_lines",
    "FitResult": "pyro_vae.inference.fit",
    "GuideFit": "pyro_vae.inference.local",
    "LogWeights": "pyro_vae.inference.weights",
    "ParticlePlan": "pyro_vae.inference.planner",
    "ReferenceDensity": "pyro_vae.inference.reference",
    "Report": "pyro_vae.inference.verify",
    "Run": "pyro_vae.inference.runs",
    "active_directions": "pyro_vae.inference.diagnostics",
    "active_units": "pyro_vae.inference.diagnostics",
    "ais": "pyro_vae.inference.evidence",
    "bdmc": "pyro_vae.inference.evidence",
    "calibration_sentences": "pyro_vae.inference.calibration",
    "certify": "pyro_vae.inference.certify",
    "compare": "pyro_vae.inference.compare",
    "compare_holes": "pyro_vae.inference.holes",
    "compare_results": "pyro_vae.inference.compare",
    "derive": "pyro_vae.inference.derivation",
    "describe_data": "pyro_vae.inference.compare",
    "effective_sample_size": "pyro_vae.inference.diagnostics",
    "elbo": "pyro_vae.inference.evaluate",
    "elbo_surgery": "pyro_vae.inference.surgery",
    "estimate": "pyro_vae.inference.certify",
    "evaluate": "pyro_vae.inference.evaluate",
    "fit": "pyro_vae.inference.fit",
    "fit_guide": "pyro_vae.inference.local",
    "fit_reference": "pyro_vae.inference.reference",
    "gap": "pyro_vae.inference.gap",
    "gap_parts": "pyro_vae.inference.gap",
    "gradient_snr": "pyro_vae.inference.gradients",
    "hole_summary": "pyro_vae.inference.holes",
    "hole_test": "pyro_vae.inference.holes",
    "interval": "pyro_vae.inference.planner",
    "iwae_bound": "pyro_vae.inference.evaluate",
    "ladder": "pyro_vae.inference.ladder",
    "latent_report": "pyro_vae.inference.latents",
    "log_evidence": "pyro_vae.inference.evidence",
    "log_likelihood": "pyro_vae.inference.predictive",
    "log_weights": "pyro_vae.inference.weights",
    "measure": "pyro_vae.inference.measure",
    "mutual_information_gap": "pyro_vae.inference.disentanglement",
    "objective_named": "pyro_vae.inference.objectives",
    "pareto_khat": "pyro_vae.inference.diagnostics",
    "pareto_smoothed": "pyro_vae.inference.diagnostics",
    "plan_particles": "pyro_vae.inference.planner",
    "posterior_predictive": "pyro_vae.inference.predictive",
    "posterior_samples": "pyro_vae.inference.posterior",
    "predictive_p_values": "pyro_vae.inference.predictive",
    "prior_draws": "pyro_vae.inference.predictive",
    "quadrature": "pyro_vae.inference.evidence",
    "reach": "pyro_vae.inference.planner",
    "reconstruct": "pyro_vae.inference.reconstruction",
    "reconstruction": "pyro_vae.inference.reconstruction",
    "sample_log_weights": "pyro_vae.inference.weights",
    "sbc_ranks": "pyro_vae.inference.calibration",
    "simulator": "pyro_vae.inference.predictive",
    "stream_log_weights": "pyro_vae.inference.weights",
    "summary": "pyro_vae.inference.evaluate",
    "to_inference_data": "pyro_vae.inference.arviz_data",
    "verify": "pyro_vae.inference.verify",
    "widened": "pyro_vae.inference.proposals",
}

__all__ = names_on_demand(__name__, _NAMES)
