"""The parts that a model is put together from: named, described, rebuilt from JSON.

A role (likelihood, prior, guide) is an abstract class. A concrete part is one class in one
file of the role's folder; defining it puts it in the role's registry under its name in
kebab case, so the API, the command line, the tests and saved runs find it with no other edit.
A user's own class is registered the same way, wherever it is defined.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

from torch import nn

from pyro_vae.disk.schema import arguments_of, named_settings
from pyro_vae.errors import SettingError, UnknownNameError
from pyro_vae.spelling import parse_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["Component", "ConditionalDistribution", "discover", "settings_of"]


def discover(package: str, path: Iterable[str]) -> None:
    """Import every module of a role's folder, so that its classes are registered."""
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")


def settings_of(model: type, config: dict[str, Any], **roles: type[Any]) -> dict[str, Any]:
    """Constructor arguments that ``config`` describes, the parts of these roles made.

    Parameters
    ----------
    model
        The class whose arguments they are.
    config
        As read from JSON.
    **roles
        Classes with ``from_config``, by the names of their arguments.

    Raises
    ------
    SettingError
        If an argument is missing, unknown or of a wrong type; it is named, as in
        ``encoder.hidden``.
    """
    given = {key: value for key, value in config.items() if key != "model"}
    settings = arguments_of(model, given, made=tuple(roles))
    for role, part in roles.items():
        # The parts that a model may be without; of whole data, nothing says so of a mechanism.
        if role == "mechanism" and settings.get(role) is None:
            continue
        if role not in settings:
            raise SettingError(f"{role} is missing")
        if role == "condition" and settings[role] is None:
            continue
        try:
            settings[role] = part.from_config(settings[role])
        except SettingError as error:
            raise SettingError(f"{role}.{error}") from error
    return settings


class Component(nn.Module, ABC):
    """A named part of a model.

    Every constructor argument is kept as an attribute of the same name: it is what
    ``to_config`` writes and ``from_config`` reads.
    """

    role: ClassVar[str] = "component"
    registry: ClassVar[dict[str, Any]]
    name: ClassVar[str]

    #: Whether a model has built it: it then has parameters of its own.
    built: bool = False

    def __init_subclass__(cls, *, role: str | None = None) -> None:
        super().__init_subclass__()
        if role is not None:
            cls.role, cls.registry = role, {}
        elif not inspect.isabstract(cls):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()
            cls.registry[cls.name] = cls

    @classmethod
    def named(cls, name: str, **settings: object) -> Self:
        """Make the part of this role that goes by ``name``, with settings that are its class's.

        Raises
        ------
        UnknownNameError
            If no such part is registered; the nearest name is suggested.
        """
        if name not in cls.registry:
            raise UnknownNameError(cls.role, name, cls.registry)
        return cls.registry[name](**settings)

    @classmethod
    def parse(
        cls, text: str, defaults: Callable[[type[Self]], dict[str, Any]] | None = None
    ) -> Self:
        """Make a part from its name and settings, as in ``student-t(df=4, scale=latent)``.

        Parameters
        ----------
        text
            Name, and settings in brackets: numbers, words, true, false, or lists of such.
        defaults
            Gives settings for a class that ``text`` may override.

        Raises
        ------
        UnknownNameError
            If no such part is registered.
        SettingError
            If the text cannot be read, or the part has no such setting.
        """
        name, settings = parse_call(text)
        if name not in cls.registry:
            raise UnknownNameError(cls.role, name, cls.registry)
        part = cls.registry[name]
        known = [key for key in inspect.signature(part.__init__).parameters if key != "self"]
        for key in settings:
            if key not in known:
                raise SettingError(
                    f"{cls.role} {name} has no setting {key!r}: it has "
                    f"{', '.join(known) if known else 'none'}"
                )
        given = {} if defaults is None else defaults(part)
        try:
            return part(**{**given, **settings})
        except TypeError as error:
            raise SettingError(f"{cls.role} {text!r} cannot be made: {error}") from error

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make the part that ``to_config`` described."""
        name, settings = named_settings(cls.role, config, cls.registry)
        return cls.named(name, **settings)

    def to_config(self) -> dict[str, Any]:
        """Name and constructor arguments, ready for JSON."""
        arguments = list(inspect.signature(type(self).__init__).parameters)[1:]
        arguments = [a for a in arguments if a not in ("args", "kwargs")]
        return {"name": self.name, **{a: getattr(self, a) for a in arguments}}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Constructor arguments by name, as scikit-learn asks for them.

        Parameters
        ----------
        deep
            Taken because scikit-learn gives it: a part has no estimators within.
        """
        settings = self.to_config()
        del settings["name"]
        return settings

    def with_params(self, **settings: object) -> Self:
        """A new part with other values of some arguments; it is not built, and shares nothing.

        Raises
        ------
        SettingError
            If the part has no such argument.
        """
        known = self.get_params()
        for key in settings:
            if key not in known:
                raise SettingError(
                    f"{self.role} {self.name} has no setting {key!r}: it has "
                    f"{', '.join(known) if known else 'none'}"
                )
        return type(self)(**{**known, **settings})

    def set_params(self, **settings: object) -> Self:
        """Make the part anew, in its own place, with other values of some arguments.

        Raises
        ------
        SettingError
            If the part has no such argument, or a model has built it.
        """
        if not settings:
            return self
        if self.built:
            raise SettingError(
                f"{self.role} {self.name} is part of a model, which would be left with a part "
                f"that does not fit it: take with_params({', '.join(settings)}=...) for a new "
                "part, and make a model of it"
            )
        fresh = self.with_params(**settings)
        vars(self).clear()
        vars(self).update(vars(fresh))
        return self

    def __sklearn_clone__(self) -> Self:
        return self.with_params()

    def extra_repr(self) -> str:
        """Constructor arguments, as in the call that made the part."""
        return ", ".join(f"{key}={value!r}" for key, value in self.get_params().items())


class ConditionalDistribution(Component):
    """A distribution whose parameters are a function of an unconstrained vector ``eta``.

    A network gives ``eta``; this class says how long it is and which distribution it means.
    """

    @abstractmethod
    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """Length of ``eta`` for events of this shape."""

    @abstractmethod
    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution with batch shape ``(...)`` for ``eta`` of shape ``(..., num_params)``."""

    @abstractmethod
    def formula(self) -> str:
        """The distribution in symbols, as it stands in the generative story."""

    def build(self, event_shape: tuple[int, ...]) -> None:
        """Learn the event shape, and make the parameters that no network gives.

        Parameters
        ----------
        event_shape
            Shape of one datum (likelihood) or of one latent vector (guide).
        """
        self.event_shape = tuple(event_shape)
        self.built = True

    def _split(self, eta: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Cut ``(..., parts * D)`` into ``parts`` tensors of shape ``(..., *event_shape)``."""
        size = math.prod(self.event_shape)
        return tuple(
            part.reshape(part.shape[:-1] + self.event_shape)
            for part in eta.split([size] * parts, dim=-1)
        )
