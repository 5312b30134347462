"""How well a model knows each datum: log p(x), where it stands among others, and which columns.

A datum of low log p(x) is unlike those that the model was fitted to; the terms of the columns
say where. Low log p(x) alone does not make an outlier: a density can be low where most data are
(Nalisnick et al., 2019, arXiv 1810.09136), so that it is compared with that of other rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from pyro_vae.conversion import takes_data
from pyro_vae.errors import DataError
from pyro_vae.inference.engine.columns import Columns, why_joint
from pyro_vae.inference.engine.inputs import count, take
from pyro_vae.inference.engine.rows import Rows
from pyro_vae.inference.engine.sampling import Sampling
from pyro_vae.inference.engine.weights import stream_draws
from pyro_vae.inference.evidence.evaluate import measure, settle, takes_one_model
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Unpack

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.sampling import SamplingSettings

__all__ = ["score"]


@takes_one_model
@verb
@takes_data("x")
def score(
    model: Any,
    x: Inputs,
    num_particles: int = 1000,
    *,
    reference: Any = None,
    columns: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """Log p(x) of each datum, its place among other data, and what each column adds to it.

    Parameters
    ----------
    model
        Module with Pyro programs ``model`` and ``guide``; or a pair ``(model, guide)`` of them.
    x
        Data to score, ``(n, ...)`` or named tensors of such.
    num_particles
        Draws from the guide per datum.
    reference
        Log p(x) of other rows, such as the training data, in nats: numbers ``(m,)``, or what
        ``score`` or ``evaluate`` returned for them, with the same particles at best.
    columns
        Names of the D elements of a datum; their numbers unless given.
    progress
        Called with the number of passes done and their total, two a datum.
    **sampling
        Other arguments of ``log_weights``; discrete sites of a module are summed out unless it
        says not to, those of a pair only where it says so.

    Returns
    -------
    Dataset
        ``log_evidence`` and ``log_evidence_se``, ``khat`` and ``doubt`` over ``datum``, as
        ``evaluate`` has them. ``percentile``, with a reference: percent of it at or below the
        datum's log p(x). ``contribution`` over ``(datum, feature)``, in nats: E_q[log p(x_d | z)],
        whose sum over d is ``reconstruction`` of ``evaluate`` with the same seed. Where a discrete
        z that x depends on is summed out, the mean is also over its posterior given x. A missing
        cell has none, NaN; and log p(x) is then that of the others, which a percentile among rows
        with other missing cells does not allow for. Where the
        columns are not independent given z there is none, and the attribute
        ``no_contribution`` says why. Attributes of ``evaluate`` are kept.

    Raises
    ------
    DataError
        If the reference has no numbers, NaN or another base measure, or ``columns`` is not of
        as many names as there are elements.
    ProgramError
        As for ``evaluate``.

    Examples
    --------
    >>> from pyro_vae.models import LinearVAE
    >>> x = torch.tensor([[0.0, 0.1, 0.0], [0.0, 30.0, 0.0]])
    >>> found = score(LinearVAE((3,), 1), x, 50, reference=[-9.0, -8.0], columns=["a", "b", "c"])
    >>> found["percentile"].values.tolist()
    [100.0, 0.0]
    >>> str(found["feature"].values[found["contribution"].values[1].argmin()])
    'b'
    """
    known = None if reference is None else _reference(reference)
    names = _names(columns, x)
    sampling.setdefault("enumerate_discrete", not isinstance(model, tuple))
    how = Sampling(**sampling)
    model = settle(model, x, how.seed)
    total = 2 * count(x)

    def pass_done(done: int) -> None:
        if progress is not None:
            progress(done, total)

    found = measure(
        model, x, num_particles, how, iwae=(1,), progress=lambda done, _: pass_done(done)
    )
    kept = found[["log_evidence", "log_evidence_se", "khat", "doubt"]]
    if known is not None:
        values, measure_of_it = known
        _same_measure(measure_of_it, kept.attrs.get("base_measure"))
        below = np.searchsorted(values, kept["log_evidence"].values, side="right")
        kept["percentile"] = ("datum", 100.0 * below / len(values), {"units": "percent"})
        kept.attrs["reference_size"] = len(values)
    program, guide = model if isinstance(model, tuple) else (model.model, model.guide)
    reason = why_joint(program, guide, x)
    if reason:
        kept.attrs["no_contribution"] = reason
        pass_done(total)
        return kept
    of_columns = Columns(program, guide, x, how)
    # A guide that always gives one value was asked for two draws of it, not more.
    draws = stream_draws(program, guide, x, int(found.attrs["particles"]), how)
    rows = Rows(count(x))
    for row, drawn in enumerate(draws):
        mean = of_columns.mean(take(x, slice(row, row + 1)), drawn)
        rows.add({"contribution": mean.cpu().numpy()})
        pass_done(count(x) + row + 1)
    table = rows.arrays()["contribution"]
    if isinstance(x, dict) and "observed" in x:
        table = np.where(x["observed"].flatten(1).cpu().numpy(), table, np.nan)
    kept["contribution"] = (("datum", "feature"), table, {"units": "nats"})
    return kept.assign_coords(feature=names if names is not None else np.arange(table.shape[1]))


def _reference(given: Any) -> tuple[np.ndarray, str | None]:
    """Sorted values, and their base measure if they say one."""
    base = None
    if isinstance(given, xr.Dataset):
        if "log_evidence" not in given:
            raise DataError(
                f"reference has {', '.join(map(str, given.data_vars))} and no log_evidence: give "
                "what score or evaluate returned for the reference rows, or their log p(x)"
            )
        base, given = given.attrs.get("base_measure"), given["log_evidence"].values
    values = np.asarray(given, dtype=float)
    if values.ndim != 1 or not len(values) or np.isnan(values).any():
        raise DataError(
            f"reference got values of shape {values.shape} with {int(np.isnan(values).sum())} "
            "NaN: give log p(x) of one or more rows, one number each"
        )
    return np.sort(values), base


def _same_measure(one: str | None, other: str | None) -> None:
    if None not in (one, other) and one != other:
        raise DataError(
            f"reference has the base measure {one}, and x {other}: log-masses and log-densities "
            "are in different units; give the reference of the same model"
        )


def _names(columns: Sequence[str] | None, x: Inputs) -> list[str] | None:
    """Names of the elements of a datum, as many as there are."""
    if columns is None:
        return None
    names = [str(name) for name in columns]
    data = x if isinstance(x, torch.Tensor) else x.get("x")
    features = len(names) if data is None else int(data[0].numel())
    if len(names) != features or len(set(names)) < len(names):
        raise DataError(
            f"columns got {len(names)} names, {len(set(names))} of them different: a datum has "
            f"{features} elements, so give as many names, each once"
        )
    return names
