"""What the models of the package share: how they are described, and what they can be asked."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypedDict

import pyro
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO
from torch import nn

from pyro_vae.conversion import takes_data
from pyro_vae.isolation import isolated
from pyro_vae.models.component import settings_of
from pyro_vae.models.likelihoods.positive import PositiveParameter
from pyro_vae.on_demand import library
from pyro_vae.protocols import Summarised, offers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from pyro.infer import ELBO
    from torch import Tensor

    from pyro_vae.models.likelihoods import Likelihood

__all__ = [
    "LatentVariableModel",
    "check_event_shape",
    "data_plate",
    "layers_text",
    "objective_text",
]


class ExplainSettings(TypedDict, total=False):
    """Keywords of ``pyro_vae.explain`` for a module."""

    datum: int
    num_particles: int
    seed: int


class LatentVariableModel(nn.Module):
    """A generative story p(z) p(x | z) and a guide, as Pyro programs of one module.

    Attributes
    ----------
    likelihood
        Family of p(x | z).
    initialised
        Whether the first weights were started from data, trained, or loaded.
    config
        Constructor arguments for JSON; None where they cannot be written.
    """

    likelihood: Likelihood
    initialised: bool
    config: dict[str, Any] | None

    #: Arguments of the constructor that are parts with settings of their own, and their classes.
    _roles: ClassVar[dict[str, Any]] = {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make the model that ``config`` describes, with fresh weights."""
        return cls(**settings_of(cls, config, **cls._roles))

    # Each model takes arguments of its own: `Any` is what lets them override these two.
    def model(self, *args: Any, **kwargs: Any) -> Tensor:
        """Generative story, with x observed or drawn."""
        raise NotImplementedError

    def guide(self, *args: Any, **kwargs: Any) -> Any:
        """Guide q(z | x)."""
        raise NotImplementedError

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights, in which the data are given to the model."""
        for part in (*self.parameters(), *self.buffers()):
            if part.is_floating_point():
                return part.dtype
        return torch.get_default_dtype()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what the programs take beside x: labels, covariates, exposure."""
        return ()

    @property
    def amortised(self) -> bool:
        """Whether the guide serves data that it was not trained on."""
        return True

    @property
    def measure(self) -> str:
        """Base measure of log p(x): masses and densities are never ranked together."""
        return self.likelihood.measure

    @property
    def has_evidence(self) -> bool:
        """Whether log p(x) is defined: without a prior it is not."""
        return True

    @property
    def evidence_model(self) -> LatentVariableModel:
        """The model whose bounds and log p(x) stand for this one's: itself, as a rule."""
        return self

    @takes_data("x")
    def bounds_reached(self, x: Any) -> list[str]:
        """Sentences on learned parameters of p(x | z) that a setting keeps from going on.

        Parameters
        ----------
        x
            Data, or named tensors of such, at which a parameter that depends on z is judged.
        """
        found: dict[PositiveParameter, Tensor] = {}
        watched = [
            part
            for part in self.likelihood.modules()
            if isinstance(part, PositiveParameter) and isinstance(part.form, str)
        ]
        hooks = [
            part.register_forward_hook(lambda part, _, value: found.__setitem__(part, value))
            for part in watched
        ]
        given = dict(x) if isinstance(x, Mapping) else {"x": x}
        encoder = {name: value for name, value in given.items() if name != "exposure"}
        training = self.training
        try:
            self.eval()
            with torch.no_grad(), isolated():
                guided = poutine.trace(self.guide).get_trace(**encoder)
                poutine.replay(self.model, trace=guided)(**given)
        finally:
            self.train(training)
            for hook in hooks:
                hook.remove()
        sentences = (part.bound_reached(value) for part, value in found.items())
        return [text for text in sentences if text is not None]

    def default_objective(self) -> ELBO:
        """``Trace_ELBO`` with one particle."""
        return Trace_ELBO()

    def description(self, objective: ELBO | None = None) -> str:
        """Text of ``describe``."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """The story as formulas, for notebooks."""
        return f"<pre>{html.escape(self.description())}</pre>"

    def describe(self, objective: ELBO | None = None) -> None:
        """Print the generative story, the guide and the objective as formulas, with units.

        Parameters
        ----------
        objective
            Pyro ``ELBO`` that training maximises; ``default_objective()`` unless given.
        """
        print(self.description(objective))

    def explain(self, x: Any, **settings: Unpack[ExplainSettings]) -> Any:
        """The derivation of the ELBO with this model's numbers for one datum.

        Parameters
        ----------
        x
            Data ``(n, *event_shape)``, or named tensors of such.
        **settings
            Other arguments of ``pyro_vae.explain``: datum, num_particles, seed.

        Returns
        -------
        Explanation
            Shown as formulas in a notebook, as text when printed.
        """
        # A model may import nothing that measures: the package has the verb by its name.
        return library("pyro_vae").explain(self, x, **settings)

    def _units(self, quantity: str = "log p(x)") -> str:
        """The line of ``description`` on units."""
        kind = {
            "counting": "is the log of a probability mass",
            "lebesgue": "is the log of a density: it depends on the units of x",
        }.get(self.measure, f"is under the measure {self.measure}")
        return f"  units      nats per datum; {quantity} {kind}"


def check_event_shape(event_shape: Sequence[int]) -> tuple[int, ...]:
    """The sizes of one datum, refused unless positive."""
    sizes = tuple(int(size) for size in event_shape)
    if not sizes or min(sizes) <= 0:
        raise ValueError(
            f"event_shape got {tuple(event_shape)!r}: it must be the positive sizes of one datum, "
            "as in (28, 28)"
        )
    return sizes


def data_plate(*given: Tensor | None, num_data: int) -> pyro.plate:
    """The plate ``"data"``, with a row for each of the first tensor that was given.

    Parameters
    ----------
    *given
        Data, and what stands beside them; their first dimension is the data's.
    num_data
        Size of the plate where none is given.
    """
    size = next((len(part) for part in given if part is not None), num_data)
    return pyro.plate("data", size, dim=-1)


def objective_text(formula: str, bound: str) -> str:
    """The lines of ``description`` on what training maximises, and of what it is a bound."""
    return f"  objective  maximise the mean over data of {formula}\n             {bound}"


def layers_text(network: nn.Module) -> str:
    """A network in one line: its own summary, else the name of its class."""
    return str(network.summary()) if offers(network, Summarised) else type(network).__name__
