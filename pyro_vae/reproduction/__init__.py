"""Published tables, and ours beside them: named experiments, and the cards that they leave.

An experiment (``experiment``) is parts that are trained and measured, and a table that was
published; those that there are lie in ``experiments``, one in each file. ``reproduce`` runs them
and writes a ``Card``; ``check`` measures again what a card says.
"""

from pyro_vae.cards import (
    Card,
    Checked,
    Found,
    Number,
    Row,
    card_table,
    markdown,
    read_card,
    sources,
)
from pyro_vae.reproduction.check import check
from pyro_vae.reproduction.experiment import Difference, Experiment, Level, Part, Place, Plan
from pyro_vae.reproduction.experiments import EXPERIMENTS
from pyro_vae.reproduction.reproduce import reproduce

__all__ = [
    "EXPERIMENTS",
    "Card",
    "Checked",
    "Difference",
    "Experiment",
    "Found",
    "Level",
    "Number",
    "Part",
    "Place",
    "Plan",
    "Row",
    "card_table",
    "check",
    "markdown",
    "read_card",
    "reproduce",
    "sources",
]
