"""Cards: what was found of a model, with all that it takes to find it again, in one file.

``card`` says what is on one and reads and writes it; ``of_results`` puts measurements on it;
``page`` shows it; ``checked`` holds it against what was measured again. ``machine`` is what it
was made with, and on.
"""

from pyro_vae.cards.card import Card, Found, Number, Row, read_card, write_card
from pyro_vae.cards.checked import Checked
from pyro_vae.cards.page import card_table, markdown, sources

__all__ = [
    "Card",
    "Checked",
    "Found",
    "Number",
    "Row",
    "card_table",
    "markdown",
    "read_card",
    "sources",
    "write_card",
]
