"""Checks of settings, so that a bad one is refused by its name before any work.

What a setting of a given name may be is said once, in ``RULES``: every verb that takes it
(``pyro_vae.verbs``) holds to it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyro_vae.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RULES", "checked", "require_part", "require_positive", "require_positive_integer"]

#: Above it a seed times the constants that tell epochs and batches apart would not be 64 bits.
_LARGEST_SEED = 2**32 - 1


def require_part(name: str, value: Any, kind: type, example: str) -> None:
    """Refuse what is no object of this kind, such as its name or its class."""
    if not isinstance(value, kind):
        got = f"the class {value.__name__}" if isinstance(value, type) else repr(value)
        raise SettingError(
            f"{name} got {got}: it must be a {kind.__name__} object, such as {example}"
        )


def require_positive(name: str, value: float) -> None:
    """Refuse a number that is zero, negative or NaN."""
    if not value > 0:
        raise ValueError(f"{name} got {value!r}: it must be positive")


def require_positive_integer(name: str, value: int, hint: str = "") -> None:
    """Refuse what is not an integer of at least 1; the hint says what would serve."""
    if not isinstance(value, int) or value < 1:
        more = f", {hint}" if hint else ""
        raise ValueError(f"{name} got {value!r}: it must be a positive integer{more}")


def checked(name: str, value: Any, *, several: bool | None = None) -> Any:
    """A setting as the plain number that its rule asks for; one without a rule as it is.

    Parameters
    ----------
    name, value
        What is set to what; None stands for the default.
    several
        Whether a sequence of such numbers is wanted; left to the value where nobody knows.

    Raises
    ------
    ValueError
        If the rule of this name does not allow it.
    """
    rule = RULES.get(name)
    if rule is None or value is None:
        return value
    if several is None:
        several = isinstance(value, Sequence) and not isinstance(value, str)
    if not several:
        return rule(name, value)
    try:
        values = list(value)
    except TypeError:
        raise ValueError(f"{name} got {value!r}: give several, as in [1, 5, 50]") from None
    return [rule(name, part) for part in values]


def _integer(name: str, value: Any, allowed: str) -> int:
    try:
        # A bool has an index too, and is a slip.
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} got {value!r}: it must be {allowed}") from None


def _at_least(least: int) -> Callable[[str, Any], int]:
    allowed = f"a whole number of at least {least}"

    def rule(name: str, value: Any) -> int:
        number = _integer(name, value, allowed)
        if number < least:
            raise ValueError(f"{name} got {value!r}: it must be {allowed}")
        return number

    return rule


def _seed(name: str, value: Any) -> int:
    allowed = f"a whole number from 0 to {_LARGEST_SEED}"
    number = _integer(name, value, allowed)
    if not 0 <= number <= _LARGEST_SEED:
        raise ValueError(f"{name} got {value!r}: it must be {allowed}")
    return number


def _real(allowed: str, inside: Callable[[float], bool]) -> Callable[[str, Any], float]:
    def rule(name: str, value: Any) -> float:
        try:
            if isinstance(value, bool | str):
                raise TypeError
            number = float(value)
        except (TypeError, ValueError, OverflowError, RuntimeError):
            raise ValueError(f"{name} got {value!r}: it must be {allowed}") from None
        if not inside(number):
            raise ValueError(f"{name} got {value!r}: it must be {allowed}")
        return number

    return rule


_POSITIVE = _real("a positive number", lambda value: 0 < value < math.inf)


def _jobs(name: str, value: Any) -> int:
    allowed = "a whole number of processes, or -1 for one on every core"
    number = _integer(name, value, allowed)
    if number == 0:
        raise ValueError(f"{name} got 0: it must be {allowed}")
    return number


#: What a setting of this name may be, wherever it is taken; None stands for its default.
RULES: dict[str, Callable[[str, Any], Any]] = {
    "n_jobs": _jobs,
    "seed": _seed,
    **dict.fromkeys(
        (
            "batch_size",
            "chunk_size",
            "devices",
            "epochs",
            "iwae",
            "ks",
            "limit",
            "max_particles",
            "max_points",
            "num_chains",
            "num_data",
            "num_draws",
            "num_leapfrog",
            "num_pairs",
            "num_rows",
            "num_particles",
            "num_samples",
            "num_simulations",
            "num_temperatures",
            "patience",
            "pilot",
            "repeats",
            "size",
            "steps",
        ),
        _at_least(1),
    ),
    **dict.fromkeys(("datum", "num_validation", "warmup_steps"), _at_least(0)),
    **dict.fromkeys(
        (
            "clip_norm",
            "factor",
            "learning_rate",
            "memory_limit",
            "minutes",
            "scale",
            "step_size",
            "target",
            "target_error",
            "tolerance",
        ),
        _POSITIVE,
    ),
    **dict.fromkeys(
        ("prior_share", "validation_fraction"),
        _real("at least 0 and below 1, such as 0.1", lambda value: 0 <= value < 1),
    ),
    **dict.fromkeys(
        ("held_out", "level", "target_acceptance"),
        _real("a number between 0 and 1", lambda value: 0 < value < 1),
    ),
}
