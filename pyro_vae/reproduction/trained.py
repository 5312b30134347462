"""A part that is one run: a model trained on a schedule, and its log p(x) measured."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae import data as datasets
from pyro_vae import inference
from pyro_vae.cards.card import listed
from pyro_vae.cards.of_results import found_of_results
from pyro_vae.disk.runs import Run
from pyro_vae.inference.training.sweep import fit_in
from pyro_vae.reproduction.experiment import Part, Place, Plan, load_form
from pyro_vae.stored.loading import load_model
from pyro_vae.stored.measured import certify_run, results_of_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pandas as pd
    import xarray as xr

    from pyro_vae.cards.card import Found
    from pyro_vae.data import Dataset
    from pyro_vae.models import LatentVariableModel
    from pyro_vae.stored.measured import EstimateSettings

__all__ = [
    "IWAE_SCHEDULES",
    "TrainedPart",
    "Training",
    "constant",
    "iwae_stages",
    "warmed_cosine",
]

#: Points of a learning curve that a card keeps, at most.
_CURVE = 200

#: Epochs, each of as many batches, by which the length of an epoch is foreseen.
_PILOT_EPOCHS, _PILOT_BATCHES = 3, 60


@dataclass(frozen=True)
class Training:
    """A schedule of training.

    Attributes
    ----------
    epochs, batch_size, learning_rate
        As for ``inference.fit``.
    schedule
        What gives, for so many epochs, a multiplier of the learning rate by the share done.
    note
        Where it comes from.
    after
        The part at whose weights it begins, which is trained before; None for new weights.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: Callable[[int], Callable[[float], float]]
    note: str
    after: TrainedPart | None = None


def iwae_stages(epochs: int) -> Callable[[float], float]:
    """Multipliers of Burda et al. (2016): 10^(-i/7) for 3^i epochs of 3,280, i = 0..7.

    Parameters
    ----------
    epochs
        Epochs in all; stages keep their shares.
    """
    ends = [end / 3280 for end in itertools.accumulate(3**i for i in range(8))]
    # One decimal, as the authors' code has them.
    rates = [round(10 ** (1 - i / 7), 1) / 10 for i in range(8)]

    def multiplier(share: float) -> float:
        # The epoch's number is exact where its share, a quotient, is rounded.
        done = round(share * epochs) / epochs
        return next(rate for end, rate in zip(ends, rates, strict=True) if done < end)

    return multiplier


def constant(epochs: int) -> Callable[[float], float]:
    """The same rate at every epoch."""
    return lambda share: 1.0


def warmed_cosine(warmup: int) -> Callable[[int], Callable[[float], float]]:
    """A cosine to zero, after so many epochs in which the rate grows in equal steps.

    Loshchilov & Hutter (2017), arXiv 1608.03983, without restarts.
    """

    def of(epochs: int) -> Callable[[float], float]:
        def multiplier(share: float) -> float:
            grown = min(1.0, (round(share * epochs) + 1) / (warmup + 1))
            return grown * 0.5 * (1.0 + math.cos(math.pi * share))

        return multiplier

    return of


#: Schedules for the networks of Burda et al. (2016); the second was chosen on validation data.
IWAE_SCHEDULES: dict[str, Training] = {
    "paper": Training(
        3280,
        20,
        1e-3,
        iwae_stages,
        "the authors' stages: 0.001 to 0.0001 over 3,280 epochs, in batches of 20",
    ),
    "sooner": Training(
        1000,
        100,
        2e-3,
        warmed_cosine(2),
        "a cosine to zero from 0.002 after two epochs of warm-up, in batches of 100: chosen by "
        "the bound of 10,000 training images that were held out, after 200 epochs",
    ),
}


@dataclass(frozen=True)
class TrainedPart(Part):
    """A model of the package, trained in a run of its own.

    Attributes
    ----------
    name, title
        Folder of the run, and heading.
    model
        Makes the model, for a data set and a seed.
    objective
        Name of its objective; the model's own where None.
    form
        How ``data.load`` is asked for the data.
    own_data
        Name of the experiment's own data set.
    schedules
        Schedules of training by name.
    split
        What is measured: ``"test"``, or ``"train"`` where the paper's numbers are of that.
    """

    name: str
    title: str
    model: Callable[[Dataset, int], LatentVariableModel]
    objective: str | None
    form: Mapping[str, Any]
    own_data: str
    schedules: Mapping[str, Training] = field(default_factory=lambda: IWAE_SCHEDULES)
    split: str = "test"

    def train(self, plan: Plan, place: Place) -> None:
        """Fit the model in its folder, go on, or find it done."""
        self.train_run(self.load(plan, place), plan, place)

    def load(self, plan: Plan, place: Place) -> Dataset:
        """The data in the form of the part."""
        return load_form(self.form, plan, place.data_root, own=plan.data == self.own_data)

    def train_run(self, data: Dataset, plan: Plan, place: Place) -> None:
        """Fit one run on these data in the folder of the place, go on, or find it done."""
        training = self.schedules[plan.schedule]
        if _is_begun(place):
            plan = plan.as_trained(Run.open(place.folder).config()["fit"])
        epochs = self._epochs(training, plan, data)
        fit_in(
            place.folder,
            self._at_first(data, plan, place),
            data,
            self.objective,
            overwrite=place.overwrite,
            progress=place.show,
            epochs=epochs,
            batch_size=training.batch_size,
            learning_rate=training.learning_rate,
            schedule=training.schedule(epochs),
            seed=plan.seed,
            precision=plan.precision,
            compile=plan.compile,
        )

    def before(self, plan: Plan) -> Part | None:
        """The part at whose weights the schedule begins."""
        return self.schedules[plan.schedule].after

    def _at_first(self, data: Dataset, plan: Plan, place: Place) -> LatentVariableModel:
        """The model as its training begins; a run that was begun has weights of its own."""
        before = self.before(plan)
        if before is None or _is_begun(place):
            return self.model(data, plan.seed)
        there = place.beside(before.name)
        before.train(plan, there)
        return load_model(Run.open(there.folder))

    def measure(self, plan: Plan, place: Place) -> Found:
        """Log p(x) by importance sampling, and by annealing on some of the data."""
        run = Run.open(place.folder)
        results = self.results(run, plan, place)
        found = found_of_results(self.name, self.title, results)
        return found.model_copy(
            update={
                "model": load_model(run).description(),
                "protocol": self.protocol(plan),
                "training": self._trained(run, plan),
                "curve": _curve(run.metrics()),
                "weights": run.weights_seal(),
                "certificate": self._certificate(run, plan, place),
            }
        )

    def results(self, run: Run, plan: Plan, place: Place) -> xr.Dataset:
        """What ``evaluate`` gives of a run, as the plan has it: those that the run has, or new."""
        return results_of_run(
            run,
            data_root=place.data_root,
            split=self.split,
            limit=plan.limit,
            num_particles=plan.num_particles,
            seed=plan.seed,
            progress=place.progress,
        )

    def weights(self, folder: Path) -> str | None:
        """Checksum of the run's weights."""
        has = (folder / "weights.safetensors").is_file()
        return Run.open(folder).weights_seal() if has else None

    def _epochs(self, training: Training, plan: Plan, data: Dataset) -> int:
        """Epochs of the plan, or as many as its minutes allow."""
        epochs = plan.epochs or training.epochs
        if plan.minutes is None:
            return epochs
        seconds = self._seconds_of_epoch(training, plan, data)
        return max(1, min(epochs, int(60 * plan.minutes / seconds)))

    def _seconds_of_epoch(self, training: Training, plan: Plan, data: Dataset) -> float:
        """What an epoch takes on this machine, by a short training that is thrown away."""
        size = len(data.train)
        few = min(size, _PILOT_BATCHES * training.batch_size)
        fewer = datasets.Dataset.from_tensors(data.epoch_train(0)[:few], kind=data.kind)
        tried = inference.fit(
            self.model(data, plan.seed),
            fewer,
            self.objective,
            epochs=_PILOT_EPOCHS,
            batch_size=training.batch_size,
            precision=plan.precision,
            compile="graph" if plan.compile == "auto" else plan.compile,
            progress=False,
        )
        # The first epochs record what a step computes, and compare.
        seconds = float(tried.metrics["seconds"].diff().iloc[-1])
        # An epoch also draws its binary images.
        began = time.perf_counter()
        data.epoch_train(0)
        return seconds * size / few + time.perf_counter() - began

    def _trained(self, run: Run, plan: Plan) -> dict[str, Any]:
        fit, metrics = run.config()["fit"], run.metrics()
        return {
            **fit,
            "note": self.schedules[plan.schedule].note,
            "epochs_done": len(metrics),
            "best_epoch": int(run.notes("weights.safetensors")["epoch"]),
            "seconds": round(float(metrics["seconds"].iloc[-1]), 1),
        }

    def _certificate(self, run: Run, plan: Plan, place: Place) -> str:
        """What importance sampling and annealing say of the first so many data."""
        if plan.num_annealed < 2 or not place.certify:
            return ""
        names, own = self.estimates()
        numbers: EstimateSettings = {
            **own,
            "num_particles": plan.num_particles,
            "seed": plan.seed,
        }
        return str(
            certify_run(
                run,
                names,
                again=False,
                data_root=place.data_root,
                split=self.split,
                limit=min(plan.num_annealed, plan.limit or plan.num_annealed),
                progress=place.progress,
                **numbers,
            )
        )

    def estimates(self) -> tuple[list[str], EstimateSettings]:
        """Estimators of the certificate, and settings of theirs."""
        return ["exact", "importance", "ais"], {}


def _is_begun(place: Place) -> bool:
    """Whether a run is in the folder, with which training goes on."""
    return (place.folder / "config.json").is_file() and not place.overwrite


def _curve(metrics: pd.DataFrame) -> dict[str, list[float | None]]:
    """Epochs and bounds of a training, evenly thinned on the logarithm of the epoch."""
    last = len(metrics)
    kept = np.unique(np.geomspace(1, last, min(last, _CURVE)).round().astype(int)) - 1
    rows = metrics.iloc[kept]
    return {
        "epoch": listed(rows["epoch"]),
        "train_elbo": listed(rows["train_elbo"]),
        "validation_elbo": listed(rows["validation_elbo"]),
    }
