"""Faulty objectives and estimators, each with one known fault planted."""

from __future__ import annotations

import math

import pyro
import torch
from pyro import poutine
from pyro.infer import RenyiELBO, Trace_ELBO

from pyro_vae.inference import IWAE, sample_log_weights
from pyro_vae.inference.objectives import WeightedObjective


class _Mutant(WeightedObjective):
    """An objective made of the weights in a wrong way."""

    formula = "wrong"

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


def _kl(model, guide, x):
    """KL(q || p) without bias, whatever the prior: the mean of log ratios of other draws."""
    terms, _ = sample_log_weights(model, guide, x, 30)
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
    "minus the bound": (MinusTheBound, "one particle"),
    "analytic KL inside": (AnalyticKLInside, "lower bound"),
}


def _log_weights(model, guide, x, num_particles):
    """Log-weights of the two programs, by Pyro's traces; a discrete guide is no matter."""
    with pyro.plate("particles", num_particles, dim=-2):
        guide_trace = poutine.trace(guide).get_trace(x)
        model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(x)
    for trace in (guide_trace, model_trace):
        trace.compute_log_prob()
    nodes = model_trace.nodes
    log_joint = nodes["z"]["log_prob"] + nodes["x"]["log_prob"]
    return log_joint - guide_trace.nodes["z"]["log_prob"]


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
}
