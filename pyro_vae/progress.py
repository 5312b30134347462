"""The bar that long work shows: in a terminal, or in a notebook that has ipywidgets."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pyro_vae.on_demand import library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["bar_console", "measuring", "no_bars", "wants_bar"]

#: Whether nobody watches this process, whatever its standard error is.
_unwatched = False


def no_bars() -> None:
    """Show no bar here unless told to: those of several processes would overwrite each other."""
    global _unwatched
    _unwatched = True


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which can show a bar that moves."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell" and find_spec("ipywidgets") is not None


def wants_bar(progress: bool | None = None) -> bool:
    """Whether to show a bar: as asked, else where somebody can see it move."""
    if progress is None:
        return not _unwatched and (sys.stderr.isatty() or in_notebook())
    return progress


def bar_console() -> Any:
    """Where bars go: to standard error, or below the cell of a notebook."""
    return library("rich.console").Console(stderr=True, force_jupyter=in_notebook())


@contextmanager
def measuring(
    description: str, *, show: bool | None = None
) -> Iterator[Callable[[int, int], None]]:
    """Bar with the data done and the time left; gives what is called with both numbers.

    Parameters
    ----------
    description
        What stands before it.
    show
        As for ``wants_bar``.
    """
    rich = library("rich.progress")
    with rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeRemainingColumn(),
        console=bar_console(),
        disable=not wants_bar(show),
    ) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
