"""The table of figures, and how one is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyro_vae.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from pyro_vae.errors import PyroVAEError
    from pyro_vae.figures.fitted import Fitted, Need

__all__ = ["FIGURES", "RegisteredFigure", "figure", "figure_named", "report_figures", "toy_figure"]


@dataclass(frozen=True)
class RegisteredFigure:
    """A figure that can be asked for by its name.

    Attributes
    ----------
    name
        Name of its files.
    caption
        What it shows; the first sentence stands in lists.
    make
        Draws it, from a fitted run or, where it needs none, from the seed.
    needs
        What the run must have.
    of_run
        Whether it is of a run.
    in_report
        Whether the report shows it.
    """

    name: str
    caption: str
    make: Callable[..., Figure]
    needs: tuple[Need, ...] = ()
    of_run: bool = True
    in_report: bool = False

    @property
    def shows(self) -> str:
        """The first sentence of the caption."""
        first, dot, _ = self.caption.partition(". ")
        return first + "." if dot else first

    @property
    def needs_text(self) -> str:
        """What the run must have, in words."""
        if not self.of_run:
            return "no run"
        return ", ".join(need.text for need in self.needs) or "any run"

    def refusal(self, fitted: Fitted) -> PyroVAEError | None:
        """Why this run cannot give the figure, found without any long work."""
        for need in self.needs:
            error = need.refusal(fitted)
            if error is not None:
                return error
        return None

    def draw(self, fitted: Fitted) -> Figure:
        """The figure of a run.

        Raises
        ------
        ProgramError
            If its model, or its data, cannot give the figure.
        RunError
            If it has not been evaluated, and the figure is of what ``evaluate`` finds.
        """
        error = self.refusal(fitted)
        if error is not None:
            raise error
        return self.make(fitted)

    def draw_toy(self, seed: int = 0) -> Figure:
        """The figure of the toy, whose data and draws have the seed."""
        return self.make(seed)


#: Every figure by its name, in the order of lists and of the report.
FIGURES: dict[str, RegisteredFigure] = {}


def figure(
    name: str, caption: str, *needs: Need, in_report: bool = False
) -> Callable[[Callable[[Fitted], Figure]], Callable[[Fitted], Figure]]:
    """Register what draws a figure of a run."""

    def register(make: Callable[[Fitted], Figure]) -> Callable[[Fitted], Figure]:
        FIGURES[name] = RegisteredFigure(name, caption, make, needs, in_report=in_report)
        return make

    return register


def toy_figure(
    name: str, caption: str
) -> Callable[[Callable[[int], Figure]], Callable[[int], Figure]]:
    """Register what draws a figure of the toy, from a seed."""

    def register(make: Callable[[int], Figure]) -> Callable[[int], Figure]:
        FIGURES[name] = RegisteredFigure(name, caption, make, of_run=False)
        return make

    return register


def figure_named(name: str) -> RegisteredFigure:
    """The figure of a name.

    Raises
    ------
    UnknownNameError
        If there is none.
    """
    if name not in FIGURES:
        raise UnknownNameError("figure", name, FIGURES)
    return FIGURES[name]


def report_figures(fitted: Fitted) -> dict[str, Figure]:
    """The figures of the report that a run allows, by name."""
    return {
        entry.name: entry.make(fitted)
        for entry in FIGURES.values()
        if entry.in_report and entry.refusal(fitted) is None
    }
