"""Small estimators whose fits take no time."""

from pyro_vae.models.guides import FullCovarianceNormal
from pyro_vae.models.likelihoods import StudentT
from pyro_vae.models.priors import MixtureOfNormals
from pyro_vae.networks import Dense
from pyro_vae.sklearn import MixtureEstimator, ModelImputer, PPCAEstimator, VAEEstimator, base


def spied_fit(monkeypatch):
    """Data sets that estimators are trained on from now on, as a list that grows."""
    seen, whole_fit = [], base.fit

    def fit(model, data, *rest, **settings):
        seen.append(data)
        return whole_fit(model, data, *rest, **settings)

    monkeypatch.setattr(base, "fit", fit)
    return seen


def small_vae(**settings):
    given = {"latent_dim": 1, "hidden": (8, 8), "epochs": 2, "num_particles": 20}
    return VAEEstimator(**{**given, "random_state": 0, **settings})


def small_mixture(**settings):
    return MixtureEstimator(**{"num_components": 2, "epochs": 2, "random_state": 0, **settings})


ESTIMATORS = [small_vae(), small_mixture(), PPCAEstimator(latent_dim=1, random_state=0)]

OF_OBJECTS = small_vae(
    likelihood=StudentT(df=4),
    prior=MixtureOfNormals(2),
    guide=FullCovarianceNormal(),
    encoder=Dense((4,)),
)


def small_imputer(estimator=None, **settings):
    given = {"num_particles": 20, "random_state": 0, **settings}
    return ModelImputer(small_mixture(epochs=1) if estimator is None else estimator, **given)


#: An imputer of tables in which -1 is a missing cell.
OF_CODES = small_imputer(missing_values=-1, strategy="most_frequent", keep_empty_features=True)

#: Estimators for tables with missing cells.
OF_HOLES = [
    small_imputer(strategy="draw", add_indicator=True),
    small_imputer(small_vae(epochs=1, hidden=(4,))),
    small_vae(epochs=1, missing="mask"),
    small_mixture(epochs=1, missing="marginal"),
]
