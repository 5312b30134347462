"""What a student's file defines is marked by what it is; and every likelihood of ours passes."""

import math
import textwrap
from typing import ClassVar

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import constraints

from pyro_vae.errors import ProgramError
from pyro_vae.models.likelihoods import Bernoulli, Likelihood, Normal, Poisson
from pyro_vae.user_files.marked import mark, verify_likelihood
from pyro_vae.user_files.named import Reference

NEEDS = {"binomial": {"total_count": 7}, "ordinal": {"num_classes": 4}}


# A likelihood by columns is made of others, each of its own measure.
@pytest.mark.parametrize("name", sorted(set(Likelihood.registry) - {"per-column"}))
def test_every_likelihood_of_ours_passes(name):
    report = verify_likelihood(Likelihood.named(name, **NEEDS.get(name, {})))
    assert report.passed, report


def failed(likelihood):
    return {check.name for check in verify_likelihood(likelihood).failed}


class OfNormal(dist.Normal):
    def __init__(self, normal):
        super().__init__(normal.loc, normal.scale)


class TooMuch(OfNormal):
    """The density of a normal, times 1.1."""

    def log_prob(self, value):
        return super().log_prob(value) + math.log(1.1)


class Wide(OfNormal):
    """A normal whose draws are a fifth too wide."""

    def sample(self, sample_shape=()):
        return self.loc + 1.2 * (super().sample(sample_shape) - self.loc)


class Averaged(dist.Independent):
    """The mean of the cells' log-densities for that of a datum."""

    def log_prob(self, value):
        return self.base_dist.log_prob(value).mean(-1)


class Whole(dist.TorchDistribution):
    """One density of a whole datum, which nobody can ask for that of a cell."""

    arg_constraints: ClassVar = {}
    support = constraints.real_vector

    def __init__(self, cells, mean):
        self.cells, self.mean_of_cells = cells, mean
        super().__init__(cells.batch_shape, cells.event_shape)

    def sample(self, sample_shape=()):
        return self.cells.sample(sample_shape)

    def log_prob(self, value):
        terms = self.cells.base_dist.log_prob(value)
        return terms.mean(-1) if self.mean_of_cells else terms.sum(-1)


def test_each_check_fails_alone():
    assert failed(Normal("latent")) == set()
    wrong = Normal("latent")
    wrong.in_support = lambda x: x > -2
    assert failed(wrong) == {"draws"}
    wrong = Normal("latent")
    wrong.measure = "counting"
    assert failed(wrong) == {"measure"}
    wrong = Normal("latent")
    wrong.forward = lambda eta: Normal.forward(wrong, eta).base_dist
    assert failed(wrong) == {"event shape"}

    wrong = Normal("latent")
    wrong.forward = lambda eta: Wide(Normal.forward(wrong, eta).base_dist).to_event(1)
    assert failed(wrong) == {"draws follow the density"}
    wrong.forward = lambda eta: Averaged(Normal.forward(wrong, eta).base_dist, 1)
    assert failed(wrong) == {"sum over cells"}
    wrong.forward = lambda eta: Whole(Normal.forward(wrong, eta), mean=True)
    assert failed(wrong) == {"adds up to one"}
    wrong.forward = lambda eta: Whole(Normal.forward(wrong, eta), mean=False)
    assert failed(wrong) == set()
    wrong.forward = lambda eta: TooMuch(Normal.forward(wrong, eta).base_dist).to_event(1)
    assert failed(wrong) == {"adds up to one"}


FILE = """
import math
from pyro.infer import Trace_ELBO
from pyro_vae.inference import log_weights
from pyro_vae.models.likelihoods import Normal

an_instance = Trace_ELBO()
a_class = Trace_ELBO

def a_factory():
    return Normal(0.5)

def an_estimator(model, guide, x, num_particles):
    return log_weights(model, guide, x, num_particles).logsumexp(0) - math.log(num_particles)

def a_sum(model, guide, x, num_particles):
    return log_weights(model, guide, x, num_particles).logsumexp(0)

number = 3

def of_two(a, b):
    return a
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "homework.py"
    path.write_text(textwrap.dedent(FILE))
    return path


@pytest.mark.parametrize("name", ["a_factory", "an_estimator", "an_instance", "a_class"])
def test_what_is_right_passes_whatever_it_is(file, name):
    assert mark(Reference(file, name)).passed


def test_what_is_wrong_is_named_with_its_numbers(file):
    report = mark(Reference(file, "a_sum"))
    found = {(check.name, check.model): check for check in report.failed}
    check = found["number of particles", "conjugate normal"]
    # A sum in the place of a mean is too large by log K, and 1000 is the largest tried.
    assert abs(check.value - math.log(1000)) < 1e-6
    assert check.expected == 0


@pytest.mark.parametrize("name", ["number", "of_two"])
def test_what_is_none_of_them_is_refused(file, name):
    with pytest.raises(ProgramError, match=r"must be a pyro.infer.ELBO, a function of"):
        mark(Reference(file, name))


def test_a_likelihood_is_tried_on_three_cells():
    for likelihood in (Bernoulli(), Poisson(), Normal(0.3)):
        names = [check.name for check in verify_likelihood(likelihood).checks]
        assert names[-2:] == ["adds up to one", "draws follow the density"]
        assert likelihood.event_shape == (3,)
    assert torch.get_default_dtype() == torch.float32
