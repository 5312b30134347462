"""One estimate from several completed data sets: Rubin's rules.

Rubin (1987), "Multiple imputation for nonresponse in surveys", chapter 3; degrees of freedom for
small samples by Barnard & Rubin (1999), "Small-sample degrees of freedom with multiple
imputation", Biometrika 86.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from pyro_vae.errors import DataError
from pyro_vae.on_demand import library
from pyro_vae.verbs import verb

__all__ = ["pool"]


@verb
def pool(
    estimates: Any, variances: Any, *, complete_df: float = math.inf, level: float = 0.95
) -> xr.Dataset:
    """Pool what was estimated from each of m complete data, such as the ``draws`` of ``impute``.

    The interval covers at its level where imputations are proper: they vary as much as the
    parameters that they were drawn with are uncertain, which those of one fitted model do not.

    Parameters
    ----------
    estimates
        One number from each complete data set, ``(m,)``, or p of them, ``(m, p)``.
    variances
        Their squared standard errors, as if the data had been complete; same shape.
    complete_df
        Degrees of freedom of an estimate if the data had been complete, such as n - 1 of a mean.
    level
        Probability of the interval.

    Returns
    -------
    Dataset
        Over ``parameter``, or without a dimension: the pooled ``estimate``; ``within``, the mean
        of the variances; ``between``, the variance of the estimates; ``total`` = within + (1 +
        1/m) between, and its root ``se``; degrees of freedom ``df`` of Student's t; ``fmi``, the
        fraction of missing information (Rubin, 1987); ``lower`` and ``upper``, the ends of the
        interval.

    Raises
    ------
    DataError
        If shapes differ, m is below 2, or a variance is negative.
    ValueError
        If ``level`` or ``complete_df`` is out of range.

    Examples
    --------
    >>> found = pool([1.0, 3.0], [4.0, 4.0])
    >>> float(found["estimate"]), float(found["between"]), float(found["total"])
    (2.0, 2.0, 7.0)
    """
    values, squares = _checked(estimates, variances)
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        raise ValueError(f"level got {level!r}: it must be a number between 0 and 1, such as 0.95")
    if not isinstance(complete_df, int | float) or not complete_df > 0:
        raise ValueError(f"complete_df got {complete_df!r}: it must be positive, such as n - 1")
    count = len(values)
    estimate, within, between = values.mean(0), squares.mean(0), values.var(0, ddof=1)
    added = (1 + 1 / count) * between
    total = within + added
    # Where nothing varies nothing is missing.
    share = np.divide(added, total, out=np.zeros_like(total), where=total > 0)
    with np.errstate(divide="ignore"):
        df = (count - 1) / share**2
        missing = share + 2 * (1 - share) / (df + 3)
        if math.isfinite(complete_df):
            observed = (complete_df + 1) / (complete_df + 3) * complete_df * (1 - share)
            df = 1 / (1 / df + 1 / observed)
    half = library("scipy.stats").t.ppf((1 + level) / 2, df) * np.sqrt(total)
    found = {
        "estimate": estimate,
        "within": within,
        "between": between,
        "total": total,
        "se": np.sqrt(total),
        "df": df,
        "fmi": missing,
        "lower": estimate - half,
        "upper": estimate + half,
    }
    dims = ("parameter",) if values.ndim == 2 else ()
    results = xr.Dataset({name: (dims, part) for name, part in found.items()})
    results = results.assign_coords({dim: np.arange(n) for dim, n in results.sizes.items()})
    results.attrs.update(level=level, imputations=count, complete_df=complete_df)
    return results


def _checked(estimates: Any, variances: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays in float64; refuse what cannot be pooled."""
    values, squares = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    if values.shape != squares.shape or values.ndim not in (1, 2) or len(values) < 2:
        raise DataError(
            f"estimates have shape {values.shape} and variances {squares.shape}: give one row for "
            "each of at least 2 complete data sets, (m,) or (m, p), of both"
        )
    if not np.isfinite(values).all() or not np.isfinite(squares).all() or (squares < 0).any():
        raise DataError(
            "estimates or variances have NaN or infinity, or a variance is negative: give squared "
            "standard errors, and leave out what could not be estimated"
        )
    return values, squares
