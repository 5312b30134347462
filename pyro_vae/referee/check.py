"""Measuring again what a referee's card says."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_vae.cards.card import read_card
from pyro_vae.cards.checked import Checked, compared
from pyro_vae.disk.schema import arguments_of
from pyro_vae.errors import DataError, RunError, SettingError
from pyro_vae.inference.evidence.evaluate import takes_one_model
from pyro_vae.referee.measuring import TwoPrograms
from pyro_vae.referee.refereed import REFEREE, about_data, data_of, measured_part, weights_of
from pyro_vae.referee.settings import Settings
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro_vae.cards.card import Card
    from pyro_vae.data.any_dataset import AnyDataset
    from pyro_vae.inference.engine.inputs import Inputs

__all__ = ["check", "referee_card"]


@takes_one_model
@verb
def check(
    model: Any,
    data: AnyDataset | Inputs,
    card: str | Path,
    *,
    tell: Callable[[str], None] | None = None,
    progress: bool | None = None,
) -> Checked:
    """Measure again what a card of ``referee`` says, by its own settings.

    Parameters
    ----------
    model, data
        As for ``referee``.
    card
        The ``.json`` that the card was written to.
    tell, progress
        As for ``referee``.

    Returns
    -------
    Checked
        Whether the card holds, and what was compared.

    Raises
    ------
    RunError
        If the card was changed, is none of ``referee``'s, or the weights are others.
    DataError
        If the data are not those of the card.
    """
    path = Path(card)
    held = referee_card(path)
    (said,) = held.parts
    kept = {f.name: held.plan[f.name] for f in fields(Settings) if f.name in held.plan}
    try:
        settings = Settings(**arguments_of(Settings, kept))
    except (SettingError, ValueError) as error:
        raise RunError(f"{path}: plan: {error}") from error
    pair = TwoPrograms(*model) if isinstance(model, tuple) else model
    if weights_of(pair) != said.weights:
        raise RunError(
            f"the weights are not those of which {path.name} speaks: their checksums differ; "
            "restore them, or write the card anew"
        )
    x, about = data_of(pair, data, held.plan["limit"], held.plan["split"] or "test")
    if about_data(data, x)["checksum"] != held.data["checksum"]:
        raise DataError(
            f"the data are not those of which {path.name} speaks ({held.data['form']}): their "
            "checksums differ, so that no number could be the same"
        )
    found = measured_part(pair, x, about, settings, name=said.name, tell=tell, progress=progress)
    return compared(said, found)


def referee_card(path: Path) -> Card:
    """A card, if it is one of ``referee``'s.

    Raises
    ------
    RunError
        If it cannot be read, or is of an experiment.
    """
    card = read_card(path)
    if card.experiment != REFEREE or len(card.parts) != 1:
        raise RunError(
            f"{path} is a card of the experiment {card.experiment!r}, and none of the referee's: "
            "`pyro-vae reproduce --check` measures it again"
        )
    return card
