"""Whether the columns of a table are on scales that networks can be trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_vae.data.streamed.dataset import StreamedDataset

if TYPE_CHECKING:
    from pyro_vae.data.any_dataset import AnyDataset

__all__ = ["scale_note"]

#: Largest ratio of two standard deviations, that of the unit scale among them.
_RATIO = 100.0


def scale_note(data: AnyDataset) -> str | None:
    """A sentence on columns of real numbers whose scales are orders of magnitude from one.

    Parameters
    ----------
    data
        Any data. Pictures, and values that all lie from 0 to 1, have one scale by nature.
    """
    x = data.train
    if data.kind != "real" or data.standardise or x.dim() != 2 or len(x) < 2:
        return None
    if isinstance(data, StreamedDataset):
        if (moments := data.moments) is None:
            return None  # of a run that goes on, which was told when it began
        unit = bool(((moments.least >= 0) & (moments.largest <= 1)).all())
        spread, varies = moments.spread, ~moments.constant
    else:
        unit = bool(((x >= 0) & (x <= 1)).all())
        spread, varies = x.double().std(0, correction=0), (x != x[0]).any(0)
    varying = varies.nonzero().flatten()
    if unit or not len(varying):
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
