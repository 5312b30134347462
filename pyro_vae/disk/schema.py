"""Settings read back from files, and checked against types before anything is made of them."""

from __future__ import annotations

import builtins
import inspect
import json
import reprlib
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import pydantic

from pyro_vae.errors import SettingError, UnknownNameError

__all__ = ["Settings", "arguments_of", "checked", "named_settings", "parse_json"]

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 60
_REPR.maxlevel = 2
_ANY_TYPE = pydantic.ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)


class Settings(pydantic.BaseModel):
    """Settings of a file: each key with its type, none converted, none left over."""

    model_config = pydantic.ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


_Settings = TypeVar("_Settings", bound=Settings)


def parse_json(text: bytes | str) -> dict[str, Any]:
    """Read an object in JSON, in UTF-8: no key twice, no NaN, no infinity.

    Raises
    ------
    SettingError
        If it is none.
    """
    try:
        text = text if isinstance(text, str) else text.decode()
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError as error:
        raise SettingError("it is nested too deeply") from error
    except ValueError as error:
        raise SettingError(f"it is broken or truncated ({error})") from error
    if not isinstance(document, dict):
        raise SettingError(f"it holds {_REPR.repr(document)}: it must be an object in JSON")
    return document


def checked(kind: type[_Settings], document: Mapping[str, Any]) -> _Settings:
    """Settings of this kind.

    Raises
    ------
    SettingError
        If a key is missing, unknown or of a wrong type: the first of them by name.
    """
    try:
        return kind.model_validate(dict(document))
    except pydantic.ValidationError as error:
        raise SettingError(_sentence(error, list(kind.model_fields))) from error


def arguments_of(
    part: Callable[..., Any], given: Any, *, made: Sequence[str] = ()
) -> dict[str, Any]:
    """Arguments of a constructor, as read from JSON and checked against its annotations.

    Parameters
    ----------
    part
        The class.
    given
        The arguments by name.
    made
        Names of those that are parts themselves and are checked when they are made.

    Raises
    ------
    SettingError
        If one is missing, unknown or of a wrong type; it is named.
    """
    if not isinstance(given, dict):
        raise SettingError(f"got {_REPR.repr(given)}: it must be an object with names and values")
    allowed = _parameters(part)
    for name in given:
        if name not in allowed:
            raise SettingError(
                f"{_REPR.repr(name)} is unknown: it must be one of {', '.join(allowed) or 'none'}"
            )
    for name, (adapter, required) in allowed.items():
        if name not in given:
            if required:
                raise SettingError(f"{name} is missing")
        elif name not in made:
            try:
                adapter.validate_json(json.dumps(given[name]))
            except pydantic.ValidationError as error:
                raise SettingError(_sentence(error, [], name)) from error
    return dict(given)


def named_settings(
    kind: str, config: Any, registry: Mapping[str, Callable[..., Any]]
) -> tuple[str, dict[str, Any]]:
    """Name of a part, and its arguments checked, from what ``to_config`` gave.

    Parameters
    ----------
    kind
        What the part is, as in "likelihood".
    config
        The description, as read from JSON.
    registry
        Classes by name.

    Raises
    ------
    SettingError
        If it is no description of such a part.
    UnknownNameError
        If there is no part of this name.
    """
    if not isinstance(config, dict):
        raise SettingError(f"name is missing: got {_REPR.repr(config)} for a {kind}")
    name = config.get("name")
    if not isinstance(name, str):
        raise SettingError(f"name got {_REPR.repr(name)}: it must be the name of a {kind}")
    if name not in registry:
        raise UnknownNameError(kind, name, registry)
    given = {key: value for key, value in config.items() if key != "name"}
    return name, arguments_of(registry[name], given)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {_REPR.repr(twice)} is there twice")
    return document


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _sentence(error: pydantic.ValidationError, known: list[str], *where: str) -> str:
    """The first fault: key, what was got, what is allowed."""
    first = error.errors(include_url=False, include_context=False)[0]
    key = ".".join(map(str, (*where, *first["loc"])))
    if first["type"] == "missing":
        return f"{key} is missing"
    if first["type"] == "extra_forbidden":
        names = f": it must be one of {', '.join(known)}" if len(first["loc"]) == 1 else ""
        return f"{key} is unknown{names}"
    allowed = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{key} got {_REPR.repr(first['input'])}: it must be {allowed}"


@cache
def _parameters(part: Callable[..., Any]) -> dict[str, tuple[pydantic.TypeAdapter[Any], bool]]:
    """Checks of a constructor's parameters, those that it hands on to its base included."""
    found: dict[str, tuple[pydantic.TypeAdapter[Any], bool]] = {}
    for base in inspect.getmro(part) if inspect.isclass(part) else (part,):
        make = vars(base).get("__init__")
        if not inspect.isfunction(make):
            continue
        parameters = list(inspect.signature(make).parameters.values())[1:]
        hints = typing.get_type_hints(make, localns=_Names(make.__module__))
        for entry in parameters:
            if entry.kind in (entry.VAR_POSITIONAL, entry.VAR_KEYWORD):
                continue
            adapter = pydantic.TypeAdapter[Any](hints.get(entry.name, Any), config=_ANY_TYPE)
            found.setdefault(entry.name, (adapter, entry.default is entry.empty))
        if not any(entry.kind is entry.VAR_KEYWORD for entry in parameters):
            break  # it hands nothing on
    return found


class _Names(dict[str, Any]):
    """What annotations name; what was imported for type checkers alone is any value."""

    def __init__(self, module: str) -> None:
        super().__init__(Sequence=Sequence, Mapping=Mapping, Callable=Callable)
        self._globals = vars(sys.modules[module])

    def __missing__(self, name: str) -> Any:
        if name in self._globals or hasattr(builtins, name):
            raise KeyError(name)
        return Any
