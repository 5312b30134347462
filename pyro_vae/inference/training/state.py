"""How far a training is: the best weights so far, and whether waiting for better ones is over."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pandas as pd

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Stopped", "TrainingState", "Weights", "weights_of"]

Weights = dict[str, "Tensor"]

#: Why a training ended.
Stopped = Literal["epochs", "patience", "interrupt"]


def weights_of(model: nn.Module) -> Weights:
    """A copy of all that a module holds, by name."""
    return {key: value.detach().clone() for key, value in model.state_dict().items()}


@dataclass
class TrainingState:
    """What an interrupted run needs to go on from the end of an epoch.

    Attributes
    ----------
    epoch
        Epochs done.
    best_epoch, best_bound, best
        The epoch with the best bound on the validation data, that bound in nats per datum, and
        its weights.
    rows
        Metrics, one row an epoch.
    stopped
        Why it ended; empty while there is more to do.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_bound: float = -math.inf
    best: Weights = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)
    stopped: Literal["", "epochs", "patience"] = ""

    @property
    def metrics(self) -> pd.DataFrame:
        """The rows as a table."""
        return pd.DataFrame(self.rows)

    @property
    def seconds(self) -> float:
        """Time that the epochs so far have taken."""
        return self.rows[-1]["seconds"] if self.rows else 0.0

    def add(
        self,
        weights: Weights,
        *,
        train_elbo: float,
        validation_elbo: float,
        learning_rate: float,
        seconds: float,
    ) -> bool:
        """One more epoch: what it came to, and the weights at its end.

        Returns
        -------
        bool
            Whether these weights are the best so far. Without validation data, where the bound
            is NaN, every epoch's are.
        """
        self.epoch += 1
        self.rows.append(
            {
                "epoch": self.epoch,
                "train_elbo": train_elbo,
                "validation_elbo": validation_elbo,
                "learning_rate": learning_rate,
                "seconds": seconds,
            }
        )
        better = math.isnan(validation_elbo) or validation_elbo > self.best_bound
        if better:
            self.best_epoch, self.best_bound = self.epoch, validation_elbo
            self.best = weights
        return better

    def judge(self, *, epochs: int, patience: int | None) -> None:
        """Say whether the training ends here: no better epoch in ``patience``, or the last."""
        if patience is not None and self.epoch - self.best_epoch >= patience:
            self.stopped = "patience"
        elif self.epoch == epochs:
            self.stopped = "epochs"
