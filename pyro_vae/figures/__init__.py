"""Every figure by name: of a fitted run, and of a toy of which everything is known.

The command ``pyro-vae figure`` and the report take their figures from here. A new one is a
function in one of the ``of_`` files under ``@figure``, which says what it shows and needs.
"""

from pyro_vae.figures import of_runs, of_runs_with_holes, of_toy  # noqa: F401
from pyro_vae.figures.fitted import Fitted, Need
from pyro_vae.figures.registry import FIGURES, RegisteredFigure, figure_named, report_figures

__all__ = ["FIGURES", "Fitted", "Need", "RegisteredFigure", "figure_named", "report_figures"]
