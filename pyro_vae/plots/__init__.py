"""Figures of results: arrays, data sets and tables in, a matplotlib figure out."""

from pyro_vae.on_demand import without_trace

with without_trace():
    from pyro_vae.plots.bounds import iwae_against_k
    from pyro_vae.plots.calibration import posterior_predictive_checks, sbc_histograms
    from pyro_vae.plots.codes import code_usage
    from pyro_vae.plots.comparison import model_comparison
    from pyro_vae.plots.derivation import (
        em_phases,
        evidence_bars,
        evidence_over_training,
        guide_phase,
    )
    from pyro_vae.plots.disentanglement import gap_against_elbo, mutual_information_matrix
    from pyro_vae.plots.gap import gap_in_parts, gap_per_datum
    from pyro_vae.plots.holes import hole_scores
    from pyro_vae.plots.identity import bound_over_means, densities_over_z, log_weight_histogram
    from pyro_vae.plots.images import (
        image_grid,
        image_grid_by_rows,
        interpolation,
        manifold_grid,
        morph_strip,
        path_comparison,
        prior_samples,
        reconstructions,
        traversals,
        walks,
    )
    from pyro_vae.plots.ladder import bound_ladder
    from pyro_vae.plots.latent import latent_scatter
    from pyro_vae.plots.missed import missed_by_datum
    from pyro_vae.plots.missing import completions, imputed_marginals, missing_cells
    from pyro_vae.plots.objectives import snr_against_k
    from pyro_vae.plots.outliers import outliers
    from pyro_vae.plots.published import bound_against_samples, learning_curves, published_and_ours
    from pyro_vae.plots.sizes import error_against_size
    from pyro_vae.plots.tables import column_marginals, column_pairs
    from pyro_vae.plots.tails import khat_histogram
    from pyro_vae.plots.training import training_curves

__all__ = [
    "bound_against_samples",
    "bound_ladder",
    "bound_over_means",
    "code_usage",
    "column_marginals",
    "column_pairs",
    "completions",
    "densities_over_z",
    "em_phases",
    "error_against_size",
    "evidence_bars",
    "evidence_over_training",
    "gap_against_elbo",
    "gap_in_parts",
    "gap_per_datum",
    "guide_phase",
    "hole_scores",
    "image_grid",
    "image_grid_by_rows",
    "imputed_marginals",
    "interpolation",
    "iwae_against_k",
    "khat_histogram",
    "latent_scatter",
    "learning_curves",
    "log_weight_histogram",
    "manifold_grid",
    "missed_by_datum",
    "missing_cells",
    "model_comparison",
    "morph_strip",
    "mutual_information_matrix",
    "outliers",
    "path_comparison",
    "posterior_predictive_checks",
    "prior_samples",
    "published_and_ours",
    "reconstructions",
    "sbc_histograms",
    "snr_against_k",
    "training_curves",
    "traversals",
    "walks",
]
