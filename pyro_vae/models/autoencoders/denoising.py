"""The denoising autoencoder: code a spoilt datum, decode the clean one.

Vincent, Larochelle, Bengio & Manzagol (2008), "Extracting and composing robust features with
denoising autoencoders", ICML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from pyro_vae.models.autoencoders.autoencoder import Autoencoder, NetworkSettings
from pyro_vae.models.autoencoders.corruption import Corruption, GaussianNoise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pyro_vae.models.likelihoods import Likelihood

__all__ = ["DenoisingAutoencoder"]


class DenoisingAutoencoder(Autoencoder):
    """Autoencoder trained on E[log p(x | z = code(x~))], x~ a spoilt copy of x.

    The noise belongs to the objective, and is drawn afresh at every step, in validation too;
    ``code(x)`` takes x as it is, so that ``decode(code(x))`` denoises.

    Parameters
    ----------
    event_shape, latent_dim, likelihood
        As for ``Autoencoder``.
    corruption
        ``GaussianNoise``, ``MaskingNoise`` or ``SaltAndPepperNoise``, on the encoder's input;
        Gaussian with scale 0.3 unless given.
    **settings
        Other arguments of ``Autoencoder``.
    """

    kind = "denoising-autoencoder"

    _roles: ClassVar[dict[str, Any]] = {**Autoencoder._roles, "corruption": Corruption}

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_dim: int,
        *,
        likelihood: Likelihood | None = None,
        corruption: Corruption | None = None,
        **settings: Unpack[NetworkSettings],
    ) -> None:
        super().__init__(event_shape, latent_dim, likelihood=likelihood, **settings)
        self.corruption = GaussianNoise() if corruption is None else corruption
        if self.config is not None:
            self.config["corruption"] = self.corruption.to_config()

    def training_code(self, x: Tensor) -> Tensor:
        """Code of a spoilt copy of x, ``(B, L)``."""
        return self.encoder(self.corruption(self._features(x)))

    def _title(self) -> str:
        return "Denoising autoencoder"

    def _guide_formula(self) -> str:
        return f"z = code(x~), a point in R^{self.latent_dim}; {self.corruption.formula()}"

    def _objective_formula(self) -> str:
        return "E[log p(x | z = code(x~))], over the noise"
