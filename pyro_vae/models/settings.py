"""Checks of constructor arguments, so that a bad one is refused by its name."""

from __future__ import annotations

__all__ = ["require_positive", "require_positive_integer"]


def require_positive(name: str, value: float) -> None:
    """Refuse a number that is zero, negative or NaN."""
    if not value > 0:
        raise ValueError(f"{name} got {value!r}: it must be positive")


def require_positive_integer(name: str, value: int, hint: str = "") -> None:
    """Refuse what is not an integer of at least 1; the hint says what would serve."""
    if not isinstance(value, int) or value < 1:
        more = f", {hint}" if hint else ""
        raise ValueError(f"{name} got {value!r}: it must be a positive integer{more}")
