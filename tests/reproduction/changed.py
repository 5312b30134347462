"""A card of which one number was changed, with a checksum that is right."""

import sys

from pyro_vae.cards.card import read_card, write_card


def change(path, part, **updates):
    """Write a card anew, with other values of some fields of a part."""
    card = read_card(path)
    parts = [p.model_copy(update=updates) if p.name == part else p for p in card.parts]
    write_card(path, card.model_copy(update={"parts": parts}))


def change_datum(path, part, name, by=1.0):
    """Change what a card says of the first datum of a part."""
    values = dict(read_card(path).part(part).per_datum)
    values[name] = [values[name][0] + by, *values[name][1:]]
    change(path, part, per_datum=values)


def change_number(path, part, name, by=1.0):
    """Change a number of a part."""
    numbers = dict(read_card(path).part(part).numbers)
    numbers[name] = numbers[name].model_copy(update={"value": numbers[name].value + by})
    change(path, part, numbers=numbers)


def keep(path, part):
    """Write a card anew with one part alone."""
    card = read_card(path)
    write_card(path, card.model_copy(update={"parts": [card.part(part)]}))


def measured_once(monkeypatch):
    """Let ``check`` measure a part at its first call, and remember that for the next ones."""
    module = sys.modules["pyro_vae.reproduction.check"]
    real, known = module._measured_again, {}

    def once(path, part, *rest):
        if part.name not in known:
            known[part.name] = real(path, part, *rest)
        return known[part.name]

    monkeypatch.setattr(module, "_measured_again", once)


def verdicts(checked):
    """Verdict by part."""
    return {one.part: one.verdict for one in checked}
