"""A (model, guide) pair out of functions that were written without Pyro."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyro
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_vae.conversion import as_inputs
from pyro_vae.errors import DataError, SettingError, UnknownNameError
from pyro_vae.isolation import isolated
from pyro_vae.pairs.bridges import bridge_to
from pyro_vae.pairs.by_densities import ByDensities
from pyro_vae.pairs.encode_decode import EncodeDecode
from pyro_vae.pairs.given import Given
from pyro_vae.pairs.local import Local, can_be_local, features_of
from pyro_vae.pairs.rows import CheckedSupport, innermost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pyro_vae.pairs.form import Form

__all__ = ["Pair"]

_MEASURES = ("counting", "lebesgue")


class Pair(nn.Module):
    """Pyro programs of a model and its guide, made of plain functions: see ``from_functions``.

    It is measured as any pair is: by ``evaluate``, ``certify``, ``ais``, ``gap_parts`` and the
    others. The latent site is ``z``, the observed one ``x``.

    Attributes
    ----------
    checked
        What was seen when the functions were tried on some rows, in sentences.
    measure
        Base measure of log p(x), ``"counting"`` or ``"lebesgue"``.
    inputs
        Names of what the programs take beside x.
    parts
        The modules among the functions, and those whose methods they are.
    """

    def __init__(
        self,
        form: Form,
        x: Tensor | dict[str, Tensor],
        *,
        parts: Iterable[nn.Module] = (),
        log_prob: Callable[..., Tensor] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        named = dict(x) if isinstance(x, dict) else {"x": x}
        rows = named.pop("x")
        self.inputs = tuple(named)
        owners = [getattr(function, "__self__", function) for function in form.functions]
        modules = [part for part in (*owners, *parts) if isinstance(part, nn.Module)]
        self.parts = nn.ModuleList(dict.fromkeys(modules))
        # What it has been put into, it stays in: nothing here trains.
        self.training = any(part.training for part in self.parts)
        own = next((p.dtype for p in self.parameters() if p.is_floating_point()), None)
        self.dtype = dtype or own or (rows.dtype if rows.dtype == torch.float64 else None)
        self.form = form
        with isolated(0):
            self.checked = form.check(rows, named)
            self._offer(rows[:1], {name: part[:1] for name, part in named.items()}, log_prob)
        self.measure = form.measure

    def _offer(
        self, x: Tensor, beside: dict[str, Tensor], log_prob: Callable[..., Tensor] | None
    ) -> None:
        """Take on the abilities that the functions allow."""
        if log_prob is not None:
            self.log_prob = log_prob
        if isinstance(self.form, EncodeDecode):
            with torch.no_grad():
                posterior = self.form.posterior(x, beside)
                likelihood = self.form.likelihood(posterior.sample(), beside)
            self.likelihood = CheckedSupport.of(likelihood.whole.support)
            if can_be_local(posterior):
                self.unamortised = self._unamortised
            if len(self.form.z_shape) == 1 and not posterior.whole.support.is_discrete:
                self.latent_dim = self.form.z_shape[0]
                if posterior.has_mean:
                    self.code = self._code
        elif isinstance(self.form, ByDensities):
            self.likelihood = CheckedSupport.of(self.form.support)

    @classmethod
    def from_functions(
        cls,
        *,
        x: Any,
        encode: Callable[..., Any] | None = None,
        decode: Callable[..., Any] | None = None,
        prior: Any = None,
        family: str | Callable[..., Any] | None = None,
        log_joint: Callable[..., Any] | None = None,
        sample: Callable[..., Any] | None = None,
        log_guide: Callable[..., Any] | None = None,
        simulate: Callable[..., Any] | None = None,
        log_joint_gradient: Callable[..., Any] | None = None,
        log_guide_gradient: Callable[..., Any] | None = None,
        library: str = "torch",
        support: Any = None,
        measure: str | None = None,
        log_prob: Callable[..., Tensor] | None = None,
        modules: Sequence[nn.Module] = (),
    ) -> Pair:
        """A pair out of an encoder, a decoder and a prior, or of densities and draws.

        Everything is tried on the first two rows of ``x`` before a pair is made: shapes, that a
        second call gives the same, that a row has the same alone as beside another, supports,
        and that p(x | z) adds up to one, where that can be seen.

        Parameters
        ----------
        x
            Two rows of data or more, as the functions take them; with what they take beside x a
            mapping, ``{"x": counts, "library": sizes}``: it then comes as keywords, row by row,
            in the type of x (whole numbers stay whole under the name ``condition`` alone).
        encode
            From x to q(z | x): a distribution of PyTorch or Pyro whose first batch dimension is
            the rows, or tensors for ``family``.
        decode
            From z, ``(N, *z_shape)``, to p(x | z), such a distribution of N rows.
        prior
            Distribution p(z) of one z, or, for ``decode``, a function that makes one.
        family
            What ``encode``'s tensors are: ``"normal"`` (mean, scale), ``"normal-variance"``,
            ``"normal-log-variance"``, or a function of them that makes a distribution.
        log_joint, log_guide
            In the place of ``encode`` and ``decode``, functions of arrays: log p(x, z) and
            log q(z | x) for N rows of x and z, ``(N,)``, in nats.
        sample
            Draws of q(z | x): ``sample(x, k)`` for B rows gives ``(k, B, *z_shape)``. NumPy's is
            given a ``numpy.random.Generator`` as its last argument, JAX's a key.
        simulate
            Draws of p(x | z): ``simulate(z)`` for N rows, with such a last argument; what
            simulates data needs it.
        log_joint_gradient, log_guide_gradient
            Gradients in z, ``(N, *z_shape)``, of NumPy's functions, which annealing needs.
        library
            What arrays the functions take: ``"torch"``, ``"numpy"`` or ``"jax"``.
        support
            Support of a cell of x beside ``log_joint``, a constraint of PyTorch; unless given
            whole numbers from 0 where the measure is counting, and the line where it is not.
        measure
            Base measure of log p(x), ``"counting"`` or ``"lebesgue"``; that of the support of
            ``decode``'s distribution unless given.
        log_prob
            Exact log p(x), ``(B,)`` in nats, where it is known: the other numbers are held
            against it.
        modules
            Modules that the functions use, where they are no modules or methods themselves:
            their parameters decide device and type, and a checksum is of them.

        Returns
        -------
        Pair
            With ``checked``, what was seen.

        Raises
        ------
        SettingError
            If the functions are neither of the two kinds, or are of both.
        ProgramError
            If a function gives another shape than it must, is random, hangs on other rows, or
            gives no density of x.
        SupportError
            If the data are outside the support of p(x | z).

        Examples
        --------
        >>> from torch.distributions import Normal
        >>> pair = Pair.from_functions(
        ...     x=torch.tensor([[0.5], [1.0]]),
        ...     encode=lambda x: Normal(x / 2, 0.5**0.5),
        ...     decode=lambda z: Normal(z, 1.0),
        ...     prior=Normal(torch.zeros(1), 1.0),
        ... )
        >>> pair.measure
        'lebesgue'
        """
        given = {
            "encode": encode,
            "decode": decode,
            "log_joint": log_joint,
            "sample": sample,
            "log_guide": log_guide,
        }
        _require_one_kind({name for name, function in given.items() if function is not None})
        if measure is not None and measure not in _MEASURES:
            raise UnknownNameError("measure", measure, _MEASURES)
        dtype = None
        if encode is not None and decode is not None:
            if library != "torch":
                raise SettingError(
                    f"library got {library!r} beside encode and decode, whose distributions are "
                    "PyTorch's: give log_joint, sample and log_guide"
                )
            form: Form = EncodeDecode(encode, decode, prior, family, measure or "")
        else:
            assert log_joint is not None
            assert sample is not None
            assert log_guide is not None
            # NumPy computes in float64 unless it is told otherwise.
            dtype = torch.float64 if library == "numpy" else None
            form = ByDensities(
                log_joint=log_joint,
                log_guide=log_guide,
                sample=sample,
                simulate=simulate,
                given_prior=prior,
                support=_support(support, measure),
                measure=_measure(support, measure),
                bridge=bridge_to(library),
                log_joint_gradient=log_joint_gradient,
                log_guide_gradient=log_guide_gradient,
            )
        return _made(cls, form, x=x, parts=tuple(modules), log_prob=log_prob, dtype=dtype)

    def model(self, x: Tensor, **beside: Tensor) -> None:
        """Generative story: z ~ p(z), x ~ p(x | z)."""
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", self.form.prior())
            pyro.sample("x", self.form.likelihood(z, beside), obs=x)

    def guide(self, x: Tensor, **beside: Tensor) -> None:
        """Guide: z ~ q(z | x)."""
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", self.form.posterior(x, beside))

    def _code(self, x: Tensor, **beside: Tensor) -> Tensor:
        """Mean of q(z | x), ``(B, L)``."""
        return self.form.posterior(x, beside).mean

    def _unamortised(self, x: Tensor, **beside: Tensor) -> Local:
        """The same model with guide parameters for each of these data."""
        with torch.no_grad():
            posterior = self.form.posterior(x, beside)
        assert isinstance(posterior, Given)
        return Local(self, posterior, features_of(x, beside))


def _made(
    kind: type[Pair],
    form: Form,
    x: Any,
    parts: Sequence[nn.Module],
    log_prob: Callable[..., Tensor] | None,
    dtype: torch.dtype | None,
) -> Pair:
    """The pair, its rows converted."""
    x = as_inputs(x, dtype=dtype)
    if len(x["x"] if isinstance(x, dict) else x) < 2:
        raise DataError("x has one row: two are needed, to see that rows do not hang on others")
    return kind(form, x, parts=parts, log_prob=log_prob, dtype=dtype)


def _require_one_kind(given: set[str]) -> None:
    """Refuse functions that are of neither kind, or of both."""
    kinds = ({"encode", "decode"}, {"log_joint", "sample", "log_guide"})
    if given not in kinds:
        got = ", ".join(sorted(given)) or "none of them"
        raise SettingError(
            f"a pair is made of encode and decode, or of log_joint, sample and log_guide, and got "
            f"{got}: give all of one kind and none of the other"
        )


def _support(support: Any, measure: str | None) -> Any:
    """Support of a cell of x, by the measure unless given."""
    if support is not None:
        return support
    if measure is None:
        raise SettingError(
            'measure is missing beside log_joint: say "counting" for counts, or zeros and ones '
            'with support=torch.distributions.constraints.boolean, and "lebesgue" for a density'
        )
    return constraints.nonnegative_integer if measure == "counting" else constraints.real


def _measure(support: Any, measure: str | None) -> str:
    """Base measure, by the support unless given."""
    if measure is not None:
        return measure
    return "counting" if innermost(support).is_discrete else "lebesgue"
