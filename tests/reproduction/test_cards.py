"""The cards of the documentation: whole, and its tables are theirs."""

from pathlib import Path

import pytest

from pyro_vae.reproduction import EXPERIMENTS, Plan, check, markdown, read_card

DOCS = Path(__file__).parents[2] / "docs"
CARDS = sorted((DOCS / "cards").rglob("*.json"))


def _name(path):
    return str(path.relative_to(DOCS / "cards"))


@pytest.mark.parametrize("path", CARDS, ids=_name)
def test_a_card_says_what_its_parts_say(path):
    """Rows are made anew of what was found, and of what is published as we have it today."""
    card = read_card(path)
    found = {part.name: part for part in card.parts}
    assert card.rows == EXPERIMENTS[card.experiment].rows(found, Plan(**card.plan))
    assert card.differs == list(EXPERIMENTS[card.experiment].differs)


@pytest.mark.parametrize("path", CARDS, ids=_name)
def test_the_documentation_has_the_table_of_a_card(path):
    assert markdown(read_card(path)) in (DOCS / "published.md").read_text()


@pytest.mark.slow
def test_a_card_holds_from_nothing():
    """Trained again from the card alone, on whatever machine this is."""
    for each in check(DOCS / "cards" / "ppca.json", train=True, progress=False):
        assert each.holds, each
