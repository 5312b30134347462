"""Imports that wait until what they bring is used, and leave no trace in the process.

A library that few calls need is imported by the call (``library``), and a file of verbs when one
of its names is asked for (``names_on_demand``, after PEP 562).
"""

from __future__ import annotations

import importlib
import random
import sys
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pyro_vae.errors import MissingDataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["library", "names_on_demand", "without_trace"]


@contextmanager
def without_trace() -> Iterator[None]:
    """Keep the warning filters and Python's generator where something is imported inside.

    Most libraries add filters of their own, PyTorch even when a function of it is first called;
    Rich draws from the generator. PyTorch's and NumPy's are not touched by any of ours.
    """
    generator, filters, loaded = random.getstate(), list(warnings.filters), len(sys.modules)
    try:
        yield
    finally:
        # Otherwise the filters are left alone: they belong to all threads.
        if len(sys.modules) > loaded:
            warnings.filters = filters
            random.setstate(generator)


def library(name: str, extra: str = "", needed_by: str = "") -> Any:
    """A library's module, imported now if it has not been.

    Parameters
    ----------
    name
        Its full name: ``"sklearn.cluster"``.
    extra
        The extra of the package that brings it, where not every installation has it.
    needed_by
        What cannot do without it, for the error that says so.

    Raises
    ------
    MissingDataError
        Where a library of an extra is not installed; its message has the command.
    """
    if extra and find_spec(name.partition(".")[0]) is None:
        raise MissingDataError(
            f"{needed_by} needs {name.partition('.')[0]}, which is not installed: "
            f"`pip install 'pyro-vae[{extra}]'` brings it"
        )
    if name in sys.modules:
        return importlib.import_module(name)  # which waits for a thread that is at it
    with without_trace(), warnings.catch_warnings():
        # ArviZ announces its own next major version.
        warnings.simplefilter("ignore", FutureWarning)
        return importlib.import_module(name)


def names_on_demand(package: str, where: Mapping[str, str]) -> list[str]:
    """Let a package import its public names, and its modules, when they are first asked for.

    Parameters
    ----------
    package
        ``__name__`` of the package, whose ``__init__`` this is called in.
    where
        Full name of the module that has each public name.

    Returns
    -------
    list
        The names, for ``__all__``.
    """
    module = sys.modules[package]
    module.__class__ = _OnDemand
    vars(module)["_where"] = where
    return list(where)


class _OnDemand(ModuleType):
    """A package whose names are imported when they are first asked for."""

    __all__: list[str]
    _where: Mapping[str, str]

    def __getattr__(self, name: str) -> Any:
        found: Any
        full = f"{self.__name__}.{name}"
        if name in self._where:
            with without_trace():
                found = getattr(importlib.import_module(self._where[name]), name)
        elif not name.startswith("_") and find_spec(full) is not None:
            with without_trace():
                found = importlib.import_module(full)
        else:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        vars(self)[name] = found
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        # Python binds a module in its package once it is imported: `fit` stays the verb, though
        # it lies in a file of that name.
        if not (name in self._where and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *self.__all__})
