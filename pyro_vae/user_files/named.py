"""What a name in a user's Python file stands for: a pair, or data."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pyro_vae.errors import ProgramError, SettingError, UnknownNameError
from pyro_vae.protocols import Programs, offers

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Reference", "data_at", "pair_at", "reference_of", "value_at"]

_REFERENCE = re.compile(r"(.+\.py):(\w+)", re.DOTALL)

#: What the modules of users' files are called, so that none stands in the way of another.
_MODULE = "_refereed_{}"


class Reference(NamedTuple):
    """A name in a Python file, written ``FILE.py:NAME``."""

    file: Path
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.name}"


def reference_of(text: str) -> Reference | None:
    """What ``FILE.py:NAME`` says; None for any other text.

    >>> reference_of("nets/model.py:vae").name
    'vae'
    """
    found = _REFERENCE.fullmatch(text)
    return None if found is None else Reference(Path(found[1]), found[2])


def pair_at(reference: Reference) -> Any:
    """The pair of a name: the thing itself, or what a class or a function of no argument makes.

    Raises
    ------
    SettingError
        If the file is not there.
    UnknownNameError
        If it has no such name.
    ProgramError
        If that is no pair, and makes none.
    """
    found = value_at(reference)
    if _is_pair(found) and not isinstance(found, type):
        return found
    made = _made(found, reference)
    if not _is_pair(made):
        raise ProgramError(
            f"{reference} is a {type(made).__name__}: it must be an object with Pyro programs "
            "model and guide, a pair (model, guide) of them, or a function of no argument that "
            "returns either"
        )
    return made


def data_at(reference: Reference) -> Any:
    """The data of a name: an array, a mapping of such or a ``Dataset``, or what makes them."""
    found = value_at(reference)
    return _made(found, reference) if callable(found) else found


def _is_pair(found: Any) -> bool:
    if isinstance(found, tuple):
        return len(found) == 2 and all(callable(part) for part in found)
    return offers(found, Programs)


def _made(found: Any, reference: Reference) -> Any:
    """What a class or a function makes without arguments."""
    if not callable(found):
        return found
    try:
        needed = [
            p.name
            for p in inspect.signature(found).parameters.values()
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
    except ValueError:
        needed = []
    if needed:
        raise ProgramError(
            f"{reference} needs {', '.join(needed)}: give a name that needs no argument, such as "
            "that of a function that makes it"
        )
    return found()


def value_at(reference: Reference) -> Any:
    """What a name stands for.

    Raises
    ------
    SettingError
        If the file is not there.
    UnknownNameError
        If it has no such name.
    """
    names = vars(_module_of(reference.file))
    if reference.name not in names:
        known = [name for name in names if not name.startswith("_")]
        raise UnknownNameError(f"name in {reference.file}", reference.name, known)
    return names[reference.name]


def _module_of(file: Path) -> ModuleType:
    """A file as a module, run once; what lies beside it can be imported from it."""
    if not file.is_file():
        raise SettingError(f"{file}: there is no such file; give FILE.py:NAME")
    path = file.resolve()
    name = _MODULE.format(path.stem)
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(path):
        return known
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
