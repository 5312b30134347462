"""The page of a referee's card: its table, and figures of what lies on the card."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pyro_vae import plots
from pyro_vae.cards.card import unlisted
from pyro_vae.cards.page import card_table, part_text, provenance, sources
from pyro_vae.pages.report import Section, write_report
from pyro_vae.referee.measuring import ranks_of

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure

    from pyro_vae.cards.card import Card, Found

__all__ = ["referee_table", "write_referee_page"]

_INTRODUCTION = (
    "{count} data, in nats per datum under the measure {measure}. The standard error over the "
    "data is in brackets; that of the draws is given where it is more than a tenth of it, and "
    "withheld where it is not to be trusted. ELBO and IWAE are lower bounds.{read_in}"
)


def write_referee_page(path: Path, card: Card) -> None:
    """Write a referee's card as HTML, its figures inside.

    Parameters
    ----------
    path
        File to write.
    card
        What ``referee`` gave.
    """
    (found,) = card.parts
    read_in = "".join(f" ({n}): {text}." for n, text in enumerate(sources(card), start=1))
    write_report(
        path,
        title=f"The referee on {card.title}",
        introduction=_INTRODUCTION.format(
            count=f"{found.protocol['data']:,}",
            measure=found.protocol["base_measure"],
            read_in=read_in,
        ),
        table=referee_table(card),
        sections=[
            *(
                Section(title, figures={caption: figure})
                for title, caption, figure in _figures(found)
            ),
            Section("All that was measured", part_text(found)),
        ],
        conclusions=[],
        provenance=provenance(card),
    )


def referee_table(card: Card) -> pd.DataFrame:
    """``card_table``, in which the numbers of others are reported."""
    return card_table(card).rename(columns={"published": "reported"})


def _figures(found: Found) -> list[tuple[str, str, Figure]]:
    """Title, caption and figure of all that the card has something of."""
    columns = {name: unlisted(values) for name, values in found.per_datum.items()}
    drawn = []
    if np.isfinite(columns["gap"]).all():
        names = ("gap", "elbo", "log_evidence", "doubt")
        results = xr.Dataset({name: ("datum", columns[name]) for name in names})
        caption = "Left: the gap of each datum. Right: its ELBO against its log p(x)."
        drawn.append(("Gap", caption, plots.gap_per_datum(results)))
    if "approximation_gap" in found.numbers:
        parts = [found.numbers[f"{name}_gap"] for name in ("approximation", "amortisation")]
        error = math.hypot(*(part.sampling_error or 0.0 for part in parts))
        caption = "The gap of the first data, taken apart; the bar is two standard errors."
        family, encoder = ([part.value] for part in parts)
        figure = plots.gap_in_parts([found.title], family, encoder, [error])
        drawn.append(("Parts of the gap", caption, figure))
    if "missed" in found.numbers:
        missed = columns["certify_ais"] - columns["certify_importance"]
        caption = (
            "Log p(x) by annealing, less that by importance sampling, of each of the first data. "
            "What is above zero was missed."
        )
        figure = plots.missed_by_datum({"importance sampling": missed})
        drawn.append(("What importance sampling misses", caption, figure))
    khat = columns.get("importance_khat", columns["khat"])
    if np.isfinite(khat).any():
        caption = "How heavy the tail of each datum's weights is."
        drawn.append(("Tails of the weights", caption, plots.khat_histogram(khat)))
    ranks = ranks_of(found.per_datum)
    if ranks is not None:
        caption = "Where the z that made simulated data ranks among the guide's draws for them."
        drawn.append(("Calibration of the guide", caption, plots.sbc_histograms(ranks)))
    return drawn
