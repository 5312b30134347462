"""The SVI loop: one optimiser over a module's own parameters, resumable to the bit.

Hoffman, Blei, Wang & Paisley (2013), arXiv 1206.7051; the loss is minus the objective's bound,
averaged over the batch, in nats per datum.
"""

from __future__ import annotations

import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import pandas as pd
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from pyro_vae.conversion import as_inputs, own_dtype
from pyro_vae.data import Dataset
from pyro_vae.data.scales import scale_note
from pyro_vae.errors import (
    DataError,
    NonFiniteLossError,
    ProgramError,
    RunError,
    UnknownNameError,
    WriteError,
)
from pyro_vae.inference.devices import fabric_on, is_first_process
from pyro_vae.inference.inputs import Inputs, count, run_program, take
from pyro_vae.inference.objectives import objective_name, objective_of
from pyro_vae.inference.runs import Run
from pyro_vae.isolation import isolated
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from pathlib import Path

    from lightning_fabric import Fabric
    from pyro.infer import ELBO
    from torch import Tensor

__all__ = ["FitResult", "TrainableProgram", "fit"]

#: Data at which it is seen whether a setting bounds a parameter.
_BOUND_ROWS = 500

Schedule = Literal["constant", "cosine"] | Callable[[float], float]

#: Multipliers of the learning rate as functions of the share of training that is done.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda share: 1.0,
    "cosine": lambda share: 0.5 * (1.0 + math.cos(math.pi * share)),
}


@runtime_checkable
class TrainableProgram(Protocol):
    """A ``torch.nn.Module`` with two Pyro programs, whose parameters are what is trained."""

    def model(self, x: Tensor) -> Any:
        """Generative story, with ``x`` observed."""

    def guide(self, x: Tensor) -> Any:
        """Guide q(z | x)."""


@runtime_checkable
class Scheduled(Protocol):
    """An objective that changes over the training."""

    def at(self, share: float) -> None:
        """Take the form that belongs to a share of the training done, in [0, 1)."""


@runtime_checkable
class OfNumData(Protocol):
    """An objective that needs the number of data that the batches are drawn from."""

    def of(self, num_data: int) -> None:
        """Take the number of training data, before training."""


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
    """

    metrics: pd.DataFrame
    best_epoch: int
    stopped: Literal["epochs", "patience", "interrupt"]


@dataclass
class _State:
    """What an interrupted run needs to go on from the end of an epoch."""

    epoch: int = 0
    best_epoch: int = 0
    best_bound: float = -math.inf
    best: dict[str, Tensor] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)
    stopped: str = ""


class _Loss(nn.Module):
    """Minus the objective, summed over a batch, as a module: what Fabric wraps."""

    def __init__(self, program: nn.Module, objective: ELBO) -> None:
        super().__init__()
        self.program = program
        self.objective = objective

    def forward(self, x: Inputs) -> Tensor:
        model, guide = self.program.model, self.program.guide
        if torch.is_grad_enabled():
            return run_program(partial(self.objective.differentiable_loss, model, guide), x)
        # Some objectives refuse to make a differentiable loss that has no gradient.
        return torch.tensor(run_program(partial(self.objective.loss, model, guide), x))


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
        A ``Dataset``, or training data ``(n, *event_shape)``: a tensor, an array, a list, a
        frame, or whatever else ``Dataset.from_tensors`` takes. A model with ``inputs`` is given
        the labels, covariates or exposure that it names, too.
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
        share every batch; ``"32-true"``, ``"bf16-mixed"``, ``"64-true"``.
    progress
        Show a bar; by default where standard error is a terminal.

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
    if not torch.is_grad_enabled():
        raise ProgramError(
            "fit was called with gradients off, as inside torch.no_grad(): training needs them, "
            "so call it outside"
        )
    if not isinstance(data, Dataset):
        data = replace(Dataset.from_tensors(data, name="data"), name="tensors")
    _check_model(model)
    _schedule(schedule)
    names = getattr(model, "inputs", ())
    train = _inputs(model, data, "train", names, data.epoch_train(0))
    validation = _inputs(model, data, "validation", names, data.validation)
    if batch_size > len(data.train):
        warnings.warn(
            f"batch_size {batch_size} is larger than the {len(data.train)} training data: every "
            "step takes all of them",
            stacklevel=2,
        )
        batch_size = len(data.train)
    default = getattr(model, "default_objective", Trace_ELBO)()
    objective = objective_of(model, objective)
    if isinstance(objective, OfNumData):
        objective.of(len(data.train))
    with _held(run, resume, overwrite, alone=devices == 1) as held:
        return _train(
            model,
            data,
            objective,
            default,
            held,
            train=train,
            validation=validation,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            schedule=schedule,
            clip_norm=clip_norm,
            patience=patience,
            seed=seed,
            resume=resume,
            accelerator=accelerator,
            devices=devices,
            precision=precision,
            progress=progress,
        )


def _train(
    model: Any,
    data: Dataset,
    objective: ELBO,
    default: ELBO,
    run: Run | None,
    *,
    train: Inputs,
    validation: Inputs,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    schedule: Schedule,
    clip_norm: float | None,
    patience: int | None,
    seed: int,
    resume: bool,
    accelerator: str,
    devices: int,
    precision: str,
    progress: bool | None,
) -> FitResult:
    """``fit`` with its arguments checked, and the run's folder its own."""
    multiplier = _schedule(schedule)
    fabric = fabric_on(accelerator, devices, precision)
    if devices != 1:
        fabric.launch()
    if not getattr(model, "amortised", True):
        if data.binarisation == "dynamic":
            raise DataError(
                "an unamortised guide has parameters for each datum, and dynamic binarisation "
                "makes new data every epoch: take binarisation='stochastic'"
            )
        validation = take(validation, slice(0))  # it has no parameters for these data
    if not getattr(model, "initialised", True):
        built = next(model.parameters(), None) is not None
        if built and resume and run is not None and _has_checkpoint(run):
            # The checkpoint has all that it would be started with.
            model.initialised = True
        else:
            run_program(model.initialise, train)
    validate = getattr(getattr(model, "likelihood", None), "check", None)
    if validate is not None:
        # Bad data are refused now, not in the middle of an epoch.
        for split in (data.epoch_train(0), data.validation):
            if len(split):
                validate(split)
    # Not before: a model may have no parameter until `initialise` has seen the data.
    if not any(parameter.requires_grad for parameter in model.parameters()):
        epochs = 1  # the model is fitted by `initialise`; one epoch measures it
    elif (note := scale_note(data)) is not None:
        warnings.warn(note, stacklevel=2)
    settings = {
        "objective": objective_name(objective),
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "schedule": schedule if isinstance(schedule, str) else "custom",
        "clip_norm": clip_norm,
        "patience": patience,
        "seed": seed,
        "precision": precision,
    }
    loss_module = _Loss(model, objective)
    # Models are measured at the true bound, whatever weight the KL has in training.
    held_out = objective if getattr(objective, "comparable", True) else default
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    wrapped, optimiser = fabric.setup(loss_module, optimiser)

    state = _State()
    if run is not None:
        config = {"model": getattr(model, "config", None), "data": _describe_data(data)}
        if resume:
            _check_same(run, {**config, "fit": settings})
            state = _load_checkpoint(run, model, optimiser)
            if fabric.is_global_zero:
                _mend_weights(run, state)
        elif fabric.is_global_zero:
            run.write_config({**config, "fit": settings})
    if state.stopped:
        model.load_state_dict(state.best)
        return FitResult(pd.DataFrame(state.rows), state.best_epoch, state.stopped)  # type: ignore[arg-type]

    loop = _Loop(
        model,
        wrapped,
        wrapped if held_out is objective else _Loss(model, held_out),
        optimiser,
        fabric,
        data,
        train,
        validation,
        batch_size,
        clip_norm,
        seed,
    )
    show = sys.stderr.isatty() if progress is None else progress
    last_good = _snapshot(model)
    started = time.monotonic() - (state.rows[-1]["seconds"] if state.rows else 0.0)
    stopped: Literal["epochs", "patience", "interrupt"] = "epochs"
    with _progress_bar(show and fabric.is_global_zero) as bar, warnings.catch_warnings():
        # What Pyro warns of, NonFiniteLossError says with the step and the remedy.
        warnings.filterwarnings("ignore", message="Encountered (NaN|[+-]?inf)")
        task = bar.add_task("fit", total=epochs, completed=state.epoch, bound="")
        try:
            while state.epoch < epochs:
                rate = learning_rate * multiplier(state.epoch / epochs)
                if isinstance(objective, Scheduled):
                    objective.at(state.epoch / epochs)
                train_elbo = loop.train_epoch(state.epoch, rate)
                validation_elbo = loop.validation_bound()
                last_good = _snapshot(model)
                state.epoch += 1
                state.rows.append(
                    {
                        "epoch": state.epoch,
                        "train_elbo": train_elbo,
                        "validation_elbo": validation_elbo,
                        "learning_rate": rate,
                        "seconds": time.monotonic() - started,
                    }
                )
                # Without validation data every epoch is the best so far.
                better = math.isnan(validation_elbo) or validation_elbo > state.best_bound
                if better:
                    state.best_epoch, state.best_bound = state.epoch, validation_elbo
                    state.best = last_good
                if patience is not None and state.epoch - state.best_epoch >= patience:
                    stopped = "patience"
                if stopped == "patience" or state.epoch == epochs:
                    state.stopped = stopped
                if run is not None and fabric.is_global_zero:
                    _save(run, state, last_good, optimiser, better)
                bar.update(task, advance=1, bound=_bound_text(train_elbo, validation_elbo))
                if stopped == "patience":
                    break
        except KeyboardInterrupt:
            stopped = "interrupt"
            model.load_state_dict(last_good)
        except NonFiniteLossError:
            model.load_state_dict(last_good)
            if fabric.is_global_zero:
                _leave_vacant(run, state)
            raise
        except Exception:
            if fabric.is_global_zero:
                _leave_vacant(run, state)
            raise
    if state.best:
        model.load_state_dict(state.best)
    for sentence in _bounds_reached(model, loop.train):
        warnings.warn(sentence, stacklevel=2)
    _release(model)
    return FitResult(pd.DataFrame(state.rows), state.best_epoch, stopped)


@dataclass
class _Loop:
    """One epoch of training, and the validation bound."""

    program: nn.Module
    loss: Any
    validation_loss: Any
    optimiser: Any
    fabric: Fabric
    data: Dataset
    train: Inputs
    validation: Inputs
    batch_size: int
    clip_norm: float | None
    seed: int

    def __post_init__(self) -> None:
        self.train = self.fabric.to_device(self.train)
        self.validation = self.fabric.to_device(self.validation)

    def train_epoch(self, epoch: int, rate: float) -> float:
        """Run through the data once; the mean of the bound over it, in nats per datum."""
        self.program.train()
        train = self.train
        if self.data.binarisation == "dynamic":
            x = self.data.epoch_train(epoch)
            if isinstance(train, Mapping):
                train = {**train, "x": x.to(train["x"])}
            else:
                train = x.to(train)
        size = count(train)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        # Every epoch has its own seed, so that a resumed run draws what it would have drawn.
        torch.manual_seed(_epoch_seed(self.seed, epoch, self.fabric.global_rank))
        order = torch.randperm(
            size, generator=torch.Generator().manual_seed(_epoch_seed(self.seed, epoch, 0))
        ).to(self.fabric.device)
        world = self.fabric.world_size
        total = 0.0
        steps = math.ceil(size / self.batch_size)
        for index, batch in enumerate(order.split(self.batch_size)):
            part = take(train, batch[self.fabric.global_rank :: world])
            # The mean over processes that Fabric takes of the gradients is then the batch's.
            loss = self.loss(part) * (world / len(batch))
            value = loss.item()
            if not math.isfinite(value):
                raise _non_finite(self.program, part, epoch, epoch * steps + index, value)
            total += value * len(batch)
            if not loss.requires_grad:
                continue
            self.fabric.backward(loss)
            if self.clip_norm is not None:
                self.fabric.clip_gradients(self.loss, self.optimiser, max_norm=self.clip_norm)
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
        if world > 1:
            total = self.fabric.all_reduce(torch.tensor(total), reduce_op="mean").item()  # type: ignore[union-attr]
        return -total / size

    def validation_bound(self) -> float:
        """Bound on the validation data in nats per datum, with the same draws every epoch."""
        size = count(self.validation)
        if size == 0:
            return math.nan
        self.program.eval()
        with torch.no_grad(), isolated(self.seed), self.fabric.autocast():
            parts = (take(self.validation, slice(k, k + 1024)) for k in range(0, size, 1024))
            total = sum(self.validation_loss(part).item() for part in parts)
        return -total / size


def _bounds_reached(model: nn.Module, x: Inputs) -> list[str]:
    """What a model says of its parameters that a setting keeps from going on."""
    reached = getattr(model, "bounds_reached", None)
    found: list[str] = [] if reached is None else reached(take(x, slice(_BOUND_ROWS)))
    return found


def _epoch_seed(seed: int, epoch: int, rank: int) -> int:
    return (seed * 1_000_003 + epoch) * 1_009 + rank


def _check_model(model: object) -> None:
    if not isinstance(model, nn.Module) or not isinstance(model, TrainableProgram):
        raise TypeError(
            f"model got {type(model).__name__}: it must be a torch.nn.Module with methods "
            "model(x) and guide(x)"
        )


def _schedule(schedule: Schedule) -> Callable[[float], float]:
    """Multiplier of the learning rate by the share of training done."""
    if not callable(schedule):
        if schedule not in SCHEDULES:
            raise UnknownNameError("schedule", str(schedule), SCHEDULES)
        return SCHEDULES[schedule]

    def multiplier(share: float) -> float:
        value = schedule(share)
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ValueError(
                f"schedule gave {value!r} at the share {share:g} of training: it must give a "
                "finite number of at least 0"
            )
        return value

    multiplier(0.0)
    return multiplier


@contextmanager
def _held(
    run: Run | str | Path | None, resume: bool, overwrite: bool, *, alone: bool
) -> Iterator[Run | None]:
    """The run to write to, locked; of several processes that train it, by the first."""
    if run is None:
        if resume:
            raise RunError("resume=True needs a run folder: give run=...")
        yield None
        return
    if not isinstance(run, Run | str | os.PathLike):
        raise RunError(f"run got {type(run).__name__}: give the path of a folder")
    path = run.path if isinstance(run, Run) else run
    if not alone and not is_first_process():
        yield Run.open(path) if resume else Run(path)  # it writes nothing
    elif resume:
        opened = Run.open(path)
        with opened.locked():
            yield opened
    else:
        with Run(path).replacing(overwrite=overwrite) as new:
            yield new


def _inputs(
    model: nn.Module, data: Dataset, split: str, names: Sequence[str], x: Tensor
) -> Inputs:
    """What a model is given of a split: x alone, or x with the side information it names."""
    given: Inputs = {**data.inputs(split, names), "x": x} if names else x
    if len(x) == 0:
        return given
    made: Inputs = as_inputs(given, model, split, dtype=own_dtype(model))
    return made


def _describe_data(data: Dataset) -> dict[str, Any]:
    """What ``data.load`` is asked again with."""
    names = ("name", "binarisation", "values", "standardise", "total_exposure", "seed")
    return {name: getattr(data, name) for name in names}


def _check_same(run: Run, config: dict[str, Any]) -> None:
    saved = run.config()
    for part, ours in config.items():
        theirs = saved.get(part)
        if theirs == ours:
            continue
        keys = ours.keys() | theirs.keys() if isinstance(theirs, dict) and ours else ()
        differing = [k for k in sorted(keys) if (theirs or {}).get(k) != (ours or {}).get(k)]
        raise RunError(
            f"run folder {run.path} was made with other settings of {part}"
            f"{' (' + ', '.join(differing) + ')' if differing else ''}: resume with the same "
            "settings, or start a new run"
        )


def _release(model: nn.Module) -> None:
    """Take off the parameters what ``pyro.module`` leaves on them, which cannot be pickled."""
    for parameter in model.parameters():
        vars(parameter).pop("unconstrained", None)


def _snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in model.state_dict().items()}


def _save(
    run: Run, state: _State, current: dict[str, Tensor], optimiser: Any, better: bool
) -> None:
    """Metrics, best weights and checkpoint; the checkpoint last, since it vouches for the rest.

    A run that this one replaces is let go only then.
    """
    try:
        _write(run, state, current, optimiser, better)
        run.settle()
    except WriteError as error:
        raise WriteError(
            f"{error}. Epoch {state.epoch} is not kept: resume=True (--resume) goes on from the "
            "last one that is, unless the run was to replace another, which is as it was"
        ) from error


def _write(
    run: Run, state: _State, current: dict[str, Tensor], optimiser: Any, better: bool
) -> None:
    metrics = run.write_metrics(pd.DataFrame(state.rows))
    if better:
        run.write_tensors("weights.safetensors", state.best, {"epoch": state.best_epoch})
    tensors = {f"current/{key}": value for key, value in current.items()}
    tensors |= {f"best/{key}": value for key, value in state.best.items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{index}/{key}": value for key, value in moments.items()}
    notes = {
        "epoch": state.epoch,
        "best_epoch": state.best_epoch,
        # JSON has no NaN or infinity, and the bit pattern must survive.
        "best_bound": float(state.best_bound).hex(),
        "stopped": state.stopped,
        "metrics": metrics,
    }
    run.write_tensors(
        "checkpoint.safetensors", {k: v.detach().cpu().clone() for k, v in tensors.items()}, notes
    )


def _leave_vacant(run: Run | None, state: _State) -> None:
    """Take back the settings of a run that failed before it had anything to go on from."""
    if run is not None and state.epoch == 0:
        run.withdraw_config()


def _has_checkpoint(run: Run) -> bool:
    return (run.path / "checkpoint.safetensors").exists()


def _load_checkpoint(run: Run, model: nn.Module, optimiser: Any) -> _State:
    """State at the end of the last whole epoch; a run killed before that starts over."""
    if not _has_checkpoint(run):
        return _State()
    tensors, notes = run.tensors("checkpoint.safetensors")
    parts: dict[str, dict[str, Tensor]] = {"current": {}, "best": {}, "optimiser": {}}
    moments: dict[int, dict[str, Tensor]] = {}
    try:
        for key, value in tensors.items():
            part, _, name = key.partition("/")
            parts[part][name] = value
        model.load_state_dict(parts["best"])  # so that it can be, when training ends
        model.load_state_dict(parts["current"])
        for key, value in parts["optimiser"].items():
            index, _, name = key.partition("/")
            moments.setdefault(int(index), {})[name] = value
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": moments, "param_groups": groups})
    except (RuntimeError, KeyError, ValueError) as error:
        raise RunError(f"{run.path} holds weights of another model: {error}") from error
    return _State(
        epoch=notes["epoch"],
        best_epoch=notes["best_epoch"],
        best_bound=float.fromhex(notes["best_bound"]),
        best=parts["best"],
        rows=run.metrics().to_dict("records"),
        stopped=notes["stopped"],
    )


def _mend_weights(run: Run, state: _State) -> None:
    """Write the best weights again from the checkpoint, where they are gone or damaged."""
    if not state.epoch:
        return
    try:
        run.notes("weights.safetensors")
    except RunError:
        run.write_tensors("weights.safetensors", state.best, {"epoch": state.best_epoch})


def _non_finite(
    program: nn.Module, x: Inputs, epoch: int, step: int, value: float
) -> NonFiniteLossError:
    return NonFiniteLossError(
        f"the loss is {value} at step {step} (epoch {epoch + 1}); the first site with non-finite "
        f"numbers is {_first_bad_site(program, x)}. Try a smaller learning_rate, clip_norm=10, "
        "or a larger min_scale; the model keeps its weights of the last whole epoch."
    )


def _first_bad_site(program: Any, x: Inputs) -> str:
    """Guide sites first, then the model's, in the order in which they are drawn."""
    with torch.no_grad():
        try:
            guide_trace = poutine.trace(partial(run_program, program.guide)).get_trace(x)
            model = partial(run_program, poutine.replay(program.model, trace=guide_trace))
            traces = {"guide": guide_trace, "model": poutine.trace(model).get_trace(x)}
        except ValueError as error:
            return f"one whose distribution refuses its parameters ({error})"
        for kind, trace in traces.items():
            for name, site in trace.nodes.items():
                if site["type"] != "sample" or not hasattr(site["fn"], "log_prob"):
                    continue
                log_prob = site["fn"].log_prob(site["value"])
                for part, numbers in (("value", site["value"]), ("log-probability", log_prob)):
                    if not bool(torch.isfinite(numbers).all()):
                        return f"{name!r} in the {kind} (its {part})"
    return "not reproduced by another draw"


def _progress_bar(show: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch {task.completed}/{task.total}"),
        TextColumn("{task.fields[bound]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not show,
    )


def _bound_text(train: float, validation: float) -> str:
    text = f"bound {train:.2f} nats"
    return text if math.isnan(validation) else f"{text}, validation {validation:.2f}"
