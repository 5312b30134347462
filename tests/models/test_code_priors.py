"""Priors over codes: normalised by enumeration, sampled as they score, causal."""

import itertools
import math

import pyro
import pytest
import torch
from pyro import poutine

from pyro_vae.models.code_priors import AutoregressiveCodes, CodePrior, UniformCodes
from tests.tolerances import STANDARD_ERRORS

K, S = 3, 4
EVERY = torch.tensor(list(itertools.product(range(K), repeat=S)))


def make(cls, **settings):
    """A prior that is not where it starts."""
    prior = cls(**settings)
    prior.build(K, S)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
    return prior


PRIORS = {
    "uniform": lambda: make(UniformCodes),
    "one-layer": lambda: make(AutoregressiveCodes, width=8, layers=1, heads=2),
    "two-layers": lambda: make(AutoregressiveCodes, width=12, layers=2, heads=3),
}


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("training", [True, False])
def test_probabilities_of_all_codes_sum_to_one(name, training):
    prior = PRIORS[name]().double().train(training)
    with torch.no_grad():
        log_prob = prior().log_prob(EVERY)
    assert float(log_prob.logsumexp(0)) == pytest.approx(0.0, abs=1e-10)
    assert (log_prob.std() > 0.1) == (name != "uniform")


@pytest.mark.parametrize("name", PRIORS)
def test_draws_are_as_frequent_as_their_probabilities(name):
    prior, size = PRIORS[name](), 20_000
    with torch.no_grad():
        draws = prior().sample((size,))
        p = prior().log_prob(EVERY).exp().double()
    weights = torch.tensor([K**s for s in range(S - 1, -1, -1)])
    share = torch.bincount((draws * weights).sum(-1), minlength=K**S).double() / size
    error = (p * (1 - p) / size).sqrt()
    assert ((share - p).abs() < STANDARD_ERRORS * error + 1 / size).all()


def test_an_index_depends_on_none_after_it():
    prior = PRIORS["two-layers"]()
    z = torch.randint(0, K, (6, S))
    with torch.no_grad():
        logits = prior.next_logits(z)
        for s in range(S):
            other = z.clone()
            other[:, s] = (other[:, s] + 1) % K
            change = (prior.next_logits(other) - logits).abs().amax((0, 2)) > 1e-5
            assert change.tolist() == [t > s for t in range(S)]
            torch.testing.assert_close(prior.next_logits(z[:, : s + 1]), logits[:, : s + 1])


def test_every_position_knows_its_place():
    """The vector of place t is heard at t and after it, and nowhere before."""
    prior = PRIORS["two-layers"]()
    logits = prior.next_logits(torch.randint(0, K, (6, S)))
    for s in range(S):
        (gradient,) = torch.autograd.grad(logits[:, s, 0].sum(), prior.places, retain_graph=True)
        assert (gradient != 0).any(1).tolist() == [t <= s for t in range(S)]


@pytest.mark.parametrize("cls", [UniformCodes, AutoregressiveCodes])
def test_untrained_it_is_uniform(cls):
    prior = cls()
    prior.build(K, S)
    log_prob = prior().log_prob(EVERY)
    expected = torch.full((K**S,), -S * math.log(K), dtype=torch.double)
    torch.testing.assert_close(log_prob, expected)


@pytest.mark.parametrize("name", PRIORS)
def test_shapes_in_plates(name):
    prior = PRIORS[name]()

    def program():
        with pyro.plate("particles", 5, dim=-2), pyro.plate("data", 3, dim=-1):
            return pyro.sample("z", prior())

    trace = poutine.trace(program).get_trace()
    trace.compute_log_prob()
    site = trace.nodes["z"]
    assert site["value"].shape == (5, 3, S)
    assert site["log_prob"].shape == (5, 3)
    torch.testing.assert_close(site["log_prob"], prior().log_prob(site["value"]))
    assert prior().expand((2,)).log_prob(EVERY[:1]).shape == (2,)
    with pytest.raises(ValueError, match="support"):
        prior().expand((1,)).log_prob(torch.full((1, S), K))


def test_settings_come_back_and_bad_ones_are_refused():
    prior = AutoregressiveCodes(width=8, layers=1, heads=2, seed=3)
    again = CodePrior.from_config(prior.to_config())
    for part in (prior, again):
        part.build(K, S)
    torch.testing.assert_close(dict(prior.state_dict()), dict(again.state_dict()))
    with pytest.raises(ValueError, match="width got 9"):
        AutoregressiveCodes(width=9)
    with pytest.raises(ValueError, match="layers got 0"):
        AutoregressiveCodes(layers=0)
