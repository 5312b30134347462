"""What every likelihood p(x | z) says of itself."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from pyro_vae.conversion.places import check_finite, first_place
from pyro_vae.errors import DataError, SupportError
from pyro_vae.models.component import ConditionalDistribution
from pyro_vae.models.likelihoods.in_double import InDouble
from pyro_vae.models.likelihoods.observed import Observed
from pyro_vae.models.likelihoods.positive import PositiveParameter
from pyro_vae.recording import unrecorded

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Likelihood"]


class Likelihood(ConditionalDistribution, role="likelihood"):
    """Family of p(x | z), with its support and its base measure.

    A new one defines ``num_params``, ``forward``, ``in_support``, ``moment_eta``, ``formula``
    and the four variables; nothing else needs an edit. ``forward`` is called with ``eta`` in
    float64 for log-probabilities, and in the network's own type for draws and means.
    """

    #: Base measure of log p(x), ``"counting"`` or ``"lebesgue"``, or a text that spells out a
    #: product of both. Values under unequal measures are never ranked against each other.
    measure: str
    #: The support in words, for error messages.
    support: ClassVar[str]
    #: What to do with data outside it.
    remedy: ClassVar[str]
    #: Kinds of data set (``Dataset.kind``) that it can be put on.
    kinds: ClassVar[tuple[str, ...]]
    #: Whether ``forward`` takes, and then needs, an exposure beside ``eta``.
    takes_exposure: bool = False
    #: A value of the support, which stands in cells that are missing and has no effect.
    fill: ClassVar[float] = 0.0
    #: Whether log-probabilities are right although ``eta`` is left in the network's own type.
    exact_as_given: ClassVar[bool] = False

    def __call__(
        self, eta: Tensor, exposure: Tensor | None = None, observed: Tensor | None = None
    ) -> TorchDistribution:
        """Distribution that ``forward`` makes of its arguments, log-probabilities in float64.

        With ``observed``, bool ``(..., *event_shape)``, they are of the observed cells alone.
        """
        if observed is not None:
            return Observed(self(eta, exposure), observed)
        make, beside = super().__call__, () if exposure is None else (exposure,)
        if self.exact_as_given or eta.dtype == torch.float64:
            return make(eta, *beside)
        return InDouble(make(eta.double(), *beside), partial(make, eta, *beside))

    @classmethod
    def settings_for(cls, maximum: int | None) -> dict[str, Any]:
        """Constructor arguments that the data decide; ``maximum`` is the largest count."""
        return {}

    def build(self, event_shape: tuple[int, ...]) -> None:
        """Learn the event shape, and make the parameters that no network gives.

        Parameters
        ----------
        event_shape
            Shape of one datum.
        """
        super().build(event_shape)
        for part in self.children():
            if isinstance(part, PositiveParameter):
                part.build(self.event_shape)

    @abstractmethod
    def in_support(self, x: Tensor) -> Tensor:
        """Truth value per element of ``x``, any shape."""

    @abstractmethod
    def moment_eta(self, x: Tensor) -> Tensor:
        """Moment estimate of ``eta``, shape ``(num_params,)``, from data ``(n, *event_shape)``.

        It starts a mixture's components, and the output bias of a decoder.
        """

    def initialise(self, x: Tensor) -> None:
        """Start learned parameters from data ``(n, *event_shape)``; most start where they are.

        Called before ``moment_eta``.
        """

    def support_text(self) -> str:
        """The support in words, with the numbers that the settings give."""
        return self.support

    def standardise(self, x: Tensor) -> Tensor:
        """Data on a scale of order one, as the encoder's input; same shape."""
        return x

    def filled(self, x: Tensor, observed: Tensor) -> Tensor:
        """Data with a legal value in the cells that are missing, whatever stood there.

        Parameters
        ----------
        x
            Data ``(n, *event_shape)``.
        observed
            Which cells are there, bool, of the same shape.
        """
        return torch.where(observed, x, self.fill)

    def check(self, x: Tensor) -> None:
        """Refuse data of the wrong shape or outside the support.

        Parameters
        ----------
        x
            Data, shape ``(n, *event_shape)``.

        Raises
        ------
        DataError
            If the event shape differs or a value is NaN or infinite.
        SupportError
            If a value is outside the support.
        """
        self._check_shape(x)
        with unrecorded():
            inside = self.in_support(x)
            if bool(inside.all()):
                return
        check_finite(x, "x")
        where, index = first_place(~inside)
        raise SupportError(
            f"x has {int((~inside).sum())} values outside the support of the {self.name} "
            f"likelihood, the first of them {x[index].item():g} in {where}: it takes "
            f"{self.support_text()}. {self.remedy}"
        )

    def __repr__(self) -> str:
        # Without the parameters that it is made of: as in the call that made it.
        return f"{type(self).__name__}({self.extra_repr()})"

    def _check_shape(self, x: Tensor) -> None:
        if x.dim() == 0 or tuple(x.shape[1:]) != self.event_shape:
            raise DataError(
                f"x has shape {tuple(x.shape)}: the model was made for data of shape "
                f"(n, {', '.join(map(str, self.event_shape))}). Reshape the data, or make the "
                f"model with event_shape={tuple(x.shape[1:])}."
            )
