"""From what an estimator was given as a part to a new part, which no other model has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pyro_vae.errors import DataError, SettingError
from pyro_vae.models.likelihoods import Likelihood, PerColumn
from pyro_vae.networks import Architecture, Dense, Unamortised

__all__ = ["built_for", "likelihood_of", "network_of", "part_of", "plain", "way_with_missing"]


def plain(value: Any) -> Any:
    """A number of NumPy's as one of Python's, as a grid made by ``numpy.arange`` has them."""
    return value.item() if isinstance(value, np.generic) else value


def part_of(name: str, role: type[Any], given: Any, example: str) -> Any:
    """A new part from an object, which stays as it is, or from its text.

    Parameters
    ----------
    name
        What the argument is called.
    role
        Class of such parts.
    given
        The argument.
    example
        A text that would do.

    Raises
    ------
    SettingError
        If it is neither.
    """
    if isinstance(given, role):
        return given.with_params()
    if isinstance(given, str):
        return role.parse(given)
    raise SettingError(
        f"{name} got {given!r}: it must be a {role.__name__} object, or its name with settings, "
        f"such as {example!r}"
    )


def likelihood_of(given: Any, X: np.ndarray) -> Likelihood:
    """A new likelihood from an object, its text, or a list of such, one for each column of X.

    The largest count that a text leaves open is that of X.

    Raises
    ------
    SettingError
        If it is none of these, or the list is of another length.
    """
    if isinstance(given, str):
        seen = X[~np.isnan(X)]
        maximum = int(seen.max()) if bool((seen == np.rint(seen)).all()) else None
        return Likelihood.parse(given, lambda part: part.settings_for(maximum))
    if isinstance(given, Sequence):
        if len(given) != X.shape[1]:
            raise SettingError(
                f"likelihood got a list of {len(given)}, and X has {X.shape[1]} columns: give "
                "one likelihood for each, or one for all"
            )
        columns = [likelihood_of(part, X[:, [d]]) for d, part in enumerate(given)]
        return PerColumn(columns)
    likelihood: Likelihood = part_of("likelihood", Likelihood, given, "student-t(df=4)")
    return likelihood


def built_for(likelihood: Likelihood, X: np.ndarray) -> Likelihood:
    """A copy that is built for rows of X; X outside of its support is refused.

    Raises
    ------
    SettingError
        If it takes an exposure.
    SupportError
        If X has values outside of the support.
    """
    if likelihood.takes_exposure:
        raise SettingError(
            f"likelihood got {likelihood!r}, which takes an exposure, and fit(X) of scikit-learn "
            "has no place for one: take exposure=False, or pyro_vae.fit with a Dataset"
        )
    built = likelihood.with_params()
    built.build((X.shape[1],))
    values = torch.as_tensor(X)
    built.check(built.filled(values, ~values.isnan()))
    return built


def way_with_missing(given: Any, ways: Sequence[str], X: np.ndarray) -> str:
    """What a model of X is to do about missing cells.

    Parameters
    ----------
    given
        The argument ``missing``.
    ways
        What a model may be told: that for whole data, then that of ``"auto"`` where cells are
        missing, then others.
    X
        The training data, with NaN in the missing cells.

    Raises
    ------
    SettingError
        If there is no such way.
    DataError
        If X has missing cells, and is said to have none.
    """
    holed = bool(np.isnan(X).any())
    if isinstance(given, str) and given == "auto":
        return ways[int(holed)]
    if not isinstance(given, str) or given not in ways:
        allowed = ", ".join(repr(way) for way in ("auto", *ways))
        raise SettingError(f"missing got {given!r}: it must be one of {allowed}")
    if holed and given == ways[0]:
        row, column = np.argwhere(np.isnan(X))[0]
        raise DataError(
            f"Input X contains NaN (row {row}, column {column}), and missing got {given!r}, which "
            f"is of whole data: take {ways[1]!r}, by which NaN is a missing cell"
        )
    return given


def network_of(name: str, given: Any, hidden: Any, activation: str) -> Architecture:
    """An architecture as it is; one of dense layers where none was given.

    Parameters
    ----------
    name
        What the argument is called.
    given
        The argument.
    hidden, activation
        Widths and activation of the dense layers.

    Raises
    ------
    SettingError
        If it is no architecture, or one that serves training data alone; or if the widths are
        no sequence.
    """
    if given is None:
        if isinstance(hidden, str) or not isinstance(hidden, Sequence | np.ndarray):
            raise SettingError(
                f"hidden got {hidden!r}: it must be the width of every hidden layer in turn, as "
                "in (64, 64)"
            )
        return Dense(tuple(plain(width) for width in hidden), activation=activation)
    if not isinstance(given, Architecture) or isinstance(given, Unamortised):
        raise SettingError(
            f"{name} got {given!r}: it must be an Architecture that serves new data, such as "
            "Dense((64, 64), residual=True)"
        )
    return given
