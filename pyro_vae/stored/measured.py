"""A model of the package measured on the held-out part of its data, ready to be compared."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from pyro_vae import inference
from pyro_vae.conversion.streamed import SAMPLE, streamed_part
from pyro_vae.data.reading.origin import checksum_of_file
from pyro_vae.data.streamed.dataset import StreamedDataset
from pyro_vae.disk.sealed import checksum_of_arrays, checksum_of_rows
from pyro_vae.errors import DataError, ProgramError, RunError, message_of
from pyro_vae.inference.engine.inputs import count, first_rows, take, tensors
from pyro_vae.inference.engine.sampling import Sampling, SamplingSettings
from pyro_vae.inference.evidence.certify import ESTIMATORS, estimate
from pyro_vae.inference.evidence.checkpoint import (
    Checkpoint,
    CheckpointInParts,
    in_blocks,
    key_of,
)
from pyro_vae.inference.evidence.compare import attach, describe_data, log_jacobian_of
from pyro_vae.inference.evidence.reductions import reduce_weights
from pyro_vae.marginals import without_masks
from pyro_vae.protocols import HasUnamortised, offers
from pyro_vae.spelling import command_line
from pyro_vae.stored.loading import load_data, load_model, load_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Unpack

    import pandas as pd
    import xarray as xr

    from pyro_vae.data import Dataset
    from pyro_vae.data.any_dataset import AnyDataset
    from pyro_vae.disk.runs import Run
    from pyro_vae.inference.latents.reference import ReferenceDensity
    from pyro_vae.models import LatentVariableModel

__all__ = [
    "certify_run",
    "further_results",
    "gap_of_run",
    "gap_sentence",
    "hole_reference",
    "measure_holes",
    "measure_notes",
    "measure_reconstruction",
    "measure_run",
    "measure_split",
    "measure_summary",
    "measured_data",
    "require_gap_parts",
    "results_of_run",
    "seal_of_data",
]

#: Pictures that the reference density of the hole test is fitted to, at most.
_REFERENCE_ROWS = 10_000

#: Data at which it is seen whether a setting bounds a parameter of p(x | z).
_BOUND_ROWS = 500


class MeasureSettings(SamplingSettings, total=False):
    """What ``measure_split`` takes beside the model and the data."""

    num_particles: int
    iwae: Sequence[int]
    progress: Callable[[int, int], None] | None


class EstimateSettings(TypedDict, total=False):
    """The numbers that ``inference.certify`` takes."""

    num_particles: int
    num_temperatures: int
    num_chains: int
    seed: int


def measure_run(
    run: Run,
    *,
    data_root: Path | None = None,
    on: Path | None = None,
    split: str = "test",
    limit: int | None = None,
    **settings: Unpack[MeasureSettings],
) -> xr.Dataset:
    """Measure a run on its own data, or on other rows, and keep the results in it.

    Parameters
    ----------
    run
        A run that was trained.
    data_root
        Folder with the data sets; see ``data.load``.
    on
        File with other rows of the run's schema, in the place of its test data.
    split, limit
        Part of the data, and how many of it.
    **settings
        Other arguments of ``measure_split``.
    """
    with run.locked():
        model, data = load_model(run), load_data(run, data_root=data_root, on=on)
        asked, weights = _asked(on=on, split=split, limit=limit, **settings), run.weights_seal()
        trained = float(run.metrics()["seconds"].iloc[-1])
        key = f"{asked} {weights}"
        checkpoint = Checkpoint(run.path / "evidence.partial.nc", key)
        if isinstance(data, StreamedDataset):
            checkpoint = CheckpointInParts(run.path / "evidence.partial", key)
        if model.has_evidence:
            held_out = _held_out(model.evidence_model, data, split, limit)
            checkpoint.key += f" {seal_of_data(held_out)}"
        results = measure_split(
            model, data, split=split, limit=limit, checkpoint=checkpoint, **settings
        )
        results.attrs.update(seconds=trained, asked=asked)
        if on is not None:
            results.attrs.update(on=str(on.absolute()), on_checksum=checksum_of_file(on))
        run.write_results(results)
        checkpoint.clear()
    return results


def certify_run(
    run: Run,
    estimators: Sequence[str],
    *,
    again: bool = True,
    data_root: Path | None = None,
    on: Path | None = None,
    split: str = "test",
    limit: int | None = None,
    n_jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **numbers: Unpack[EstimateSettings],
) -> inference.evidence.Certificate:
    """Estimates of log p(x) of a run by several methods, kept in it as ``evidence-NAME.nc``.

    Parameters
    ----------
    run, data_root, on, split, limit
        As for ``measure_run``.
    estimators
        Names out of ``inference.evidence.certify.ESTIMATORS``.
    again
        Whether to measure what the run has of these settings, weights and data too.
    n_jobs
        Processes that the data are shared out to, as for ``log_weights``.
    progress
        Called with the number of data done, over all the estimators, and their total.
    **numbers
        Particles, temperatures, chains and seed, as for ``inference.certify``.
    """
    found, left_out = {}, {}
    with run.locked():
        model = load_model(run).evidence_model
        x = _held_out(model, load_data(run, data_root=data_root, on=on), split, limit)
        seal, total = seal_of_data(x), count(x)
        for index, name in enumerate(estimators):
            settings = key_of(in_blocks, estimate, name=name, split=split, limit=limit, **numbers)
            asked = f"{settings} {seal}"

            def tell(done: int, _: int, index: int = index) -> None:
                if progress is not None:
                    progress(index * total + done, len(estimators) * total)

            kept = None if again else _kept(run, f"evidence-{name}.nc", asked)
            if kept is not None:
                found[name] = kept
                tell(total, total)
                continue

            def block(part: Any, name: str = name) -> xr.Dataset:
                return estimate(name, model, part, **numbers)

            key = f"{asked} {run.weights_seal()}"
            checkpoint = Checkpoint(run.path / f"evidence-{name}.partial.nc", key)
            try:
                found[name] = in_blocks(block, x, checkpoint, n_jobs=n_jobs, progress=tell)
            except ProgramError as error:
                left_out[name] = message_of(error)
                continue
            found[name].attrs["asked"] = asked
            run.write_results(found[name], f"evidence-{name}.nc")
            checkpoint.clear()
    return inference.evidence.Certificate(found, left_out)


def _kept(run: Run, name: str, asked: str) -> xr.Dataset | None:
    """Results that the run has of its weights, if they are what is asked."""
    try:
        results = run.results(name)
    except RunError:
        return None
    return results if results.attrs.get("asked") == asked else None


def gap_of_run(
    run: Run,
    *,
    data_root: Path | None = None,
    on: Path | None = None,
    split: str = "test",
    limit: int | None = None,
    num_particles: int = 5000,
    steps: int = 1000,
    progress: Callable[[int, int], None] | None = None,
    **sampling: Unpack[SamplingSettings],
) -> xr.Dataset:
    """The gap of a run in its parts, kept in it as ``gap.nc``; see ``inference.gap_parts``."""
    with run.locked():
        model = require_gap_parts(run)
        x = _held_out(model, load_data(run, data_root=data_root, on=on), split, limit)
        if streamed_part(x) is not None:
            if count(x) > SAMPLE:
                raise DataError(
                    f"--gap fits a guide to all data at once, {count(x):,} of which are streamed: "
                    f"say --limit {SAMPLE} or less"
                )
            x = take(x, slice(None))
        parts = inference.gap_parts(
            model, x, num_particles, steps=steps, progress=progress, **sampling
        )
        parts.attrs["asked"] = key_of(
            inference.gap_parts,
            inference.evaluate,
            reduce_weights,
            Sampling,
            split=split,
            limit=limit,
            num_particles=num_particles,
            steps=steps,
            **sampling,
        )
        run.write_results(parts, "gap.nc")
    return parts


def require_gap_parts(run: Run) -> Any:
    """The model of a run whose gap can be taken apart.

    Raises
    ------
    ProgramError
        If its guide cannot be given to one datum alone.
    """
    model = load_model(run).evidence_model
    if not offers(model, HasUnamortised):
        raise ProgramError(
            f"--gap is not for {run.path.name}: a {type(model).__name__} has no form of its guide "
            "with parameters of one datum, against which the encoder's share would be measured; "
            "leave --gap out"
        )
    return model


def further_results(run: Run) -> str:
    """What else a run holds beside ``evidence.nc``: other estimates, and the gap taken apart."""
    found = {}
    for name in ESTIMATORS:
        if (run.path / f"evidence-{name}.nc").is_file():
            found[name] = run.results(f"evidence-{name}.nc")
    lines = [str(inference.evidence.Certificate(found, {}))] if found else []
    if (run.path / "gap.nc").is_file():
        lines.append(gap_sentence(run.results("gap.nc")))
    return "\n".join(lines)


def gap_sentence(parts: xr.Dataset) -> str:
    """The parts of the gap in words."""
    whole, family, encoder = (
        float(parts[name].mean()) for name in ("gap", "approximation_gap", "amortisation_gap")
    )
    return (
        f"gap {whole:.3f} = approximation gap {family:.3f} (the family of the guide) + "
        f"amortisation gap {encoder:.3f} (the encoder), nats per datum, at the best guide of each "
        f"datum{'' if parts.attrs['converged'] else ', which has NOT converged'}"
    )


def _held_out(model: LatentVariableModel, data: AnyDataset, split: str, limit: int | None) -> Any:
    """What a model takes of a split, its first so many rows."""
    data.require_taken(model.inputs)
    x: Any = getattr(data, split)
    if model.inputs:
        x = data.inputs(split, model.inputs)
    x = first_rows(x, limit)
    if count(x) == 0:
        raise DataError(f"the {split} split of {data.name} is empty: choose another")
    return x


def results_of_run(
    run: Run,
    *,
    data_root: Path | None = None,
    on: Path | None = None,
    split: str = "test",
    limit: int | None = None,
    **settings: Unpack[MeasureSettings],
) -> xr.Dataset:
    """Results of ``measure_run`` with these settings: those that the run has, or else new ones."""
    kept = _kept(run, "evidence.nc", _asked(on=on, split=split, limit=limit, **settings))
    if kept is not None:
        return kept
    return measure_run(run, data_root=data_root, on=on, split=split, limit=limit, **settings)


def measured_data(
    run: Run, results: xr.Dataset | None, *, data_root: str | Path | None = None
) -> Dataset:
    """The data of a run, with those rows as test data that its results are of.

    Raises
    ------
    RunError
        If the file that was measured on is gone, or has changed.
    """
    on = None if results is None else results.attrs.get("on")
    if results is None or on is None:
        return load_rows(run, data_root=data_root)
    path = Path(on)
    if not path.exists() or checksum_of_file(path) != results.attrs["on_checksum"]:
        what = "has changed since" if path.exists() else "is not there any more"
        raise RunError(
            f"{path}, on which {run.path} was measured, {what}: run "
            f"`{command_line('evaluate', run.path)}` on data that are there"
        )
    return load_rows(run, data_root=data_root, on=path)


def _asked(*, on: Path | None = None, **settings: object) -> str:
    """What decides the numbers of ``measure_run`` on one run, as text."""
    if on is not None:
        settings["on"] = checksum_of_file(on)
    return key_of(
        measure_run,
        measure_split,
        inference.evaluate,
        reduce_weights,
        Sampling,
        **settings,
    )


def seal_of_data(x: Any) -> str:
    """Checksum of the data that are measured."""
    if streamed_part(x) is not None:
        seals = []
        for part in tensors(x):
            lead: Any = part
            dtype = str(lead.dtype).removeprefix("torch.")
            rows = (block.cpu().numpy() for _, block in lead.blocks())
            seals.append(checksum_of_rows(rows, dtype, tuple(lead.shape)))
        return " ".join(seals)
    return checksum_of_arrays(part.cpu().numpy() for part in tensors(x))


def measure_split(
    model: LatentVariableModel,
    data: AnyDataset,
    *,
    split: str = "test",
    limit: int | None = None,
    checkpoint: Checkpoint | None = None,
    **settings: Unpack[MeasureSettings],
) -> xr.Dataset:
    """``inference.evaluate`` on a split, with what a comparison needs to know of the data.

    Parameters
    ----------
    model, data
        A model and its data set.
    split
        ``"train"``, ``"validation"`` or ``"test"``.
    limit
        Use the first so many data.
    checkpoint
        Where to keep what is done, and to go on from.
    **settings
        Other arguments of ``inference.evaluate``.

    Raises
    ------
    DataError
        If the split is empty.
    """
    if not model.has_evidence:
        raise ProgramError(
            f"{type(model).__name__} has no prior, so that log p(x) is not defined: `pyro-vae "
            "report` shows its reconstructions; `pyro-vae tour` compares it with models that "
            "have one"
        )
    model = model.evidence_model
    x = _held_out(model, data, split, limit)
    results = attach(
        inference.evaluate(model, x, checkpoint=checkpoint, **settings), describe_data(data, x)
    )
    results.attrs.update(data=data.name, split=str(split))
    if model.amortised:
        results.attrs["at_bounds"] = json.dumps(model.bounds_reached(take(x, slice(_BOUND_ROWS))))
    return results


def measure_reconstruction(
    model: LatentVariableModel, data: Dataset, *, split: str = "test", limit: int | None = None
) -> xr.Dataset:
    """``inference.latents.reconstruction_error`` on a split, counts brought to the unit interval.

    Parameters
    ----------
    model, data, split, limit
        As for ``measure_split``.
    """
    x = _held_out(model, data, split, limit)
    return inference.latents.reconstruction_error(model, x, scale=data.unit_scale)  # type: ignore[arg-type]


def hole_reference(data: Dataset, *, seed: int = 0) -> ReferenceDensity:
    """A density of the training pictures, on the unit interval, for ``measure_holes``."""
    rows = data.epoch_train(0)[:_REFERENCE_ROWS]
    return inference.latents.fit_reference(data.unit_scale * rows, seed=seed)


def measure_holes(
    model: LatentVariableModel, data: Dataset, reference: ReferenceDensity, *, seed: int = 0
) -> xr.Dataset:
    """``inference.latents.hole_test`` of a model of pictures alone, on the test split.

    Parameters
    ----------
    model, data
        A model with codes, and its data set.
    reference
        What ``hole_reference`` gave.
    seed
        Seed of pairs and draws.
    """
    return inference.latents.hole_test(
        model,  # type: ignore[arg-type]
        data.epoch_train(0),
        data.test,
        reference=reference,
        labels=None if data.labels is None else data.labels["test"],
        scale=data.unit_scale,
        seed=seed,
    )


def measure_notes(results: xr.Dataset) -> list[str]:
    """Sentences on the units of the bounds, and on what is decided by a setting."""
    notes = []
    shift = float(np.mean(log_jacobian_of(results)))
    if shift:
        mean = " on average" if "log_jacobian" in results else ""
        notes.append(
            f"log p(x) is the density of the data as they were fitted; in their original units "
            f"every bound is {shift:+.3f} nats from these{mean}."
        )
    if "observed_cells" in results.attrs:
        cells, size = results.attrs["observed_cells"], results.attrs["num_features"]
        base = str(results.attrs["base_measure"])
        how = "missing ones are integrated out, as if missing at random"
        if without_masks(base) != base:
            how = "with those that are missing, which are data too: log p(x, m)"
        notes.append(
            f"log p(x) is that of the observed cells, {cells:.4g} of the {size} of a datum on "
            f"average; {how}."
        )
    return notes + json.loads(results.attrs.get("at_bounds", "[]"))


def measure_summary(results: xr.Dataset) -> pd.DataFrame:
    """``inference.summary``, with bits per dimension where x is discrete."""
    table = inference.summary(results)
    if results.attrs["base_measure"] == "counting":
        # A mass of 2^-b per feature: b = -log p(x) / (D log 2).
        cells = results.attrs.get("observed_cells", results.attrs["num_features"])
        per_bit = cells * math.log(2)
        row = table.loc["log_evidence"] / per_bit
        table.loc["bits_per_dim"] = [-row["mean"], row["mc_se"], row["sampling_se"]]
    return table
