"""Fitting one model of the tour, and measuring it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyro_vae.inference.training.sweep import fit_in
from pyro_vae.models import VQVAE, AutoregressiveCodes, LinearVAE, MixtureModel
from pyro_vae.stored.loading import load_model
from pyro_vae.stored.measured import measure_holes, measure_reconstruction, results_of_run
from pyro_vae.tour.claims import Claims, claims_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import xarray as xr

    from pyro_vae.data import Dataset
    from pyro_vae.disk.runs import Run
    from pyro_vae.inference.latents import Accuracy
    from pyro_vae.inference.latents.reference import ReferenceDensity
    from pyro_vae.models import LatentVariableModel
    from pyro_vae.tour.stops import Plan, Stop

__all__ = ["Visit", "fit_stop", "visit"]


@dataclass(frozen=True)
class Visit:
    """What was seen at one stop.

    Attributes
    ----------
    stop, model, run
        The stop, its fitted model, and where it is kept.
    reconstruction
        Mean squared error per feature on the unit interval, and its standard error; None where
        there is no code to decode.
    results
        What ``stored.measured.results_of_run`` gave; None without log p(x).
    holes
        What ``inference.latents.hole_test`` gave; None where there is no code to decode.
    claims
        What ``claims_of`` gave; None where it was not asked.
    """

    stop: Stop
    model: LatentVariableModel
    run: Run
    reconstruction: tuple[float, float] | None
    results: xr.Dataset | None
    holes: xr.Dataset | None
    claims: Claims | None = None


def fit_stop(stop: Stop, data: Dataset, plan: Plan, out: Path, *, overwrite: bool) -> Run:
    """Fit a stop's model in its folder, go on with it, or find it done."""
    model = stop.build(data, plan)
    if stop.follows is not None:
        first = load_model(out / stop.follows)
        assert isinstance(first, VQVAE)
        model = first.with_prior(AutoregressiveCodes(seed=plan.seed))
    # A mixture has few parameters, and each moves little for one datum.
    faster = 10 if isinstance(model, MixtureModel | LinearVAE) else 1
    return fit_in(
        out / stop.name,
        model,
        data,
        stop.objective,
        overwrite=overwrite,
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        learning_rate=faster * plan.learning_rate,
        schedule="cosine",
        seed=plan.seed,
    )


def visit(
    stop: Stop,
    run: Run,
    data: Dataset,
    reference: ReferenceDensity,
    *,
    by_pixel: Accuracy | None,
    limit: int | None,
    num_particles: int,
    data_root: Path | None = None,
    seed: int = 0,
    n_jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Visit:
    """Measure a fitted stop on held-out data.

    Parameters
    ----------
    stop, run, data
        The stop, its run and its data.
    reference
        Density of real images, for the hole test.
    by_pixel
        What ``pixel_accuracy`` gave of the data.
    limit
        Held-out data to measure log p(x) on.
    num_particles
        Particles of log p(x).
    data_root
        Folder with the data sets.
    seed
        Seed of draws and pairs.
    n_jobs
        Processes that log p(x) is shared out to.
    progress
        As for ``inference.evaluate``.
    """
    model = load_model(run)
    coded = not isinstance(model, MixtureModel)
    error = holes = results = None
    if coded:
        errors = measure_reconstruction(model, data)["squared_error"].values
        error = float(errors.mean()), float(errors.std(ddof=1) / math.sqrt(len(errors)))
        holes = measure_holes(model, data, reference, seed=seed)
    if model.has_evidence:
        results = results_of_run(
            run,
            data_root=data_root,
            limit=limit,
            num_particles=num_particles,
            seed=seed,
            n_jobs=n_jobs,
            progress=progress,
        )
    claims = claims_of(
        model, data, results, by_pixel=by_pixel, num_particles=num_particles, seed=seed
    )
    return Visit(stop, model, run, error, results, holes, claims)
