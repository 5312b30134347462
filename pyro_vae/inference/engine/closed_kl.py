"""The distributions at the sites of a pair, and KLs between them in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pyro.distributions as dist
import torch
from pyro import poutine
from torch.distributions import kl_divergence

from pyro_vae.inference.engine.traces import (
    latent_sites,
    observed_sites,
    run_in_plate,
    structure_of,
)
from pyro_vae.isolation import isolated

if TYPE_CHECKING:
    from pyro.poutine import Trace
    from torch import Tensor

    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.traces import Program, Structure

__all__ = ["SitesOfPair", "closed_kl", "closed_kl_to_prior", "sites_of_pair"]

#: Particles that show whether a site's density depends on other draws.
_FEW = 8


class SitesOfPair(NamedTuple):
    """What the traces of a pair show: its sites by role, and their distributions."""

    structure: Structure
    guide: dict[str, Any]
    prior: dict[str, Any]
    observed: tuple[str, ...]
    constant: bool
    masked: bool

    @property
    def latents(self) -> tuple[str, ...]:
        """Latent sites that are drawn; all of the model's where the guide has none."""
        return tuple(self.guide) or tuple(self.prior)


def sites_of_pair(
    model: Program, guide: Program, x: Inputs, enumerate_discrete: bool, data_plate: str | None
) -> SitesOfPair:
    """Run the pair with a few particles, and read its sites off."""
    with torch.no_grad(), isolated(0):
        structure = structure_of(model, guide, x, enumerate_discrete, data_plate)
        guide_trace = run_in_plate(guide, x, structure, _FEW)
        model_trace = _replayed(model, guide_trace, x, structure)
    in_guide = {site["name"]: site for site in latent_sites(guide_trace)}
    in_prior = {site["name"]: site for site in latent_sites(model_trace)}
    return SitesOfPair(
        structure,
        {name: site["fn"] for name, site in in_guide.items()},
        {name: site["fn"] for name, site in in_prior.items()},
        tuple(site["name"] for site in observed_sites(model_trace)),
        all(
            _is_constant(sites[name], in_guide[name]["value"], structure)
            for sites in (in_guide, in_prior)
            for name in in_guide
        ),
        any(s["mask"] is not None for s in (*in_guide.values(), *in_prior.values())),
    )


def _replayed(model: Program, guide_trace: Trace, x: Inputs, structure: Structure) -> Trace:
    return run_in_plate(poutine.replay(model, trace=guide_trace), x, structure, _FEW)


def _is_constant(site: dict[str, Any], value: Tensor, structure: Structure) -> bool:
    """Whether a site's density is the same function whatever else was drawn."""
    dim = structure.particle_dim - site["fn"].event_dim
    if value.dim() < -dim:
        return True
    same = value.narrow(dim, 0, 1).expand(value.shape)
    log_prob = site["fn"].log_prob(same)
    if log_prob.dim() < -structure.particle_dim:
        return True
    return bool(log_prob.eq(log_prob.narrow(structure.particle_dim, 0, 1)).all())


def closed_kl_to_prior(pair: SitesOfPair) -> tuple[float | None, str]:
    """KL(q(z|x) || p(z)) by torch's own formulas, or None and why there is none."""
    if set(pair.prior) != set(pair.guide):
        return None, "a discrete site of the prior is summed out"
    if not pair.constant:
        return None, "the distribution of a site depends on the draw of another"
    if pair.masked:
        return None, "a site is masked"
    total = 0.0
    for name, q in pair.guide.items():
        found = closed_kl(q, pair.prior[name])
        if found is None:
            families = f"{_family(q)} and {_family(pair.prior[name])}"
            return None, f"torch has no closed form for {families}"
        total += _first_particle(found, pair.structure)
    return total, ""


def closed_kl(q: Any, p: Any) -> Tensor | None:
    """KL(q || p) where torch or Pyro has it, ``q.batch_shape``; None where not."""
    with torch.no_grad():
        for first, second in ((q, p), (_joint_normal(q), _joint_normal(p))):
            try:
                return kl_divergence(first, second).double()
            except NotImplementedError:
                continue
    return None


def _joint_normal(family: Any) -> Any:
    """A vector of independent normals as the multivariate normal that it is."""
    base: Any = getattr(family, "base_dist", None)
    if (
        family.event_dim == 1
        and isinstance(base, dist.Normal)
        and hasattr(family, "reinterpreted_batch_ndims")
    ):
        return dist.MultivariateNormal(base.loc, scale_tril=base.scale.diag_embed())
    return family


def _first_particle(kl: Tensor, structure: Structure) -> float:
    """Sum over plates inside the data's, of the first particle."""
    dim = structure.particle_dim
    if kl.dim() >= -dim:
        kl = kl.narrow(dim, 0, 1)
    return float(kl.sum())


def _family(family: Any) -> str:
    base = getattr(family, "base_dist", None)
    inner = "" if base is None else f"({type(base).__name__})"
    return f"{type(family).__name__}{inner}"
