"""What a model, and each of its parts, may offer beyond two Pyro programs.

Nothing of it is needed: a plain pair ``(model, guide)`` is trained and measured as it stands.
Whoever writes a class may add to it any of the abilities below, each a protocol of a method or
two, and any of the ``Facts``, which have defaults. The rest of the package asks here:
``offers(model, HasLogProb)`` before it calls ``model.log_prob``, and ``Facts(model).inputs`` for
what a model may say of itself.

A method that takes data is given x, and by name what the model's ``inputs`` name beside it.
``pyro_vae.models.LatentVariableModel`` has the facts for the package's own models, and
``pyro_vae.formulas.Described`` is what an objective says of itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pyro.infer import ELBO
    from torch import Tensor, nn
    from typing_extensions import TypeIs

__all__ = [
    "ChecksData",
    "Coder",
    "CompletesCells",
    "ConditionsCells",
    "Differentiable",
    "Facts",
    "FillsCells",
    "HasBounds",
    "HasCode",
    "HasCodeUse",
    "HasColumnLogProb",
    "HasDefaultObjective",
    "HasEnumeratedLogProb",
    "HasExactPosterior",
    "HasIdentity",
    "HasLogProb",
    "HasMarginalLogProb",
    "HasParameters",
    "HasPosterior",
    "HasUnamortised",
    "Initialisable",
    "LocalPair",
    "Moving",
    "NeedsWholeBatch",
    "OfNumData",
    "OverWholeBatch",
    "Programs",
    "Scheduled",
    "Scored",
    "SettableOutput",
    "Story",
    "Summarised",
    "WholeBatch",
    "offers",
]

T = TypeVar("T")


def offers(owner: object, ability: Callable[..., T]) -> TypeIs[T]:
    """Whether an object has all that a protocol of this page names.

    Unlike ``isinstance``, it also sees what a ``torch.nn.Module`` holds as a part of itself, such
    as a guide that is a module, on every version of Python.

    Parameters
    ----------
    owner
        A model, one of its parts, or an objective.
    ability
        One of the protocols.

    Examples
    --------
    >>> from pyro_vae.models import VAE, LinearVAE
    >>> offers(VAE((4,), 1), HasLogProb), offers(LinearVAE((4,), 1), HasLogProb)
    (False, True)
    """
    kinds: tuple[type, ...] = getattr(ability, "__mro__", ())
    named = {name: member for kind in kinds for name, member in vars(kind).items()}
    return all(
        (found := getattr(owner, name, None)) is not None
        and (callable(found) or not callable(member))
        for name, member in named.items()
        if not name.startswith("_")
    )


class Facts:
    """What a model says of itself, by attributes or properties; each has a default.

    Parameters
    ----------
    model
        A module, any object with Pyro programs, or a program. A program that is a method says
        what its owner says.

    Attributes
    ----------
    owner
        Who says it: the model, or the object whose method the program is.
    """

    def __init__(self, model: object) -> None:
        self._program = model
        self.owner = getattr(model, "__self__", model)

    def _said(self, name: str, default: Any) -> Any:
        return getattr(self.owner, name, default)

    @property
    def name(self) -> str:
        """What messages call it: the name of a program, else that of its class."""
        return str(getattr(self._program, "__name__", type(self._program).__name__))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what the programs take beside x; none.

        Labels, covariates, exposure, and ``"observed"``, which cells of x are there.
        """
        return tuple(self._said("inputs", ()))

    @property
    def says_inputs(self) -> bool:
        """Whether it says at all what its programs take beside x."""
        return hasattr(self.owner, "inputs")

    @property
    def dtype(self) -> object:
        """The ``torch.dtype`` in which data are given to it; None: they keep their own."""
        return self._said("dtype", None)

    @property
    def amortised(self) -> bool:
        """Whether the guide serves data that it was not trained on; true."""
        return bool(self._said("amortised", True))

    @property
    def initialised(self) -> bool:
        """Whether nothing is left to be started from data; true. ``fit`` sets it."""
        return bool(self._said("initialised", True))

    @property
    def measure(self) -> str:
        """Base measure of log p(x), ``"counting"`` or ``"lebesgue"``; ``"unknown"``.

        A likelihood says its own, and a model of masks names their columns behind it: what is
        called log p(x) is then that of both. Values under unequal measures are never ranked.
        """
        return str(self._said("measure", "unknown"))

    @property
    def config(self) -> dict[str, Any] | None:
        """Constructor arguments for JSON, to open a run again; None: it cannot be opened."""
        return self._said("config", None)

    @property
    def evidence_model(self) -> Any:
        """The model whose bounds and log p(x) stand for this one's; itself."""
        return self._said("evidence_model", self.owner)

    @property
    def likelihood(self) -> Any:
        """The part that is p(x | z); None."""
        return self._said("likelihood", None)

    @property
    def prior(self) -> Any:
        """The part that is p(z); None."""
        return self._said("prior", None)

    @property
    def data_are_checked(self) -> bool:
        """Whether its likelihood has looked at all that its programs take.

        What they take beside x, such as labels, they check themselves, at every call.
        """
        return offers(self.likelihood, ChecksData) and not self.inputs

    @property
    def latent_dim(self) -> int | None:
        """Length of the code; None."""
        return self._said("latent_dim", None)


class Story(Protocol):
    """A generative story."""

    @property
    def model(self) -> Callable[..., Any]:
        """Pyro program ``model(x)``, with x observed."""


class Programs(Story, Protocol):
    """A story and its guide: what ``fit``, ``evaluate`` and ``explain`` take."""

    @property
    def guide(self) -> Callable[..., Any]:
        """Pyro program ``guide(x)`` of q(z | x)."""


class LocalPair(Programs, Protocol):
    """A pair whose guide has parameters for each datum, such as ``VAE.unamortised(x)``."""

    @property
    def local_parameters(self) -> Iterable[nn.Parameter]:
        """The parameters of each datum, and no others."""


class HasUnamortised(Programs, Protocol):
    """A model whose guide can be fitted to each datum: the gap is then taken apart."""

    def unamortised(self, x: Tensor) -> LocalPair:
        """The same story with guide parameters of these data alone, started at the encoder's."""


class HasLogProb(Protocol):
    """A model whose log p(x) is known exactly: it takes the place of estimates."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log p(x), ``(B,)``, in nats."""


class HasEnumeratedLogProb(Protocol):
    """A model whose discrete z can be summed out, at a cost that only a few data are worth."""

    def enumerated_log_prob(self, x: Tensor) -> Tensor:
        """Exact log p(x), ``(B,)``, in nats; ``ProgramError`` where z has too many values."""


class HasExactPosterior(Protocol):
    """A model whose posterior is known: the lines of a derivation are checked by it."""

    def exact_posterior(self, x: Tensor) -> Any:
        """Distribution p(z | x), with one value of z a datum."""


class HasIdentity(Protocol):
    """A model whose bound is known in closed form, too."""

    def identity(self, x: Tensor) -> Any:
        """An object with ``elbo``, the exact L(q; x), ``(B,)``, in nats."""


class HasPosterior(Protocol):
    """What gives q(z | x) as a distribution: the package's VAE, or an object of yours."""

    def posterior(self, x: Tensor) -> Any:
        """Distribution of z, ``(B, L)`` over data and dimensions."""


class HasCode(Protocol):
    """A model whose data have codes: with a ``latent_dim``, active units are counted."""

    @property
    def code(self) -> Callable[..., Tensor]:
        """``code(x)``: code of each datum, such as the mean of q(z | x), ``(B, L)``."""


class Coder(HasCode, Protocol):
    """A model whose codes can be decoded: for reconstructions, walks and latent planes."""

    @property
    def decode(self) -> Callable[..., Tensor]:
        """``decode(z)``: mean of p(x | z), ``(..., *event_shape)``, z of shape ``(..., L)``."""


class HasCodeUse(Protocol):
    """A model that tells itself how much of its code is in use, in the place of active units."""

    def code_use(self, x: Tensor) -> dict[str, float]:
        """Numbers by name, over all the data."""


class HasParameters(Protocol):
    """What is trained, as a ``torch.nn.Module`` is."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """All the parameters."""


class Initialisable(Protocol):
    """A model that is started from data: ``fit`` does so, unless it is ``initialised``."""

    def initialise(self, x: Tensor) -> None:
        """Set first weights; afterwards ``initialised`` is true."""


class HasDefaultObjective(Protocol):
    """A model that is not trained by ``Trace_ELBO`` unless told otherwise."""

    def default_objective(self) -> ELBO:
        """A new objective. Where it sums discrete sites out, so do others given by name."""


class HasBounds(Protocol):
    """A model that knows which of its parameters a setting keeps from going on."""

    def bounds_reached(self, x: Tensor | Mapping[str, Tensor]) -> list[str]:
        """Sentences to warn with, judged at these data, or named tensors of such."""


class HasColumnLogProb(Protocol):
    """A distribution of a datum's columns that are independent given z, each with its own law."""

    def column_log_prob(self, value: Tensor) -> Tensor | None:
        """The terms of the sum that ``log_prob`` is, in nats: a value of the value's own shape.

        None where it turns out to be no such sum.
        """


class HasMarginalLogProb(Protocol):
    """A distribution of dependent cells that can integrate some of them out."""

    def marginal_log_prob(self, value: Tensor, observed: Tensor) -> Tensor:
        """Log-probability of the cells where ``observed`` is true, of the batch shape, in nats."""


class ConditionsCells(Protocol):
    """A distribution of dependent cells that can be drawn from given some of them."""

    def conditioned(self, drawn: Tensor, value: Tensor, observed: Tensor) -> Tensor:
        """Draws, or means, of whole data made such of the cells that are not ``observed``.

        Given the cells of ``value`` where ``observed`` is true.
        """


class CompletesCells(Protocol):
    """A distribution that knows which cells are there, and draws of it that do not."""

    def completed(self, drawn: Tensor, value: Tensor) -> Tensor:
        """Draws, or means, of whole data made such of the missing cells, given the others."""


class Scored(Protocol):
    """A distribution that leaves its log-probabilities to another, such as one in float64."""

    @property
    def scored(self) -> Any:
        """The distribution that gives them, for values in float64."""


class ChecksData(Protocol):
    """A likelihood that refuses data outside its support, before any long work starts."""

    def check(self, x: Tensor) -> None:
        """Raise ``SupportError`` for a value it cannot have, ``DataError`` for a shape."""


class FillsCells(Protocol):
    """A likelihood that knows a legal value for a cell that is not observed."""

    def filled(self, x: Tensor, observed: Tensor) -> Tensor:
        """Data with that value, whatever stood there, where ``observed`` is false."""


class Summarised(Protocol):
    """A network that ``describe`` shows by more than the name of its class."""

    def summary(self) -> str:
        """Its layers in one line."""


class SettableOutput(Protocol):
    """A decoder that can be started at the moments of the data."""

    def set_output(self, eta: Tensor) -> None:
        """Start the output around ``eta``, shape ``(num_params,)``."""


class WholeBatch(Protocol):
    """A batch of which several processes have some rows each."""

    @property
    def size(self) -> int:
        """Number of data of the whole."""

    def total(self, part: Tensor) -> Tensor:
        """Sum over the processes, with its gradient."""

    def rows(self, part: Tensor) -> Tensor:
        """Rows of all processes in the order of the batch, without gradient."""


class OverWholeBatch(Protocol):
    """A module whose output or state in training hangs on all the data of a batch.

    It takes sums or rows over the processes that share the batch.
    """

    def share_batch(self, batch: WholeBatch | None) -> None:
        """Take the batch that is shared from now on; None for one that is in one process."""


class NeedsWholeBatch(Protocol):
    """A module or an objective that several processes cannot share a batch of."""

    @property
    def needs_whole_batch(self) -> str:
        """Why, as a clause."""


class OfNumData(Protocol):
    """An objective that needs the number of data that the batches are drawn from."""

    def of(self, num_data: int) -> None:
        """Take the number of training data, before training."""


class Scheduled(Protocol):
    """An objective that changes over the training."""

    def at(self, share: float) -> None:
        """Take the form that belongs to a share of the training done, in [0, 1)."""


class Moving(Protocol):
    """An objective that says which of its attributes ``at`` changes.

    They are numbers that it computes with: a recorded graph has them as inputs.
    """

    @property
    def moving(self) -> tuple[str, ...]:
        """Names of the attributes."""


class Differentiable(Protocol):
    """An objective whose loss is a tensor, as it is for most of Pyro's and all of ours."""

    def differentiable_loss(
        self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: object
    ) -> Tensor:
        """Minus the objective, summed over the data, with its gradient."""
