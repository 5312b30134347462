"""What the estimators share: rows to and from the model's units, scores, draws, parts by name."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from pyro import poutine
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    TransformerMixin,
)
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from pyro_vae.data import Dataset
from pyro_vae.errors import DataError, SettingError
from pyro_vae.inference.training.fit import fit
from pyro_vae.isolation import isolated
from pyro_vae.models.component import Component
from pyro_vae.networks import Architecture
from pyro_vae.settings import checked, require_positive_integer
from pyro_vae.sklearn.parts import plain, way_with_missing

if TYPE_CHECKING:
    from pyro.infer import ELBO
    from pyro.poutine import Trace
    from sklearn.utils import Tags
    from torch import Tensor

    from pyro_vae.data.kind import Kind
    from pyro_vae.sklearn.units import Units

__all__ = ["LatentVariableEstimator", "TrainedEstimator", "seed_of"]


class LatentVariableEstimator(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, BaseEstimator
):
    """Estimator of a model p(z) p(x | z), for tables of real numbers, counts or both.

    A new one makes and fits its model in ``_fit``, and says log p(x) and the codes of rows that
    are in the model's units.
    """

    @abstractmethod
    def _fit(self, X: np.ndarray, seed: int) -> None:
        """Set ``model_`` and ``units_``; X is a table of float64, NaN in its missing cells."""

    @abstractmethod
    def _log_prob(self, rows: dict[str, Tensor]) -> Tensor:
        """Log p of rows in the model's units, ``(n,)``, in nats.

        They are named as the model takes them: ``x``, and ``observed`` if it takes missing cells.
        """

    @abstractmethod
    def _code(self, rows: dict[str, Tensor]) -> Tensor:
        """Codes of such rows, ``(n, L)``."""

    @abstractmethod
    def _decode(self, codes: Tensor) -> Tensor:
        """Means of p(x | z) in the model's units, ``(n, D)``."""

    units_: Units

    #: What ``missing`` may be beside ``"auto"``: first for whole data, next where cells are
    #: missing. None of an estimator that refuses NaN.
    _missing_ways: ClassVar[tuple[str, ...] | None] = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model to the rows of a table.

        Parameters
        ----------
        X
            Numbers, ``(n_samples, n_features)``; NaN, for estimators with an argument
            ``missing``, is a missing cell.
        y
            Not used; there by scikit-learn's custom.

        Returns
        -------
        LatentVariableEstimator
            The estimator itself.

        Raises
        ------
        ValueError
            If a setting is not allowed, or X does not go with the likelihood, or has a column
            without any observed cell.
        """
        X = self._validated(X, reset=True)
        self._require_observed_columns(X)
        self.seed_ = seed_of(self.random_state)
        self._fit(X, self.seed_)
        return self

    def transform(self, X: Any) -> Any:
        """Codes of the rows, ``(n_samples, L)``.

        Parameters
        ----------
        X
            As for ``fit``.
        """
        with torch.no_grad():
            return self._code(self._rows_of(X)).numpy()

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Means of p(x | z) in the units of the training data, ``(n_samples, n_features)``.

        Parameters
        ----------
        X
            Codes z, ``(n_samples, L)``.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=np.float64, copy=True)
        if codes.shape[1] != self._n_features_out:
            raise DataError(
                f"X has {codes.shape[1]} columns, and a code of {type(self).__name__} has "
                f"{self._n_features_out}: give what transform returns"
            )
        with torch.no_grad():
            return self.units_.inverse(self._decode(torch.as_tensor(codes)))

    def score_samples(self, X: Any) -> np.ndarray:
        """Log p(x) of every row in nats, ``(n_samples,)``, in the units of the training data.

        Of a row with missing cells it is log p of the observed ones.

        Parameters
        ----------
        X
            As for ``fit``.
        """
        with torch.no_grad():
            rows = self._rows_of(X)
            return self._log_prob(rows).numpy() + self.units_.log_jacobians(rows.get("observed"))

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of log p(x) over the rows, in nats: larger is better.

        Parameters
        ----------
        X
            As for ``fit``.
        y
            Not used; there by scikit-learn's custom.
        """
        return float(np.mean(self.score_samples(X)))

    def set_params(self, **params: object) -> Self:
        """Set arguments by name; ``likelihood__scale`` is the one of a part that is an object.

        The part is replaced by a new one: the object that was given stays as it is.

        Parameters
        ----------
        **params
            Arguments by name.
        """
        inner = {key: value for key, value in params.items() if "__" in key}
        super().set_params(**{key: params[key] for key in params.keys() - inner.keys()})
        for key, value in inner.items():
            name, _, setting = key.partition("__")
            settings = self.get_params(deep=False)
            if isinstance(settings.get(name), Component | Architecture):
                part = settings[name].with_params(**{setting: plain(value)})
                super().set_params(**{name: part})
            elif name in settings:
                raise SettingError(
                    f"{key} cannot be set, as {name} is {settings[name]!r} and no object: write "
                    f"its settings in brackets, or give {name} as an object"
                )
            else:
                super().set_params(**{key: value})  # scikit-learn's own complaint
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._missing_ways is not None and self.missing != "none"
        return tags

    def _validated(self, X: Any, *, reset: bool) -> np.ndarray:
        """A table of float64, without infinity, and without NaN if this takes none at all."""
        finite = True if self._missing_ways is None else "allow-nan"
        # A copy, since PyTorch warns of arrays that are read-only.
        return validate_data(
            self,
            X,
            dtype=np.float64,
            copy=True,
            ensure_all_finite=finite,
            ensure_min_samples=2 if reset else 1,
            reset=reset,
        )

    def _require_observed_columns(self, X: np.ndarray) -> None:
        """Refuse a column of which nothing can be learned."""
        empty = np.flatnonzero(np.isnan(X).all(axis=0))
        if len(empty):
            name = vars(self).get("feature_names_in_", range(X.shape[1]))[empty[0]]
            raise DataError(
                f"column {name} of X has no observed cell, so nothing can be learned of it: leave "
                "it out, as ModelImputer does"
            )

    def _rows_of(self, X: Any) -> dict[str, Tensor]:
        """Rows in the model's units, checked, and which of their cells are observed."""
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        values, likelihood = torch.as_tensor(X), self.model_.likelihood
        observed = ~values.isnan()
        if self._missing_ways is None or self.model_.missing == "none":
            self._require_whole(observed)
            likelihood.check(values)
            return {"x": self.units_.forward(X)}
        likelihood.check(likelihood.filled(values, observed))
        # Zero for NaN, which is no value that rows could be compared by.
        return {"x": self.units_.forward(X).where(observed, 0.0), "observed": observed}

    def _require_whole(self, observed: Tensor) -> None:
        holed = torch.nonzero(~observed)
        if self._missing_ways is not None and len(holed):
            row, column = holed[0].tolist()
            raise DataError(
                f"Input X contains NaN (row {row}, column {column}), and {type(self).__name__} "
                "was fitted as a model of whole data: fit it with "
                f"missing={self._missing_ways[1]!r}, by which NaN is a missing cell"
            )

    def _draws(self, n_samples: Any, random_state: Any) -> Trace:
        """A run of the generative story."""
        check_is_fitted(self)
        count = plain(n_samples)
        require_positive_integer("n_samples", count)
        seed = seed_of(self.random_state if random_state is None else random_state)
        with torch.no_grad(), isolated(seed):
            return poutine.trace(self.model_.model).get_trace(num_data=count)

    def _keep(self, model: Any, units: Units, code_size: int) -> None:
        """Keep a model that is fitted, in float64: what is measured then has all its digits."""
        self.model_ = model.double().eval()
        self.units_ = units
        self._n_features_out = code_size


class TrainedEstimator(LatentVariableEstimator):
    """Estimator whose model is trained by stochastic variational inference."""

    def _way_with_missing(self, X: np.ndarray) -> str:
        """What the model is told to do about missing cells."""
        assert self._missing_ways is not None
        return way_with_missing(self.missing, self._missing_ways, X)

    def _train(
        self,
        model: Any,
        units: Units,
        X: np.ndarray,
        seed: int,
        objective: ELBO | str | None = None,
    ) -> None:
        """Train a model on a share of the rows; it has the weights of the best epoch then."""
        fraction = checked("validation_fraction", self.validation_fraction) or 0.0
        values, observed = units.forward(X), ~torch.as_tensor(np.isnan(X))
        held_out = int(fraction * len(values))
        if self.patience is not None and not held_out:
            raise SettingError(
                f"patience got {self.patience!r}, and validation_fraction={fraction:g} of "
                f"{len(values)} rows is none: patience waits for a better bound on them, so give "
                "a larger fraction, or patience=None"
            )
        order = np.random.RandomState(seed).permutation(len(values))
        splits = {"train": order[held_out:], "validation": order[:held_out]}
        train, validation = (values[rows] for rows in splits.values())
        masks = {split: observed[rows] for split, rows in splits.items() if len(rows)}
        kind: Kind = "counts" if model.likelihood.measure == "counting" else "real"
        data = Dataset.from_tensors(
            train,
            validation,
            name="X",
            kind=kind,
            observed=None if bool(observed.all()) else masks,
        )
        if kind == "real" and self.standardise:
            # What can be standardised is: nobody needs to be told of the other columns.
            data = replace(data, standardise=True)
        result = fit(
            model,
            data,
            objective,
            epochs=plain(self.epochs),
            batch_size=min(checked("batch_size", self.batch_size), len(train)),
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            patience=self.patience,
            seed=seed,
            progress=self.progress,
        )
        self.metrics_, self.best_epoch_ = result.metrics, result.best_epoch
        self.n_iter_ = len(result.metrics)


def seed_of(random_state: Any) -> int:
    """A seed of ours from what scikit-learn takes as one."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
