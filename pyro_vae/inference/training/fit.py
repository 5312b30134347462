"""The SVI loop: one optimiser over a module's own parameters, resumable to the bit.

Hoffman, Blei, Wang & Paisley (2013), arXiv 1206.7051; the loss is minus the objective's bound,
averaged over the batch, in nats per datum. Its parts are in ``training``.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.data.scales import scale_note
from pyro_vae.formulas import described
from pyro_vae.inference.engine.inputs import count
from pyro_vae.inference.training.adam import AdamByKernel
from pyro_vae.inference.training.by_graph import batch_loss_of
from pyro_vae.inference.training.devices import PRODUCTS, fabric_on, is_alone, matrix_products
from pyro_vae.inference.training.epochs import EpochBounds, run_epochs
from pyro_vae.inference.training.folder import TrainingFolder, config_of, held_run
from pyro_vae.inference.training.loss import Loss, ThroughHandlers
from pyro_vae.inference.training.objectives import (
    default_objective_of,
    objective_of,
    tell_num_data,
    tell_share,
)
from pyro_vae.inference.training.processes import Processes
from pyro_vae.inference.training.program import (
    bounds_reached,
    is_trained,
    make_ready,
    release,
    require_gradients,
    require_trainable,
)
from pyro_vae.inference.training.progress import progress_bar
from pyro_vae.inference.training.settings import Schedule, TrainingSettings, multiplier_of
from pyro_vae.inference.training.splits import Splits, dataset_of
from pyro_vae.inference.training.steps import Steps, update_by
from pyro_vae.inference.training.validation import Validation
from pyro_vae.progress import wants_bar
from pyro_vae.protocols import Facts
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from lightning_fabric import Fabric
    from pyro.infer import ELBO
    from torch import nn

    from pyro_vae.disk.runs import Run
    from pyro_vae.inference.training.state import Stopped, TrainingState, Weights

__all__ = ["FitResult", "fit"]


@dataclass(frozen=True)
class FitResult:
    """What training did.

    Attributes
    ----------
    metrics
        One row an epoch: epoch, train_elbo, validation_elbo (nats per datum), learning_rate,
        seconds (since the start of the run). The bound is the objective's own; for an
        objective that weights the KL, validation_elbo is the ELBO.
    best_epoch
        Epoch whose weights the model now holds.
    stopped
        Why training ended: ``"epochs"``, ``"patience"`` or ``"interrupt"``.
    compiled
        How the steps were made: ``"graph"``, ``"inductor"``, or ``"off"`` and why.
    """

    metrics: pd.DataFrame
    best_epoch: int
    stopped: Stopped
    compiled: str = "off"

    def _repr_html_(self) -> str:
        best = self.metrics[self.metrics["epoch"] == self.best_epoch]
        why = {"epochs": "all epochs are done", "patience": "the bound rose no more"}
        text = f"The best of {len(self.metrics)} epochs; {why.get(self.stopped, self.stopped)}"
        return f"<p>{text}. Bounds in nats per datum.</p>{best.to_html(index=False)}"


@verb
def fit(
    model: nn.Module,
    data: Any,
    objective: ELBO | str | None = None,
    *,
    epochs: int = 100,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    schedule: Schedule = "constant",
    clip_norm: float | None = None,
    patience: int | None = None,
    seed: int = 0,
    run: Run | str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    accelerator: str = "cpu",
    devices: int = 1,
    precision: str = "32-true",
    compile: str = "auto",
    progress: bool | None = None,
) -> FitResult:
    """Train a (model, guide) pair by stochastic variational inference.

    The weights kept are those with the best bound on the validation data (the last ones where
    there are none). Same seed, same machine: the same numbers to the bit, also when the run
    was interrupted and resumed. Ctrl-C ends training after the last whole epoch.

    Parameters
    ----------
    model
        Module with methods ``model(x)`` and ``guide(x)``, such as ``VAE``, ``MixtureModel``
        or your own. If it has ``initialise(x)`` and is not ``initialised``, that is called.
    data
        A ``Dataset``, what ``data.stream`` gives, or training data ``(n, *event_shape)``: a
        tensor, an array, a list, a frame, or whatever else ``Dataset.from_tensors`` takes. A
        model with ``inputs`` is given the labels, covariates or exposure that it names, too.
    objective
        Pyro ``ELBO``, or a name such as ``"iwae-50"``; the model's ``default_objective()``,
        else ``Trace_ELBO()``.
    epochs, batch_size
        Passes over the data; data per step. The last batch of an epoch may be smaller. A model
        without a parameter to train (PCA) has one epoch, which measures it.
    learning_rate
        Step size of Adam (Kingma & Ba, 2015, arXiv 1412.6980).
    schedule
        ``"constant"``, ``"cosine"`` (to zero at the end), or a function from the share of
        training done, in [0, 1), to a multiplier of the learning rate.
    clip_norm
        Bound on the norm of the gradient of the loss per datum.
    patience
        Epochs without a better validation bound after which training stops.
    seed
        Seed of the order of the data and of the draws.
    run
        Folder to keep the run in; nothing is written without one.
    resume, overwrite
        What to do with a run that is in the folder: go on with it, or replace it.
    accelerator, devices, precision
        As for Lightning Fabric: ``"cpu"``, ``"cuda"``, ``"auto"``; number of processes, which
        share every batch and give the numbers of one to rounding (leave it out where
        ``torchrun`` started them); ``"32-true"``, ``"bf16-mixed"``, ``"64-true"``. Two precisions
        more are of 32 bits all through but for matrix products, which round what they multiply
        where the machine has instructions for it, and add up in 32 bits: ``"32-high"`` to 10
        bits or more after the leading one, ``"32-medium"`` to 7
        (``torch.set_float32_matmul_precision``).
    compile
        ``"graph"``: record what a step computes, once, and repeat that without Pyro's handlers;
        its numbers are theirs to the bit. ``"auto"``: do so where the steps to come are worth
        the seconds it takes. ``"inductor"``: have it compiled too, for a minute or two; needs a
        C++ compiler, and its numbers differ by rounding. ``"off"``: neither. A program that
        cannot be recorded runs through the handlers, and ``compiled`` of the result says why.
    progress
        Show a bar; by default in a terminal, and in a notebook that has ipywidgets.

    Returns
    -------
    FitResult
        Metrics per epoch, the best epoch, and why training ended.

    Raises
    ------
    DataError
        If the data cannot be converted, have NaN or infinity, or would lose digits that matter.
    NonFiniteLossError
        If the loss becomes NaN or infinite; the model keeps its last good weights.
    ProgramError
        If gradients are off, as inside ``torch.no_grad()``.
    RunError
        If the run folder is taken, cannot be written, or has other settings than these.
    ValueError
        If a setting is out of range.
    """
    require_gradients()
    data = dataset_of(data)
    require_trainable(model)
    multiplier_of(schedule)(0.0)  # one that gives no rate is refused now
    splits = Splits.of(model, data)
    settings = TrainingSettings(
        epochs, batch_size, learning_rate, schedule, clip_norm, patience, seed, precision, compile
    ).within(len(data.train))
    objective = objective_of(model, objective)
    tell_num_data(objective, len(data.train))
    alone = is_alone(devices)
    with held_run(run, resume, overwrite, alone=alone) as held, matrix_products(precision):
        fabric = fabric_on(accelerator, devices, precision)
        if not alone:
            fabric.launch()
        folder = TrainingFolder(held, fabric.is_global_zero)
        splits = make_ready(model, splits, goes_on=resume and folder.has_checkpoint)
        # Not before: a model may have no parameter until `initialise` has seen the data.
        if not is_trained(model):
            settings = replace(settings, epochs=1)  # one epoch measures what was initialised
        elif (note := scale_note(data)) is not None:
            warnings.warn(note, stacklevel=3)
        training = _Training.of(model, objective, splits, settings, folder, fabric)
        config = config_of(model, data, settings.as_config(objective))
        state = folder.begin(model, training.steps.optimiser, config, resume=resume)
        if state.stopped:
            model.load_state_dict(state.best)
            return FitResult(state.metrics, state.best_epoch, state.stopped)
        stopped = training.run(state, show=wants_bar(progress) and fabric.is_global_zero)
        for sentence in bounds_reached(model, training.splits.train):
            warnings.warn(sentence, stacklevel=3)
        release(model)
        return FitResult(state.metrics, state.best_epoch, stopped, training.steps.batch_loss.how)


@dataclass(frozen=True)
class _Training:
    """All that trains, put together."""

    model: nn.Module
    objective: ELBO
    splits: Splits
    settings: TrainingSettings
    folder: TrainingFolder
    steps: Steps
    validation: Validation

    @classmethod
    def of(
        cls,
        model: nn.Module,
        objective: ELBO,
        splits: Splits,
        settings: TrainingSettings,
        folder: TrainingFolder,
        fabric: Fabric,
    ) -> _Training:
        """With Adam over the model's parameters, and all of it where Fabric wants it."""
        adam = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
        processes = Processes(fabric, model, objective.num_particles)
        processes.require_shareable(objective, count(splits.train), settings.batch_size)
        plain = Loss(model, objective)
        # Processes that have no gradient to share are not connected for it.
        shares = fabric.world_size == 1 or is_trained(model)
        loss, optimiser = fabric.setup(plain, adam) if shares else (plain, adam)
        # Models are measured at the true bound, whatever weight the KL has in training.
        if described(objective).comparable:
            held_out, measured_by = loss, objective
        else:
            measured_by = default_objective_of(model)
            held_out = Loss(model, measured_by)
        splits = splits.on_device_of(fabric)
        batch_size, clip_norm, seed = settings.batch_size, settings.clip_norm, settings.seed
        batch_loss = batch_loss_of(
            settings.compile,
            ThroughHandlers(loss, fabric),
            plain,
            settings.planned(count(splits.train)),
            trusts_data=Facts(model).data_are_checked,
            world=fabric.world_size,
            precision=settings.precision,
        )
        # What Fabric does at a step beside the optimiser's is for several processes, or to scale.
        plainly = fabric.world_size == 1 and settings.precision in (*PRODUCTS, "64-true")
        update = AdamByKernel(adam) if plainly else update_by(optimiser)
        steps = Steps(
            model, loss, batch_loss, optimiser, update, processes, batch_size, clip_norm, seed
        )
        measuring = Processes(fabric, model, measured_by.num_particles)
        validation = Validation(model, held_out, splits.validation, measuring, seed)
        return cls(model, objective, splits, settings, folder, steps, validation)

    def run(self, state: TrainingState, *, show: bool) -> Stopped:
        """Train on from a state; the model has the best weights then."""
        settings = self.settings
        with progress_bar(show, settings.epochs, state.epoch) as tick:

            def keep(weights: Weights, better: bool, bounds: EpochBounds) -> None:
                self.folder.save(state, weights, self.steps.optimiser, better=better)
                tick(bounds.train, bounds.validation)

            try:
                stopped = run_epochs(
                    self.model,
                    state,
                    self.run_epoch,
                    keep,
                    epochs=settings.epochs,
                    patience=settings.patience,
                )
            except Exception:
                self.folder.leave_vacant(state)
                raise
        if state.best:
            self.model.load_state_dict(state.best)
        return stopped

    def run_epoch(self, epoch: int) -> EpochBounds:
        """Train and measure one epoch, of a number from 0."""
        rate = self.settings.rate(epoch)
        tell_share(self.objective, epoch / self.settings.epochs)
        train = self.steps.epoch(self.splits.train_in(epoch), epoch, rate)
        return EpochBounds(train, self.validation.bound(), rate)
