"""Numbers for anybody's model: log p(x), how far the ELBO is from it, and what vouches for both.

``measuring`` has what is measured, one measurement a function; ``refereed`` puts it on a card,
and ``check`` measures again what a card says. ``board`` ranks cards, ``page`` shows one.
"""

from pyro_vae.referee.board import compare_cards
from pyro_vae.referee.check import check
from pyro_vae.referee.refereed import referee

__all__ = ["check", "compare_cards", "referee"]
