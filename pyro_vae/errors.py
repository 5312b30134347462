"""Errors that a user can act on: each names the argument, what was got and what is allowed."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ComparisonError",
    "DataError",
    "EqualityError",
    "MissingDataError",
    "NonFiniteLossError",
    "ProgramError",
    "PyroVAEError",
    "RunError",
    "SettingError",
    "SupportError",
    "UnknownNameError",
    "WorkerError",
    "WriteError",
    "message_of",
]


def message_of(error: BaseException) -> str:
    """What an error says, without the shapes of the trace that Pyro puts behind it."""
    return str(error).partition("Trace Shapes:")[0].rstrip()


class PyroVAEError(Exception):
    """Base class of every error that the package raises on purpose."""


class DataError(PyroVAEError, ValueError):
    """Data of a wrong shape, empty, or with NaN or infinity."""


class SupportError(DataError):
    """Data outside the support of a likelihood."""


class MissingDataError(PyroVAEError, FileNotFoundError):
    """A named data set, the data root, or a library of an extra, is not on this machine."""


class UnknownNameError(PyroVAEError, ValueError):
    """A name that is not in a registry.

    Parameters
    ----------
    kind
        What the name stands for, as in "unknown likelihood".
    got
        The name that was given.
    allowed
        The names there are.
    """

    def __init__(self, kind: str, got: str, allowed: Iterable[str]) -> None:
        names = sorted(allowed)
        near = difflib.get_close_matches(got, names, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"unknown {kind} {got!r}: it must be one of {', '.join(names)}.{hint}")
        self._given = kind, got, names

    def __reduce__(self) -> tuple[Any, ...]:
        # It comes back whole from the process of a worker.
        return UnknownNameError, self._given


class ComparisonError(PyroVAEError, ValueError):
    """Results that cannot be ranked against each other."""


class SettingError(PyroVAEError, ValueError):
    """A setting, written as text, that cannot be read or that nothing takes."""


class ProgramError(PyroVAEError, ValueError):
    """A (model, guide) pair whose structure an estimator cannot handle."""


class EqualityError(PyroVAEError, ArithmeticError):
    """A line of a derivation whose two sides are not the same number."""


class RunError(PyroVAEError, RuntimeError):
    """A run folder that is taken, unwritable, truncated or not a run."""


class WriteError(RunError):
    """A file or folder that cannot be written: the disk is full, or the place is not to be had."""


class WorkerError(PyroVAEError, RuntimeError):
    """Processes that work is shared out to, and that do not do it."""


class NonFiniteLossError(PyroVAEError, FloatingPointError):
    """The training loss became NaN or infinite."""
