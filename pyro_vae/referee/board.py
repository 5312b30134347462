"""Cards ranked by log p(x) of the same data, each measured where its model was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pyro_vae.cards.card import unlisted
from pyro_vae.errors import ComparisonError
from pyro_vae.inference.evidence import compare_results
from pyro_vae.referee.check import referee_card
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro_vae.cards.card import Found
    from pyro_vae.inference.evidence import Comparison

__all__ = ["compare_cards", "results_of_card"]

#: What a comparison needs of every datum, and what it takes where it is there.
_NEEDED = (
    *("log_evidence", "log_evidence_se", "elbo", "elbo_se", "gap", "doubt", "top_share"),
    "fingerprint",
)
_TAKEN = (*_NEEDED, "log_jacobian")


@verb
def compare_cards(cards: Sequence[str | Path]) -> Comparison:
    """Rank what the cards of ``referee`` say, with standard errors of the paired differences.

    Nothing is measured: the cards hold every datum's log p(x), and what tells the data apart.

    Parameters
    ----------
    cards
        The ``.json`` files. A card goes by its title, and by its path where two have the same.

    Raises
    ------
    ComparisonError
        If log p(x) is not in the same measure, known to be so, or not of the same data.
    RunError
        If a file is no card of ``referee``'s, or was changed.
    """
    paths = [Path(card) for card in cards]
    if len(paths) < 2:
        raise ComparisonError("cards has fewer than two: give two or more to rank")
    read = [referee_card(path) for path in paths]
    names = [card.title for card in read]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    if len(set(names)) < len(names):
        raise ComparisonError("cards has one twice: give each once")
    results = {}
    for name, card in zip(names, read, strict=True):
        (found,) = card.parts
        results[name] = results_of_card(found)
        if results[name].attrs["base_measure"] == "unknown":
            raise ComparisonError(
                f"{name} does not say which measure its log p(x) is taken against, so that it "
                "might be a log-mass or a log-density: give the pair an attribute measure, "
                "'counting' or 'lebesgue', and write its card anew"
            )
    return compare_results(results)


def results_of_card(found: Found) -> xr.Dataset:
    """What ``evaluate`` gave, as far as the card has kept it.

    Parameters
    ----------
    found
        The part of a card.
    """
    columns = {n: unlisted(found.per_datum[n]) for n in _TAKEN if n in found.per_datum}
    for name in _NEEDED:
        if name not in columns:
            raise ComparisonError(f"{found.name}: its card has no {name} of each datum")
    results = xr.Dataset(
        {name: ("datum", values) for name, values in columns.items()},
        coords={"datum": np.arange(len(columns["log_evidence"]))},
    )
    results.attrs.update(
        {name: value for name, value in found.protocol.items() if not isinstance(value, list)}
    )
    return results
