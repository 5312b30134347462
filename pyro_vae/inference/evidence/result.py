"""What every estimator of log p(x) returns: one form, whatever the method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Bound", "evidence_result"]

#: In expectation: ``exact`` is log p(x) itself; ``lower`` and ``upper`` are stochastic bounds;
#: ``neither`` has a bias of unknown sign.
Bound = Literal["exact", "lower", "upper", "neither"]


def evidence_result(
    value: np.ndarray,
    standard_error: np.ndarray,
    *,
    estimator: str,
    bound: Bound,
    num_particles: int,
    seconds: float,
    seed: int = 0,
    extra: Mapping[str, np.ndarray] | None = None,
    **attributes: float | str,
) -> xr.Dataset:
    """Estimates of log p(x) per datum, with what they are.

    Parameters
    ----------
    value, standard_error
        Estimate per datum and its Monte Carlo standard error, ``(n,)``, in nats; the error is
        zero where the value is exact, and NaN where the draws cannot tell it.
    estimator
        Name of the method.
    bound
        What the value is in expectation.
    num_particles
        Draws (or chains, or nodes) per datum.
    seconds
        Wall time for all the data.
    seed
        Seed of the draws.
    extra
        Other variables per datum, such as ``khat`` or ``acceptance``.
    **attributes
        Other attributes, each method its own: numbers or text.

    Returns
    -------
    Dataset
        ``log_evidence``, ``log_evidence_se`` and the extra variables over ``datum``.
    """
    variables = {"log_evidence": value, "log_evidence_se": standard_error, **(extra or {})}
    results = xr.Dataset(
        {name: ("datum", np.asarray(part, dtype=float)) for name, part in variables.items()},
        coords={"datum": np.arange(len(value))},
    )
    for name in ("log_evidence", "log_evidence_se"):
        results[name].attrs["units"] = "nats"
    results.attrs.update(
        units="nats per datum",
        estimator=estimator,
        bound=bound,
        particles=num_particles,
        seconds=seconds,
        seed=seed,
        **attributes,
    )
    return results
