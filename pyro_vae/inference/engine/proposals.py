"""Proposals for importance sampling that are safer than the guide itself.

Weights are reliable where the proposal is wider than the posterior. A guide trained by the
ELBO is rather too narrow, and misses modes: ``widened`` spreads its draws. Mixing the prior in,
over all sites of a datum together, is no program with a site after another: the engine does it,
by ``prior_share``.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, get_args

import pyro.distributions as dist
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch.distributions.transforms import AffineTransform

from pyro_vae.errors import ProgramError, UnknownNameError
from pyro_vae.inference.engine.auxiliary import is_real
from pyro_vae.inference.engine.traces import is_point_mass
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro_vae.inference.engine.sampling import Sampling
    from pyro_vae.inference.engine.traces import Program

__all__ = ["PRIOR_SHARE", "WIDENING", "Proposal", "propose", "widened"]

P = ParamSpec("P")
R = TypeVar("R")

#: What draws the particles: the guide, the guide widened, or the guide mixed with the prior.
Proposal = Literal["guide", "widened", "defensive"]

#: Factor by which ``proposal="widened"`` spreads the guide's draws.
WIDENING = 1.2

#: Share of the particles that ``proposal="defensive"`` draws from the prior.
PRIOR_SHARE = 0.1


@verb
def widened(guide: Callable[P, R], factor: float = WIDENING) -> Callable[P, R]:
    """The guide with the draws of every site spread about their mean by a factor.

    z -> m + c (z - m), with m the mean of the site's distribution and c the factor: a normal
    guide's standard deviation is multiplied by c, a full covariance by c^2. Its density is
    exact, so importance sampling with it stays unbiased.

    Parameters
    ----------
    guide
        Pyro program whose sites are real and reparameterised, with known means.
    factor
        Positive; above 1 the draws are spread, at 1 nothing changes.

    Raises
    ------
    ProgramError
        When run, if a site is discrete, bounded or degenerate, or its mean is not known.
    ValueError
        If the factor is not positive.

    Examples
    --------
    >>> import pyro, torch
    >>> from pyro import poutine
    >>> def guide():
    ...     pyro.sample("z", dist.Normal(torch.tensor(1.0), 2.0))
    >>> site = poutine.trace(widened(guide, 1.5)).get_trace().nodes["z"]
    >>> torch.testing.assert_close(
    ...     site["fn"].log_prob(site["value"]), dist.Normal(1.0, 3.0).log_prob(site["value"])
    ... )
    """

    @functools.wraps(guide)
    def program(*args: P.args, **kwargs: P.kwargs) -> R:
        with _Widen(factor):
            return guide(*args, **kwargs)

    return program


def propose(guide: Program, proposal: Proposal, sampling: Sampling) -> tuple[Program, Sampling]:
    """The program that draws for a named proposal, and how its particles are drawn.

    Raises
    ------
    UnknownNameError
        If there is no proposal of that name.
    """
    if proposal not in get_args(Proposal):
        raise UnknownNameError("proposal", proposal, get_args(Proposal))
    if proposal == "widened":
        return widened(guide), sampling
    if proposal == "defensive":
        return guide, sampling.but(prior_share=PRIOR_SHARE)
    return guide, sampling


class _Widen(Messenger):
    """Replaces the distribution of each latent site by the same one spread about its mean."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.auxiliary = False

    def _pyro_sample(self, msg: Any) -> None:
        fn = msg["fn"]
        if msg["is_observed"] or site_is_subsample(msg):
            return
        self.auxiliary |= bool(msg["infer"].get("is_auxiliary"))
        if self.auxiliary and is_point_mass(fn):
            return  # where an auxiliary site, which was widened, is taken to
        try:
            mean = fn.mean
        except NotImplementedError:
            mean = None
        if mean is None or not fn.has_rsample or not is_real(fn.support) or is_point_mass(fn):
            raise ProgramError(
                f"guide site {msg['name']!r} ({type(fn).__name__}) cannot be widened: it needs "
                "real, reparameterised draws with a known mean; take the guide itself, or mix "
                "the prior in with prior_share=0.1"
            )
        spread = AffineTransform((1 - self.factor) * mean, self.factor, event_dim=fn.event_dim)
        msg["fn"] = dist.TransformedDistribution(fn, [spread])
