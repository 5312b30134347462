"""What a student's file defines is marked by what it is; and every likelihood of ours passes."""

import math
import textwrap

import pytest
import torch

from pyro_vae.errors import ProgramError
from pyro_vae.models.likelihoods import Bernoulli, Likelihood, Normal, Poisson
from pyro_vae.pairs.normalisation import log_integrals
from pyro_vae.user_files import marked
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


def test_each_check_fails_alone(monkeypatch):
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

    def tempered(log_prob, here, support):
        return log_integrals(lambda values: 0.9 * log_prob(values), here, support)

    monkeypatch.setattr(marked, "log_integrals", tempered)
    assert failed(Normal("latent")) == {"adds up to one"}


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
        assert names[-1] == "adds up to one"
        assert likelihood.event_shape == (3,)
    assert torch.get_default_dtype() == torch.float32
