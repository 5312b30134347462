"""``pool`` against Rubin's rules written out, statsmodels, and coverage of a simulated mean."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from pyro_vae.errors import DataError
from pyro_vae.inference.evidence import pool

ESTIMATES = np.random.default_rng(20260701).normal(2.0, 0.3, size=(6, 3))
VARIANCES = np.random.default_rng(20260702).uniform(0.05, 0.2, size=(6, 3))


@pytest.mark.parametrize("complete_df", [np.inf, 29])
def test_rubins_rules_written_out(complete_df):
    """By the relative increase of the variance r, as in the books."""
    found = pool(ESTIMATES, VARIANCES, complete_df=complete_df, level=0.9)
    for j in range(3):
        q, u, m = ESTIMATES[:, j], VARIANCES[:, j], 6
        within, between = sum(u) / m, sum((q - sum(q) / m) ** 2) / (m - 1)
        r = (1 + 1 / m) * between / within
        large = (m - 1) * (1 + 1 / r) ** 2
        df = large
        if np.isfinite(complete_df):
            observed = (complete_df + 1) / (complete_df + 3) * complete_df / (1 + r)
            df = large * observed / (large + observed)
        at = found.isel(parameter=j)
        total = within * (1 + r)
        interval = stats.t(df, sum(q) / m, total**0.5).interval(0.9)
        wanted = {
            "estimate": sum(q) / m,
            "within": within,
            "between": between,
            "total": total,
            "se": total**0.5,
            "df": df,
            "fmi": (r + 2 / (large + 3)) / (r + 1),
            "lower": interval[0],
            "upper": interval[1],
        }
        assert {name: float(at[name]) for name in at} == pytest.approx(wanted, rel=1e-12)
    one = pool(ESTIMATES[:, 0], VARIANCES[:, 0], complete_df=complete_df, level=0.9)
    assert one["lower"].dims == ()
    assert float(one["lower"]) == float(found["lower"][0])


def test_statsmodels_pools_alike():
    mice = pytest.importorskip("statsmodels.imputation.mice")
    fits = [
        SimpleNamespace(params=q, cov_params=lambda u=u: np.diag(u), scale=1.0)
        for q, u in zip(ESTIMATES, VARIANCES, strict=True)
    ]
    fits = [SimpleNamespace(_results=fit, **vars(fit)) for fit in fits]
    names = {"exog_names": ["a", "b", "c"], "endog_names": "y", "model_class": None}
    theirs = mice.MICE.combine(SimpleNamespace(results_list=fits, **names))
    ours = pool(ESTIMATES, VARIANCES)
    np.testing.assert_allclose(ours["estimate"], theirs.params, rtol=1e-12)
    np.testing.assert_allclose(ours["se"], theirs.bse, rtol=1e-12)


def test_a_mean_is_covered():
    """3000 samples of 20, half missing, 5 proper imputations; within 3 binomial errors; seed 3."""
    rng, runs, n, seen, m = np.random.default_rng(3), 3000, 20, 10, 5
    x = rng.normal(size=(runs, n))
    known = x[:, :seen]
    mean, variance = known.mean(1), known.var(1, ddof=1)
    sigma = np.sqrt(variance * (seen - 1) / rng.chisquare(seen - 1, size=(m, runs)))
    mu = mean + sigma / np.sqrt(seen) * rng.normal(size=(m, runs))
    filled = mu[..., None] + sigma[..., None] * rng.normal(size=(m, runs, n - seen))
    complete = np.concatenate([np.broadcast_to(known, (m, runs, seen)), filled], axis=-1)
    found = pool(complete.mean(-1), complete.var(-1, ddof=1) / n, complete_df=n - 1)
    covered = float(((found["lower"] < 0) & (found["upper"] > 0)).mean())
    assert covered == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / runs))


def test_where_nothing_varies_nothing_is_missing():
    found = pool([2.0, 2.0, 2.0], [0.25, 0.25, 0.25])
    assert (float(found["fmi"]), float(found["df"])) == (0.0, np.inf)
    assert float(found["upper"]) == pytest.approx(2.0 + 0.5 * stats.norm.ppf(0.975))
    assert float(pool([1.0, 1.0], [0.0, 0.0])["lower"]) == 1.0


def test_what_cannot_be_pooled_is_refused():
    for estimates, variances in (([1.0], [1.0]), ([1.0, 2.0], [1.0]), (1.0, 1.0)):
        with pytest.raises(DataError, match="at least 2 complete data sets"):
            pool(estimates, variances)
    for estimates, variances in (([1.0, np.nan], [1.0, 1.0]), ([1.0, 2.0], [1.0, -1.0])):
        with pytest.raises(DataError, match="NaN or infinity, or a variance is negative"):
            pool(estimates, variances)
    with pytest.raises(ValueError, match=r"level got 95"):
        pool([1.0, 2.0], [1.0, 1.0], level=95)
    for df in (0, "n"):
        with pytest.raises(ValueError, match=f"complete_df got {df!r}"):
            pool([1.0, 2.0], [1.0, 1.0], complete_df=df)
