"""Empty cells of a table filled in from p(x_mis | x_obs) of a model that is fitted to it."""

from __future__ import annotations

import math
import warnings
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.impute import MissingIndicator
from sklearn.utils.validation import check_is_fitted, validate_data

from pyro_vae.errors import DataError, SettingError
from pyro_vae.inference.engine.diagnostics import KHAT_LIMIT
from pyro_vae.inference.evidence.impute import impute
from pyro_vae.settings import checked, require_positive_integer
from pyro_vae.sklearn.base import TrainedEstimator, seed_of
from pyro_vae.sklearn.parts import plain
from pyro_vae.sklearn.vae import VAEEstimator

if TYPE_CHECKING:
    import xarray as xr
    from sklearn.utils import Tags

__all__ = ["ModelImputer"]

#: What each strategy takes of the results of ``impute``.
_STRATEGIES = {"mean": "mean", "median": "median", "most_frequent": "mode", "draw": "draws"}


class _Table(NamedTuple):
    """A table ``(n, D)`` with NaN in its missing cells, and which these are."""

    X: np.ndarray
    holes: np.ndarray


class ModelImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Imputer that fills the empty cells of a row from its others, by a model of the table.

    The model is fitted to the cells that are there. What is filled in is of p(x_mis | x_obs), by
    ``pyro_vae.inference.impute``: the mean of a mixture is exact, others are by importance
    weights. Cells are taken to be missing at random. A row's values depend on the fit and on the
    row, not on the other rows. Observed cells come back as they were given.

    ``transform`` warns of rows whose k-hat is above 0.7: their values are not to be relied on, and
    more particles, or another guide, may help.

    Parameters
    ----------
    estimator
        A ``VAEEstimator`` or ``MixtureEstimator``, of which a clone is fitted; ``VAEEstimator()``
        unless given. Its ``missing="auto"`` becomes ``"mask"`` or ``"marginal"``, also where X of
        ``fit`` is whole.
    strategy
        What a cell gets of its distribution given the observed cells of its row: ``"mean"``;
        ``"median"``; ``"most_frequent"``, the most probable value of a discrete cell, and the
        median of another; ``"draw"``, one draw for all the missing cells of a row together.
    num_particles
        Draws of z per row with missing cells.
    missing_values
        What stands in a missing cell: NaN, which is pandas' ``NA`` too, or a number.
    add_indicator
        Whether columns that say which cells were missing stand behind the others: those of
        ``sklearn.impute.MissingIndicator``, for the columns with missing cells in X of ``fit``.
    keep_empty_features
        Whether columns without any observed cell in X of ``fit`` are kept, with 0 in their missing
        cells. Otherwise they are left out.
    random_state
        Seed of particles and draws, as scikit-learn takes it; and of the estimator's fit, if that
        has none of its own.

    Attributes
    ----------
    estimator_
        The fitted estimator, of the columns that are not empty.
    empty_features_
        Indices of the columns without any observed cell in X of ``fit``.
    indicator_
        The fitted ``MissingIndicator``; None without ``add_indicator``.
    seed_
        Seed that was drawn from ``random_state``.
    n_features_in_
        Number of columns of X.
    feature_names_in_
        Their names, where X is a frame with names that are all strings.

    Examples
    --------
    >>> import numpy as np
    >>> from pyro_vae.sklearn import MixtureEstimator
    >>> X = [[-3.0, 1.0], [-2.9, 1.1], [-2.8, np.nan], [5.0, 7.0], [5.1, 7.1], [np.nan, 7.2]]
    >>> mixture = MixtureEstimator(2, epochs=1, validation_fraction=0)
    >>> filled = ModelImputer(mixture, random_state=0).fit_transform(X)
    >>> bool(abs(filled[2, 1] - 1.0) < 1.0 and abs(filled[5, 0] - 5.0) < 1.0)
    True
    """

    estimator_: TrainedEstimator

    def __init__(
        self,
        estimator: TrainedEstimator | None = None,
        *,
        strategy: str = "mean",
        num_particles: int = 1000,
        missing_values: float = math.nan,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.strategy = strategy
        self.num_particles = num_particles
        self.missing_values = missing_values
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model to the cells that are there.

        Parameters
        ----------
        X
            Numbers, ``(n_samples, n_features)``, and ``missing_values`` in the missing cells.
        y
            Not used; there by scikit-learn's custom.

        Returns
        -------
        ModelImputer
            The imputer itself.

        Raises
        ------
        ValueError
            If a setting is not allowed, or if X has no observed cell.
        """
        self._check_settings()
        table = self._table(X, reset=True)
        self.seed_ = seed_of(self.random_state)
        self.empty_features_ = np.flatnonzero(table.holes.all(axis=0))
        if len(self.empty_features_) == table.X.shape[1]:
            raise DataError(
                f"X has no observed cell: each is {self.missing_values!r}, which missing_values "
                "says is a missing one, so there is nothing to fit a model to"
            )
        self.indicator_ = None
        if self.add_indicator:
            self.indicator_ = MissingIndicator(error_on_new=False).fit(table.X)
        self.estimator_ = self._new_estimator().fit(table.X[:, self._modelled])
        return self

    def transform(self, X: Any) -> Any:
        """The table with its missing cells filled in, ``(n_samples, n_features_out)``.

        Parameters
        ----------
        X
            As for ``fit``.
        """
        table = self._checked_table(X)
        rows, found = self._imputed(table, draws=int(self.strategy == "draw"))
        filled = np.where(table.holes, 0.0, table.X)
        if found is not None:
            # scikit-learn's wrapper for frames lies between this and the caller.
            _warn_of_heavy_tails(found, stacklevel=4)
            values = found[_STRATEGIES[self.strategy]].values
            if self.strategy == "draw":
                values = values[0]
            elif self.strategy == "most_frequent":
                values = np.where(np.isnan(values), found["median"].values, values)
            self._fill(filled, table, rows, values)
        filled = filled[:, self._features_out]
        if self.indicator_ is None:
            return filled
        return np.hstack([filled, np.asarray(self.indicator_.transform(table.X), dtype=float)])

    def draws(self, X: Any, n_draws: int = 20) -> np.ndarray:
        """Complete tables for multiple imputation, ``(n_draws, n_samples, n_features)``.

        The missing cells of a row are drawn together from p(x_mis | x_obs), and equal rows have
        draws of their own. Analyse each table as if it had been observed, and put the results
        together by the rules of Rubin (1987, "Multiple imputation for nonresponse in surveys").
        The model is the same for all of them, so the spread has nothing of the error of its fit,
        and intervals are somewhat short: an imputer fitted to a bootstrap sample for each table
        adds it. Columns are those of ``transform``, without those of the indicator.

        Parameters
        ----------
        X
            As for ``fit``.
        n_draws
            How many tables.
        """
        n_draws = plain(n_draws)
        require_positive_integer("n_draws", n_draws)
        table = self._checked_table(X)
        rows, found = self._imputed(table, draws=n_draws)
        filled = np.repeat(np.where(table.holes, 0.0, table.X)[None], n_draws, axis=0)
        if found is not None:
            _warn_of_heavy_tails(found, stacklevel=3)
            self._fill(filled, table, rows, found["draws"].values)
        return filled[..., self._features_out]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that ``transform`` gives.

        Parameters
        ----------
        input_features
            Names of the columns of X; those of ``fit``, or x0, x1, ..., unless given.
        """
        names = super().get_feature_names_out(input_features)
        if self.indicator_ is None:
            return names[self._features_out]
        behind = self.indicator_.get_feature_names_out(names)
        return np.concatenate([names[self._features_out], behind])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = _is_nan(self.missing_values)
        return tags

    def _check_settings(self) -> None:
        """Refuse settings before any work."""
        if not isinstance(self.strategy, str) or self.strategy not in _STRATEGIES:
            allowed = ", ".join(repr(name) for name in _STRATEGIES)
            raise SettingError(f"strategy got {self.strategy!r}: it must be one of {allowed}")
        if not isinstance(self.missing_values, Real) or isinstance(self.missing_values, bool):
            raise SettingError(
                f"missing_values got {self.missing_values!r}: it must be a number, such as -1, or "
                "numpy.nan, which stands for pandas.NA and None too"
            )
        if self.estimator is not None and not isinstance(self.estimator, TrainedEstimator):
            raise SettingError(
                f"estimator got {self.estimator!r}: it must be a VAEEstimator or a "
                "MixtureEstimator, which can be fitted to tables with missing cells"
            )
        checked("num_particles", plain(self.num_particles))

    def _table(self, X: Any, *, reset: bool) -> _Table:
        nan = _is_nan(self.missing_values)
        X = validate_data(
            self,
            X,
            dtype=np.float64,
            copy=True,
            ensure_all_finite="allow-nan" if nan else True,
            ensure_min_samples=2 if reset else 1,
            reset=reset,
        )
        holes = np.isnan(X) if nan else X == self.missing_values
        return _Table(np.where(holes, np.nan, X), holes)

    def _checked_table(self, X: Any) -> _Table:
        check_is_fitted(self)
        self._check_settings()
        return self._table(X, reset=False)

    def _new_estimator(self) -> TrainedEstimator:
        """An estimator that is not fitted, for tables with missing cells."""
        estimator = VAEEstimator() if self.estimator is None else clone(self.estimator)
        assert estimator._missing_ways is not None
        whole, way = estimator._missing_ways[:2]
        if estimator.missing == whole:
            raise SettingError(
                f"estimator got one with missing={whole!r}, which refuses missing cells: give it "
                f"missing={way!r}, or 'auto'"
            )
        if estimator.missing == "auto":
            estimator.set_params(missing=way)
        if estimator.random_state is None:
            estimator.set_params(random_state=self.seed_)
        return estimator

    @property
    def _modelled(self) -> np.ndarray:
        """Indices of the columns that the model is of."""
        return np.setdiff1d(np.arange(self.n_features_in_), self.empty_features_)

    @property
    def _features_out(self) -> np.ndarray:
        """Indices of the columns that come out."""
        return np.arange(self.n_features_in_) if self.keep_empty_features else self._modelled

    def _imputed(self, table: _Table, draws: int) -> tuple[np.ndarray, xr.Dataset | None]:
        """Rows with missing cells, and what is found of each of them, in the units of X."""
        rows = np.flatnonzero(table.holes[:, self._modelled].any(axis=1))
        if not len(rows):
            return rows, None
        estimator = self.estimator_
        units = estimator.units_
        told = estimator._rows_of(table.X[:, self._modelled])
        told = {name: values[rows] for name, values in told.items()}
        # Equal rows have equal summaries, as in `score_samples`; but draws of their own.
        if draws:
            told, place = units.rounded_rows(told), torch.arange(len(rows))
        else:
            told, place = units.kinds(told)
        with torch.no_grad():
            found = impute(
                estimator.model_,
                told,
                checked("num_particles", plain(self.num_particles)),
                draws=draws,
                seed=self.seed_,
            )
        found = found.isel(datum=place.numpy())
        for name in ("mean", "median", "mode", "draws"):
            if name in found:
                values = units.inverse(torch.as_tensor(found[name].values))
                found[name] = found[name].dims, values
        return rows, found

    def _fill(
        self, filled: np.ndarray, table: _Table, rows: np.ndarray, values: np.ndarray
    ) -> None:
        """Put values of rows with missing cells, ``(..., m, D)``, into tables ``(..., n, D)``."""
        cells = np.ix_(rows, self._modelled)
        filled[..., cells[0], cells[1]] = np.where(table.holes[cells], values, table.X[cells])


def _is_nan(value: Any) -> bool:
    return isinstance(value, Real) and math.isnan(value)


def _warn_of_heavy_tails(found: xr.Dataset, stacklevel: int) -> None:
    if above := int((found["khat"].values > KHAT_LIMIT).sum()):
        warnings.warn(
            f"k-hat is above {KHAT_LIMIT} for {above} of {found.sizes['datum']} rows with missing "
            "cells: a few particles carry what is filled in there, so take more (num_particles), "
            "or fit the model longer",
            UserWarning,
            stacklevel=stacklevel,
        )
