"""Why cells are missing: what is right under MCAR and MAR is biased where cells mask themselves.

Normal data, of which everything is known: maximum likelihood with missing cells by EM in NumPy
(Little & Rubin, 2002, "Statistical analysis with missing data", chapter 11), conditional moments.
"""

import numpy as np
import torch
from scipy import stats

from pyro_vae.inference import impute
from pyro_vae.models import MixtureModel
from pyro_vae.models.likelihoods import MultivariateNormal
from tests.cases import a_few_always
from tests.tolerances import STANDARD_ERRORS

MEAN = np.array([1.0, -0.5, 2.0, 0.0])
FACTOR = np.array([[1.0, 0.0], [0.8, 0.5], [-0.6, 0.9], [0.7, 0.7]])
COVARIANCE = FACTOR @ FACTOR.T + 0.3 * np.eye(4)
#: The column whose mean is looked at: missing under every mechanism.
LAST = 3

MECHANISMS = {
    "completely at random": lambda x, u: np.where(np.arange(4) > 0, u > 0.3, True),
    # Columns 2 and 3 by column 0, which is always there.
    "at random": lambda x, u: np.where(
        np.arange(4) > 1, u > 1 / (1 + np.exp(-2 * (x[:, :1] - MEAN[0]))), True
    ),
    "by itself": lambda x, u: np.where(
        np.arange(4) == LAST, u > 1 / (1 + np.exp(-2 * (x[:, LAST:] - MEAN[LAST]))), True
    ),
}
IGNORABLE = ("completely at random", "at random")


def drawn(mechanism, count, seed):
    """Data, and which of their cells are there."""
    rng = np.random.default_rng(seed)
    x = rng.multivariate_normal(MEAN, COVARIANCE, count)
    return x, MECHANISMS[mechanism](x, rng.random(x.shape))


def conditional(row, there, mean, covariance):
    """E and Cov of the missing cells of a row given the others."""
    o, m = np.flatnonzero(there), np.flatnonzero(~there)
    weights = np.linalg.solve(covariance[np.ix_(o, o)], covariance[np.ix_(o, m)]).T
    return (
        mean[m] + weights @ (row[o] - mean[o]),
        covariance[np.ix_(m, m)] - weights @ covariance[np.ix_(o, m)],
    )


def maximum_likelihood(x, observed, steps=60):
    """Mean and covariance by EM, as many rows of a pattern at once."""
    mean, covariance = np.zeros(4), np.eye(4)
    patterns = np.unique(observed, axis=0)
    for _ in range(steps):
        filled, added = np.where(observed, x, 0.0), np.zeros((4, 4))
        for there in patterns:
            rows = (observed == there).all(1)
            o, m = np.flatnonzero(there), np.flatnonzero(~there)
            if not len(m):
                continue
            weights = np.linalg.solve(covariance[np.ix_(o, o)], covariance[np.ix_(o, m)]).T
            filled[np.ix_(rows, m)] = mean[m] + (x[np.ix_(rows, o)] - mean[o]) @ weights.T
            left = covariance[np.ix_(m, m)] - weights @ covariance[np.ix_(o, m)]
            added[np.ix_(m, m)] += rows.sum() * left
        mean = filled.mean(0)
        covariance = ((filled - mean).T @ (filled - mean) + added) / len(x)
    return mean, covariance


def normal(mean, covariance):
    """The package's model with these moments: a mixture of one component."""
    model = MixtureModel(1, MultivariateNormal(), (4,), missing="marginal").double()
    moments = torch.as_tensor(mean)[None], torch.as_tensor(covariance)[None]
    with torch.no_grad():
        model.eta.copy_(model.likelihood.eta_from_moments(*moments))
    return model


@a_few_always("mechanism", MECHANISMS, ["at random", "by itself"])
def test_maximum_likelihood_is_where_the_gradient_of_ours_is_zero(mechanism):
    x, observed = drawn(mechanism, 300, seed=1)
    found = maximum_likelihood(x, observed, steps=1000)
    model = normal(*found)
    holed = torch.as_tensor(np.where(observed, x, np.nan))
    values = model.log_prob(holed)
    expected = [
        stats.multivariate_normal.logpdf(row[o], found[0][o], found[1][np.ix_(o, o)])
        for row, o in zip(x, map(np.flatnonzero, observed), strict=True)
    ]
    np.testing.assert_allclose(values.detach(), expected, rtol=1e-9, atol=1e-9)
    (gradient,) = torch.autograd.grad(values.mean(), model.eta)
    assert gradient.abs().max() < 1e-6
    # Elsewhere it is not.
    away = normal(found[0] + 0.1, found[1])
    (gradient,) = torch.autograd.grad(away.log_prob(holed).mean(), away.eta)
    assert gradient.abs().max() > 1e-2


@a_few_always("mechanism", MECHANISMS, ["at random", "by itself"])
def test_the_mean_is_found_unless_cells_mask_themselves(mechanism):
    """30 data sets of 400 rows; errors of the mean over them."""
    fitted, known = [], []
    for seed in range(30):
        x, observed = drawn(mechanism, 400, seed)
        fitted.append(maximum_likelihood(x, observed)[0][LAST])
        known.append(x[observed[:, LAST], LAST].mean())
    errors = [(np.mean(e) - MEAN[LAST]) / (np.std(e, ddof=1) / 30**0.5) for e in (fitted, known)]
    assert (abs(errors[0]) < STANDARD_ERRORS) == (mechanism in IGNORABLE)
    assert (abs(errors[1]) < STANDARD_ERRORS) == (mechanism == "completely at random")


@a_few_always("mechanism", MECHANISMS, ["by itself"])
def test_imputations_have_the_moments_and_are_right_unless_cells_mask_themselves(mechanism):
    """120 rows at the true parameters, 2,000 draws of each missing cell."""
    x, observed = drawn(mechanism, 120, seed=2)
    x, observed = (part[~observed.all(1)] for part in (x, observed))
    data = {
        "x": torch.as_tensor(np.where(observed, x, 0.0)),
        "observed": torch.as_tensor(observed),
    }
    found = impute(normal(MEAN, COVARIANCE), data, 2000, draws=0, level=0.8)
    inside, scores, away = [], [], []
    for row, there in enumerate(observed):
        mean, covariance = conditional(x[row], there, MEAN, COVARIANCE)
        missing = np.flatnonzero(~there)
        np.testing.assert_allclose(found["mean"].values[row, missing], mean, rtol=1e-6, atol=1e-6)
        sd = np.sqrt(np.diag(covariance))
        # The sd of 2,000 draws has a relative standard error of 1 / sqrt(4,000).
        scores.extend((found["sd"].values[row, missing] / sd - 1) * 4000**0.5)
        away.append(((x[row, missing] - mean) / sd).mean())
        lower, upper = (found[name].values[row, missing] for name in ("lower", "upper"))
        inside.append(((lower <= x[row, missing]) & (x[row, missing] <= upper)).mean())
    assert np.abs(scores).max() < STANDARD_ERRORS
    # Mean over rows, which are independent, in its standard errors.
    away = np.mean(away) / (np.std(away, ddof=1) / len(away) ** 0.5)
    if mechanism in IGNORABLE:
        assert abs(away) < 3
        coverage, error = np.mean(inside), np.std(inside, ddof=1) / len(inside) ** 0.5
        assert abs(coverage - 0.8) < 3 * error
    else:
        assert away > 3
