"""The variational autoencoder as a scikit-learn estimator."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from pyro_vae.inference.engine.weights import stream_log_weights
from pyro_vae.models import VAE
from pyro_vae.models.guides import Guide
from pyro_vae.models.priors import Prior
from pyro_vae.settings import checked
from pyro_vae.sklearn.base import TrainedEstimator
from pyro_vae.sklearn.parts import built_for, likelihood_of, network_of, part_of, plain
from pyro_vae.sklearn.units import Units

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from pyro.infer import ELBO
    from torch import Tensor

    from pyro_vae.inference.training.settings import Schedule
    from pyro_vae.models.likelihoods import Likelihood
    from pyro_vae.networks import Architecture

__all__ = ["VAEEstimator"]


class VAEEstimator(TrainedEstimator):
    """Variational autoencoder of a table: a density, and a code for every row.

    ``score_samples`` estimates log p(x) by importance sampling with the guide: in expectation a
    lower bound, tighter with more particles. A row's number depends on the fit and on the row,
    not on the other rows. What the draws are worth, such as k-hat, ``pyro_vae.evaluate`` tells
    of ``model_``.

    There is no ``partial_fit``: Adam's state, the schedule, the units and the best epoch belong
    to a whole training, and a few steps on each batch would be another one.

    Parameters
    ----------
    latent_dim
        Length L of z.
    likelihood
        p(x | z): a ``Likelihood`` object, its text such as ``"student-t(df=4)"``, or a list of
        such, one for each column (``PerColumn``). A part that is an object is never changed by
        a fit: the model has a new one with the same settings.
    prior
        p(z): a ``Prior`` object or its text.
    guide
        Family of q(z | x): a ``Guide`` object or its text.
    hidden
        Widths of the encoder's hidden layers; the decoder has them in reverse.
    activation
        Activation between them.
    encoder, decoder
        An ``Architecture`` in the place of ``hidden`` and ``activation``.
    objective
        As for ``pyro_vae.fit``: a Pyro ``ELBO``, a name such as ``"iwae-50"``, or None.
    epochs, learning_rate, schedule
        As for ``pyro_vae.fit``.
    batch_size
        Rows per step; all of them where they are fewer.
    validation_fraction
        Share of the rows that is held out of the training, and says which epoch is the best.
    patience
        Epochs without a better bound on these after which training stops.
    standardise
        ``"auto"``: columns whose likelihood takes any real number are given to the model with
        mean 0 and standard deviation 1, counts and others as they are. True: all columns, which
        must be such. False: none. What comes back is in the units of X: log p(x) has the
        Jacobian. A setting such as ``min_scale`` is in the model's units.
    num_particles
        Draws per row of ``score_samples``.
    missing
        ``"mask"`` or ``"zeros"``: NaN is a missing cell, and what the encoder is shown of it is as
        ``pyro_vae.models.VAE`` says. ``"none"``: NaN is refused. ``"auto"``: ``"mask"`` if X of
        ``fit`` has NaN, and if not ``"none"``, so that NaN in later rows is refused. Cells are
        taken to be missing at random.
    random_state
        Seed of weights, order and draws, as scikit-learn takes it.
    progress
        Show a bar while training.

    Attributes
    ----------
    model_
        The fitted ``VAE``, in float64, in the model's units.
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
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> vae = VAEEstimator(latent_dim=1, hidden=(8,), epochs=2, random_state=0).fit(X)
    >>> vae.transform(X).shape, vae.score_samples(X).shape
    ((40, 1), (40,))
    """

    model_: VAE

    _missing_ways: ClassVar[tuple[str, ...]] = ("none", "mask", "zeros")

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        likelihood: Likelihood | str | Sequence[Likelihood | str] = "normal",
        prior: Prior | str = "standard-normal",
        guide: Guide | str = "mean-field-normal",
        hidden: Sequence[int] = (64, 64),
        activation: str = "relu",
        encoder: Architecture | None = None,
        decoder: Architecture | None = None,
        objective: ELBO | str | None = None,
        epochs: int = 100,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        schedule: Schedule = "constant",
        validation_fraction: float = 0.1,
        patience: int | None = None,
        standardise: bool | str = "auto",
        num_particles: int = 1000,
        missing: str = "auto",
        random_state: Any = None,
        progress: bool = False,
    ) -> None:
        self.latent_dim = latent_dim
        self.likelihood = likelihood
        self.prior = prior
        self.guide = guide
        self.hidden = hidden
        self.activation = activation
        self.encoder = encoder
        self.decoder = decoder
        self.objective = objective
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.standardise = standardise
        self.num_particles = num_particles
        self.missing = missing
        self.random_state = random_state
        self.progress = progress

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Rows drawn from the model, ``(n_samples, n_features)``, in the units of X.

        Parameters
        ----------
        n_samples
            How many.
        random_state
            Seed of the draws; the estimator's own unless given.
        """
        return self.units_.inverse(self._draws(n_samples, random_state).nodes["x"]["value"])

    def _fit(self, X: np.ndarray, seed: int) -> None:
        checked("num_particles", self.num_particles)
        missing: Any = self._way_with_missing(X)
        likelihood = likelihood_of(self.likelihood, X)
        units = Units.of(X, built_for(likelihood, X), plain(self.standardise))
        mirrored = self.hidden[::-1] if isinstance(self.hidden, list | tuple) else self.hidden
        model = VAE(
            (X.shape[1],),
            plain(self.latent_dim),
            likelihood=likelihood,
            prior=part_of("prior", Prior, self.prior, "mixture-of-normals(num_components=5)"),
            guide=part_of("guide", Guide, self.guide, "full-covariance-normal"),
            encoder=network_of("encoder", self.encoder, self.hidden, self.activation),
            decoder=network_of("decoder", self.decoder, mirrored, self.activation),
            missing=missing,
            seed=seed,
        )
        # Some objectives keep what they are told of the training.
        self._train(model, units, X, seed, copy.deepcopy(self.objective))
        self._keep(model, units, model.latent_dim)

    def _log_prob(self, rows: dict[str, Tensor]) -> Tensor:
        # The draws for a row depend on its bits, and on which of equal rows it is: rounded, and
        # each kind measured once, equal rows have equal numbers, in whatever units.
        kinds, place = self.units_.kinds(rows)
        terms = stream_log_weights(
            self.model_.model,
            self.model_.guide,
            kinds,
            self.num_particles,
            seed=self.seed_,
            enumerate_discrete=True,
        )
        log_sums = torch.cat([part.log_weights.logsumexp(0) for part in terms])
        return (log_sums - math.log(self.num_particles))[place]

    def _code(self, rows: dict[str, Tensor]) -> Tensor:
        return self.model_.code(rows["x"], observed=rows.get("observed"))

    def _decode(self, codes: Tensor) -> Tensor:
        return self.model_.decode(codes)
