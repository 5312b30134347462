"""log p(x) = L_b + KL(q(z|x) || p(z|x)) line by line, with the numbers of one datum.

Kingma & Welling (2014), arXiv 1312.6114, equations 1 to 3. All means over q are taken over the
same draws, so that the two sides of a line are compared draw by draw.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from pyro_vae.conversion import takes_data
from pyro_vae.errors import DataError, ProgramError
from pyro_vae.explaining.derivation_lines import (
    QUANTITIES,
    ROUNDING,
    Derivation,
    Step,
    Symbols,
    Term,
    compare_terms,
    paired_mean,
)
from pyro_vae.inference.engine.bounds import log_evidence_of
from pyro_vae.inference.engine.closed_kl import closed_kl, closed_kl_to_prior, sites_of_pair
from pyro_vae.inference.engine.diagnostics import KHAT_LIMIT, pareto_khat
from pyro_vae.inference.engine.inputs import count, tensors
from pyro_vae.inference.engine.sampling import Sampling, SamplingSettings
from pyro_vae.inference.engine.traces import is_point_mass
from pyro_vae.inference.engine.weights import stream_draws
from pyro_vae.inference.evidence.importance import log_evidence
from pyro_vae.inference.evidence.quadrature import grid_integrals
from pyro_vae.inference.evidence.trust import DOUBTS, trusted
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from typing import Unpack

    from torch import Tensor

    from pyro_vae.explaining.derivation_lines import LineSettings
    from pyro_vae.inference.engine.closed_kl import SitesOfPair
    from pyro_vae.inference.engine.inputs import Inputs
    from pyro_vae.inference.engine.traces import Program
    from pyro_vae.inference.engine.weights import Draws
    from pyro_vae.inference.evidence.quadrature import GridIntegrals

__all__ = ["derive"]

#: Weights of which ``pareto_khat`` fits a tail.
_FEWEST_FOR_KHAT = 25

#: Largest change at which the grid counts as fine enough, in nats.
_GRID_TOLERANCE = 1e-5


@verb
@takes_data("x")
def derive(
    model: Program,
    guide: Program,
    x: Inputs,
    *,
    log_px: float | None = None,
    posterior: Any = None,
    exact_elbo: float | None = None,
    num_particles: int = 5000,
    seed: int = 0,
    enumerate_discrete: bool = True,
    data_plate: str | None = None,
) -> Derivation:
    """The derivation of the ELBO for one datum of any Pyro pair.

    log p(x) is ``log_px`` where it is given, else by quadrature where the latents have one or
    two continuous dimensions, else importance-sampled with draws of its own.

    Parameters
    ----------
    model, guide
        As for ``log_weights``.
    x
        One datum, ``(1, ...)``, or named tensors of such.
    log_px
        Exact log p(x), in nats.
    posterior
        Exact p(z | x), batch shape ``(1,)``, of a guide with one site.
    exact_elbo
        L_b in closed form, in nats.
    num_particles
        Draws of z from the guide, at least 2.
    seed, enumerate_discrete, data_plate
        As for ``log_weights``.

    Returns
    -------
    Derivation
        Its lines may hold or not: ``check()`` says.

    Raises
    ------
    DataError
        If there is not one datum.
    ProgramError
        If the pair cannot be weighted, or a posterior is given and the guide has several sites.
    ValueError
        If ``num_particles`` is below 2.
    """
    if count(x) != 1:
        raise DataError(f"x has {count(x)} rows: a derivation is of one datum, as in x[:1]")
    if num_particles < 2:
        raise ValueError(f"num_particles got {num_particles}: an error needs 2 draws or more")
    settings: SamplingSettings = {
        "enumerate_discrete": enumerate_discrete,
        "data_plate": data_plate,
        "seed": seed,
    }
    draws = next(iter(stream_draws(model, guide, x, num_particles, Sampling(**settings))))
    pair = sites_of_pair(model, guide, x, enumerate_discrete, data_plate)
    if not draws.values:
        return _without_guide(pair, draws, log_px, seed)
    if posterior is not None and len(draws.values) > 1:
        raise ProgramError(
            f"posterior was given for a guide with the sites {', '.join(draws.values)}: it is "
            "taken for a guide with one site; leave it out"
        )
    writer = _Writer(model, guide, x, pair, draws, log_px, posterior, settings)
    return writer.write(exact_elbo)


class _Writer:
    """Writes the lines of a pair with latents in its guide."""

    def __init__(
        self,
        model: Program,
        guide: Program,
        x: Inputs,
        pair: SitesOfPair,
        draws: Draws,
        log_px: float | None,
        posterior: Any,
        settings: SamplingSettings,
    ) -> None:
        self.model, self.guide, self.x, self.pair = model, guide, x, pair
        self.settings, self.posterior, self.draws = settings, posterior, draws
        self.symbols = Symbols(pair.latents, pair.observed)
        self.notes: list[str] = []
        likelihood, prior, q = (term[:, 0] for term in draws.terms)
        self.log_likelihood, self.log_prior, self.log_q = likelihood, prior, q
        self.log_joint = likelihood + prior
        self.log_w = self.log_joint - q
        self.khat = float(pareto_khat(draws.terms.log_weights)[0])
        self.drawn = f"mean of {len(q)} draws"
        numbers = [v for v in (*draws.values.values(), *tensors(x)) if v.is_floating_point()]
        double = all(v.dtype == torch.float64 for v in numbers)
        self.rounding = ROUNDING[torch.float64 if double else torch.float32]
        if not double:
            self.notes.append(
                "The pair runs in float32: closed forms are held to 1e-4 relative, not 1e-6."
            )
        self.grid: GridIntegrals | None = None
        self.reliable = True
        self.one_value = all(is_point_mass(fn) for fn in pair.guide.values())
        self.evidence = self._evidence(log_px)

    def _sites(self, *roles: str) -> tuple[str, ...]:
        names = {
            "likelihood": [f"model: {name}" for name in self.pair.observed],
            "prior": [f"model: {name}" for name in self.pair.prior],
            "guide": [f"guide: {name}" for name in self.pair.guide],
        }
        return tuple(name for role in roles for name in names[role])

    def _term(
        self,
        quantity: str,
        value: float,
        error: float,
        source: str,
        *roles: str,
        sign: int = 1,
    ) -> Term:
        plain, tex = self.symbols.both(*QUANTITIES[quantity])
        return Term(plain, tex, value, error, source, self._sites(*roles), sign)

    def _mean_term(self, quantity: str, values: Tensor, *roles: str, sign: int = 1) -> Term:
        return self._term(quantity, *paired_mean(values), self.drawn, *roles, sign=sign)

    def _evidence(self, log_px: float | None) -> Term:
        """Log p(x) by the best means there is."""
        roles = ("likelihood", "prior")
        if log_px is not None:
            return self._term("evidence", float(log_px), 0.0, "closed form", *roles)
        try:
            self.grid = grid_integrals(
                self.model,
                self.guide,
                self.x,
                tolerance=_GRID_TOLERANCE,
                seed=self.settings["seed"],
                enumerate_discrete=self.settings["enumerate_discrete"],
                data_plate=self.settings["data_plate"],
            )
        except ProgramError as error:
            self.notes.append(f"No quadrature: {error}.")
        else:
            source = f"quadrature, {self.grid.points} points"
            return self._term("evidence", self.grid.log_evidence, 0.0, source, *roles)
        return self._sampled_evidence(roles)

    def _sampled_evidence(self, roles: tuple[str, ...]) -> Term:
        """Importance-sampled log p(x), from other draws and, if it can be, a wider proposal."""
        settings: SamplingSettings = {**self.settings, "seed": self.settings["seed"] + 1}
        size = 4 * len(self.log_q)
        for proposal in ("widened", "defensive"):
            try:
                found = log_evidence(
                    self.model,
                    self.guide,
                    self.x,
                    size,
                    proposal=proposal,
                    **settings,
                )
                break
            except ProgramError:
                continue
        value, error, khat = (
            float(found[name][0]) for name in ("log_evidence", "log_evidence_se", "khat")
        )
        few = len(self.log_q)
        tails = _trusted(khat, size) and _trusted(self.khat, few)
        self.reliable = tails and bool(trusted(found)[0]) and not self.one_value
        self.notes.append(
            f"log p(x) is importance-sampled ({size} draws, proposal: the guide {proposal}, k-hat "
            f"{_khat_text(khat)}): p(z|x) is p(x,z) / p(x) with that estimate, so the lines with "
            "p(z|x) are identities by definition. What is checked independently: the estimate, "
            "against the weights of the guide's own draws; that L_b is not above it; and the KL "
            "to the prior, where it has a closed form."
        )
        if self.one_value:
            self.notes.append(
                "The guide has all its mass at one value of z: only the prior's draws see others, "
                "and where they miss those that matter neither error nor k-hat tells. log p(x) is "
                "likely higher, and the lines that would check it are not judged."
            )
        elif tails and not self.reliable:
            self.notes.append(
                f"The error of log p(x) is not to be believed ({DOUBTS[int(found['doubt'][0])]}): "
                "the lines that would check it are not judged."
            )
        elif not self.reliable:
            self.notes.append(
                f"The Pareto k-hat of the weights is {_khat_text(khat)} ({proposal}, {size} "
                f"draws) and {_khat_text(self.khat)} (guide, {few} draws): too high for so few, "
                "or unknown of fewer than 25. An estimate of log p(x) and its error are then not "
                "to be believed: it is likely too low, and the lines that would check it are not "
                "judged."
            )
        source = f"importance sampling, {size} draws, guide {proposal}"
        return self._term("evidence", value, error, source, *roles, "guide")

    def _log_posterior(self) -> Tensor:
        """Log p(z_k | x): the closed form, or p(x, z_k) / p(x)."""
        if self.posterior is None:
            return self.log_joint - self.evidence.value
        (value,) = self.draws.values.values()
        with torch.no_grad():
            return self.posterior.log_prob(value)[:, 0].double()

    def write(self, exact_elbo: float | None) -> Derivation:
        """All the lines."""
        elbo = self._mean_term("elbo", self.log_w, "likelihood", "prior", "guide")
        kl, gap_line = self._gap_line(elbo)
        lines = [
            self._constant_line(),
            self._bayes_line(),
            self._split_line(),
            gap_line,
            self._bound_line(elbo),
            self._weights_line(),
            *self._mass_line(),
            self._joint_line(elbo),
            self._prior_line(elbo),
            *self._closed_line(exact_elbo),
        ]
        return Derivation(
            tuple(lines),
            self.evidence,
            elbo,
            kl,
            len(self.log_q),
            self.settings["seed"],
            self.khat,
            tuple(self.notes),
        )

    def _line(self, name: str, left: Term, *right: Term, **settings: Unpack[LineSettings]) -> Step:
        return compare_terms(name, left, right, rounding=self.rounding, **settings)

    def _constant_line(self) -> Step:
        constant = self._term(
            "constant",
            self.evidence.value,
            self.evidence.standard_error,
            self.evidence.source,
            *("likelihood", "prior", "guide"),
        )
        zeros = torch.zeros_like(self.log_w)
        why = "log p(x) does not depend on z, so its mean over q is itself"
        return self._line(
            "a constant's mean", self.evidence, constant, kind="identity", paired=zeros, why=why
        )

    def _bayes_line(self) -> Step:
        values = self.log_joint - self._log_posterior()
        error = self.evidence.standard_error
        term = self._mean_term("bayes", values, "likelihood", "prior", "guide")
        if self.posterior is None:
            why = "p(z|x) is p(x,z) / p(x) with the p(x) of line 1, so this is its definition"
            # What is uncertain here is p(x), which every draw shares.
            shared = self._term(
                "bayes", term.value, error, self.evidence.source, "likelihood", "prior", "guide"
            )
            return self._line(
                "Bayes' rule",
                self.evidence,
                shared,
                kind="identity",
                paired=self.evidence.value - values,
                why=why,
            )
        # Bayes' rule holds for each z: the worst of the draws stands for all.
        residuals = self.evidence.value - values
        worst = residuals[residuals.abs().argmax()].expand(2)
        why = "p(z|x) in closed form; the residual is that of the worst draw, not of the mean"
        scale = float(self.log_joint.abs().max())
        return self._line(
            "Bayes' rule",
            self.evidence,
            term,
            paired=worst,
            slack=self.rounding * scale,
            why=why,
        )

    def _split_line(self) -> Step:
        ratio = self.log_q - self._log_posterior()
        right = (
            self._mean_term("weight", self.log_w, "likelihood", "prior", "guide"),
            self._mean_term("ratio", ratio, "likelihood", "prior", "guide"),
        )
        step = self._line(
            "q in and out",
            self.evidence,
            *right,
            kind="identity",
            paired=self.evidence.value - self.log_w - ratio,
            why="q(z|x) divides the one and multiplies the other, draw by draw",
        )
        # The two means share their draws: their errors cancel, all but that of p(x).
        error = self.evidence.standard_error
        _, paired = paired_mean(self.log_w + ratio)
        return _with_error(step, math.hypot(paired, error) if self.posterior is None else paired)

    def _gap_line(self, elbo: Term) -> tuple[Term, Step]:
        ratio = self.log_q - self._log_posterior()
        roles = ("likelihood", "prior", "guide")
        exact = self._exact_kl()
        if exact is None:
            value, error = paired_mean(ratio)
            error = math.hypot(error, self.evidence.standard_error)
            source = f"{self.drawn}, with p(z|x) = p(x,z) / p(x)"
            kl = self._term("kl", value, error, source, *roles)
            step = self._line(
                "L_b and the gap",
                self.evidence,
                elbo,
                kl,
                kind="identity",
                paired=self.evidence.value - self.log_w - ratio,
                why="with p(z|x) = p(x,z) / p(x), the KL is log p(x) - L_b by definition",
            )
            return kl, _with_error(step, self.evidence.standard_error)
        value, source, slack = exact
        kl = self._term("kl", value, 0.0, source, *roles)
        step = self._line(
            "L_b and the gap",
            self.evidence,
            elbo,
            kl,
            paired=self.evidence.value - self.log_w - value,
            slack=slack,
            why=f"log p(x) by {_short(self.evidence)}, the KL by {source}, L_b by draws",
        )
        return kl, step

    def _exact_kl(self) -> tuple[float, str, float] | None:
        """KL(q(z|x) || p(z|x)) found without draws, how, and its error; None if it cannot be."""
        if self.posterior is not None:
            (q,) = self.pair.guide.values()
            found = closed_kl(q, self.posterior)
            if found is not None and self.pair.constant:
                return float(found.flatten()[0]), "closed form", 0.0
        if self.grid is not None:
            return self.grid.kl, f"quadrature, {self.grid.points} points", 2 * _GRID_TOLERANCE
        return None

    def _bound_line(self, elbo: Term) -> Step:
        return self._line(
            "the bound",
            self.evidence,
            elbo,
            relation=">=",
            kind="check" if self.reliable else "not judged",
            slack=self._slack(),
            why="a KL is not negative (Gibbs' inequality), so L_b is not above log p(x)",
        )

    def _weights_line(self) -> Step:
        """The mean weight, which is p(x) on the mean where q covers the posterior."""
        estimate = log_evidence_of(self.draws.terms.log_weights)
        value, error = (float(part) for part in estimate)
        source = f"{self.drawn}, importance weights"
        term = self._term("mean weight", value, error, source, "likelihood", "prior", "guide")
        reliable = self.reliable and _trusted(self.khat, len(self.log_q))
        if self.one_value:
            return self._line(
                "the only weight",
                self.evidence,
                term,
                relation=">=",
                kind="check" if reliable else "not judged",
                slack=self._slack(),
                why="q has one value of z, and so one term of the sum p(x) = sum_z p(x,z)",
            )
        why = f"log p(x) by {_short(self.evidence)}, against the mean weight of the guide's draws"
        if not reliable:
            why += (
                f"; the weights' k-hat is {_khat_text(self.khat)} of {len(self.log_q)} draws, so "
                "their error says nothing"
            )
        return self._line(
            "the mean weight",
            self.evidence,
            term,
            kind="check" if reliable else "not judged",
            slack=self._slack(),
            why=why,
        )

    def _mass_line(self) -> list[Step]:
        if self.grid is None:
            return []
        source = f"quadrature, {self.grid.points} points"
        mass = self._term("mass", self.grid.mass, 0.0, source, "guide")
        one = self._term("one", 1.0, 0.0, "definition")
        why = "the guide's log-probability is that of a density"
        return [
            self._line("the guide is a density", one, mass, slack=2 * _GRID_TOLERANCE, why=why)
        ]

    def _joint_line(self, elbo: Term) -> Step:
        ratio = self.log_q - self.log_prior
        step = self._line(
            "p(x,z) = p(x|z) p(z)",
            elbo,
            self._mean_term("reconstruction", self.log_likelihood, "likelihood", "guide"),
            self._mean_term("prior ratio", ratio, "prior", "guide", sign=-1),
            kind="identity",
            paired=self.log_w - self.log_likelihood + ratio,
            why="the joint density is the product of the model's sites, draw by draw",
        )
        return _with_error(step, elbo.standard_error)

    def _prior_line(self, elbo: Term) -> Step:
        ratio = self.log_q - self.log_prior
        reconstruction = self._mean_term(
            "reconstruction", self.log_likelihood, "likelihood", "guide"
        )
        closed, why_not = closed_kl_to_prior(self.pair)
        if closed is None:
            step = self._line(
                "the KL to the prior",
                elbo,
                reconstruction,
                self._mean_term("kl to prior", ratio, "prior", "guide", sign=-1),
                kind="identity",
                paired=self.log_w - self.log_likelihood + ratio,
                why=f"the KL is sampled ({why_not}), and is what line p(x,z) = p(x|z) p(z) has",
            )
            return _with_error(step, elbo.standard_error)
        kl = self._term("kl to prior", closed, 0.0, "closed form", "prior", "guide", sign=-1)
        sampled, error = paired_mean(ratio)
        return self._line(
            "the KL to the prior",
            elbo,
            reconstruction,
            kl,
            paired=closed - ratio,
            why=f"the KL in closed form, against {sampled:.4f} ({error:.4f}) by the draws",
        )

    def _closed_line(self, exact: float | None) -> list[Step]:
        found = self._exact_kl()
        if exact is None or found is None:
            return []
        value, source, slack = found
        roles = ("likelihood", "prior", "guide")
        closed = self._term("elbo", exact, 0.0, "closed form", *roles)
        kl = self._term("kl", value, 0.0, source, *roles)
        drawn = self._mean_term("weight", self.log_w, *roles)
        why = f"nothing is drawn: log p(x) by {_short(self.evidence)}, the KL by {_short(kl)}, L_b"
        return [
            self._line(
                "L_b and the gap, without draws",
                self.evidence,
                closed,
                kl,
                slack=slack + self._slack(),
                why=f"{why} from E_q[log p(x|z)] - KL(q(z|x) || p(z))",
            ),
            self._line("L_b by draws", closed, drawn, why="closed form against the draws"),
        ]

    def _slack(self) -> float:
        return _GRID_TOLERANCE if self.grid is not None else 0.0


def _without_guide(pair: SitesOfPair, draws: Draws, log_px: float | None, seed: int) -> Derivation:
    """A guide without a site: every latent is summed out, and there is nothing to bound."""
    symbols = Symbols(pair.latents, pair.observed)
    sites = tuple(f"model: {name}" for name in (*pair.observed, *pair.prior))
    summed = float(draws.terms.log_weights[0, 0])

    def term(quantity: str, value: float, source: str) -> Term:
        return Term(*symbols.both(*QUANTITIES[quantity]), value, 0.0, source, sites)

    by_sum = term("sum", summed, "enumeration")
    evidence = term("evidence", summed, "enumeration")
    if log_px is not None:
        evidence = term("evidence", float(log_px), "closed form")
    elbo, kl = term("elbo", summed, "enumeration"), term("kl", 0.0, "the posterior itself")
    latents = ", ".join(pair.prior)
    rounding = ROUNDING[torch.float32]
    first = compare_terms(
        "the sum over the latents",
        evidence,
        (by_sum,),
        kind="identity" if log_px is None else "check",
        rounding=rounding,
        why="log p(x) of the model's own formula, against Pyro's enumeration"
        if log_px is not None
        else "log p(x) is this sum",
    )
    second = compare_terms(
        "no gap",
        evidence,
        (elbo, kl),
        kind="identity",
        rounding=rounding,
        why="the guide is the posterior, so L_b is log p(x)",
    )
    note = (
        f"The guide has no sample site: the discrete latent {latents} is summed out exactly. So q "
        "is the posterior, the ELBO is log p(x) itself, and there is no bound to derive."
    )
    return Derivation((first, second), evidence, elbo, kl, 0, seed, math.nan, (note,))


def _with_error(step: Step, error: float) -> Step:
    """A line with the standard error of its right side given."""
    return replace(step, standard_error=error)


def _khat_limit(size: int) -> float:
    """Largest k-hat at which so many weights are relied on (Vehtari et al., 2024, section 3.2)."""
    return min(1 - 1 / math.log10(size), KHAT_LIMIT)


def _trusted(khat: float, size: int) -> bool:
    # Of equal weights there is no k-hat, and none is needed; of a few there is none to be had.
    return size >= _FEWEST_FOR_KHAT if math.isnan(khat) else khat <= _khat_limit(size)


def _khat_text(khat: float) -> str:
    return "unknown" if math.isnan(khat) else f"{khat:.2f}"


def _short(term: Term) -> str:
    return term.source.split(",")[0]
