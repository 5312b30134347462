"""Guides that draw in unconstrained coordinates and take the draw to its site, as Pyro's do.

``AutoNormal`` draws u from a normal at an auxiliary site, and gives the latent site z = t(u) as a
point mass whose log-density is minus log |dz/du|: together they are the density of z. Here the two
are made one site again, z with the law of t(u) (Kucukelbir et al., 2017, arXiv 1603.00788), so
that its density is known at any value, and not only where it was drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pyro.distributions as dist
import torch
from pyro.distributions.util import sum_rightmost
from torch.distributions import biject_to, constraints

from pyro_vae.errors import ProgramError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyro.poutine import Trace
    from torch import Tensor
    from torch.distributions.constraints import Constraint
    from torch.distributions.transforms import Transform

__all__ = ["Auxiliary", "auxiliary_of", "is_real", "without_auxiliary"]

#: Relative difference that rounding makes of a value and its log-density.
_ROUNDING = 1e-4


class Auxiliary(NamedTuple):
    """The auxiliary site of a latent site, and the support of that, which says the bijection."""

    name: str
    support: Constraint

    @property
    def transform(self) -> Transform:
        """From the real numbers to the support."""
        return biject_to(self.support)


def is_real(support: Constraint) -> bool:
    """Whether a support is that of real numbers, or of vectors of them."""
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    return support is constraints.real


def auxiliary_of(guide_trace: Trace, model_trace: Trace) -> dict[str, Auxiliary]:
    """The auxiliary sites of a guide, by the name of the latent site that each is taken to.

    Raises
    ------
    ProgramError
        If an auxiliary site is one draw for all the data, or is not taken to one latent site by
        the bijection of its support.
    """
    found: dict[str, Auxiliary] = {}
    for name, site in guide_trace.nodes.items():
        if not _is_auxiliary(site):
            continue
        for latent, target in guide_trace.nodes.items():
            if latent in found or latent not in model_trace or not _is_point(target):
                continue
            if _plates(target) != _plates(site):
                continue
            of = Auxiliary(name, model_trace.nodes[latent]["fn"].support)
            if _leads(of.transform, site["value"], target):
                found[latent] = of
                break
        else:
            if not _plates(site):
                raise ProgramError(
                    f"auxiliary site {name!r} of the guide is one draw for all the data together, "
                    "so there is no log q(z | x) of a datum: take a guide that draws the latents "
                    "of each datum in the data plate, such as pyro.infer.autoguide.AutoNormal"
                )
            raise ProgramError(
                f"auxiliary site {name!r} of the guide is taken to no latent site by the "
                "bijection of its support, so the density there is not known: draw the latent "
                "site itself, as from dist.TransformedDistribution"
            )
    return found


def without_auxiliary(trace: Trace, auxiliary: Mapping[str, Auxiliary]) -> Trace:
    """The trace of a guide with each auxiliary site and its point mass made one latent site."""
    if not any(latent in trace and of.name in trace for latent, of in auxiliary.items()):
        return trace
    merged = trace.copy()
    for latent, of in auxiliary.items():
        drawn, site = merged.nodes[of.name], merged.nodes[latent]
        fn = drawn["fn"]
        if not is_real(of.support):
            fn = _Carried(fn, of)
        merged.nodes[latent] = {**site, "fn": fn}
        merged.remove_node(of.name)
    return merged


class _Carried(dist.TransformedDistribution):
    """The law of t(u), with the support of its latent site.

    The codomain of a bijection made of several says less: that of exp and a shift is real.
    """

    def __init__(self, fn: Any, of: Auxiliary) -> None:
        self._of = of
        super().__init__(fn, [of.transform], validate_args=False)

    @property
    def support(self) -> Constraint:
        """Where the latent site lies."""
        return self._of.support


def _is_auxiliary(site: Mapping[str, Any]) -> bool:
    # What `pyro.factor` makes of a guide counts as auxiliary too, and as observed.
    auxiliary = site["type"] == "sample" and site["infer"].get("is_auxiliary")
    return bool(auxiliary) and not site["is_observed"]


def _plates(site: Mapping[str, Any]) -> set[str]:
    return {frame.name for frame in site["cond_indep_stack"] if frame.vectorized}


def _is_point(site: Mapping[str, Any]) -> bool:
    return site["type"] == "sample" and isinstance(site["fn"], dist.Delta)


def _leads(transform: Transform, u: Tensor, site: Mapping[str, Any]) -> bool:
    """Whether a point mass is at t(u), with the log-density that this has."""
    value, log_density = site["value"], site["fn"].log_density
    if transform.forward_shape(u.shape) != value.shape or not _near(transform(u), value):
        return False
    log_det = transform.log_abs_det_jacobian(u, value)
    excess = log_det.dim() - value.dim() + site["fn"].event_dim
    return _near(-sum_rightmost(log_det, excess), torch.as_tensor(log_density))


def _near(a: Tensor, b: Tensor) -> bool:
    return bool(torch.isclose(a, b.to(a), rtol=_ROUNDING, atol=_ROUNDING).all())
