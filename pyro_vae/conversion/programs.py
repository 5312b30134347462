"""Data as the functions take them: anything at the door, plain tensors inside.

A model that says its ``dtype`` is given data of that type; those of another pair keep theirs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from pyro_vae.conversion.arrays import convert
from pyro_vae.conversion.places import check_finite, first_place
from pyro_vae.conversion.rounding import cast
from pyro_vae.conversion.streamed import (
    StreamedArray,
    look_through,
    refuse_streamed,
    streamed_part,
)
from pyro_vae.errors import DataError
from pyro_vae.protocols import ChecksData, Facts, FillsCells, offers

__all__ = ["as_inputs", "own_device", "own_dtype", "takes_data"]

P = ParamSpec("P")
R = TypeVar("R")

#: Names of arguments that say what the data are for.
_PROGRAMS = ("model", "program", "self")

#: Names of what a program is given beside x.
_BESIDE = ("condition", "exposure", "observed")


def as_inputs(
    given: Any,
    program: Any = None,
    name: str = "x",
    *,
    gradients: bool = False,
    wide: bool = False,
    dtype: torch.dtype | None = None,
) -> Any:
    """Data as one tensor, or as named tensors of equal length.

    Parameters
    ----------
    given
        Whatever ``convert`` takes, or a mapping from names to such. What is named ``observed``
        says which cells of x are there: the others get a value that has no effect, and may have
        been anything, NaN too. A program that says that it takes ``observed``, and is not given
        it, is told that NaN is missing: x is then named too. A ``StreamedArray``, which has been
        looked at, is given the type and the device that its rows are to have.
    program
        What the data are for: a module, or a Pyro program. If it is a module, or a method of
        one, the data go to its device, and to its type if it says a ``dtype``.
    name
        What the argument is called.
    gradients
        Whether tensors stay in the graph that made them.
    wide
        Whether tensors in float64 stay so, whatever the program says.
    dtype
        Type of the data, for a program that does not say one.

    Raises
    ------
    DataError
        If the data cannot be converted, are empty, have NaN or infinity, or would lose digits.
    """
    facts = Facts(program)
    if isinstance(given, StreamedArray):
        return _streamed(given, facts, name, dtype)
    if isinstance(given, Mapping) and streamed_part(given) is not None:
        named = {part: _streamed(x, facts, part, dtype) for part, x in given.items()}
        if "x" in named and "observed" in named:
            legal = facts.likelihood.filled if offers(facts.likelihood, FillsCells) else _zero
            named["x"] = named["x"].filled(named["observed"], legal)
        return named
    many = isinstance(given, Mapping) and not hasattr(given, "columns")
    parts = dict(given) if many else {name: given}
    said = facts.dtype
    kind = said if isinstance(said, torch.dtype) else dtype
    main = "x" if "x" in parts else name
    if "observed" in facts.inputs and "observed" not in parts and main in parts:
        there = _not_empty(parts[main], main, gradients)
        if there is not None:
            parts = {**parts, "observed": there} if many else {"x": given, "observed": there}
            many, main = True, "x"
    mask = _as_mask(parts["observed"]) if main in parts and "observed" in parts else None
    made = {
        part: mask
        if mask is not None and part == "observed"
        else _as_input(
            values,
            facts,
            kind,
            part,
            part in (name, "x"),
            gradients,
            wide,
            mask if part == main else None,
        )
        for part, values in parts.items()
    }
    if mask is not None:
        made["observed"] = mask.reshape(made[main].shape).to(made[main].device)
    lengths = {len(part) for part in made.values()}
    if len(lengths) > 1:
        sizes = ", ".join(f"{part} {len(values)}" for part, values in made.items())
        raise DataError(f"inputs have different numbers of rows ({sizes}): give one per datum")
    if not lengths or lengths == {0}:
        raise DataError(f"{name} is empty: at least one datum is needed")
    return made if many else made[name]


def _streamed(
    x: StreamedArray, facts: Facts, name: str, dtype: torch.dtype | None
) -> StreamedArray:
    """An array whose rows come in the type and on the device of a program."""
    if not len(x):
        raise DataError(f"{name} is empty: at least one datum is needed")
    kind = facts.dtype if isinstance(facts.dtype, torch.dtype) else dtype
    if x.dtype == torch.float64 and kind not in (None, torch.float64):
        raise DataError(
            f"{name} has digits that a model in {str(kind).removeprefix('torch.')} has not room "
            "for: stream it with standardise=True, which works in float64, or take a model in "
            "float64, as model.double() makes it"
        )
    device = own_device(facts.owner)
    return x.to(dtype=None if x.dtype == torch.bool else kind, device=device)


def _zero(x: Tensor, observed: Tensor) -> Tensor:
    return torch.zeros_like(x)


def _as_input(
    given: Any,
    facts: Facts,
    dtype: torch.dtype | None,
    part: str,
    is_data: bool,
    gradients: bool,
    wide: bool,
    observed: Tensor | None = None,
) -> Tensor:
    values, columns = convert(given, part, gradients=gradients, holes=observed is not None)
    if observed is not None:
        values = _without_holes(values, part, observed)
    if values.dim() == 0:
        raise DataError(f"{part} got a single number: it must have one row per datum")
    check_finite(values, part, columns, infinite=dtype is None and not is_data)
    whole = not values.is_floating_point()
    if dtype is not None:
        if is_data and values.dim() == 1 and columns is not None:
            values = values.unsqueeze(1)  # a series is one column
        classes = part == "condition" and values.dim() == 1 and whole
        stays = wide and isinstance(given, Tensor) and values.dtype == torch.float64
        if not (classes or stays):
            counts = is_data and Facts(facts.likelihood).measure == "counting"
            values = cast(values, dtype, part, columns, counts=counts)
    elif not isinstance(given, Tensor) and (is_data or not whole):
        values = cast(values, own_dtype(facts.owner), part, columns)
    if observed is not None and values.is_floating_point():
        there, likelihood = observed.reshape(values.shape).to(values.device), facts.likelihood
        legal = likelihood.filled(values, there) if offers(likelihood, FillsCells) else 0.0
        values = torch.where(there, values, legal)
    device = own_device(facts.owner)
    return values if device is None else values.to(device)


def _not_empty(given: Any, name: str, gradients: bool) -> Tensor | None:
    """Which cells are not NaN, or empty in a frame; None where all are there."""
    values = convert(given, name, gradients=gradients, holes=True).values
    if not values.is_floating_point():
        return None
    empty = values.isnan()
    return ~empty if bool(empty.any()) else None


def _as_mask(given: Any) -> Tensor:
    """Which cells are there, as truth values."""
    values, columns = convert(given, "observed")
    if values.dtype != torch.bool:
        check_finite(values, "observed", columns)
        other = (values != 0) & (values != 1)
        if bool(other.any()):
            where, index = first_place(other, columns)
            raise DataError(
                f"observed has {values[index].item():g} in {where}: give true, or 1, for a cell "
                "that is there, and false, or 0, for one that is missing"
            )
    return values.bool()


def _without_holes(x: Tensor, part: str, observed: Tensor) -> Tensor:
    """Data whose missing cells have the first observed value of their column, else zero.

    It leaves the spread of a column what it is, by which the rounding is judged.
    """
    if observed.shape != x.shape:
        raise DataError(
            f"observed has shape {tuple(observed.shape)}, and {part} {tuple(x.shape)}: give one "
            "truth value for each cell, true where it is there"
        )
    if not len(x):
        return x
    observed = observed.to(x.device)
    first = observed.byte().argmax(0, keepdim=True)
    known = x.gather(0, first).where(observed.any(0, keepdim=True), 0)
    return torch.where(observed, x, known)


def _check_takes_holes(program: Any, x: Any) -> None:
    """Refuse a mask for a model that says what it takes beside x, and does not name it."""
    facts = Facts(program)
    if isinstance(x, Mapping) and "observed" in x and facts.says_inputs:
        if "observed" not in facts.inputs:
            raise DataError(
                f"observed was given, and {type(facts.owner).__name__} was made for whole data: "
                "make the model for missing cells, as VAE(..., missing='mask') does, or leave "
                "observed out"
            )


def _check_support(program: Any, x: Any) -> None:
    """Refuse data that the likelihood of a module would refuse one by one."""
    likelihood = Facts(program).likelihood
    values = x.get("x") if isinstance(x, Mapping) else x
    if values is not None and offers(likelihood, ChecksData):
        look_through(likelihood.check, values)


def own_dtype(owner: Any) -> torch.dtype:
    """Type in which a program that says none computes: that of its parameters, if any."""
    parameters = owner.parameters() if isinstance(owner, nn.Module) else ()
    floating = (p.dtype for p in parameters if p.is_floating_point())
    return next(floating, torch.get_default_dtype())


def own_device(owner: Any) -> torch.device | None:
    """Device of a program's parameters; None where it has none, or none with values."""
    weights = next(owner.parameters(), None) if isinstance(owner, nn.Module) else None
    return None if weights is None or weights.is_meta else weights.device


def takes_data(
    *names: str,
    gradients: bool = False,
    wide: bool = False,
    supported: bool = True,
    streams: bool = False,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let arguments of a function be anything that can be converted: it is given tensors.

    The argument ``model``, ``program`` or ``self`` says what the data are for, of a pair
    ``(model, guide)`` its first. None stays.

    Parameters
    ----------
    *names
        Names of the arguments; ``condition``, ``exposure`` and ``observed`` are converted beside
        them.
    gradients, wide
        As for ``as_inputs``.
    supported
        Whether data outside the support of the likelihood of a ``model`` or a ``program`` are
        refused, by their row among all of them.
    streams
        Whether the function takes an array that is streamed.
    """
    how: dict[str, Any] = {"gradients": gradients, "wide": wide}

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        parameters = signature.parameters
        missing = set(names) - set(parameters)
        if missing:
            raise TypeError(f"{function.__qualname__} has no argument {missing}")

        @functools.wraps(function)
        def converting(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError:
                return function(*args, **kwargs)  # Python's own complaint
            given = bound.arguments
            program = next((given[n] for n in _PROGRAMS if n in given), None)
            if isinstance(program, tuple):
                program = program[0]  # of a pair (model, guide)
            outer = supported and "self" not in given
            for name in names:
                if given.get(name) is None:
                    continue
                if not streams:
                    refuse_streamed(given[name], name, function.__name__)
                beside = {n: given[n] for n in _BESIDE if given.get(n) is not None}
                many = isinstance(given[name], Mapping)
                alone = many or not beside
                x = given[name] if alone else {name: given[name], **beside}
                made = as_inputs(x, program, name, **how)
                if alone and (many or not isinstance(made, dict) or "observed" not in parameters):
                    given[name] = made
                else:
                    given.update(made)
                if outer:
                    _check_takes_holes(program, given[name])
                    _check_support(program, given[name])
            return function(*bound.args, **bound.kwargs)

        converting.data_arguments = names  # type: ignore[attr-defined]
        return converting

    return decorate
