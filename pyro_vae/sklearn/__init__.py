"""Models of the package as scikit-learn estimators: tables in, log p(x) and codes out.

A ``Pipeline`` prepares their data, ``GridSearchCV`` chooses their likelihood and prior, and
``cross_val_score`` measures them by held-out log p(x). ``ModelImputer`` fills in empty cells.
"""

from pyro_vae.on_demand import without_trace

# scikit-learn adds warning filters of its own when it is imported.
with without_trace():
    from pyro_vae.sklearn.imputer import ModelImputer
    from pyro_vae.sklearn.mixture import MixtureEstimator
    from pyro_vae.sklearn.ppca import PPCAEstimator
    from pyro_vae.sklearn.vae import VAEEstimator

__all__ = ["MixtureEstimator", "ModelImputer", "PPCAEstimator", "VAEEstimator"]
