"""The engine: log-weights log p(x, z_k) - log q(z_k | x) of any Pyro (model, guide) pair.

Every bound and estimate of the package is a reduction of one tensor of shape (K, B): K
particles from the guide for each of B data (Burda, Grosse & Salakhutdinov, 2016, arXiv
1509.00519). Log-probabilities are taken unscaled: the factor N / B of a subsampled plate, and
an annealing weight set by ``poutine.scale``, would be an exponent of the weights inside the
log-sum-exp, and what comes out would no longer be a bound.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pyro
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.poutine import Trace
from pyro.poutine.util import prune_subsample_sites
from torch.overrides import TorchFunctionMode

from pyro_vae.errors import ProgramError
from pyro_vae.inference.inputs import (
    check_inputs,
    count,
    device_of,
    run_program,
    take,
    tensors,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from pyro_vae.inference.inputs import Inputs

__all__ = [
    "Draws",
    "LogWeights",
    "Program",
    "cross_log_guide",
    "log_weights",
    "sample_log_weights",
    "stream_draws",
    "stream_log_weights",
]

Program = Callable[..., Any]

#: Particles drawn from the guide in one call: a constant, so that the draws, hence the
#: estimates, do not depend on how the model's evaluation is cut into chunks.
_BLOCK = 8192

#: Particles drawn from the prior in one call, a constant for the same reason: the model runs
#: up to its likelihood to draw them, whatever ``memory_limit`` is.
_PRIOR_BLOCK = 256

#: Memory, in bytes, that evaluating one chunk of particles may take, unless given.
MEMORY_LIMIT = 2**25


class LogWeights(NamedTuple):
    """The three terms of the log-weights, each of shape ``(K, B)``, in nats.

    Attributes
    ----------
    log_likelihood
        log p(x | z_k).
    log_prior
        log p(z_k).
    log_guide
        log q(z_k | x).
    """

    log_likelihood: Tensor
    log_prior: Tensor
    log_guide: Tensor

    @property
    def log_weights(self) -> Tensor:
        """Sum log p(x | z_k) + log p(z_k) - log q(z_k | x), shape ``(K, B)``."""
        return self.log_likelihood + self.log_prior - self.log_guide


class Draws(NamedTuple):
    """Particles of the guide with their weights.

    Attributes
    ----------
    values
        Value of every site of the guide, ``(K, B, *inner plates, *event shape)``.
    terms
        Terms of their log-weights, ``(K, B)``.
    """

    values: dict[str, Tensor]
    terms: LogWeights


class Structure(NamedTuple):
    """What one run of a pair shows of its plates and sites."""

    data_dim: int
    max_plate_nesting: int
    summed_out: frozenset[str]

    @property
    def particle_dim(self) -> int:
        return -1 - self.max_plate_nesting


def log_weights(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int,
    chunk_size: int | None = None,
    *,
    seed: int = 0,
    memory_limit: int = MEMORY_LIMIT,
    enumerate_discrete: bool = False,
    vectorize_particles: bool = True,
    data_plate: str | None = None,
    prior_share: float = 0.0,
) -> Tensor:
    """Log-weights of importance sampling with the guide, for any Pyro pair.

    A datum's draws depend on the seed and on the datum alone, so its weights do not depend on
    the chunk size, on the other data or on their order (up to rounding of matrix products).
    The price is one pass per datum, about two milliseconds of overhead each.

    Parameters
    ----------
    model, guide
        Pyro programs that take ``x``, with any number of latent sites inside one data plate.
    x
        Data, shape ``(B, ...)``; for programs with several inputs, a mapping from their names
        to such tensors.
    num_particles
        Number K of particles per datum.
    chunk_size
        Particles evaluated at once; from ``memory_limit`` unless given.
    seed
        Seed of the draws.
    memory_limit
        Bytes that the evaluation of one chunk may take.
    enumerate_discrete
        Sum out the discrete latent sites of the model that the guide does not have.
    vectorize_particles
        Particles as a plate to the left of the program's own; False runs the program once per
        particle, for programs that do not broadcast.
    data_plate
        Name of the plate over data, needed only where several plates hold every site.
    prior_share
        Share a of the particles that come from the prior: the proposal is the mixture
        (1 - a) q(z | x) + a p(z) over all the sites of a datum together, so no weight is above
        p(x | z) / a (Hesterberg, 1995, "Weighted average importance sampling and defensive
        mixture distributions"). The guide must know its density wherever the prior draws.

    Returns
    -------
    Tensor
        Shape ``(num_particles, B)``, float64, in nats.

    Raises
    ------
    ProgramError
        If a site is outside the data plate, or is in only one of model and guide.
    DataError
        If ``x`` is empty.
    ValueError
        If a number of particles is not positive, or a share not in [0, 1).

    Examples
    --------
    >>> import pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x / 2, 0.5**0.5))
    >>> x = torch.tensor([0.0, 1.0])
    >>> log_weights(model, guide, x, 3).std(0).max() < 1e-6  # the guide is the posterior
    tensor(True)
    """
    columns = [
        terms.log_weights
        for terms in stream_log_weights(
            model,
            guide,
            x,
            num_particles,
            chunk_size,
            seed=seed,
            memory_limit=memory_limit,
            enumerate_discrete=enumerate_discrete,
            vectorize_particles=vectorize_particles,
            data_plate=data_plate,
            prior_share=prior_share,
        )
    ]
    return torch.cat(columns, dim=1)


def stream_log_weights(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int,
    chunk_size: int | None = None,
    *,
    seed: int = 0,
    memory_limit: int = MEMORY_LIMIT,
    enumerate_discrete: bool = False,
    vectorize_particles: bool = True,
    data_plate: str | None = None,
    prior_share: float = 0.0,
    more: Callable[[LogWeights], int] | None = None,
    start: int = 0,
) -> Iterator[LogWeights]:
    """Terms of the log-weights, one datum at a time: shape ``(num_particles, 1)``, float64.

    The arguments are those of ``log_weights``; the first ``start`` data are passed over. The
    ``(K, B, D)`` log-likelihood terms never lie in memory at once, and neither do the
    ``(K, B)`` weights.

    ``more``, given a datum's terms, says how many particles to add to them, and is asked again
    until it says 0: K may then differ from one datum to the next. Later particles have seeds
    of their own, so a datum's still depend on nothing but the seed, the datum and the sizes.
    """
    draws = stream_draws(
        model,
        guide,
        x,
        num_particles,
        chunk_size,
        seed=seed,
        memory_limit=memory_limit,
        enumerate_discrete=enumerate_discrete,
        vectorize_particles=vectorize_particles,
        data_plate=data_plate,
        prior_share=prior_share,
        more=more,
        start=start,
    )
    return (part.terms for part in draws)


def stream_draws(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int,
    chunk_size: int | None = None,
    *,
    seed: int = 0,
    memory_limit: int = MEMORY_LIMIT,
    enumerate_discrete: bool = False,
    vectorize_particles: bool = True,
    data_plate: str | None = None,
    prior_share: float = 0.0,
    more: Callable[[LogWeights], int] | None = None,
    start: int = 0,
) -> Iterator[Draws]:
    """Particles of the guide and their weights, one datum at a time: those of ``log_weights``.

    The arguments are those of ``stream_log_weights``; every tensor has shape ``(num_particles, 1,
    ...)``. A discrete site that is summed out has no draws.
    """
    for name, value in (("num_particles", num_particles), ("chunk_size", chunk_size or 1)):
        if value < 1:
            raise ValueError(f"{name} got {value}: it must be at least 1")
    if not 0 <= prior_share < 1:
        raise ValueError(
            f"prior_share got {prior_share}: it must be at least 0 and below 1, such as 0.1"
        )
    check_inputs(x)
    first, devices = take(x, slice(1)), _cuda_devices(x)
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        structure = structure_of(model, guide, first, enumerate_discrete, data_plate)
        if chunk_size is None and vectorize_particles:
            per_particle = _bytes_per_particle(model, guide, first, structure)
            chunk_size = max(1, int(memory_limit // max(per_particle, 1)))

    def block(datum: Inputs, size: int) -> Draws:
        if not vectorize_particles:
            return _concatenate([particles(datum, 1, None) for _ in range(size)])
        return particles(datum, size, chunk_size)

    def particles(datum: Inputs, size: int, chunk_size: int | None) -> Draws:
        trace = run_in_plate(guide, datum, structure, size)
        if prior_share:
            trace = _with_prior_draws(model, guide, trace, datum, size, structure, prior_share)
        terms = _block(model, trace, datum, size, structure, chunk_size)
        if prior_share:
            terms = _mixed(terms, prior_share)
        return Draws(values_of(latent_sites(trace), structure, size, 1), terms)

    # Gradients are off for a column at a time: not for whoever consumes the columns.
    @torch.no_grad()
    def column(datum: Inputs, occurrence: int) -> Draws:
        blocks: list[Draws] = []
        done, stop = 0, num_particles
        while done < stop:
            size = min(_BLOCK, stop - done)
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(_stream_seed(datum, occurrence, seed, done))
                blocks.append(block(datum, size))
            done += size
            if done == stop and more is not None:
                blocks = [_concatenate(blocks)]
                stop += more(blocks[0].terms)
        return _concatenate(blocks)

    def columns() -> Iterator[Draws]:
        seen: Counter[bytes] = Counter()
        for row in range(count(x)):
            datum = take(x, slice(row, row + 1))
            content = _digest(datum)
            seen[content] += 1
            if row >= start:
                yield column(datum, seen[content])

    return columns()


def _digest(datum: Inputs) -> bytes:
    content = b"".join(part.cpu().numpy().tobytes() for part in tensors(datum))
    return hashlib.blake2b(content, digest_size=16).digest()


def _cuda_devices(x: Inputs) -> list[torch.device]:
    device = device_of(x)
    return [device] if device.type == "cuda" else []


def _stream_seed(datum: Inputs, occurrence: int, seed: int, start: int) -> int:
    """Seed of one datum's block of particles; an equal datum further on has its own."""
    key = b"%b %d %d %d" % (_digest(datum), occurrence, seed, start)
    return int.from_bytes(hashlib.blake2b(key, digest_size=7).digest())


def sample_log_weights(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int,
    *,
    enumerate_discrete: bool = False,
    data_plate: str | None = None,
) -> tuple[LogWeights, float]:
    """Terms of the log-weights for a whole batch at once, with gradients.

    For training objectives: one vectorised pass, drawn from the current random state.

    Parameters
    ----------
    model, guide, x, num_particles, enumerate_discrete, data_plate
        As for ``log_weights``.

    Returns
    -------
    LogWeights
        Terms of shape ``(num_particles, B)``, differentiable, without any scale.
    float
        N / B of a subsampled data plate, to multiply what is made of a datum's weights.

    Raises
    ------
    ProgramError
        If a guide site is not reparameterised: differentiating its draws would leave out the
        score-function term, and the gradient would be wrong.
    """
    with torch.no_grad(), torch.random.fork_rng(devices=_cuda_devices(x)):
        first = take(x, slice(1))
        structure = structure_of(model, guide, first, enumerate_discrete, data_plate)
    guide_trace = run_in_plate(guide, x, structure, num_particles)
    for site in latent_sites(guide_trace):
        if not site["fn"].has_rsample:
            raise ProgramError(
                f"guide site {site['name']!r} is not reparameterised, so its draws have no "
                "gradient: train with Trace_ELBO, or sum it out with enumerate_discrete=True"
            )
    terms = _block(model, guide_trace, x, num_particles, structure, None)
    return terms, plate_scale(guide_trace, structure)


def cross_log_guide(
    model: Program,
    guide: Program,
    x: Inputs,
    num_particles: int,
    *,
    seed: int = 0,
    enumerate_discrete: bool = False,
    data_plate: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[LogWeights, Tensor]]:
    """Terms for draws from each datum's guide, and those draws under every datum's guide.

    Parameters
    ----------
    model, guide, x, num_particles, enumerate_discrete, data_plate
        As for ``log_weights``.
    seed
        Seed of the draws, which are made for all the data at once.
    progress
        Called with the number of data done and their total.

    Yields
    ------
    LogWeights
        Terms of datum b, ``(num_particles, 1)``, in nats.
    Tensor
        log q(z_k | x_c) for z_k drawn from q(z | x_b) and every datum c, ``(num_particles, B)``.
    """
    check_inputs(x)
    size, devices = count(x), _cuda_devices(x)
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        structure = structure_of(model, guide, take(x, slice(1)), enumerate_discrete, data_plate)
        trace = run_in_plate(guide, x, structure, num_particles)
        terms = _block(model, trace, x, num_particles, structure, None)
    for row in range(size):
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            given = {}
            for site in latent_sites(trace):
                dim = structure.data_dim - site["fn"].event_dim
                value = site["value"]
                given[site["name"]] = value.narrow(dim, row, 1).expand(value.shape)
            scored = run_in_plate(
                poutine.condition(guide, data=given), x, structure, num_particles
            )
            sites = [scored.nodes[name] for name in given]
            cross = sum_sites(sites, structure, num_particles, size)
        yield LogWeights(*(term[:, row : row + 1].double() for term in terms)), cross.double()
        if progress is not None:
            progress(row + 1, size)


def plate_scale(trace: Trace, structure: Structure) -> float:
    """N / B of the data plate."""
    for site in latent_sites(trace):
        for frame in site["cond_indep_stack"]:
            if frame.dim == structure.data_dim:
                return float((frame.full_size or frame.size) / frame.size)
    return 1.0


def _block(
    model: Program,
    guide_trace: Trace,
    x: Inputs,
    num_particles: int,
    structure: Structure,
    chunk_size: int | None,
) -> LogWeights:
    """Terms for the K particles of a guide trace; the model takes ``chunk_size`` at a time."""
    log_guide = sum_sites(latent_sites(guide_trace), structure, num_particles, count(x))
    parts = []
    for start in range(0, num_particles, chunk_size or num_particles):
        stop = min(start + (chunk_size or num_particles), num_particles)
        piece = guide_trace
        if stop - start < num_particles:
            piece = _slice_particles(guide_trace, structure, start, stop)
        parts.append(model_terms(model, x, piece, structure, stop - start))
    log_likelihood, log_prior = (torch.cat(terms) for terms in zip(*parts, strict=True))
    return LogWeights(log_likelihood, log_prior, log_guide)


def _mixed(terms: LogWeights, prior_share: float) -> LogWeights:
    """Terms whose proposal is log [(1 - a) q(z | x) + a p(z)]."""
    log_guide = torch.logaddexp(
        math.log1p(-prior_share) + terms.log_guide, math.log(prior_share) + terms.log_prior
    )
    return terms._replace(log_guide=log_guide)


def _with_prior_draws(
    model: Program,
    guide: Program,
    guide_trace: Trace,
    x: Inputs,
    num_particles: int,
    structure: Structure,
    prior_share: float,
) -> Trace:
    """The guide's trace with some particles from the prior, in all their sites together."""
    chosen = torch.nonzero(torch.rand(num_particles) < prior_share).squeeze(1)
    merged = guide_trace.copy()
    for site in latent_sites(guide_trace):
        merged.nodes[site["name"]] = {**site, "value": site["value"].clone()}
    for part in chosen.split(_PRIOR_BLOCK) if len(chosen) else ():
        drawn = run_in_plate(model, x, structure, len(part))
        for site in latent_sites(merged):
            value = site["value"]
            dim = structure.particle_dim - site["fn"].event_dim
            if num_particles == 1:
                value = value.unsqueeze(0)
                dim = 0
            shape = [*value.shape]
            shape[dim] = len(part)
            new = drawn.nodes[site["name"]]["value"].to(value).reshape(shape)
            value.index_copy_(dim, part.to(value.device), new)
    # The guide once more, since a site's density may depend on the values of those before it.
    return run_in_plate(poutine.replay(guide, trace=merged), x, structure, num_particles)


def _concatenate(blocks: list[Draws]) -> Draws:
    """All the particles of the blocks, their terms in float64."""
    values = {name: torch.cat([b.values[name] for b in blocks]) for name in blocks[0].values}
    terms = zip(*(block.terms for block in blocks), strict=True)
    return Draws(values, LogWeights(*(torch.cat(parts).double() for parts in terms)))


def values_of(
    sites: list[dict[str, Any]], structure: Structure, num_particles: int, num_data: int
) -> dict[str, Tensor]:
    """Values by site, from how they lie in a trace to ``(K, B, *inner plates, *event shape)``."""
    values = {}
    for site in sites:
        order, inner = _axes(site, structure)
        value, event_dim = site["value"], site["fn"].event_dim
        missing = -structure.particle_dim - (value.dim() - event_dim)
        value = value.reshape((1,) * missing + tuple(value.shape)).permute(order)
        rest = value.shape[2 : 2 + inner] + value.shape[value.dim() - event_dim :]
        values[site["name"]] = value.expand(num_particles, num_data, *value.shape[2:]).reshape(
            num_particles, num_data, *rest
        )
    return values


def _as_traced(value: Tensor, site: dict[str, Any], structure: Structure) -> Tensor:
    """The inverse of ``values_of``: a value ``(K, B, ...)`` laid out as a trace has it."""
    order, inner = _axes(site, structure)
    absent = -structure.particle_dim - 2 - inner
    value = value.reshape(*value.shape[: 2 + inner], *(1,) * absent, *value.shape[2 + inner :])
    value = value.permute([order.index(axis) for axis in range(len(order))])
    return value if value.shape[0] > 1 else value[0]


def _axes(site: dict[str, Any], structure: Structure) -> tuple[list[int], int]:
    """Axes of a traced value in the order particles, data, inner plates, no plate, event."""
    size = -structure.particle_dim
    taken = {structure.particle_dim, structure.data_dim}
    inner = sorted({f.dim for f in site["cond_indep_stack"] if f.vectorized} - taken)
    absent = [dim for dim in range(-size, 0) if dim not in taken and dim not in inner]
    plates = [size + dim for dim in (structure.particle_dim, structure.data_dim, *inner, *absent)]
    return [*plates, *range(size, size + site["fn"].event_dim)], len(inner)


def run_at(
    model: Program,
    x: Inputs,
    values: Mapping[str, Tensor],
    structure: Structure,
    *,
    num_particles: int | None = None,
    draw_observed: bool = False,
) -> Trace:
    """Trace of a model with given values of its latent sites.

    Parameters
    ----------
    model, x
        Pyro program and data of B rows.
    values
        Values of latent sites, ``(K, B, *inner plates, *event shape)``; others are drawn.
    structure
        What ``structure_of`` returned for the pair.
    num_particles
        Number K, needed only where no values are given.
    draw_observed
        Draw the observed sites from p(x | z), where otherwise they are ``x``.
    """
    if num_particles is None:
        num_particles = len(next(iter(values.values())))
    sites = {site["name"]: site for site in _samples(trace_of(model, take(x, slice(1))))}
    program = poutine.replay(model, trace=given_trace(values, sites, structure))
    if draw_observed:
        program = poutine.uncondition(program)
    return run_in_plate(program, x, structure, num_particles)


def given_trace(
    values: Mapping[str, Tensor], sites: Mapping[str, dict[str, Any]], structure: Structure
) -> Trace:
    """Trace to replay a program against: values ``(K, B, ...)`` of sites, laid out as it does.

    Parameters
    ----------
    values
        Values by name of the site.
    sites
        The sites as a run of the program on one datum has them.
    structure
        What ``structure_of`` returned for the pair.
    """
    given = Trace()
    for name, value in values.items():
        laid_out = _as_traced(value, sites[name], structure)
        given.add_node(name, name=name, type="sample", is_observed=False, value=laid_out, infer={})
    return given


def trace_of(program: Program, x: Inputs) -> Trace:
    return prune_subsample_sites(poutine.trace(lambda: run_program(program, x)).get_trace())


def run_in_plate(program: Program, x: Inputs, structure: Structure, num_particles: int) -> Trace:
    """Trace of a program inside a plate of particles to the left of its own plates."""

    def vectorised(x: Inputs) -> None:
        # One particle needs no plate, so a program that does not broadcast can still be run.
        if num_particles == 1:
            run_program(program, x)
            return
        with pyro.plate("_particles", num_particles, dim=structure.particle_dim):
            run_program(program, x)

    return prune_subsample_sites(poutine.trace(vectorised).get_trace(x))


def model_terms(
    model: Program, x: Inputs, guide_trace: Trace, structure: Structure, num_particles: int
) -> tuple[Tensor, Tensor]:
    """Terms log p(x | z_k) and log p(z_k), discrete sites summed out exactly."""
    program = poutine.replay(model, trace=guide_trace)
    if structure.summed_out:
        program = poutine.infer_config(
            program,
            lambda site: {"enumerate": "parallel"} if site["name"] in structure.summed_out else {},
        )
        program = poutine.enum(program, first_available_dim=structure.particle_dim - 1)
    trace = run_in_plate(program, x, structure, num_particles)
    size = count(x)
    log_prior = sum_sites(latent_sites(trace), structure, num_particles, size)
    log_likelihood = sum_sites(observed_sites(trace), structure, num_particles, size)
    if structure.summed_out:
        # log p(z) = log sum_d p(z, d);  log p(x | z) = log sum_d p(x, z, d) - log p(z)
        log_joint = _sum_out(log_prior + log_likelihood)
        log_prior = _sum_out(log_prior)
        log_likelihood = log_joint - log_prior
    shape = (num_particles, size)
    return log_likelihood.expand(shape), log_prior.expand(shape)


def _sum_out(log_prob: Tensor) -> Tensor:
    """Log-sum-exp over every dimension to the left of (particles, data)."""
    return log_prob.flatten(0, -3).logsumexp(0) if log_prob.dim() > 2 else log_prob


def sum_sites(
    sites: list[dict[str, Any]], structure: Structure, num_particles: int, num_data: int
) -> Tensor:
    """Sum of the unscaled log-probabilities of the sites, ``(..., K, B)``."""
    total = torch.zeros(num_particles, num_data)
    for site in sites:
        log_prob = site["fn"].log_prob(site["value"], *site["args"], **site["kwargs"])
        # A mask says which terms there are; the scale is a matter of the training objective.
        log_prob = scale_and_mask(log_prob, 1.0, site["mask"])
        missing = structure.max_plate_nesting + 1 - log_prob.dim()
        log_prob = log_prob.reshape((1,) * max(missing, 0) + tuple(log_prob.shape))
        inner = [
            dim for dim in range(-structure.max_plate_nesting, 0) if dim != structure.data_dim
        ]
        if inner:
            log_prob = log_prob.sum(inner)
        total = total.to(log_prob) + log_prob
    return total


def _slice_particles(trace: Trace, structure: Structure, start: int, stop: int) -> Trace:
    """The trace with the particles from ``start`` to ``stop`` alone."""
    piece = trace.copy()
    for site in latent_sites(trace):
        value = site["value"]
        dim = structure.particle_dim - site["fn"].event_dim
        if value.dim() >= -dim and value.shape[dim] > 1:
            value = value.narrow(dim, start, stop - start)
        piece.nodes[site["name"]] = {**site, "value": value}
    return piece


def _samples(trace: Trace) -> list[dict[str, Any]]:
    return [
        site
        for site in trace.nodes.values()
        if site["type"] == "sample" and not site["infer"].get("_deterministic")
    ]


def latent_sites(trace: Trace) -> list[dict[str, Any]]:
    return [site for site in _samples(trace) if not site["is_observed"]]


def observed_sites(trace: Trace) -> list[dict[str, Any]]:
    return [site for site in _samples(trace) if site["is_observed"]]


def structure_of(
    model: Program, guide: Program, x: Inputs, enumerate_discrete: bool, data_plate: str | None
) -> Structure:
    """Run the pair once and read off its plates and sites; refuse what cannot be weighted."""
    guide_trace = trace_of(guide, x)
    model_trace = trace_of(poutine.replay(model, trace=guide_trace), x)
    in_guide = {site["name"] for site in latent_sites(guide_trace)}
    in_model = {site["name"] for site in latent_sites(model_trace)}
    for name in sorted(in_guide - in_model):
        raise ProgramError(
            f"latent site {name!r} is in the guide but not in the model: give both the same sites"
        )
    summed_out = in_model - in_guide
    for name in sorted(summed_out):
        if not enumerate_discrete or not model_trace.nodes[name]["fn"].has_enumerate_support:
            raise ProgramError(
                f"latent site {name!r} is in the model but not in the guide: add it to the "
                "guide, or, if it is discrete, sum it out with enumerate_discrete=True"
            )
    if not observed_sites(model_trace):
        raise ProgramError("the model has no observed site: condition one on x with obs=x")
    sites = _samples(model_trace) + latent_sites(guide_trace)
    plates = [{f.name: f.dim for f in site["cond_indep_stack"] if f.vectorized} for site in sites]
    name = _data_plate(sites, plates, data_plate)
    nesting = max(-dim for plate in plates for dim in plate.values())
    for site, plate in zip(sites, plates, strict=True):
        if site["name"] in summed_out and len(plate) > 1:
            raise ProgramError(
                f"discrete site {site['name']!r} lies in a plate inside the data plate: it "
                "cannot be summed out here; put it in the guide, or marginalise it by hand"
            )
    return Structure(plates[0][name], nesting, frozenset(summed_out))


def _data_plate(
    sites: list[dict[str, Any]], plates: list[dict[str, int]], given: str | None
) -> str:
    """Name of the plate over data: the one plate that holds every site."""
    counts = Counter(name for plate in plates for name in plate)
    if not counts:
        raise ProgramError(
            f"latent site {sites[0]['name']!r} is outside any plate: put the sites of one datum "
            'in `with pyro.plate("data", len(x)):`'
        )
    everywhere = [name for name, count in counts.items() if count == len(sites)]
    name = given or ("data" if "data" in counts else None)
    if name is None:
        if len(everywhere) > 1:
            raise ProgramError(
                f"plates {', '.join(everywhere)} hold every site: say which one runs over the "
                f"data, as in data_plate={everywhere[0]!r}"
            )
        name = everywhere[0] if everywhere else counts.most_common(1)[0][0]
    for site, plate in zip(sites, plates, strict=True):
        if name not in plate:
            kind = "observed" if site["is_observed"] else "latent"
            raise ProgramError(
                f"{kind} site {site['name']!r} is outside the data plate {name!r}: log p(x) per "
                "datum exists only where every site is local to a datum; move it into the "
                "plate, or make it a parameter"
            )
    return name


class _CountBytes(TorchFunctionMode):
    """Adds up the bytes of every tensor that the calls inside make."""

    total = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.total += tensor.nbytes
        return out


def _bytes_per_particle(model: Program, guide: Program, x: Inputs, structure: Structure) -> float:
    """Bytes that one more particle adds to the tensors made in one pass, freed ones included.

    An upper bound of the peak, taken as a difference so that weights do not count.
    """
    totals = []
    for num_particles in (2, 10):
        trace = run_in_plate(guide, x, structure, num_particles)
        with _CountBytes() as counted:
            model_terms(model, x, trace, structure, num_particles)
        totals.append(counted.total)
    return (totals[1] - totals[0]) / 8
