"""The loop over epochs, which ends with the model at its last whole epoch, however it ends."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, NamedTuple

from pyro_vae.errors import NonFiniteLossError
from pyro_vae.inference.training.state import weights_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from pyro_vae.inference.training.state import Stopped, TrainingState, Weights

__all__ = ["EpochBounds", "run_epochs"]


class EpochBounds(NamedTuple):
    """What an epoch came to.

    Attributes
    ----------
    train, validation
        Bounds in nats per datum; that on the validation data is NaN where there are none.
    rate
        Learning rate.
    """

    train: float
    validation: float
    rate: float


def run_epochs(
    model: nn.Module,
    state: TrainingState,
    run_epoch: Callable[[int], EpochBounds],
    keep: Callable[[Weights, bool, EpochBounds], None],
    *,
    epochs: int,
    patience: int | None,
) -> Stopped:
    """Train to the last epoch, to the end of patience, or to Ctrl-C.

    Parameters
    ----------
    model
        What is trained.
    state
        What has been done, to which every epoch is added.
    run_epoch
        Trains and measures the epoch of a number from 0.
    keep
        Called after each epoch with the weights at its end, whether they are the best so far,
        and its bounds.
    epochs, patience
        As for ``fit``.

    Returns
    -------
    str
        Why it ended. At Ctrl-C the model has the weights of the last whole epoch again.

    Raises
    ------
    NonFiniteLossError
        If a loss is NaN or infinite; the model has those weights then, too.
    """
    last_good = weights_of(model)
    started = time.monotonic() - state.seconds
    try:
        with warnings.catch_warnings():
            # What Pyro warns of, NonFiniteLossError says with the step and the remedy.
            warnings.filterwarnings("ignore", message="Encountered (NaN|[+-]?inf)")
            while state.epoch < epochs and not state.stopped:
                bounds = run_epoch(state.epoch)
                last_good = weights_of(model)
                better = state.add(
                    last_good,
                    train_elbo=bounds.train,
                    validation_elbo=bounds.validation,
                    learning_rate=bounds.rate,
                    seconds=time.monotonic() - started,
                )
                state.judge(epochs=epochs, patience=patience)
                keep(last_good, better, bounds)
    except KeyboardInterrupt:
        model.load_state_dict(last_good)
        return "interrupt"
    except NonFiniteLossError:
        model.load_state_dict(last_good)
        raise
    return state.stopped or "epochs"
