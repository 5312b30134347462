"""``pyro-vae tour``: every model of the story on one data set, in one report."""

from __future__ import annotations

import itertools
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pyro_vae import data as datasets
from pyro_vae import plots
from pyro_vae.cli.options import (
    BatchSize,
    DataName,
    DataOptions,
    DataRoot,
    Hidden,
    Jobs,
    Json,
    LearningRate,
    Optimisation,
    Seed,
    overwrite_of,
    widths,
)
from pyro_vae.cli.output import print_json
from pyro_vae.cli.report import provenance
from pyro_vae.disk.files import write_whole
from pyro_vae.disk.runs import Run
from pyro_vae.errors import UnknownNameError
from pyro_vae.inference.training.sweep import claimed_folder
from pyro_vae.pages.report import Section, save_figure, write_report
from pyro_vae.progress import measuring
from pyro_vae.spelling import split_list
from pyro_vae.stored.measured import hole_reference
from pyro_vae.tour import (
    MOON_STOPS,
    STOPS,
    MoonStop,
    MoonVisit,
    Plan,
    Stop,
    Visit,
    claims_table,
    conclusions,
    figures,
    fit_moons,
    fit_stop,
    hole_table,
    likelihood_for,
    moon_sentences,
    moon_table,
    moon_walks,
    pixel_accuracy,
    table,
    visit,
    visit_moons,
)
from pyro_vae.workers import shared_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from pyro_vae.data import Dataset

__all__ = ["tour"]

_INTRODUCTION = (
    "Every model of the story on the same data, with codes of the same length, measured on "
    "held-out data. Squared error: per pixel on the unit interval, of data decoded from their "
    "codes. ELBO and log p(x): nats per datum; ≥ marks a bound, where z is discrete or nothing "
    "confirms the error of more than one datum in twenty. A density cannot be ranked beside "
    "masses, and an autoencoder has no log p(x). In brackets: sampling standard errors."
)
_HOLES = (
    "What is decoded from mid-points between the codes of different held-out data, and from "
    "draws from a normal fitted to the codes. A reference density of real pictures judges it "
    "(nats, high is good), and so does the distance to the nearest training picture (per pixel, "
    "low is good). In brackets: standard errors."
)
_CLAIMS = (
    "Sharpness: energy of the Laplacian beside the variance, as a share of the data's, of data "
    "decoded from their codes and of means of p(x | z) at draws of z; 1 is as sharp as data. "
    "Memory: the share of pairs of a draw of x and a held-out picture of which the draw is the "
    "nearer to the training data, 0.5 without memory, and its distance from that in standard "
    "errors; and mean log p(x) of training data less that of held-out data. Classes: the share "
    "of held-out data whose class the five nearest training codes name. Directions: the share of "
    "held-out data, moved by the difference of two classes' mean codes and decoded, that logistic "
    "regression takes for the other class, over all pairs of classes, and of the worst pair. "
    "Augmentation: what logistic regression of five labelled data a class gains in accuracy by "
    "what is decoded between their codes. In brackets: standard errors."
)
_MOONS = (
    "An autoencoder and a VAE of the same networks, with codes of two numbers, fitted to "
    "crescents, half and full moons, and to moons of every phase. What is decoded half-way "
    "between the codes of 200 held-out half and full moons is held against true moons of every "
    "phase, radius, place and brightness: distance to the nearest (root mean square per pixel), "
    "its lit fraction, and the share that is a three-quarter moon: as near to a true moon as 19 "
    "in 20 of the model's own reconstructions, and lit by 0.75 to a tenth. In brackets: standard "
    "errors."
)
#: Passes over 1,500 moons, at most.
_MOON_EPOCHS = 25


def tour(
    data: DataName = DataOptions.data,
    out: Annotated[
        Path | None, typer.Option(help="Folder for runs and report. Default: runs/tour-DATA.")
    ] = None,
    stops: Annotated[
        str, typer.Option(help="Models with commas between; all of them by default.")
    ] = "",
    binarisation: Annotated[
        str | None,
        typer.Option(help="As for fit. Default: threshold for grey levels, none for counts."),
    ] = None,
    latent_dim: Annotated[int, typer.Option(min=1, help="Length of every code.")] = 8,
    hidden: Hidden = "200,100",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Passes over the data. Default: about 2,000 steps, at least 8."),
    ] = None,
    batch_size: BatchSize = 64,
    learning_rate: LearningRate = Optimisation.learning_rate,
    particles: Annotated[
        int, typer.Option(min=2, help="Draws from the guide per datum, for log p(x).")
    ] = 1000,
    limit: Annotated[
        int, typer.Option(min=2, help="Held-out data on which log p(x) is measured, at most.")
    ] = 500,
    seed: Seed = 0,
    jobs: Jobs = None,
    data_root: DataRoot = None,
    overwrite: Annotated[bool, overwrite_of("the runs of an earlier tour")] = False,
    as_json: Json = False,
) -> None:
    """Fit PCA, autoencoders, VAEs, a mixture and VQ-VAEs at one code size; write report.html.

    In the order of the story, with reconstruction error, log p(x) or its bound, bits per
    dimension, the hole test, draws and interpolations. With the deep autoencoder and the VAE
    comes the claim of the three-quarter moon, on moons. Stopped, the same command goes on.
    """
    started = time.monotonic()
    chosen = _chosen(stops)
    dataset = _load(data, binarisation, seed, data_root)
    likelihood_for(dataset)
    steps_per_epoch = max(1, len(dataset.train) // batch_size)
    plan = Plan(
        latent_dim,
        widths(hidden),
        max(8, round(2000 / steps_per_epoch)) if epochs is None else epochs,
        batch_size,
        learning_rate,
        seed,
    )
    out = Path("runs") / f"tour-{data}" if out is None else out
    with claimed_folder(
        out / "tour.json",
        {"data": repr(dataset), **vars(plan), "hidden": list(plan.hidden)},
        holds="a tour with other data or settings",
        overwrite=overwrite,
    ):
        console = Console(highlight=False, soft_wrap=True, stderr=True)
        console.print("a reference density of real pictures, for the hole test")
        reference = hole_reference(dataset, seed=seed)
        fit = partial(_fit, dataset, plan, out, overwrite)
        # What follows another stop waits for it.
        rounds = [[s for s in chosen if (s.follows is not None) == later] for later in (0, 1)]
        fitted = itertools.chain.from_iterable(
            shared_out(fit, [(stop,) for stop in stops], jobs) for stops in rounds
        )
        for number, stop in enumerate(itertools.chain(*rounds), start=1):
            console.print(f"{number} of {len(chosen)}: {stop.title}", markup=False)
            next(fitted)
        by_pixel = pixel_accuracy(dataset)
        visits: list[Visit] = []
        for stop in chosen:
            with measuring(f"measuring {stop.name}", show=False if as_json else None) as progress:
                visits.append(
                    visit(
                        stop,
                        Run.open(out / stop.name),
                        dataset,
                        reference,
                        by_pixel=by_pixel,
                        limit=min(limit, len(dataset.test)),
                        num_particles=particles,
                        data_root=data_root,
                        seed=seed,
                        n_jobs=jobs,
                        progress=progress,
                    )
                )
        moons: list[MoonVisit] = []
        if {"deep-autoencoder", "vae"} <= {stop.name for stop in chosen}:
            console.print("the three-quarter moon: an autoencoder and a VAE on moons")
            passes = _MOON_EPOCHS if epochs is None else min(epochs, _MOON_EPOCHS)
            work = partial(_fit_moons, out, passes, seed, overwrite)
            for _ in shared_out(work, [(stop,) for stop in MOON_STOPS], jobs):
                pass
            moons = [visit_moons(stop, out, seed=seed) for stop in MOON_STOPS]
        _conclude(out, visits, moons, dataset, seed, time.monotonic() - started, as_json)


def _fit(
    data: Dataset,
    plan: Plan,
    out: Path,
    overwrite: bool,
    stop: Stop,
) -> Iterator[None]:
    """Fit a stop in its folder."""
    fit_stop(stop, data, plan, out, overwrite=overwrite)
    yield


def _fit_moons(
    out: Path, epochs: int, seed: int, overwrite: bool, stop: MoonStop
) -> Iterator[None]:
    """Fit a model of moons in its folder."""
    fit_moons(stop, out, epochs=epochs, seed=seed, overwrite=overwrite)
    yield


def _chosen(text: str) -> list[Stop]:
    """The stops that were asked for, in the order of the story, with what they follow."""
    names = [stop.name for stop in STOPS]
    wanted = set(split_list(text)) or set(names)
    for name in wanted:
        if name not in names:
            raise UnknownNameError("stop of the tour", name, names)
    wanted |= {stop.follows for stop in STOPS if stop.follows and stop.name in wanted}
    return [stop for stop in STOPS if stop.name in wanted]


def _load(name: str, binarisation: str | None, seed: int, data_root: Path | None) -> Dataset:
    """The data as binary pictures or as small counts."""
    if binarisation is None:
        known = {entry.name: entry for entry in datasets.catalogue(data_root=data_root)}
        grey = name in known and known[name].kind == "unit-interval"
        binarisation = "threshold" if grey else "none"
    return datasets.load(name, binarisation=binarisation, seed=seed, data_root=data_root)


def _conclude(
    out: Path,
    visits: list[Visit],
    moons: list[MoonVisit],
    data: Dataset,
    seed: int,
    seconds: float,
    as_json: bool,
) -> None:
    """Write the report, and print the table and what it shows."""
    found, judged, claimed = table(visits), hole_table(visits), claims_table(visits)
    sentences = conclusions(visits) + (moon_sentences(moons) if moons else [])
    sections = [_section(seen, data, out, seed) for seen in visits]
    holes = {seen.stop.title: seen.holes for seen in visits if seen.holes is not None}
    if holes:
        figure = plots.hole_scores(holes)
        save_figure(figure, out / "figures" / "holes.png")
        caption = (
            "Decoded mid-points between codes, and decoded draws around them: bars are two "
            "standard errors."
        )
        part = Section("Holes in the latent space", _HOLES, {caption: figure}, judged)
        sections.insert(0, part)
    if moons:
        sections.insert(0, _moon_section(moons, out))
    sections.insert(0, Section("Claims of the introductions", _CLAIMS, {}, claimed))
    measured = next((seen.results for seen in visits if seen.results is not None), None)
    path = out / "report.html"
    write_report(
        path,
        title=f"{data.name}: from PCA to the VQ-VAE",
        introduction=_INTRODUCTION,
        table=found,
        sections=sections,
        conclusions=sentences,
        provenance=provenance(data, measured),
    )
    write_whole(out / "tour.csv", found.join(judged).join(claimed).fillna("-").to_csv())
    if as_json:
        print_json(
            {
                "table": found.to_dict(orient="index"),
                "holes": judged.to_dict(orient="index"),
                "claims": claimed.to_dict(orient="index"),
                "moons": moon_table(moons).to_dict(orient="index"),
                "conclusions": sentences,
                "report": str(path),
                "seconds": seconds,
            }
        )
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(_printed(found, "held-out data (sampling standard error)"))
    if holes:
        console.print(_printed(judged, "the hole test (standard error)"))
    console.print(_printed(claimed, "claims of the introductions (standard error)"))
    if moons:
        console.print(_printed(moon_table(moons), "half-way from half to full (standard error)"))
    for sentence in sentences:
        console.print(sentence, markup=False)
    console.print(f"report: {path}  ({seconds:.0f} s)")


def _moon_section(moons: list[MoonVisit], out: Path) -> Section:
    figure = moon_walks(moons)
    save_figure(figure, out / "figures" / "moons.png")
    caption = "From a half moon to a full one: the true phases, and straight lines between codes."
    return Section("Half-way between two moons", _MOONS, {caption: figure}, moon_table(moons))


def _section(seen: Visit, data: Dataset, out: Path, seed: int) -> Section:
    drawn = figures(seen, data, seed=seed)
    for number, figure in enumerate(drawn.values(), start=1):
        save_figure(figure, out / "figures" / f"{seen.stop.name}-{number}.png")
    return Section(seen.stop.title, f"{seen.stop.why}\n\n{seen.model.description()}", drawn)


def _printed(found: pd.DataFrame, title: str) -> Table:
    shown = Table(title=title, title_justify="left")
    shown.add_column("")
    for column in found.columns:
        shown.add_column(column, justify="right")
    for name, row in found.iterrows():
        shown.add_row(str(name), *row)
    return shown
