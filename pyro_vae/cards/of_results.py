"""What ``evaluate`` gave of a model, as a part of a card."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pyro_vae.cards.card import Found, Number, listed
from pyro_vae.inference.evidence.trust import withheld_note
from pyro_vae.stored.measured import measure_summary

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["found_of_results"]


def found_of_results(name: str, title: str, results: xr.Dataset) -> Found:
    """What ``evaluate`` gave, as a card has it.

    Parameters
    ----------
    name, title
        Of the part.
    results
        What ``stored.measured.results_of_run`` gave.
    """
    numbers = {
        str(quantity): Number(
            value=row["mean"],
            sampling_error=_known(row["sampling_se"]),
            monte_carlo_error=_known(row["mc_se"]),
        )
        for quantity, row in measure_summary(results).iterrows()
        if math.isfinite(row["mean"])
    }
    if "active_units" in results.attrs:
        numbers["active_units"] = Number(value=float(results.attrs["active_units"]))
    kept = {"log_evidence": 3, "log_evidence_se": 3, "khat": 2}
    per_datum = {key: listed(results[key].values, n) for key, n in kept.items() if key in results}
    note = withheld_note(results)
    return Found(
        name=name,
        title=title,
        numbers=numbers,
        per_datum=per_datum,
        notes=[note] if note else [],
    )


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
