"""Groups of options for Typer, which knows only one parameter an option."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from inspect import Parameter
from typing import Any, get_type_hints

__all__ = ["spread"]


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the fields of a group in the place of each parameter that is one.

    Parameters
    ----------
    command
        A function; a parameter whose type is a dataclass is a group, and the fields of that
        are options, with the same types and defaults as parameters have.

    Returns
    -------
    Callable
        Takes every option by its name, makes the groups, and calls the command.
    """
    signature = inspect.signature(command, eval_str=True)
    options: list[Parameter] = []
    groups: dict[str, type] = {}
    for parameter in signature.parameters.values():
        kind = parameter.annotation
        if isinstance(kind, type) and is_dataclass(kind):
            groups[parameter.name] = kind
            options += _options_of(kind)
        else:
            options.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def with_options(**given: object) -> None:
        made = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **made)

    # Typer asks `inspect.signature`, which is answered by this attribute (PEP 362).
    with_options.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]
    return with_options


def _options_of(group: type[Any]) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(
            field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(group)
    ]
