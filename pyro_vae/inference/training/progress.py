"""The bar that shows how far a training is."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pyro_vae.progress import bar_console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["bound_text", "progress_bar"]


@contextmanager
def progress_bar(show: bool, epochs: int, done: int) -> Iterator[Callable[[float, float], None]]:
    """A bar of epochs; what it gives is called after each, with the two bounds.

    Parameters
    ----------
    show
        Whether there is anything to see.
    epochs, done
        All of them, and those that were done before.
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch {task.completed}/{task.total}"),
        TextColumn("{task.fields[bound]}"),
        TimeRemainingColumn(),
        console=bar_console(),
        disable=not show,
    )
    with bar:
        task = bar.add_task("fit", total=epochs, completed=done, bound="")
        yield lambda train, validation: bar.update(
            task, advance=1, bound=bound_text(train, validation)
        )


def bound_text(train: float, validation: float) -> str:
    """The bounds of an epoch, in nats per datum; NaN for validation says that there is none."""
    text = f"bound {train:.2f} nats"
    return text if math.isnan(validation) else f"{text}, validation {validation:.2f}"
