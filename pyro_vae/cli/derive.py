"""``pyro-vae derive``: log p(x) = L_b + KL line by line, with the numbers of one datum."""

from __future__ import annotations

import platform
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
import typer
from rich.console import Console
from rich.text import Text

from pyro_vae import plots
from pyro_vae.cli.evaluate import Split
from pyro_vae.cli.options import DataRoot, Json, Particles, Seed
from pyro_vae.cli.output import print_json
from pyro_vae.disk.runs import Run
from pyro_vae.explaining import (
    derivation_of,
    in_double,
    known_of,
    numbers,
    one_datum,
    terms,
    verdict,
)
from pyro_vae.explaining.derivation_lines import require_lines
from pyro_vae.explaining.em_view import e_step_view, em_view, joint_view
from pyro_vae.figures.of_runs import e_step_bars, e_step_curve
from pyro_vae.figures.of_toy import TOY_SIZE, toy_data, training_bars
from pyro_vae.inference.engine.conjugate import ConjugateNormal
from pyro_vae.pages.derivation import Chapter, write_derivation
from pyro_vae.protocols import HasUnamortised, offers
from pyro_vae.stored.loading import load_model, load_rows

if TYPE_CHECKING:
    import pandas as pd

    from pyro_vae.explaining.derivation_lines import Derivation

__all__ = ["derive"]

#: Rows of the tables of training.
_ROWS = 8

_LEGEND = (
    "Each line is given in symbols and in numbers, in nats, with the Monte Carlo standard error "
    "in brackets behind what was drawn. In a check the two sides were found in different ways; "
    "an identity holds by definition or draw by draw, and shows only that the sums are right. "
    "Means over q share their draws, so a residual's error is that of the paired difference: it "
    "must be within 4 standard errors, and rounding where nothing was drawn."
)


def derive(
    run: Annotated[
        Path | None,
        typer.Option(help="Run folder. Default: a toy of which everything is known."),
    ] = None,
    datum: Annotated[int, typer.Option(min=0, help="Row of the data.")] = 0,
    split: Annotated[Split, typer.Option(help="Part of the run's data.")] = Split.test,
    particles: Particles = 5000,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to. Default: RUN/derivation, or runs/derivation."),
    ] = None,
    epochs: Annotated[
        int,
        typer.Option(min=10, help="Passes over the toy's data; steps of a run's E-step."),
    ] = 300,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Derive the ELBO for one datum, every line checked; write derivation.html and .md.

    Exit status 1 if a line does not hold.
    """
    if run is None:
        title, found, chapters, after = _toy(datum, particles, seed, epochs)
        folder = out or Path("runs/derivation")
        source = f"toy: {TOY_SIZE} draws of x ~ Normal(-1, 2), seed {seed}"
    else:
        title, found, chapters, after, source = _run(
            run, datum, str(split), particles, seed, epochs, data_root
        )
        folder = out or run / "derivation"
    provenance = {
        "data": source,
        "draws": f"{found.num_particles} from q(z|x), seed {seed}",
        "versions": ", ".join(f"{n} {version(n)}" for n in ("pyro-vae", "pyro-ppl", "torch")),
        "Python": platform.python_version(),
    }
    with nullcontext() if run is None or out is not None else Run(run).locked():
        page, markdown = write_derivation(
            folder,
            title=title,
            introduction=_LEGEND,
            chapters=chapters,
            provenance=provenance,
        )
    if as_json:
        claims = [step for chapter in chapters[1:] for step in chapter.steps]
        document = found.to_dict()
        document["claims"] = [
            {"name": s.name, "symbols": s.symbols, "residual": s.residual, "holds": s.holds}
            for s in claims
        ]
        document["holds"] = found.holds and all(claim.holds for claim in claims)
        print_json({"title": title, **document, "page": str(page), "markdown": str(markdown)})
    else:
        _print(title, chapters)
        Console(highlight=False, soft_wrap=True).print(
            f"wrote {page} and {markdown}", markup=False
        )
    # Last, so that what does not hold can be looked at.
    for chapter in chapters:
        require_lines(chapter.steps, where=chapter.title)
    if after is not None:
        require_lines(after.steps, where="The derivation after training")


#: Title, derivation, chapters, and the derivation after training.
Parts = tuple[str, "Derivation", list[Chapter], "Derivation | None"]


def _toy(datum: int, particles: int, seed: int, epochs: int) -> Parts:
    """The toy's derivation, its training, and its E- and M-steps."""
    x = toy_data(seed)
    one = one_datum(x, datum)
    toy, trained, alternated = ConjugateNormal(), ConjugateNormal(), ConjugateNormal()
    found = derivation_of(toy, one, num_particles=particles, seed=seed)
    joint = joint_view(trained, x, steps=epochs, seed=seed)
    em = em_view(alternated, x, steps=max(1, epochs // 2), seed=seed)
    after = derivation_of(trained, one, num_particles=particles, seed=seed)
    (w, b), (a, c) = toy.theta.tolist(), toy.phi.tolist()
    s, t = toy.log_scale.exp().item(), toy.log_width.exp().item()
    x_mean, z_mean = (
        f"{slope:g} {of} {'-' if shift < 0 else '+'} {abs(shift):g}"
        for slope, of, shift in ((w, "z", b), (a, "x", c))
    )
    value = float(one[0]) if isinstance(one, torch.Tensor) else float("nan")
    chapters = [
        Chapter(
            "The derivation",
            f"Model: z ~ Normal(0, 1), x | z ~ Normal({x_mean}, {s:g}). Guide: z | x ~ "
            f"Normal({z_mean}, {t:g}), which is not the posterior. Datum {datum}: x = "
            f"{value:.4f}. log p(x) and p(z|x) are known in closed form.",
            found.steps,
            found.notes,
            {
                "bars": (
                    "L_b and the KL fill log p(x), which training has moved.",
                    training_bars(found, after),
                )
            },
        ),
        Chapter(
            "Over training",
            "SVI on guide and model together. The guide's family holds the posterior, so the KL "
            "goes to zero and L_b rises to log p(x), which moves itself, since the model does. "
            f"Means over the {TOY_SIZE} data, in closed form.",
            joint.claims,
            (),
            {
                "training": (
                    "Log p(x), L_b and the KL between them.",
                    plots.evidence_over_training(joint.table),
                )
            },
            *_table(joint.table),
        ),
        Chapter(
            "E-step and M-step",
            "The same L_b, raised over one at a time. E-step: the guide alone is trained, log "
            "p(x) has no guide in it and is still, and L_b can only close the gap. M-step: the "
            "model alone is trained, and log p(x) moves (Neal & Hinton, 1998).",
            em.claims,
            (),
            {"em": ("The guide and the model trained in turn.", plots.em_phases(em.table))},
            *_table(em.table),
        ),
    ]
    return f"The ELBO derived for datum {datum} of a toy", found, chapters, after


def _table(table: pd.DataFrame) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """A few rows of a view, evenly spread, as text."""
    every = max(1, (len(table) - 1) // _ROWS)
    shown = table.iloc[sorted({*range(0, len(table), every), len(table) - 1})]
    rows = tuple(
        (str(row.step), str(row.moving), *(f"{v:.4f}" for v in (row.log_px, row.elbo, row.kl)))
        for row in shown.itertuples()
    )
    return ("step", "trained", "log p(x)", "L_b", "KL(q || p(z|x))"), rows


def _run(
    folder: Path,
    datum: int,
    split: str,
    particles: int,
    seed: int,
    epochs: int,
    data_root: Path | None,
) -> tuple[str, Derivation, list[Chapter], Derivation | None, str]:
    """A run's derivation, what its training has kept, and the E-step of the datum."""
    run = Run.open(folder)
    fitted, data = load_model(run), load_rows(run, data_root=data_root)
    model = fitted.evidence_model
    measured = (
        ""
        if model is fitted
        else f" Derived as the {type(model).__name__} that it is measured as."
    )
    x: Any = data.inputs(split, model.inputs) if model.inputs else getattr(data, split)
    one = one_datum(x, datum)
    found = derivation_of(model, one, num_particles=particles, seed=seed)
    chapters = [
        Chapter(
            "The derivation",
            f"{fitted.description().splitlines()[0]}.{measured} Datum {datum} of the {split} "
            f"split of {data.name}.",
            found.steps,
            found.notes,
        )
    ]
    after = None
    if found.num_particles and model.amortised and offers(model, HasUnamortised):
        wide, wide_one = in_double(model, one)
        view = e_step_view(
            wide, wide_one, found, steps=epochs, known=lambda: known_of(wide, wide_one)
        )
        ended = "" if view.converged else " It had NOT ceased to rise when the steps ended."
        chapters.append(_e_step_chapter(view, ended))
        after = view.after
    else:
        why = (
            "the guide has no sample site"
            if not found.num_particles
            else "the model has no unamortised form of its guide"
        )
        chapters.append(Chapter("E-step", f"There is no E-step to show: {why}."))
    chapters.append(
        Chapter(
            "Over training",
            "Of its training the run has kept the objective alone: that log p(x) rose with it, or "
            "the gap shrank, cannot be read off it.",
            figures={
                "training": (
                    "The objective, epoch by epoch.",
                    plots.training_curves(run.metrics()),
                )
            },
        )
    )
    title = f"The ELBO derived for datum {datum} of {folder.name}"
    return title, found, chapters, after, repr(data)


def _e_step_chapter(view: Any, ended: str) -> Chapter:
    return Chapter(
        "E-step",
        "The datum gets a guide q* of its own, started at the encoder's q and trained with the "
        "model held fixed. So log p(x) stays, and L_b rises to L(q*): what is left of the KL is "
        f"the family's, what went was the encoder's.{ended}",
        view.claims,
        view.after.notes,
        {
            "bars": (
                "L_b and the KL, before and after the E-step; log p(x) as found with q*.",
                e_step_bars(view),
            ),
            "e-step": ("L_b over the steps; log p(x) does not move.", e_step_curve(view)),
        },
    )


def _print(title: str, chapters: list[Chapter]) -> None:
    """The lines of every chapter: symbols, numbers, and whether they hold."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(title, style="bold"))
    for chapter in chapters:
        console.print(Text(f"\n{chapter.title}", style="bold underline"))
        console.print(Text(chapter.text))
        for number, step in enumerate(chapter.steps, start=1):
            colour = "green" if step.holds else "bold red"
            console.print(Text(f"\n({number}) {step.name}  ", style="bold"), end="")
            console.print(Text(f"[{step.kind}] {verdict(step)}", style=colour))
            console.print(Text(f"    {step.symbols}\n    {numbers(step)}"))
            for line in (step.why, *terms(step)):
                console.print(Text(f"      {line}", style="dim"))
        for note in chapter.notes:
            console.print(Text(f"\nnote: {note}"))
