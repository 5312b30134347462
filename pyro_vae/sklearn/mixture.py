"""The finite mixture as a scikit-learn estimator, of any likelihood of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch

from pyro_vae.models import MixtureModel
from pyro_vae.sklearn.base import TrainedEstimator
from pyro_vae.sklearn.parts import built_for, likelihood_of, plain
from pyro_vae.sklearn.units import Units

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from torch import Tensor

    from pyro_vae.inference.training.settings import Schedule
    from pyro_vae.models.likelihoods import Likelihood

__all__ = ["MixtureEstimator"]


class MixtureEstimator(TrainedEstimator):
    """Mixture of distributions of one family, fitted by gradients; log p(x) is exact.

    A code is the posterior p(z = m | x) of the components: ``transform`` is ``predict_proba``,
    and ``inverse_transform`` weights the components' means with it.

    Parameters
    ----------
    num_components
        Number M of components.
    likelihood
        Their family: a ``Likelihood`` object, its text, or a list of such, one for each column
        (``PerColumn``). ``"normal(scale=latent)"`` gives every component its own diagonal
        covariance, ``"multivariate-normal"`` a full one. An object is never changed by a fit.
    epochs, learning_rate, schedule
        As for ``pyro_vae.fit``.
    batch_size
        Rows per step; all of them where they are fewer.
    validation_fraction
        Share of the rows that is held out of the training, and says which epoch is the best.
    patience
        Epochs without a better log p(x) of these after which training stops.
    standardise
        As for ``VAEEstimator``.
    missing
        ``"marginal"``: NaN is a missing cell, which is integrated out. ``"none"``: NaN is refused.
        ``"auto"``: ``"marginal"`` if X of ``fit`` has NaN, and if not ``"none"``, so that NaN in
        later rows is refused. Cells are taken to be missing at random.
    random_state
        Seed of the order of the rows, with which k-means++ starts, and of the draws.
    progress
        Show a bar while training.

    Attributes
    ----------
    weights_
        Shares of the components, ``(M,)``.
    means_
        Their means in the units of X, ``(M, D)``.
    model_
        The fitted ``MixtureModel``, in float64, in the model's units.
    units_
        The map between those and the units of X.
    metrics_
        One row an epoch, as ``pyro_vae.fit`` returns them.
    best_epoch_, n_iter_
        Epoch whose weights the model has, and how many there were.
    seed_
        Seed that was drawn from ``random_state``.
    n_features_in_
        Number of columns of X.
    feature_names_in_
        Their names, where X is a frame with names that are all strings.

    Examples
    --------
    >>> X = [[-3.0], [-2.9], [-2.8], [5.0], [5.1], [5.2]]
    >>> mixture = MixtureEstimator(2, epochs=1, validation_fraction=0, random_state=0).fit(X)
    >>> labels = mixture.predict(X)
    >>> bool(labels[0] == labels[1] == labels[2] != labels[3])
    True
    """

    model_: MixtureModel

    _missing_ways: ClassVar[tuple[str, ...]] = ("none", "marginal")

    def __init__(
        self,
        num_components: int = 1,
        *,
        likelihood: Likelihood | str | Sequence[Likelihood | str] = "normal(scale=latent)",
        epochs: int = 100,
        batch_size: int = 128,
        learning_rate: float = 1e-2,
        schedule: Schedule = "constant",
        validation_fraction: float = 0.1,
        patience: int | None = None,
        standardise: bool | str = "auto",
        missing: str = "auto",
        random_state: Any = None,
        progress: bool = False,
    ) -> None:
        self.num_components = num_components
        self.likelihood = likelihood
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.standardise = standardise
        self.missing = missing
        self.random_state = random_state
        self.progress = progress

    def predict_proba(self, X: Any) -> np.ndarray:
        """Posterior p(z = m | x) of every row, ``(n_samples, M)``; rows sum to one.

        Parameters
        ----------
        X
            As for ``fit``.
        """
        with torch.no_grad():
            return self._code(self._rows_of(X)).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Component of the largest posterior for every row, ``(n_samples,)``.

        Parameters
        ----------
        X
            As for ``fit``.
        """
        return self.predict_proba(X).argmax(1)

    def sample(
        self, n_samples: int = 1, random_state: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows drawn from the model in the units of X, and the component that each is from.

        Parameters
        ----------
        n_samples
            How many.
        random_state
            Seed of the draws; the estimator's own unless given.
        """
        sites = self._draws(n_samples, random_state).nodes
        return self.units_.inverse(sites["x"]["value"]), sites["z"]["value"].numpy()

    def _fit(self, X: np.ndarray, seed: int) -> None:
        missing: Any = self._way_with_missing(X)
        likelihood = likelihood_of(self.likelihood, X)
        units = Units.of(X, built_for(likelihood, X), plain(self.standardise))
        model = MixtureModel(
            plain(self.num_components), likelihood, (X.shape[1],), missing=missing
        )
        self._train(model, units, X, seed)
        self._keep(model, units, model.num_components)
        with torch.no_grad():
            self.weights_ = self.model_.logits.softmax(-1).numpy()
            self.means_ = units.inverse(self.model_.component_means())

    def _log_prob(self, rows: dict[str, Tensor]) -> Tensor:
        return self.model_.log_prob(rows["x"], rows.get("observed"))

    def _code(self, rows: dict[str, Tensor]) -> Tensor:
        return self.model_.responsibilities(rows["x"], rows.get("observed"))

    def _decode(self, codes: Tensor) -> Tensor:
        return codes @ self.model_.component_means()
