"""Faulty objectives and estimators, each with one known fault planted."""

from __future__ import annotations

import math
from functools import partial

import pyro
import torch
from pyro import poutine
from pyro.infer import RenyiELBO, Trace_ELBO

from pyro_vae.inference.engine import sample_log_weights
from pyro_vae.inference.training import IWAE
from pyro_vae.inference.training.objectives import WeightedObjective


class _Mutant(WeightedObjective):
    """An objective made of the weights in a wrong way."""

    formula = "wrong"
    is_bound = False

    def __init__(self, num_particles=5):
        super().__init__(num_particles)


def tempered_by_the_plate():
    """N / B of a subsampled plate inside the logarithm."""
    return RenyiELBO(alpha=0, num_particles=5, vectorize_particles=True, max_plate_nesting=1)


class SurrogateAsBound(_Mutant):
    """Sum of w~ log w, whose gradient is the bound's, for the bound."""

    def bound(self, terms):
        log_weights = terms.log_weights
        return (log_weights.softmax(0) * log_weights).sum(0)


class UpsideDown(_Mutant):
    """The lightest particles count most."""

    def bound(self, terms):
        log_weights = terms.log_weights
        return ((-log_weights).softmax(0) * log_weights).sum(0)


class KLTimesAConstant(_Mutant):
    """A KL term multiplied by a constant other than one."""

    def bound(self, terms):
        ratio = terms.log_prior - terms.log_guide
        return (terms.log_likelihood + 0.1 * ratio).mean(0)


class MeanOverData(_Mutant):
    """The mean over data where the sum is meant."""

    def bound(self, terms):
        return IWAE.bound(self, terms) / terms.log_prior.shape[1]


class JointWeights(_Mutant):
    """One weight for the whole batch, the product of its data's."""

    def bound(self, terms):
        joint = terms.log_weights.sum(1).logsumexp(0) - math.log(self.num_particles)
        return joint.unsqueeze(0)


class MeanOfBatchMeans(_Mutant):
    """Means of batches averaged, as if a short last batch were as long as the others."""

    def bound(self, terms):
        values = IWAE.bound(self, terms)
        means = torch.stack([batch.mean() for batch in values.split(100)])
        return means.mean() * len(values)


class MinusTheBound(Trace_ELBO):
    """The wrong sign."""

    def loss(self, model, guide, *args):
        return -super().loss(model, guide, *args)


class AnalyticKLInside(_Mutant):
    """Log-mean of p(x | z_k), less a KL in closed form: exact at one particle, then no bound."""

    def differentiable_loss(self, model, guide, x):
        self.kl = _kl(model, guide, x)
        return super().differentiable_loss(model, guide, x)

    def bound(self, terms):
        return terms.log_likelihood.logsumexp(0) - math.log(self.num_particles) - self.kl


class GuideLeftOut(_Mutant):
    """The joint density alone: the entropy of the guide forgotten."""

    def bound(self, terms):
        return (terms.log_likelihood + terms.log_prior).mean(0)


class SumForMean(_Mutant):
    """Sum of the weights for their mean: log K forgotten."""

    def bound(self, terms):
        return terms.log_weights.logsumexp(0)


class BestParticle(_Mutant):
    """The heaviest weight, which is above log p(x) on average."""

    def bound(self, terms):
        return terms.log_weights.amax(0)


class AcrossTheData(_Mutant):
    """Logarithm of the mean over data, mean over particles: the two dimensions exchanged."""

    def bound(self, terms):
        log_weights = terms.log_weights
        size = log_weights.shape[1]
        across = log_weights.logsumexp(1) - math.log(size)
        return across.mean().expand(size)


class ScaleForgotten(_Mutant):
    """N / B of a subsampled plate never applied."""

    bound = IWAE.bound

    def differentiable_loss(self, model, guide, x):
        terms, _ = sample_log_weights(model, guide, x, self.num_particles)
        return -self.bound(terms).sum()


class FloorUnderTheKL(_Mutant):
    """A KL that counts for no less than a nat."""

    def bound(self, terms):
        kl = (terms.log_guide - terms.log_prior).mean(0)
        return terms.log_likelihood.mean(0) - kl.clamp_min(1.0)


def _kl(model, guide, x):
    """KL(q || p) without bias, whatever the prior: the mean of log ratios of other draws."""
    terms, _ = sample_log_weights(model, guide, x, 10)
    return (terms.log_guide - terms.log_prior).mean(0)


#: Faulty objective, and the check that must catch it.
OBJECTIVES = {
    "tempered by the plate": (tempered_by_the_plate, "scale outside the logarithm"),
    "surrogate as bound": (SurrogateAsBound, "lower bound"),
    "upside-down weights": (UpsideDown, "never looser"),
    "KL times a constant": (KLTimesAConstant, "one particle"),
    "mean over data": (MeanOverData, "sum over data"),
    "joint weights": (JointWeights, "independent data"),
    "mean of batch means": (MeanOfBatchMeans, "order of the data"),
    "minus the bound": (
        partial(MinusTheBound, vectorize_particles=True, max_plate_nesting=1),
        "one particle",
    ),
    "analytic KL inside": (AnalyticKLInside, "lower bound"),
    "guide left out": (GuideLeftOut, "one particle"),
    "sum for mean": (SumForMean, "tight at the posterior"),
    "best particle": (BestParticle, "lower bound"),
    "across the data": (AcrossTheData, "sum over data"),
    "scale forgotten": (ScaleForgotten, "scale outside the logarithm"),
    "floor under the KL": (FloorUnderTheKL, "one particle"),
}


def _terms(model, guide, x, num_particles):
    """Log-prior, log-likelihood and log-guide, by Pyro's traces; a discrete guide is no matter."""
    with pyro.plate("particles", num_particles, dim=-2):
        guide_trace = poutine.trace(guide).get_trace(x)
        model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(x)
    for trace in (guide_trace, model_trace):
        trace.compute_log_prob()
    nodes = model_trace.nodes
    return nodes["z"]["log_prob"], nodes["x"]["log_prob"], guide_trace.nodes["z"]["log_prob"]


def _log_weights(model, guide, x, num_particles):
    log_prior, log_likelihood, log_guide = _terms(model, guide, x, num_particles)
    return log_prior + log_likelihood - log_guide


def right_estimator(model, guide, x, num_particles):
    """Log mean weight: nothing wrong."""
    log_weights = _log_weights(model, guide, x, num_particles)
    return log_weights.logsumexp(0) - math.log(num_particles)


def wrong_sign(model, guide, x, num_particles):
    """Minus log p(x), under the name of log p(x)."""
    return -right_estimator(model, guide, x, num_particles)


def wrong_divisor(model, guide, x, num_particles):
    """Whole passes of 64 particles drawn, the number asked for divided by."""
    drawn = math.ceil(num_particles / 64) * 64
    return _log_weights(model, guide, x, drawn).logsumexp(0) - math.log(num_particles)


def remainder_left_out(model, guide, x, num_particles):
    """Whole passes of 64 alone, where there are any, the number asked for divided by."""
    drawn = num_particles // 64 * 64 or num_particles
    return _log_weights(model, guide, x, drawn).logsumexp(0) - math.log(num_particles)


def one_number_for_all(model, guide, x, num_particles):
    """The sum over data, as one number."""
    return right_estimator(model, guide, x, num_particles).sum()


def batch_mean_for_each(model, guide, x, num_particles):
    """The mean over data in place of each datum's."""
    values = right_estimator(model, guide, x, num_particles)
    return values.mean().expand(len(values))


def surrogate(model, guide, x, num_particles):
    """Sum of w~ log w."""
    log_weights = _log_weights(model, guide, x, num_particles)
    return (log_weights.softmax(0) * log_weights).sum(0)


def elbo_for_evidence(model, guide, x, num_particles):
    """Mean of log w in place of the log of the mean of w."""
    return _log_weights(model, guide, x, num_particles).mean(0)


def upside_down(model, guide, x, num_particles):
    """Harmonic in place of arithmetic mean."""
    log_weights = _log_weights(model, guide, x, num_particles)
    return math.log(num_particles) - (-log_weights).logsumexp(0)


def prior_left_out(model, guide, x, num_particles):
    """Likelihood over guide: the prior's density forgotten."""
    _, log_likelihood, log_guide = _terms(model, guide, x, num_particles)
    return (log_likelihood - log_guide).logsumexp(0) - math.log(num_particles)


def median_weight(model, guide, x, num_particles):
    """Median in place of mean, against heavy tails."""
    return _log_weights(model, guide, x, num_particles).quantile(0.5, dim=0)


def heaviest_left_out(model, guide, x, num_particles):
    """The largest weight taken for an outlier."""
    log_weights = _log_weights(model, guide, x, num_particles)
    if num_particles > 1:
        log_weights = log_weights.sort(0).values[:-1]
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def chunks_averaged_as_logarithms(model, guide, x, num_particles):
    """Mean over chunks of 64 of their log mean weights, right where there is one chunk."""
    chunks = _log_weights(model, guide, x, num_particles).split(64)
    logs = torch.stack([chunk.logsumexp(0) - math.log(len(chunk)) for chunk in chunks])
    sizes = torch.tensor([len(chunk) for chunk in chunks], dtype=logs.dtype)
    return (sizes.unsqueeze(-1) * logs).sum(0) / num_particles


def guide_of_other_draws(model, guide, x, num_particles):
    """The guide's density at draws that are not those of the joint."""
    log_prior, log_likelihood, _ = _terms(model, guide, x, num_particles)
    _, _, log_guide = _terms(model, guide, x, num_particles)
    return (log_prior + log_likelihood - log_guide).logsumexp(0) - math.log(num_particles)


def clipped_weights(model, guide, x, num_particles):
    """Log-weights clipped one nat from their mean, against heavy tails."""
    log_weights = _log_weights(model, guide, x, num_particles)
    middle = log_weights.mean(0)
    clipped = log_weights.clamp(middle - 1.0, middle + 1.0)
    return clipped.logsumexp(0) - math.log(num_particles)


def bias_taken_off(model, guide, x, num_particles):
    """Twice the bound less that of half the particles: nearer to log p(x), and no bound."""
    log_weights = _log_weights(model, guide, x, num_particles)
    half = log_weights[: max(1, num_particles // 2)]
    bounds = [part.logsumexp(0) - math.log(len(part)) for part in (log_weights, half)]
    return 2 * bounds[0] - bounds[1]


def density_rounded_to_zero(model, guide, x, num_particles):
    """The mean of the weights themselves, where they are below the smallest float."""
    return _log_weights(model, guide, x, num_particles).exp().mean(0).log()


def of_the_guide_alone(model, guide, x, num_particles):
    """Defensive draws, half of them the prior's, with the guide's density in the weight."""
    log_prior, log_likelihood, log_guide = defensive_terms(model, guide, x, num_particles)
    return (log_prior + log_likelihood - log_guide).logsumexp(0) - math.log(num_particles)


def defensive_estimator(model, guide, x, num_particles):
    """Draws of half guide, half prior, with that mixture's density: nothing wrong."""
    log_prior, log_likelihood, log_guide = defensive_terms(model, guide, x, num_particles)
    log_mixture = torch.logaddexp(log_guide, log_prior) - math.log(2)
    return (log_prior + log_likelihood - log_mixture).logsumexp(0) - math.log(num_particles)


def defensive_terms(model, guide, x, num_particles):
    """As ``_terms``, each draw of z the guide's or the prior's by the toss of a coin."""
    with pyro.plate("particles", num_particles, dim=-2):
        draws = [
            poutine.trace(program).get_trace(x).nodes["z"]["value"]
            for program in (guide, poutine.uncondition(model))
        ]
        heads = torch.rand(draws[0].shape[:2]) < 0.5
        z = torch.where(heads.reshape(*heads.shape, *(1,) * (draws[0].dim() - 2)), *draws)
        traces = [
            poutine.trace(poutine.condition(program, {"z": z})).get_trace(x)
            for program in (guide, model)
        ]
    for trace in traces:
        trace.compute_log_prob()
    guided, told = (trace.nodes for trace in traces)
    return told["z"]["log_prob"], told["x"]["log_prob"], guided["z"]["log_prob"]


class Cached:
    """What it said first of data of this size, whatever they are."""

    def __init__(self):
        self._said = {}

    def __call__(self, model, guide, x, num_particles):
        key = (len(x), num_particles)
        if key not in self._said:
            self._said[key] = right_estimator(model, guide, x, num_particles)
        return self._said[key]


#: Faulty estimator, and the check that must catch it.
ESTIMATORS = {
    "wrong sign": (wrong_sign, "sign"),
    "wrong divisor": (wrong_divisor, "number of particles"),
    "remainder left out": (remainder_left_out, "number of particles"),
    "one number for all": (one_number_for_all, "one number per datum"),
    "batch mean for each": (batch_mean_for_each, "order of the data"),
    "surrogate": (surrogate, "lower bound"),
    "ELBO for evidence": (elbo_for_evidence, "unbiased"),
    "upside down": (upside_down, "never looser"),
    "prior left out": (prior_left_out, "unbiased"),
    "median weight": (median_weight, "unbiased with many"),
    "heaviest left out": (heaviest_left_out, "unbiased"),
    "chunks averaged as logarithms": (chunks_averaged_as_logarithms, "unbiased with many"),
    "guide of other draws": (guide_of_other_draws, "unbiased"),
    "clipped weights": (clipped_weights, "unbiased with many"),
    "density rounded to zero": (density_rounded_to_zero, "underflow"),
    "of the guide alone": (of_the_guide_alone, "unbiased"),
    "bias taken off": (bias_taken_off, "unbiased"),
    "cached": (Cached(), "order of the data"),
}
