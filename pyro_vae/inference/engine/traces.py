"""Running a Pyro pair with particles in a plate, and reading values and log-probabilities off.

What the engine of the log-weights stands on: where a program's plates lie, how a value with
particles and data is laid out in its trace, and sums of unscaled log-probabilities per
particle and datum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.infer.autoguide import AutoGuide
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import NonlocalExit
from pyro.poutine.util import prune_subsample_sites

from pyro_vae.errors import ProgramError, PyroVAEError
from pyro_vae.inference.engine.auxiliary import Auxiliary, auxiliary_of, without_auxiliary
from pyro_vae.inference.engine.inputs import count, run_program, take

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs

__all__ = [
    "Program",
    "RowsByPositionError",
    "Structure",
    "given_trace",
    "latent_sites",
    "model_terms",
    "observed_sites",
    "plate_scale",
    "replayed",
    "run_at",
    "run_in_plate",
    "sites_from_prior",
    "slice_particles",
    "structure_of",
    "sum_sites",
    "trace_of",
    "values_of",
]

Program = Callable[..., Any]


class Structure(NamedTuple):
    """What one run of a pair shows of its plates and sites."""

    data_dim: int
    max_plate_nesting: int
    summed_out: frozenset[str]
    auxiliary: Mapping[str, Auxiliary] = MappingProxyType({})

    @property
    def particle_dim(self) -> int:
        """Dimension of the plate of particles, to the left of the program's own."""
        return -1 - self.max_plate_nesting


class RowsByPositionError(ProgramError):
    """A program that has something of its own for each row of all the data, by its position."""


def structure_of(
    model: Program, guide: Program, x: Inputs, enumerate_discrete: bool, data_plate: str | None
) -> Structure:
    """Run the pair once and read off its plates and sites; refuse what cannot be weighted."""
    guide_trace, model_trace = _first_run(model, guide, x)
    auxiliary = auxiliary_of(guide_trace, model_trace)
    guide_trace = without_auxiliary(guide_trace, auxiliary)
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
    for site in latent_sites(model_trace):
        if isinstance(_innermost(site["fn"]), dist.ImproperUniform):
            raise ProgramError(
                f"latent site {site['name']!r} has a flat, improper prior, so that log p(x) and "
                "bounds on it are not defined: give the site a proper prior, or ask for the "
                "reconstruction error (inference.latents.reconstruction_error) instead"
            )
    for site in latent_sites(guide_trace):
        if is_point_mass(site["fn"]) and site["value"].is_floating_point():
            raise ProgramError(
                f"the guide of latent site {site['name']!r} is a point mass, which has no density "
                "to weigh a continuous latent variable with: give the site a guide with a "
                "density, such as a normal"
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
    return Structure(plates[0][name], nesting, frozenset(summed_out), auxiliary)


def _first_run(model: Program, guide: Program, x: Inputs) -> tuple[Trace, Trace]:
    """Traces of the pair, whose plates must fit the data and each other.

    Raises
    ------
    RowsByPositionError
        If a plate has another size than there are data, as that of a guide with parameters of
        each row of the data that it was trained on.
    """
    if isinstance(guide, AutoGuide) and guide.prototype_trace is None:
        raise ProgramError(
            f"guide got an {type(guide).__name__} that was not run yet, and makes its parameters "
            "for the data of its first run: train it, or call it once, with all the data"
        )
    guide_trace = trace_of(guide, x)
    try:
        model_trace = trace_of(poutine.replay(model, trace=guide_trace), x)
    except (ValueError, RuntimeError, IndexError) as error:
        if isinstance(error, PyroVAEError):
            raise
        _require_rows(_samples(guide_trace), x, error)
        raise
    _require_rows(_samples(guide_trace) + _samples(model_trace), x)
    return guide_trace, model_trace


def _require_rows(sites: list[dict[str, Any]], x: Inputs, cause: Exception | None = None) -> None:
    """Refuse sites none of whose plates is as large as the data are many."""
    for site in sites:
        sizes = [frame.size for frame in site["cond_indep_stack"] if frame.vectorized]
        if sizes and not {count(x), -1} & {*sizes}:
            raise RowsByPositionError(
                f"site {site['name']!r} has something of its own for each of {max(sizes)} data, "
                f"by their position, and was run on {count(x)}: measure those {max(sizes)} "
                "together, by evaluate or log_evidence, or make it of the data that the program "
                "is given, as an encoder does"
            ) from cause


def is_point_mass(fn: Any) -> bool:
    """Whether a distribution always gives the same value."""
    return isinstance(_innermost(fn), dist.Delta)


def _innermost(fn: Any) -> Any:
    """The distribution inside independence, masks and expansions."""
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return fn


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


def trace_of(program: Program, x: Inputs) -> Trace:
    """Trace of one run of a program on the data."""
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

    trace = prune_subsample_sites(poutine.trace(vectorised).get_trace(x))
    return without_auxiliary(trace, structure.auxiliary)


def sites_from_prior(
    model: Program,
    x: Inputs,
    structure: Structure,
    num_particles: int,
    sites: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Latent sites drawn from the prior, as a trace of the model has them.

    The model is left at the last of them: what it would make of them, such as the parameters of
    a likelihood, is not needed.
    """
    names = {site["name"] for site in sites}
    with poutine.trace() as traced, suppress(NonlocalExit), _LeaveAfter(names):
        run_in_plate(model, x, structure, num_particles)
    return [traced.trace.nodes[site["name"]] for site in sites]


class _LeaveAfter(Messenger):
    """Leaves a program by ``NonlocalExit`` once it has been at all these sites."""

    def __init__(self, names: set[str]) -> None:
        super().__init__()
        self._left = set(names)

    def _pyro_sample(self, msg: Any) -> None:
        self._left.discard(msg["name"])
        if not self._left:
            msg["continuation"] = self._leave

    def _leave(self, msg: Any) -> None:
        raise NonlocalExit(msg)


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


def latent_sites(trace: Trace) -> list[dict[str, Any]]:
    """Sample sites of a trace that are not observed, in order."""
    return [site for site in _samples(trace) if not site["is_observed"]]


def observed_sites(trace: Trace) -> list[dict[str, Any]]:
    """Sample sites of a trace that are observed, in order."""
    return [site for site in _samples(trace) if site["is_observed"]]


def _samples(trace: Trace) -> list[dict[str, Any]]:
    return [
        site
        for site in trace.nodes.values()
        if site["type"] == "sample" and not site["infer"].get("_deterministic")
    ]


def model_terms(
    model: Program, x: Inputs, guide_trace: Trace, structure: Structure, num_particles: int
) -> tuple[Tensor, Tensor]:
    """Terms log p(x | z_k) and log p(z_k), discrete sites summed out exactly."""
    trace = replayed(model, x, guide_trace, structure, num_particles)
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


def replayed(
    model: Program, x: Inputs, guide_trace: Trace, structure: Structure, num_particles: int
) -> Trace:
    """Trace of the model at a guide's values, in parallel at all values of sites summed out."""
    program = poutine.replay(model, trace=guide_trace)
    if structure.summed_out:
        program = poutine.infer_config(
            program,
            lambda site: {"enumerate": "parallel"} if site["name"] in structure.summed_out else {},
        )
        program = poutine.enum(program, first_available_dim=structure.particle_dim - 1)
    return run_in_plate(program, x, structure, num_particles)


def _sum_out(log_prob: Tensor) -> Tensor:
    """Log-sum-exp over every dimension to the left of (particles, data)."""
    return log_prob.flatten(0, -3).logsumexp(0) if log_prob.dim() > 2 else log_prob


def sum_sites(
    sites: list[dict[str, Any]], structure: Structure, num_particles: int, num_data: int
) -> Tensor:
    """Sum of the unscaled log-probabilities of the sites, ``(..., K, B)``, float64."""
    total = torch.zeros(num_particles, num_data, dtype=torch.float64)
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
            log_prob = log_prob.sum(inner, dtype=torch.float64)
        total = total.to(log_prob.device) + log_prob
    return total


def slice_particles(trace: Trace, structure: Structure, start: int, stop: int) -> Trace:
    """The trace with the particles from ``start`` to ``stop`` alone."""
    piece = trace.copy()
    for site in latent_sites(trace):
        value = site["value"]
        dim = structure.particle_dim - site["fn"].event_dim
        if value.dim() >= -dim and value.shape[dim] > 1:
            value = value.narrow(dim, start, stop - start)
        piece.nodes[site["name"]] = {**site, "value": value}
    return piece


def plate_scale(trace: Trace, structure: Structure) -> float:
    """N / B of the data plate."""
    for site in latent_sites(trace):
        for frame in site["cond_indep_stack"]:
            if frame.dim == structure.data_dim:
                return float((frame.full_size or frame.size) / frame.size)
    return 1.0
