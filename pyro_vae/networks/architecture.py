"""Descriptions of networks, small enough for JSON, of which encoders and decoders are built.

A concrete architecture is one frozen dataclass; defining it registers it under its name in
kebab case, so that saved runs and the command line find it.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

from pyro_vae.disk.schema import named_settings
from pyro_vae.errors import SettingError
from pyro_vae.networks.layers import check_layers
from pyro_vae.networks.mlp import MLP
from pyro_vae.networks.table import FreeParameters

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "Architecture",
    "Dense",
    "Unamortised",
]


@dataclass(frozen=True)
class Architecture(ABC):
    """What a network is made of, whatever it maps from and to.

    A subclass is a frozen dataclass whose fields JSON can hold. Its networks take their first
    weights from PyTorch's random state.
    """

    registry: ClassVar[dict[str, type[Architecture]]] = {}
    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not inspect.isabstract(cls):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()
            cls.registry[cls.name] = cls

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))

    @staticmethod
    def from_config(config: dict[str, Any]) -> Architecture:
        """Make the architecture that ``to_config`` described.

        Raises
        ------
        UnknownNameError
            If no architecture has this name; the nearest is suggested.
        """
        name, settings = named_settings("architecture", config, Architecture.registry)
        return Architecture.registry[name](**settings)

    def to_config(self) -> dict[str, Any]:
        """Name and fields, ready for JSON."""
        fields = self.get_params().items()
        lists = {key: list(v) if isinstance(v, tuple) else v for key, v in fields}
        return {"name": self.name, **lists}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Fields by name, as scikit-learn asks for them.

        Parameters
        ----------
        deep
            Taken because scikit-learn gives it: an architecture has no estimators within.
        """
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def with_params(self, **settings: object) -> Self:
        """A new architecture with other values of some fields: none is ever changed.

        Raises
        ------
        SettingError
            If there is no such field.
        """
        known = self.get_params()
        for key in settings:
            if key not in known:
                raise SettingError(
                    f"architecture {self.name} has no setting {key!r}: it has {', '.join(known)}"
                )
        return dataclasses.replace(self, **settings)

    def __sklearn_clone__(self) -> Self:
        return self  # nothing can change it

    @abstractmethod
    def encoder(
        self, event_shape: tuple[int, ...], num_conditions: int, size_out: int
    ) -> nn.Module:
        """Network from ``(..., D + num_conditions)`` to ``(..., size_out)``.

        Parameters
        ----------
        event_shape
            Shape of one datum; its D values come first in the input, flattened.
        num_conditions
            Length of the condition, which comes after them.
        size_out
            Length of the output.
        """

    @abstractmethod
    def decoder(self, size_in: int, event_shape: tuple[int, ...], num_params: int) -> nn.Module:
        """Network from ``(..., size_in)`` to ``(..., num_params)``, with ``set_output``.

        Parameters
        ----------
        size_in
            Length of the latent vector and the condition together.
        event_shape
            Shape of one datum.
        num_params
            Length of the output, laid out as ``(parts, *event_shape)`` where the likelihood
            has the same number of parameters for every feature.
        """


@final
@dataclass(frozen=True)
class Dense(Architecture):
    """``MLP``: see there.

    Parameters
    ----------
    hidden
        Width of every hidden layer in turn; empty for a linear map.
    activation
        One of ``ACTIVATIONS``.
    residual
        Skip connections around the hidden layers after the first.
    batch_norm
        Batch normalisation before every activation; not beside ``residual``.

    Examples
    --------
    >>> Dense(hidden=(64, 64)).encoder((8, 8), 0, 4).summary()
    'MLP 64-64-64-4, ReLU'
    """

    hidden: tuple[int, ...] = (200, 200)
    activation: str = "relu"
    residual: bool = False
    batch_norm: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_layers(
            self.hidden, self.activation, residual=self.residual, batch_norm=self.batch_norm
        )

    def encoder(self, event_shape: tuple[int, ...], num_conditions: int, size_out: int) -> MLP:
        """MLP from ``(..., D + num_conditions)`` to ``(..., size_out)``."""
        return self.mlp(math.prod(event_shape) + num_conditions, size_out)

    def decoder(self, size_in: int, event_shape: tuple[int, ...], num_params: int) -> MLP:
        """MLP from ``(..., size_in)`` to ``(..., num_params)``."""
        return self.mlp(size_in, num_params)

    def mlp(self, size_in: int, size_out: int) -> MLP:
        """MLP from ``(..., size_in)`` to ``(..., size_out)``."""
        return MLP(
            size_in,
            self.hidden,
            size_out,
            activation=self.activation,
            residual=self.residual,
            batch_norm=self.batch_norm,
        )


@final
@dataclass(frozen=True)
class Unamortised(Architecture):
    """``FreeParameters``: an encoder's place without an encoder.

    Parameters
    ----------
    num_rows
        Number of different data that it can hold.
    """

    num_rows: int

    def encoder(
        self, event_shape: tuple[int, ...], num_conditions: int, size_out: int
    ) -> FreeParameters:
        """Table from ``(..., D + num_conditions)`` to ``(..., size_out)``."""
        return FreeParameters(self.num_rows, size_out)

    def decoder(self, size_in: int, event_shape: tuple[int, ...], num_params: int) -> nn.Module:
        """Refused: a latent vector is not a datum that can be looked up."""
        raise ValueError("decoder got Unamortised: it can stand for an encoder only; take Dense")
