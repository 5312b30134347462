"""What a card says of a part held against the same part measured again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from pyro_vae.cards.card import unlisted

if TYPE_CHECKING:
    from pyro_vae.cards.card import Found

__all__ = ["Checked", "compared"]

#: What rounding on another machine may move of one datum, in nats or in a number's own unit.
_ROUNDING = 0.01

#: What rounding may move of a mean over data, relative to it.
_ROUNDING_OF_MEANS = 1e-4

#: Standard errors of the draws within which two means are the same.
_STANDARD_ERRORS = 4.0


@dataclass(frozen=True)
class Checked:
    """What became of one part of a card.

    Attributes
    ----------
    part
        Its name.
    verdict
        ``"equal"`` to rounding, datum by datum; ``"within error"`` of the draws, where another
        machine or version draws otherwise; or ``"differs"``.
    largest
        Largest difference of a datum, or of a number where there are no data.
    reason
        What was compared, in a sentence.
    """

    part: str
    verdict: Literal["equal", "within error", "differs"]
    largest: float
    reason: str

    @property
    def holds(self) -> bool:
        """Whether the card is right about this part."""
        return self.verdict != "differs"


def compared(said: Found, found: Found) -> Checked:
    """Whether what was found is what was said: first datum by datum, then the numbers.

    Parameters
    ----------
    said, found
        A part as the card has it, and measured again, on its first so many data perhaps.
    """
    drawn_anew, count, largest, unexplained = False, 0, 0.0, ""
    for name, values in found.per_datum.items():
        if name not in said.per_datum or name.endswith("_se"):
            continue
        before, again = unlisted(said.per_datum[name]), unlisted(values)
        count = min(len(before), len(again))
        apart = np.abs(before[:count] - again[:count])
        moved = float(np.nanmax(apart, initial=0.0))
        largest = max(largest, moved)
        if moved <= _ROUNDING:
            continue
        error = _error_of_mean(name, count, said, found)
        if error is None:
            unexplained = f"{name} moved by {moved:.3g}, and has no error"
            continue
        drawn_anew = True
        gap = abs(float(np.nanmean(before[:count] - again[:count])))
        if gap > _STANDARD_ERRORS * error:
            reason = (
                f"the mean of {name} over {count} data moved by {gap:.4f}, and the Monte Carlo "
                f"standard error of that is {error:.4f}"
            )
            return Checked(said.name, "differs", largest, reason)
    # What has no error of its own, as k-hat, is as good as the draws that it is made of.
    if unexplained and not drawn_anew:
        return Checked(said.name, "differs", largest, unexplained)
    whole = all(
        len(values) == len(found.per_datum.get(name, ()))
        for name, values in said.per_datum.items()
    )
    if whole:
        return _numbers_compared(said, found, largest, drawn_anew=drawn_anew)
    verdict: Literal["equal", "within error"] = "within error" if drawn_anew else "equal"
    return Checked(said.name, verdict, largest, f"{count} data, and no mean over all of them")


def _error_of_mean(name: str, count: int, said: Found, found: Found) -> float | None:
    """Monte Carlo error of the difference of two means; None where there is none."""
    if f"{name}_se" not in said.per_datum or f"{name}_se" not in found.per_datum:
        return None
    drawn = [unlisted(part.per_datum[f"{name}_se"])[:count] for part in (said, found)]
    return math.sqrt(sum(float(np.nansum(part**2)) for part in drawn)) / count


def _numbers_compared(said: Found, found: Found, largest: float, *, drawn_anew: bool) -> Checked:
    """Whether the numbers are the same: to rounding or, drawn anew, within their errors."""
    for name, before in said.numbers.items():
        again = found.numbers.get(name)
        if again is None:
            return Checked(said.name, "differs", math.inf, f"{name} was not found again")
        gap = abs(before.value - again.value)
        if gap <= _ROUNDING_OF_MEANS * (1 + abs(before.value)):
            continue
        errors = [number.monte_carlo_error for number in (before, again)]
        known = [error for error in errors if error is not None]
        if known and gap <= _STANDARD_ERRORS * math.hypot(*known):
            drawn_anew = True
        elif known or not drawn_anew:
            return Checked(said.name, "differs", gap, f"{name} moved by {gap:.3g}")
        largest = max(largest, gap)
    verdict: Literal["equal", "within error"] = "within error" if drawn_anew else "equal"
    data = max((len(values) for values in said.per_datum.values()), default=0)
    what = f"{data} data and " if data else ""
    return Checked(said.name, verdict, largest, f"{what}{len(said.numbers)} numbers")
