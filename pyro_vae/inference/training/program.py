"""What is trained: a module with two Pyro programs, checked and made ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from pyro.infer.autoguide import AutoGuide
from torch import nn

from pyro_vae.conversion import look_through, streamed_part
from pyro_vae.conversion.streamed import sample_of
from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference.engine.inputs import count, run_program, take, tensors
from pyro_vae.protocols import ChecksData, Facts, HasBounds, Initialisable, Programs, offers

if TYPE_CHECKING:
    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.training.splits import Splits

__all__ = [
    "bounds_reached",
    "is_trained",
    "make_ready",
    "release",
    "require_gradients",
    "require_trainable",
]

#: Data at which it is seen whether a setting bounds a parameter.
_BOUND_ROWS = 500


def require_gradients() -> None:
    """Refuse to train where gradients are off."""
    if not torch.is_grad_enabled():
        raise ProgramError(
            "fit was called with gradients off, as inside torch.no_grad(): training needs them, "
            "so call it outside"
        )


def require_trainable(model: object) -> None:
    """Refuse what is no module with two programs, and a guide that knows no batches."""
    if not isinstance(model, nn.Module) or not offers(model, Programs):
        raise TypeError(
            f"model got {type(model).__name__}: it must be a torch.nn.Module with methods "
            "model(x) and guide(x)"
        )
    if isinstance(model.guide, AutoGuide):
        raise ProgramError(
            f"the guide got {type(model.guide).__name__}, which has parameters by the position of "
            "a datum, and fit makes batches of data in ever another order: train it by "
            "pyro.infer.SVI on all the data at once, or take a guide that is a function of x"
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
    if not Facts(model).amortised:
        if streamed_part(splits.train) is not None:
            raise DataError(
                f"{splits.data.name} is streamed, and an unamortised guide has parameters for "
                "each datum, which must fit into memory as the data must: make the data with "
                "data.read, or the model with an encoder"
            )
        if splits.data.binarisation == "dynamic":
            raise DataError(
                "an unamortised guide has parameters for each datum, and dynamic binarisation "
                "makes new data every epoch: take binarisation='stochastic'"
            )
        splits = splits.without_validation()
    if not Facts(model).initialised:
        built = next(model.parameters(), None) is not None
        if built and goes_on:
            model.initialised = True
        elif offers(model, Initialisable):
            _start(model, splits)
    likelihood = Facts(model).likelihood
    if offers(likelihood, ChecksData):
        # Bad data are refused now, not in the middle of an epoch.
        whole = splits.data.epoch_train(0), splits.data.validation
        for raw, made in zip(whole, (splits.train, splits.validation), strict=True):
            # Where cells are missing, what stands there was made legal for the model.
            split = raw
            if isinstance(made, Mapping) and "observed" in made:
                split = made["x"]
            if len(split):
                look_through(likelihood.check, split)
    return splits


def _start(model: Any, splits: Splits) -> None:
    """Initialise a model from the training data; from a sample of those that are streamed."""
    if streamed_part(splits.train) is None:
        run_program(model.initialise, splits.train)
        return
    sample = sample_of(splits.train, seed=splits.data.seed)
    try:
        run_program(model.initialise, sample)
    except DataError:
        if offers(likelihood := Facts(model).likelihood, ChecksData):
            # It says in which row of all.
            look_through(likelihood.check, tensors(splits.train)[0])
        raise
    if not is_trained(model) and count(sample) < count(splits.train):
        raise DataError(
            f"{splits.data.name} is streamed, and a {type(model).__name__} is fitted to all data "
            f"at once, of which a sample of {count(sample):,} is in memory: give it that sample, "
            "data.train.sample(), or take a model that is trained by steps, such as LinearVAE"
        )


def is_trained(model: nn.Module) -> bool:
    """Whether there is a parameter to train, which ``initialise`` may have made."""
    return any(parameter.requires_grad for parameter in model.parameters())


def bounds_reached(model: object, x: Inputs) -> list[str]:
    """What a model says of its parameters that a setting keeps from going on."""
    if not offers(model, HasBounds):
        return []
    return model.bounds_reached(take(x, slice(_BOUND_ROWS)))


def release(model: nn.Module) -> None:
    """Take off the parameters what ``pyro.module`` leaves on them, which cannot be pickled."""
    for parameter in model.parameters():
        vars(parameter).pop("unconstrained", None)
