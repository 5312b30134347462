"""Figures of results: arrays, data sets and tables in, a matplotlib figure out."""

from pyro_vae.plots.bounds import iwae_against_k
from pyro_vae.plots.calibration import posterior_predictive_checks, sbc_histograms
from pyro_vae.plots.comparison import model_comparison
from pyro_vae.plots.derivation import (
    em_phases,
    evidence_bars,
    evidence_over_training,
    guide_phase,
)
from pyro_vae.plots.gap import gap_per_datum
from pyro_vae.plots.images import image_grid, interpolation, prior_samples, reconstructions
from pyro_vae.plots.ladder import bound_ladder
from pyro_vae.plots.latent import latent_scatter
from pyro_vae.plots.objectives import snr_against_k
from pyro_vae.plots.training import training_curves

__all__ = [
    "bound_ladder",
    "em_phases",
    "evidence_bars",
    "evidence_over_training",
    "gap_per_datum",
    "guide_phase",
    "image_grid",
    "interpolation",
    "iwae_against_k",
    "latent_scatter",
    "model_comparison",
    "posterior_predictive_checks",
    "prior_samples",
    "reconstructions",
    "sbc_histograms",
    "snr_against_k",
    "training_curves",
]
