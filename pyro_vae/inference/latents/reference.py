"""A density of images that no decoder has seen: what decoded images are judged by.

Leading principal components with a Gaussian mixture over them, and an isotropic normal for what
they leave out: probabilistic PCA (Tipping & Bishop, 1999) with a mixture in the place of the
standard normal. Fitted on real training images by scikit-learn.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from pyro_vae.conversion import check_finite, convert
from pyro_vae.errors import DataError
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["ReferenceDensity", "fit_reference"]

# Of the variance of one pixel, on average: below it a direction holds no more than rounding.
_SMALLEST_VARIANCE = 1e-6


@dataclass(frozen=True)
class ReferenceDensity:
    """p(x) = mixture(V'(x - m)) N(residual; 0, s^2 I): a density over all of the image space.

    V has orthonormal columns, so the two factors need no Jacobian.

    Attributes
    ----------
    pca
        The leading components V and the mean m.
    mixture
        Density of the projections V'(x - m).
    residual_variance
        s^2, the variance in each direction that V leaves out.
    held_out
        Mean log-density of held-out real images for each number of components tried, in nats.
    """

    pca: PCA
    mixture: GaussianMixture
    residual_variance: float
    held_out: dict[int, float]

    @property
    def num_features(self) -> int:
        """Number of values in one image."""
        return int(self.pca.n_features_in_)

    def log_density(self, images: Tensor | np.ndarray) -> np.ndarray:
        """Log p(x), ``(n,)`` in nats, of images ``(n, *event_shape)``."""
        return self.log_leading(images) + self.log_residual(images)

    def log_leading(self, images: Tensor | np.ndarray) -> np.ndarray:
        """Log-density of the leading components of each image, ``(n,)`` in nats."""
        return self.mixture.score_samples(self.pca.transform(self._rows(images)))

    def log_residual(self, images: Tensor | np.ndarray) -> np.ndarray:
        """Log-density of what the components leave out, ``(n,)`` in nats."""
        rows = self._rows(images)
        rest = rows - self.pca.inverse_transform(self.pca.transform(rows))
        free = self.num_features - self.pca.n_components_
        constant = free * math.log(2 * math.pi * self.residual_variance)
        return -0.5 * (constant + (rest**2).sum(1) / self.residual_variance)

    def _rows(self, images: Tensor | np.ndarray) -> np.ndarray:
        rows = as_rows(images)
        if rows.shape[1] != self.num_features:
            raise DataError(
                f"images got {rows.shape[1]} values each, and the reference was fitted on "
                f"{self.num_features}: give images of the same size"
            )
        return rows


@verb
def fit_reference(
    images: Tensor | np.ndarray,
    *,
    num_leading: int | float = 0.8,
    num_components: Sequence[int] = (1, 2, 5, 10, 20, 40),
    held_out: float = 0.2,
    seed: int = 0,
) -> ReferenceDensity:
    """Fit the reference density to real training images.

    The number of mixture components is the one with the highest log-density on held-out
    images; all of the images then refit that mixture. A tenth of the residual variance is
    added to every mixture component in every direction, which keeps the likelihood bounded.

    Parameters
    ----------
    images
        Shape ``(n, *event_shape)``, on the scale on which images are to be judged.
    num_leading
        Number of principal components, below the number of values in an image; or the share of
        the variance that they are to hold.
    num_components
        Numbers of mixture components to try.
    held_out
        Share of the images that is held out to choose among them.
    seed
        Seed of the split and of the mixtures' first means.

    Raises
    ------
    DataError
        If there are fewer held-out or training images than components, or the components leave
        nothing out.
    """
    rows = as_rows(images)
    if not num_components or min(num_components) < 1:
        raise ValueError(
            f"num_components got {num_components}: give numbers of mixture components, as in "
            "(1, 10, 40)"
        )
    order = np.random.default_rng(seed).permutation(len(rows))
    count = round(held_out * len(rows))
    test, train = rows[order[:count]], rows[order[count:]]
    fewest = max(2, *num_components)
    if count < 2 or len(train) <= fewest:
        raise DataError(
            f"images got {len(rows)} rows, of which {count} held out: {len(train)} are too few "
            f"for {fewest} components; give more images, or fewer components"
        )
    found = {
        size: float(_fit(train, num_leading, size, seed).log_density(test).mean())
        for size in num_components
    }
    best = max(found, key=lambda size: found[size])
    final = _fit(rows, num_leading, best, seed)
    return ReferenceDensity(final.pca, final.mixture, final.residual_variance, found)


def as_rows(images: Tensor | np.ndarray) -> np.ndarray:
    """Images as float64 rows ``(n, D)``."""
    values, columns = convert(images, "images")
    if values.dim() == 0:
        raise DataError("images got a single number: give them as (n, *event_shape)")
    check_finite(values, "images", columns)
    return values.double().cpu().flatten(1).numpy()


def _fit(rows: np.ndarray, num_leading: int | float, size: int, seed: int) -> ReferenceDensity:
    pca = PCA(num_leading, svd_solver="full").fit(rows)
    residual = float(pca.noise_variance_)
    if pca.n_components_ >= rows.shape[1] or residual <= _SMALLEST_VARIANCE:
        raise DataError(
            f"num_leading got {num_leading}, and {pca.n_components_} of {rows.shape[1]} "
            "components leave nothing for the residual: ask for fewer"
        )
    mixture = GaussianMixture(
        size, covariance_type="full", reg_covar=residual / 10, random_state=seed, max_iter=200
    )
    # A mixture that still creeps after 200 rounds is judged by held-out images like the others.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(pca.transform(rows))
    return ReferenceDensity(pca, mixture, residual, {})
