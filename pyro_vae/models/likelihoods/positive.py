"""A positive parameter of a likelihood: fixed, learned, or given by the decoder."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from pyro_vae.errors import UnknownNameError
from pyro_vae.models.softplus import inverse_softplus, softplus

__all__ = ["Form", "PositiveParameter"]

#: A positive number, or one of three ways to learn one.
Form = float | Literal["shared", "per-feature", "latent"]

_FORMS = ("shared", "per-feature", "latent")


class PositiveParameter(nn.Module):
    """A positive parameter: value = minimum + softplus(raw) unless it is fixed.

    Parameters
    ----------
    name
        Name of the constructor argument that chooses the form; the bound is ``min_<name>``.
    form
        A positive number: fixed there. ``"shared"``: one, learned. ``"per-feature"``: one per
        feature, learned. ``"latent"``: one per feature as a function of z, from the decoder.
    minimum
        Lower bound of a value that is not fixed.
    start
        Where a learned value starts.

    Raises
    ------
    ValueError
        If a fixed value or the bound is not a positive number.
    UnknownNameError
        If ``form`` is a name other than these three.
    """

    def __init__(self, name: str, form: Form, minimum: float, *, start: float = 1.0) -> None:
        super().__init__()
        if isinstance(form, str):
            if form not in _FORMS:
                raise UnknownNameError(f"form of {name}", form, _FORMS)
        elif not form > 0 or not math.isfinite(form):
            raise ValueError(
                f"{name} got {form!r}: a fixed {name} must be a positive number, or one of "
                f"{', '.join(_FORMS)} to have it learned"
            )
        if not minimum > 0 or not math.isfinite(minimum):
            raise ValueError(
                f"min_{name} got {minimum!r}: it must be a positive number, since the "
                f"distribution degenerates as {name} tends to zero"
            )
        self.name = name
        self.form = form
        self.minimum = minimum
        self.start = start

    @property
    def blocks(self) -> int:
        """Number of blocks of D entries of ``eta`` that it takes: 1 if it depends on z, else 0."""
        return int(self.form == "latent")

    def build(self, event_shape: tuple[int, ...]) -> None:
        """Make the learned parameter, for events of this shape."""
        if self.form in ("shared", "per-feature"):
            shape = event_shape if self.form == "per-feature" else ()
            self.raw = nn.Parameter(self.invert(torch.tensor(self.start)).expand(shape).clone())

    def forward(self, like: Tensor, *raw: Tensor) -> Tensor:
        """Value, of the type of ``like``; ``raw`` is its block of ``eta``, if it takes one."""
        if not isinstance(self.form, str):
            return like.new_tensor(self.form)
        return self.minimum + softplus((raw[0] if raw else self.raw).to(like))

    def invert(self, value: Tensor) -> Tensor:
        """The raw parameter of a value; values at or below the bound are moved just above it."""
        return inverse_softplus((value - self.minimum).clamp_min(1e-3 * self.minimum))

    def start_at(self, values: Tensor) -> None:
        """Start a learned parameter at values ``event_shape``: each, or their median if shared.

        One that is fixed, or depends on z, stays as it is.
        """
        if self.form not in ("shared", "per-feature"):
            return
        value = values.median() if self.form == "shared" else values
        with torch.no_grad():
            self.raw.copy_(self.invert(value.to(self.raw)).reshape(self.raw.shape))

    def bound_reached(self, value: Tensor) -> str | None:
        """A sentence, if values are within a hundredth of the lower bound that is a setting.

        Means of counts that do not occur tend to zero by nature, and are left out.
        """
        near = value <= 1.01 * self.minimum
        if self.name == "mean" or not bool(near.any()):
            return None
        share = float(near.double().mean())
        where = "" if near.numel() == 1 else f" for {share:.0%} of its values"
        # The degrees of freedom have a bound that is no argument.
        bound = "" if self.name == "df" else f"min_{self.name}="
        return (
            f"The {self.name} of p(x | z) is at its lower bound {bound}{self.minimum:g}{where}: "
            "log p(x) is decided by that bound and not by the data."
        )

    def symbol(self, letter: str) -> str:
        """Symbol in a formula, such as ``sigma_d``."""
        if not isinstance(self.form, str):
            return f"{self.form:g}"
        return letter + {"shared": "", "per-feature": "_d", "latent": "_d(z)"}[self.form]

    def bound(self, letter: str) -> str:
        """The bound as it follows a formula; empty if the parameter is fixed."""
        if not isinstance(self.form, str):
            return ""
        return f",  {self.symbol(letter)} >= {self.minimum:g}"
