"""Programs of NumPyro as pairs, by JAX: one datum at a time, and all data at once by ``vmap``.

Phan, Pradhan and Jankowiak (2019), Composable effects for flexible and accelerated probabilistic
programming in NumPyro, arXiv 1912.11554.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.distributions import Normal, constraints

from pyro_vae.conversion import takes_data
from pyro_vae.errors import ProgramError
from pyro_vae.on_demand import library
from pyro_vae.pairs.pair import Pair

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    #: An array of JAX, whose types are not there where JAX is not.
    Array: TypeAlias = Any

__all__ = ["from_numpyro"]


@takes_data("x")
def from_numpyro(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    params: Mapping[str, Any],
    x: Any,
) -> Pair:
    """A pair out of NumPyro's programs and the parameters that ``SVI`` found.

    Scales, as those of a plate with ``subsample_size`` and ``handlers.scale``, change what is
    trained and not what the model is: they are left out. z has all latent sites side by side,
    each on the whole line by NumPyro's own bijection, whose Jacobian is in both densities.

    Parameters
    ----------
    model, guide
        Programs of x, ``model(x)``, with every latent site inside a plate of the data, and one
        observed site. Give other arguments by ``functools.partial``.
    params
        ``svi.get_params(state)``, or ``result.params``.
    x
        Two data or more, ``(B, ...)``; with what the programs take by name beside x, a mapping
        ``{"x": x, "labels": labels}``.

    Returns
    -------
    Pair
        With p(z) where its sites are normal and hang on nothing, so that log p(x | z) is held
        against its integral.

    Raises
    ------
    ProgramError
        If a site is discrete, global, or in one program only, or not one site is observed.
    MissingDataError
        If NumPyro is not installed.
    """
    named = dict(x) if isinstance(x, dict) else {"x": x}
    library("numpyro", "peers", "from_numpyro")
    programs = _Programs(model, guide, dict(params))
    programs.look({name: part[:2].numpy() for name, part in named.items()})
    measure = "counting" if programs.discrete else "lebesgue"
    return Pair.from_functions(
        x=named,
        log_joint=programs.log_joint,
        log_guide=programs.log_guide,
        sample=programs.sample,
        simulate=programs.simulate,
        prior=programs.prior if programs.support is not None else None,
        support=programs.support,
        measure=measure,
        library="jax",
    )


@dataclass
class _Site:
    """A latent site of one datum.

    Attributes
    ----------
    name
        Its name.
    onto
        Bijection from the line onto its support.
    shape
        Shape on the line.
    size
        How many numbers that is.
    """

    name: str
    onto: Any
    shape: tuple[int, ...]
    size: int


class _Programs:
    """Functions of arrays that a model and its guide are."""

    def __init__(
        self, model: Callable[..., Any], guide: Callable[..., Any], params: dict[str, Any]
    ) -> None:
        self.jax = library("jax")
        self.handlers = library("numpyro.handlers")
        self.distributions = library("numpyro.distributions")
        self.model, self.guide, self.params = model, guide, params
        self.sites: list[_Site] = []
        self._draws = self.jax.jit(self._draw, static_argnums=1)

    def look(self, rows: dict[str, Any]) -> None:
        """Find out which sites there are, and what they are, by two rows."""
        first = {name: part[:1] for name, part in rows.items()}
        trace = self._trace(self.guide, first, {}, self.jax.random.key(0))
        for site in _latent(trace):
            self._enrol(site)
        seen = self._trace(self.model, first, self._values(trace), self.jax.random.key(0))
        self._require_the_same(seen)
        observed = [site for site in _sampled(seen) if site["is_observed"]]
        if len(observed) != 1 or observed[0]["value"].shape[0] != 1:
            names = ", ".join(site["name"] for site in observed) or "none"
            raise ProgramError(
                f"the model must have one observed site, a row for each datum, and has {names}: "
                "make one site of them, or use Pair.from_functions"
            )
        self.observed, fn = observed[0]["name"], observed[0]["fn"]
        self.discrete = bool(fn.support.is_discrete)
        self.support = self._support_of_cells(fn)
        self.dtype = torch.from_numpy(_numpy(trace[self.sites[0].name]["value"])).dtype
        self.event = rows["x"].shape[1:]
        self.prior = self._prior(rows)

    def _support_of_cells(self, fn: Any) -> Any:
        """PyTorch's name of a support that no parameter moves, else None."""
        own, support = self.distributions.constraints, self._innermost(fn).support
        named = (
            (own.boolean, constraints.boolean),
            (own.nonnegative_integer, constraints.nonnegative_integer),
            (own.real, constraints.real),
            (own.unit_interval, constraints.unit_interval),
            (own.positive, constraints.positive),
            (own.nonnegative, constraints.nonnegative),
        )
        return next((ours for theirs, ours in named if support is theirs), None)

    def _innermost(self, fn: Any) -> Any:
        """A distribution without its layout."""
        layouts = (self.distributions.Independent, self.distributions.ExpandedDistribution)
        while isinstance(fn, layouts):
            fn = fn.base_dist
        return fn

    def _enrol(self, site: dict[str, Any]) -> None:
        name, fn = site["name"], site["fn"]
        if fn.support.is_discrete:
            raise ProgramError(
                f"latent site {name!r} is discrete, and z is taken as numbers of the line: sum it "
                "out in the model, for example by MixtureSameFamily"
            )
        if tuple(fn.batch_shape) != (1,):
            raise ProgramError(
                f"latent site {name!r} has batch shape {tuple(fn.batch_shape)} for one datum: "
                "every latent site must be in a plate of the data, whose size follows x"
            )
        onto = self.distributions.biject_to(fn.support)
        shape = onto.inv(site["value"]).shape[1:]
        self.sites.append(_Site(name, onto, shape, math.prod(shape)))

    def _require_the_same(self, trace: dict[str, Any]) -> None:
        ours, theirs = {site.name for site in self.sites}, {s["name"] for s in _latent(trace)}
        if ours != theirs:
            alone = ", ".join(sorted(ours ^ theirs))
            raise ProgramError(
                f"latent site {alone} is in one of model and guide only: both must have the same"
            )

    def _trace(
        self, program: Any, row: dict[str, Any], latents: dict[str, Any], key: Any
    ) -> dict[str, Any]:
        """Sites of a program on one row, at these values of its latent ones."""
        named = {name: part for name, part in row.items() if name != "x"}
        handlers = self.handlers
        program = handlers.substitute(program, data={**self.params, **latents})
        seeded = handlers.seed(program, key)
        found: dict[str, Any] = handlers.trace(seeded).get_trace(row["x"], **named)
        return found

    def _values(self, trace: dict[str, Any]) -> dict[str, Any]:
        return {site.name: trace[site.name]["value"] for site in self.sites}

    def _onto(self, z: Any) -> tuple[dict[str, Any], Any]:
        """Values of the sites at z ``(L,)``, and the logarithm of the Jacobian's determinant."""
        values, log_slope, start = {}, 0.0, 0
        for site in self.sites:
            on_line = z[start : start + site.size].reshape(1, *site.shape)
            values[site.name] = site.onto(on_line)
            log_slope += site.onto.log_abs_det_jacobian(on_line, values[site.name]).sum()
            start += site.size
        return values, log_slope

    def _density(self, program: Any, row: dict[str, Any], z: Any) -> Any:
        """Log-density of one row, of z on the line, in nats; a plate's scale is no part of it."""
        values, log_slope = self._onto(z)
        trace = self._trace(program, row, values, self.jax.random.key(0))
        terms = [site["fn"].log_prob(site["value"]).sum() for site in _sampled(trace)]
        return sum(terms) + log_slope

    def _of_rows(self, program: Any, x: Any, z: Any, beside: dict[str, Any]) -> Any:
        def of_row(row: dict[str, Any], z: Any) -> Any:
            return self._density(program, _alone(self.jax, row), z)

        return self.jax.vmap(of_row)({"x": x, **beside}, z)

    def log_joint(self, x: Any, z: Any, **beside: Array) -> Any:
        """Log p(x, z), ``(N,)``."""
        return self._of_rows(self.model, x, z, beside)

    def log_guide(self, x: Any, z: Any, **beside: Array) -> Any:
        """Log q(z | x), ``(N,)``."""
        return self._of_rows(self.guide, x, z, beside)

    def sample(self, x: Any, k: int, key: Any, **beside: Array) -> Any:
        """Draws of q(z | x), ``(k, B, L)``."""
        return self._draws({"x": x, **beside}, k, key)

    def _draw(self, rows: dict[str, Any], k: int, key: Any) -> Any:
        jax = self.jax
        keys = jax.random.split(key, (k, len(rows["x"])))

        def of_row(row: dict[str, Any], key: Any) -> Any:
            trace = self._trace(self.guide, _alone(jax, row), {}, key)
            parts = [site.onto.inv(trace[site.name]["value"]) for site in self.sites]
            return jax.numpy.concatenate([part.reshape(-1) for part in parts])

        return jax.vmap(jax.vmap(of_row), (None, 0))(rows, keys)

    def simulate(self, z: Any, key: Any, **beside: Array) -> Any:
        """Draws of p(x | z), ``(N, ...)``; the x that the program is given is not looked at."""
        jax = self.jax

        def of_row(row: dict[str, Any], z: Any, key: Any) -> Any:
            one = {"x": jax.numpy.zeros((1, *self.event)), **_alone(jax, row)}
            trace = self._trace(self.model, one, self._onto(z)[0], jax.random.key(0))
            drawn = trace[self.observed]["fn"].sample(key)
            return drawn.reshape(self.event).astype(z.dtype)

        return jax.vmap(of_row)(beside, z, jax.random.split(key, len(z)))

    def _prior(self, rows: dict[str, Any]) -> Normal | None:
        """Distribution p(z), where its sites are normal, and the same whatever x and z are."""
        one, other = (
            self._normals({name: part[row : row + 1] for name, part in rows.items()})
            for row in (0, 1)
        )
        if one is None or other is None or not all(map(np.array_equal, one, other)):
            return None
        loc, scale = (torch.from_numpy(part).to(self.dtype) for part in one)
        return Normal(loc, scale)

    def _normals(self, row: dict[str, Any]) -> tuple[Any, Any] | None:
        """Means and scales of the model's latent sites, at draws of the guide; None if others."""
        jnp = self.jax.numpy
        drawn = self._values(self._trace(self.guide, row, {}, self.jax.random.key(1)))
        trace = self._trace(self.model, row, drawn, self.jax.random.key(0))
        means, scales = [], []
        for site in self.sites:
            fn = trace[site.name]["fn"]
            shape = trace[site.name]["value"].shape
            fn = self._innermost(fn)
            if type(fn) is not self.distributions.Normal:
                return None
            means.append(jnp.broadcast_to(fn.loc, shape).reshape(-1))
            scales.append(jnp.broadcast_to(fn.scale, shape).reshape(-1))
        return _numpy(jnp.concatenate(means)), _numpy(jnp.concatenate(scales))


def _alone(jax: Any, row: dict[str, Any]) -> dict[str, Any]:
    """A datum as a batch of one."""
    return {name: jax.numpy.expand_dims(part, 0) for name, part in row.items()}


def _sampled(trace: dict[str, Any]) -> list[dict[str, Any]]:
    return [site for site in trace.values() if site["type"] == "sample"]


def _latent(trace: dict[str, Any]) -> list[dict[str, Any]]:
    return [site for site in _sampled(trace) if not site["is_observed"]]


def _numpy(array: Any) -> Any:
    return np.array(array)
