"""How results are printed: a table for people, JSON for programs, a bar while they wait."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pyro_vae.cards import sources
from pyro_vae.formulas import described
from pyro_vae.inference.training.by_graph import TOO_FEW
from pyro_vae.inference.training.objectives import objective_of

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from pyro_vae.cards import Card
    from pyro_vae.data.any_dataset import AnyDataset
    from pyro_vae.inference.training.fit import FitResult
    from pyro_vae.models import LatentVariableModel

__all__ = [
    "print_card",
    "print_json",
    "print_schema",
    "print_summary",
    "training_line",
    "training_summary",
    "with_error",
]

_LABELS = {
    "log_evidence": "log p(x)",
    "elbo": "ELBO",
    "gap": "gap = KL(q || posterior)",
    "reconstruction": "E_q[log p(x|z)]",
    "kl_to_prior": "KL(q(z|x) || p(z))",
    "ess": "effective particles",
    "khat > 0.7": "share with k-hat > 0.7",
    "withheld": "share without an error bar",
    "bits_per_dim": "bits per dimension",
}
_BOUND_LABELS = {
    "log_evidence": "log p(x), at least",
    "bits_per_dim": "bits per dimension, at most",
}


def print_json(document: dict[str, Any]) -> None:
    """Print JSON to standard output; NaN, which JSON lacks, as null."""
    print(json.dumps(_finite(document), indent=2))


def print_summary(table: pd.DataFrame, title: str, *, bound: bool = False) -> None:
    """Print the means with their two standard errors.

    Parameters
    ----------
    table, title
        What ``measure_summary`` gave, and what stands above it.
    bound
        Whether log p(x) is not estimated, and what stands for it is its lower bound.
    """
    labels = {**_LABELS, **(_BOUND_LABELS if bound else {})}
    out = Table(title=Text(title), title_justify="left")
    out.add_column("nats per datum")
    for column in ("mean", "Monte Carlo SE", "sampling SE"):
        out.add_column(column, justify="right")
    for name, row in table.iterrows():
        label = labels.get(str(name), str(name).replace("iwae_", "IWAE_"))
        cells = (row["mean"], row["mc_se"], row["sampling_se"])
        if all(map(math.isnan, cells)):
            continue
        out.add_row(Text(label), *("" if math.isnan(c) else f"{c:.3f}" for c in cells))
    Console().print(out)


def print_schema(data: AnyDataset) -> None:
    """Print what each column of a table is, and how many rows go where."""
    assert data.schema is not None
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    shown = Table(
        title=Text(repr(data)), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table = data.schema.table().reset_index()
    table["empty"] = [count or "" for count in table["empty"]]
    for name in table.columns:
        shown.add_column(name, overflow="fold")
    for row in table.itertuples(index=False):
        shown.add_row(*(Text(str(cell)) for cell in row))
    console.print(shown)


def training_summary(
    run: Path, result: FitResult, *, seconds: float, **about: str
) -> dict[str, Any]:
    """What ``fit`` came to, for JSON and for ``training_line``; bounds in nats per datum.

    Parameters
    ----------
    run, result, seconds
        The run, what ``inference.fit`` returned, and how long it took.
    **about
        What else there is to say of the run.
    """
    best = result.metrics[result.metrics["epoch"] == result.best_epoch]
    bounds = {
        name: float(best[name].iloc[0]) if len(best) else None
        for name in ("validation_elbo", "train_elbo")
    }
    return {
        "run": str(run),
        **about,
        "stopped": result.stopped,
        "compiled": result.compiled,
        "epochs": len(result.metrics),
        "best_epoch": result.best_epoch,
        **bounds,
        "seconds": seconds,
        "units": "nats per datum",
    }


def training_line(
    summary: dict[str, Any], model: LatentVariableModel, objective: str | None = None
) -> str:
    """The bounds of the best epoch, each called what it is.

    Parameters
    ----------
    summary
        With best_epoch, epochs, train_elbo, validation_elbo (nats per datum), seconds, compiled.
    model, objective
        What was trained, and the name of its objective.
    """
    goal = described(objective_of(model, objective))
    # A model measured as another is trained on something else than that one's ELBO.
    has_elbo = model.has_evidence and model.evidence_model is model
    trained = "ELBO" if has_elbo and goal.is_elbo else "objective"
    held_out = trained if goal.comparable or not has_elbo else "ELBO"
    text = (
        f"best epoch {summary['best_epoch']} of {summary['epochs']}: {trained} "
        f"{summary['train_elbo']:.2f} (training)"
    )
    if not math.isnan(summary["validation_elbo"]):
        name = "" if held_out == trained else f"{held_out} "
        text += f", {name}{summary['validation_elbo']:.2f} (validation)"
    return f"{text} nats per datum; {summary['seconds']:.0f} s{_steps_text(summary['compiled'])}"


def _steps_text(compiled: str) -> str:
    """How the steps were made, where there is something to say of it."""
    how, _, why = compiled.partition(": ")
    if how != "off":
        return {"graph": ", by a recorded graph", "inductor": ", compiled"}[how]
    return f", through Pyro's handlers: {why}" if why and why != TOO_FEW else ""


def with_error(mean: float, error: float) -> str:
    """Mean with its standard error behind it, as in ``-20.31 (0.081)``."""
    return f"{mean:.2f}" if math.isnan(error) else f"{mean:.2f} ({error:.3f})"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_card(
    card: Card, table: pd.DataFrame, path: Path, *, title: str, notes: list[str]
) -> None:
    """Print the table of a card, where its numbers were read, notes, and where it is.

    Parameters
    ----------
    card, table
        The card, and its rows as text.
    path
        Where it was written.
    title
        What stands above the table.
    notes
        What stands below it.
    """
    console = Console(highlight=False, soft_wrap=True)
    shown = Table(title=Text(title), title_justify="left")
    shown.add_column("")
    for column in table.columns:
        shown.add_column(column, overflow="fold")
    for label, row in table.iterrows():
        shown.add_row(str(label), *map(str, row))
    console.print(shown)
    for number, source in enumerate(sources(card), start=1):
        console.print(f"({number}) {source}", markup=False)
    for note in notes:
        console.print(note, markup=False)
    console.print(f"card: {path}, {path.with_suffix('.html')}", markup=False)
