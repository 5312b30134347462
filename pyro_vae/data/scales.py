"""Whether the columns of a table are on scales that networks can be trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyro_vae.data.dataset import Dataset

__all__ = ["scale_note"]

#: Largest ratio of two standard deviations, that of the unit scale among them.
_RATIO = 100.0


def scale_note(data: Dataset) -> str | None:
    """A sentence on columns of real numbers whose scales are orders of magnitude from one.

    Parameters
    ----------
    data
        Any data. Pictures, and values that all lie from 0 to 1, have one scale by nature.
    """
    x = data.train
    if data.kind != "real" or data.standardise or x.dim() != 2 or len(x) < 2:
        return None
    if bool(((x >= 0) & (x <= 1)).all()):
        return None
    spread = x.double().std(0, correction=0)
    varying = (x != x[0]).any(0).nonzero().flatten()
    if not len(varying):
        return None
    least = int(varying[spread[varying].argmin()])
    most = int(varying[spread[varying].argmax()])
    low, high = float(spread[least]), float(spread[most])
    if max(high, 1.0) < _RATIO * min(low, 1.0):
        return None
    names = [repr(data.columns[d]) if data.columns else str(d) for d in (least, most)]
    return (
        f"the standard deviations of the columns of {data.name} go from {low:.3g} (column "
        f"{names[0]}) to {high:.3g} (column {names[1]}), and networks and step sizes are made for "
        "ones of order one, so that log p(x) may be decided by the training and not by the data: "
        "standardise them (data.standardised(), or --standardise), and log p(x) + "
        "data.log_jacobian is that in the original units"
    )
