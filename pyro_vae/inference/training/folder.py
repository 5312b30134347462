"""The folder that a training is kept in: of a new run, of one replaced, or of one resumed."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyro_vae.disk.runs import Run
from pyro_vae.errors import RunError, WriteError
from pyro_vae.inference.training.devices import is_first_process
from pyro_vae.inference.training.state import TrainingState
from pyro_vae.protocols import Facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor, nn

    from pyro_vae.data.any_dataset import AnyDataset
    from pyro_vae.inference.training.state import Weights

__all__ = ["TrainingFolder", "config_of", "held_run"]

_WEIGHTS, _CHECKPOINT = "weights.safetensors", "checkpoint.safetensors"


@contextmanager
def held_run(
    run: Run | str | Path | None, resume: bool, overwrite: bool, *, alone: bool
) -> Iterator[Run | None]:
    """The run to write to, locked; of several processes that train it, by the first.

    Parameters
    ----------
    run, resume, overwrite
        As for ``fit``.
    alone
        Whether there is no other process.

    Raises
    ------
    RunError
        If the folder is taken, is no run or cannot be written.
    """
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


@dataclass(frozen=True)
class TrainingFolder:
    """What a training keeps, and what it goes on from.

    Attributes
    ----------
    run
        Where it is kept; nothing is written without one.
    writes
        Whether this process is the one that writes.
    """

    run: Run | None
    writes: bool

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is something to go on from."""
        return self.run is not None and (self.run.path / _CHECKPOINT).exists()

    def begin(
        self, model: nn.Module, optimiser: Any, config: dict[str, Any], *, resume: bool
    ) -> TrainingState:
        """Write the settings of a new run, or load the state of one that has the same.

        Parameters
        ----------
        model, optimiser
            What the state is loaded into.
        config
            What ``config.json`` is to hold.
        resume
            Whether the run is gone on with.

        Raises
        ------
        RunError
            If it has other settings, or weights of another model.
        """
        if self.run is None:
            return TrainingState()
        if not resume:
            if self.writes:
                self.run.write_config(config)
            return TrainingState()
        _check_same(self.run, config)
        state = self._load(self.run, model, optimiser)
        if self.writes:
            _mend_weights(self.run, state)
        return state

    def _load(self, run: Run, model: nn.Module, optimiser: Any) -> TrainingState:
        """State at the end of the last whole epoch; a run killed before that starts over."""
        if not self.has_checkpoint:
            return TrainingState()
        tensors, notes = run.tensors(_CHECKPOINT)
        try:
            best = _load_tensors(tensors, model, optimiser)
        except (RuntimeError, KeyError, ValueError) as error:
            raise RunError(f"{run.path} holds weights of another model: {error}") from error
        return TrainingState(
            epoch=notes["epoch"],
            best_epoch=notes["best_epoch"],
            best_bound=float.fromhex(notes["best_bound"]),
            best=best,
            rows=run.metrics().to_dict("records"),
            stopped=notes["stopped"],
        )

    def save(
        self, state: TrainingState, current: Weights, optimiser: Any, *, better: bool
    ) -> None:
        """Metrics, best weights and checkpoint; the checkpoint last, as it vouches for the rest.

        A run that this one replaces is let go only then.

        Parameters
        ----------
        state, optimiser
            What the training would go on from.
        current
            Weights at the end of the epoch.
        better
            Whether they are the best so far.

        Raises
        ------
        WriteError
            If a file cannot be written.
        """
        if self.run is None or not self.writes:
            return
        try:
            _write(self.run, state, current, optimiser, better)
            self.run.settle()
        except WriteError as error:
            raise WriteError(
                f"{error}. Epoch {state.epoch} is not kept: resume=True (--resume) goes on from "
                "the last one that is, unless the run was to replace another, which is as it was"
            ) from error

    def leave_vacant(self, state: TrainingState) -> None:
        """Take back the settings of a run that failed before it had anything to go on from."""
        if self.run is not None and self.writes and state.epoch == 0:
            self.run.withdraw_config()


def config_of(model: nn.Module, data: AnyDataset, settings: dict[str, Any]) -> dict[str, Any]:
    """What ``config.json`` holds: the model, where the data are to be had, the rest."""
    names = (
        "name",
        "binarisation",
        "values",
        "standardise",
        "total_exposure",
        "hide",
        "num_validation",
        "seed",
    )
    return {
        "model": Facts(model).config,
        "data": {**{name: getattr(data, name) for name in names}, "origin": data.remembered()},
        "fit": settings,
    }


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


def _write(run: Run, state: TrainingState, current: Weights, optimiser: Any, better: bool) -> None:
    metrics = run.write_metrics(state.metrics)
    if better:
        run.write_tensors(_WEIGHTS, state.best, {"epoch": state.best_epoch})
    tensors = {f"current/{key}": value for key, value in current.items()}
    if state.best is not current:
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
    run.write_tensors(_CHECKPOINT, {k: v.detach().cpu() for k, v in tensors.items()}, notes)


def _load_tensors(tensors: dict[str, Tensor], model: nn.Module, optimiser: Any) -> Weights:
    """Put what ``_write`` wrote into model and optimiser; the best weights."""
    parts: dict[str, Weights] = {"current": {}, "best": {}, "optimiser": {}}
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        part, _, name = key.partition("/")
        parts[part][name] = value
    best = parts["best"] or parts["current"]  # written once where they are the same
    model.load_state_dict(best)  # so that it can be, when training ends
    model.load_state_dict(parts["current"])
    for key, value in parts["optimiser"].items():
        index, _, name = key.partition("/")
        moments.setdefault(int(index), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})
    return best


def _mend_weights(run: Run, state: TrainingState) -> None:
    """Write the best weights again from the checkpoint, where they are gone or damaged."""
    if not state.epoch:
        return
    try:
        run.notes(_WEIGHTS)
    except RunError:
        run.write_tensors(_WEIGHTS, state.best, {"epoch": state.best_epoch})
