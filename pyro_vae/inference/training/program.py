"""What is trained: a module with two Pyro programs, checked and made ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import nn

from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference.engine.inputs import run_program, take

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.training.splits import Splits

__all__ = [
    "TrainableProgram",
    "bounds_reached",
    "has_checked_data",
    "is_trained",
    "make_ready",
    "release",
    "require_gradients",
    "require_trainable",
]

#: Data at which it is seen whether a setting bounds a parameter.
_BOUND_ROWS = 500


@runtime_checkable
class TrainableProgram(Protocol):
    """A ``torch.nn.Module`` with two Pyro programs, whose parameters are what is trained."""

    def model(self, x: Tensor) -> Any:
        """Generative story, with ``x`` observed."""

    def guide(self, x: Tensor) -> Any:
        """Guide q(z | x)."""


def require_gradients() -> None:
    """Refuse to train where gradients are off."""
    if not torch.is_grad_enabled():
        raise ProgramError(
            "fit was called with gradients off, as inside torch.no_grad(): training needs them, "
            "so call it outside"
        )


def require_trainable(model: object) -> None:
    """Refuse what is no module with two programs."""
    if not isinstance(model, nn.Module) or not isinstance(model, TrainableProgram):
        raise TypeError(
            f"model got {type(model).__name__}: it must be a torch.nn.Module with methods "
            "model(x) and guide(x)"
        )


def make_ready(model: Any, splits: Splits, *, goes_on: bool) -> Splits:
    """Initialise a model from its data, and refuse data that it cannot have.

    Parameters
    ----------
    model, splits
        What is trained, and on what.
    goes_on
        Whether there is a checkpoint, which has all that the model would be started with.

    Returns
    -------
    Splits
        The data; without those for validation where the guide has no parameters for them.

    Raises
    ------
    DataError
        If the data do not suit the guide or the likelihood.
    """
    if not getattr(model, "amortised", True):
        if splits.data.binarisation == "dynamic":
            raise DataError(
                "an unamortised guide has parameters for each datum, and dynamic binarisation "
                "makes new data every epoch: take binarisation='stochastic'"
            )
        splits = splits.without_validation()
    if not getattr(model, "initialised", True):
        built = next(model.parameters(), None) is not None
        if built and goes_on:
            model.initialised = True
        else:
            run_program(model.initialise, splits.train)
    validate = getattr(getattr(model, "likelihood", None), "check", None)
    if validate is not None:
        # Bad data are refused now, not in the middle of an epoch.
        for split in (splits.data.epoch_train(0), splits.data.validation):
            if len(split):
                validate(split)
    return splits


def has_checked_data(model: nn.Module) -> bool:
    """Whether ``make_ready`` could see that every datum is in the support of the likelihood."""
    return getattr(getattr(model, "likelihood", None), "check", None) is not None


def is_trained(model: nn.Module) -> bool:
    """Whether there is a parameter to train, which ``initialise`` may have made."""
    return any(parameter.requires_grad for parameter in model.parameters())


def bounds_reached(model: nn.Module, x: Inputs) -> list[str]:
    """What a model says of its parameters that a setting keeps from going on."""
    reached = getattr(model, "bounds_reached", None)
    found: list[str] = [] if reached is None else reached(take(x, slice(_BOUND_ROWS)))
    return found


def release(model: nn.Module) -> None:
    """Take off the parameters what ``pyro.module`` leaves on them, which cannot be pickled."""
    for parameter in model.parameters():
        vars(parameter).pop("unconstrained", None)
