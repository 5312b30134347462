"""What is done with any (model, guide) pair, ours or the user's: train, weigh, measure, rank."""

from typing import TYPE_CHECKING

from pyro_vae.on_demand import names_on_demand, without_trace

with without_trace():
    import pyro  # noqa: F401 - every module stands on it and on PyTorch, which adds filters

if TYPE_CHECKING:
    from pyro_vae.disk.runs import Run as Run
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
    from pyro_vae.inference.evidence.ais import ais as ais
    from pyro_vae.inference.evidence.ais import bdmc as bdmc
    from pyro_vae.inference.evidence.certify import Certificate as Certificate
    from pyro_vae.inference.evidence.certify import certify as certify
    from pyro_vae.inference.evidence.compare import Comparison as Comparison
    from pyro_vae.inference.evidence.compare import compare as compare
    from pyro_vae.inference.evidence.compare import compare_results as compare_results
    from pyro_vae.inference.evidence.compare import describe_data as describe_data
    from pyro_vae.inference.evidence.evaluate import elbo as elbo
    from pyro_vae.inference.evidence.evaluate import evaluate as evaluate
    from pyro_vae.inference.evidence.evaluate import iwae_bound as iwae_bound
    from pyro_vae.inference.evidence.evaluate import summary as summary
    from pyro_vae.inference.evidence.gap import gap as gap
    from pyro_vae.inference.evidence.gap import gap_parts as gap_parts
    from pyro_vae.inference.evidence.importance import log_evidence as log_evidence
    from pyro_vae.inference.evidence.ladder import ladder as ladder
    from pyro_vae.inference.evidence.planner import ParticlePlan as ParticlePlan
    from pyro_vae.inference.evidence.planner import interval as interval
    from pyro_vae.inference.evidence.planner import plan_particles as plan_particles
    from pyro_vae.inference.evidence.planner import reach as reach
    from pyro_vae.inference.evidence.quadrature import quadrature as quadrature
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
    from pyro_vae.inference.training.fit import FitResult as FitResult
    from pyro_vae.inference.training.fit import fit as fit
    from pyro_vae.inference.training.gradients import gradient_snr as gradient_snr
    from pyro_vae.inference.training.local import GuideFit as GuideFit
    from pyro_vae.inference.training.local import fit_guide as fit_guide
    from pyro_vae.inference.training.objectives import IWAE as IWAE
    from pyro_vae.inference.training.objectives import objective_named as objective_named

#: Where the public names are.
_NAMES = {
    "IWAE": "pyro_vae.inference.training.objectives",
    "Certificate": "pyro_vae.inference.evidence.certify",
    "Comparison": "pyro_vae.inference.evidence.compare",
    "ConjugateNormal": "pyro_vae.inference.engine.conjugate",
    "FitResult": "pyro_vae.inference.training.fit",
    "GuideFit": "pyro_vae.inference.training.local",
    "LogWeights": "pyro_vae.inference.engine.weights",
    "ParticlePlan": "pyro_vae.inference.evidence.planner",
    "ReferenceDensity": "pyro_vae.inference.latents.reference",
    "Report": "pyro_vae.inference.checking.verify",
    "Run": "pyro_vae.disk.runs",
    "active_directions": "pyro_vae.inference.engine.diagnostics",
    "active_units": "pyro_vae.inference.engine.diagnostics",
    "ais": "pyro_vae.inference.evidence.ais",
    "bdmc": "pyro_vae.inference.evidence.ais",
    "calibration_sentences": "pyro_vae.inference.checking.calibration",
    "certify": "pyro_vae.inference.evidence.certify",
    "compare": "pyro_vae.inference.evidence.compare",
    "compare_holes": "pyro_vae.inference.latents.holes",
    "compare_results": "pyro_vae.inference.evidence.compare",
    "describe_data": "pyro_vae.inference.evidence.compare",
    "effective_sample_size": "pyro_vae.inference.engine.diagnostics",
    "elbo": "pyro_vae.inference.evidence.evaluate",
    "elbo_surgery": "pyro_vae.inference.latents.surgery",
    "evaluate": "pyro_vae.inference.evidence.evaluate",
    "fit": "pyro_vae.inference.training.fit",
    "fit_guide": "pyro_vae.inference.training.local",
    "fit_reference": "pyro_vae.inference.latents.reference",
    "gap": "pyro_vae.inference.evidence.gap",
    "gap_parts": "pyro_vae.inference.evidence.gap",
    "gradient_snr": "pyro_vae.inference.training.gradients",
    "hole_summary": "pyro_vae.inference.latents.holes",
    "hole_test": "pyro_vae.inference.latents.holes",
    "interval": "pyro_vae.inference.evidence.planner",
    "iwae_bound": "pyro_vae.inference.evidence.evaluate",
    "ladder": "pyro_vae.inference.evidence.ladder",
    "latent_report": "pyro_vae.inference.latents.units",
    "log_evidence": "pyro_vae.inference.evidence.importance",
    "log_likelihood": "pyro_vae.inference.checking.predictive",
    "log_weights": "pyro_vae.inference.engine.weights",
    "mutual_information_gap": "pyro_vae.inference.latents.disentanglement",
    "objective_named": "pyro_vae.inference.training.objectives",
    "pareto_khat": "pyro_vae.inference.engine.diagnostics",
    "pareto_smoothed": "pyro_vae.inference.engine.diagnostics",
    "plan_particles": "pyro_vae.inference.evidence.planner",
    "posterior_predictive": "pyro_vae.inference.checking.predictive",
    "posterior_samples": "pyro_vae.inference.checking.posterior",
    "predictive_p_values": "pyro_vae.inference.checking.predictive",
    "prior_draws": "pyro_vae.inference.checking.predictive",
    "quadrature": "pyro_vae.inference.evidence.quadrature",
    "reach": "pyro_vae.inference.evidence.planner",
    "reconstruct": "pyro_vae.inference.latents.reconstruction",
    "reconstruction_error": "pyro_vae.inference.latents.reconstruction",
    "sample_log_weights": "pyro_vae.inference.engine.weights",
    "sbc_ranks": "pyro_vae.inference.checking.calibration",
    "simulator": "pyro_vae.inference.checking.predictive",
    "stream_log_weights": "pyro_vae.inference.engine.weights",
    "summary": "pyro_vae.inference.evidence.evaluate",
    "to_inference_data": "pyro_vae.inference.checking.arviz_data",
    "verify": "pyro_vae.inference.checking.verify",
    "widened": "pyro_vae.inference.engine.proposals",
}

__all__ = names_on_demand(__name__, _NAMES)
