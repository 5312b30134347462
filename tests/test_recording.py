"""Flat graphs: what is left out moves no number, and what is repeated is what was called."""

import itertools
import math

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_vae.inference import log_evidence, log_weights
from pyro_vae.inference.evidence import ais, bdmc
from pyro_vae.isolation import isolated
from pyro_vae.models import VAE
from pyro_vae.models.condition import Labels
from pyro_vae.models.likelihoods import Poisson
from pyro_vae.recording import COMPARED, NotRecordableError, Repeated, record, unrecorded
from pyro_vae.recording import repeated as repeated_functions
from tests.cases import a_few_always

X = (torch.rand(6, 4, generator=torch.Generator().manual_seed(1)) < 0.4).float()


def recorded_and_called(function, *inputs, fixed=False):
    """What a function gives, and what its graph gives, with the same draws."""
    graph = record(function, inputs, fixed=fixed)
    with isolated(5):
        expected = function(*inputs)
    with isolated(5):
        found = graph(*inputs)
    return graph, expected, found


def operations(graph):
    return [node.target for node in graph.graph.nodes if node.op == "call_function"]


# What is left out


def test_aliases_and_operations_that_do_nothing_are_left_out():
    def function(x):
        y = (x.detach() + 0) * 1 / 1
        return [y.neg().neg().t().t().view(2, 3).exp()]

    x = torch.randn(2, 3)
    graph, expected, found = recorded_and_called(function, x)
    assert torch.equal(expected[0], found[0])
    assert operations(graph) == [torch.ops.aten.exp.default]


def test_what_is_computed_twice_is_computed_once():
    def function(x):
        return [x.exp().sum() + x.exp().sum()]

    graph, expected, found = recorded_and_called(function, torch.randn(5))
    assert torch.equal(expected[0], found[0])
    assert operations(graph).count(torch.ops.aten.exp.default) == 1


def test_a_copy_of_what_is_changed_in_place_stays():
    def function(x):
        total = x.exp()
        kept = total + 0
        total += 1
        return [total.sum(), kept.sum()]

    _, expected, found = recorded_and_called(function, torch.randn(5))
    assert all(map(torch.equal, expected, found))


def test_what_is_changed_in_place_is_not_shared():
    def function(x):
        one, two = x.exp(), x.exp()
        one[0] = 0.0
        view = two.view(-1)
        view.add_(1.0)
        return [one.sum(), two.sum(), x.exp().sum()]

    _, expected, found = recorded_and_called(function, torch.randn(5))
    assert all(map(torch.equal, expected, found))


def test_what_is_written_to_by_name_is_not_shared():
    def function(x):
        one, two = x.exp(), x.exp()
        torch.add(x, 1.0, out=one)
        return [one.sum(), two.sum()]

    _, expected, found = recorded_and_called(function, torch.randn(5))
    assert all(map(torch.equal, expected, found))


def test_results_do_not_share_memory():
    def function(x):
        return [x.exp(), x.exp()]

    _, _, (first, second) = recorded_and_called(function, torch.randn(5))
    assert first.data_ptr() != second.data_ptr()


def test_draws_are_made_anew_and_apart():
    def function(x):
        return [x + torch.randn(3), x + torch.randn(3), torch.rand(3).bernoulli()]

    graph, expected, found = recorded_and_called(function, torch.zeros(3))
    assert all(map(torch.equal, expected, found))
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(graph(torch.zeros(3))[0], found[0])


def test_constants_are_computed_when_recording_and_weights_only_where_they_are_fixed():
    weight = torch.tensor([1.0, 2.0])

    def function(x):
        return [x + weight.exp() + torch.arange(2).float().exp()]

    moving, _, _ = recorded_and_called(function, torch.zeros(2))
    fixed, expected, found = recorded_and_called(function, torch.zeros(2), fixed=True)
    assert torch.equal(expected[0], found[0])
    exp = torch.ops.aten.exp.default
    assert (operations(moving).count(exp), operations(fixed).count(exp)) == (1, 0)
    weight.fill_(3.0)
    assert torch.equal(moving(torch.zeros(2))[0], function(torch.zeros(2))[0])


# What is no graph


def test_looks_at_values_are_refused_unless_they_are_left_out_of_the_graph():
    def function(x):
        if x.sum() > 0:
            return [x]
        return [-x]

    with pytest.raises(NotRecordableError, match="branches on the values"):
        record(function, [torch.ones(2)])

    def checked(x):
        with unrecorded():
            assert bool((x > 0).all())
        return [x.exp()]

    _, expected, found = recorded_and_called(checked, torch.ones(2))
    assert torch.equal(expected[0], found[0])


def test_inputs_that_it_changes_are_put_back_and_changed_by_the_graph():
    def count(x, calls):
        calls.add_(1)
        return [x * calls]

    x, calls = torch.ones(2), torch.zeros(())
    graph = record(count, [x, calls])
    assert float(calls) == 0
    graph(x, calls)
    graph(x, calls)
    assert float(calls) == 2


# What is repeated


def test_a_repeated_function_is_recorded_where_it_is_worth_it(monkeypatch):
    calls = itertools.count()

    def function(x):
        next(calls)
        return [x.exp() + torch.randn(2)]

    for worth, expected in ((math.inf, 6), (0.0, 2 + COMPARED)):
        monkeypatch.setattr(repeated_functions, "WORTH_RECORDING", worth)
        repeated, before = Repeated(function, 10), next(calls)
        with isolated(1):
            found = [repeated(torch.full((2,), float(k)))[0] for k in range(6)]
        assert next(calls) - before - 1 == expected
        with isolated(1):
            assert all(
                torch.equal(f, function(torch.full((2,), float(k)))[0])
                for k, f in enumerate(found)
            )


def test_a_function_that_is_never_the_same_is_called_as_it_is(monkeypatch):
    monkeypatch.setattr(repeated_functions, "WORTH_RECORDING", 0.0)
    steps = itertools.count()
    repeated = Repeated(lambda x: [x + next(steps)], 10)
    found = [float(repeated(torch.zeros(()))[0]) for _ in range(6)]
    assert sorted(set(found)) == sorted(found)


def pairs():
    counts = torch.poisson(X * 3, generator=torch.Generator().manual_seed(0))
    given = {"x": counts, "condition": torch.arange(6) % 3, "exposure": X.sum(-1) + 1}
    conditional = VAE((4,), 2, likelihood=Poisson(exposure=True), condition=Labels(3))
    return {"a VAE": (VAE((4,), 2), X), "with labels and exposures": (conditional, given)}


@pytest.mark.parametrize("name", pairs())
@a_few_always(
    "settings", [{}, {"chunk_size": 7}, {"chunk_size": 1}], [{}, {"chunk_size": 1}], ids=str
)
def test_log_weights_by_a_graph_are_those_without(name, settings, monkeypatch):
    vae, x = pairs()[name]
    found = []
    for worth in (math.inf, 0.0):
        monkeypatch.setattr(repeated_functions, "WORTH_RECORDING", worth)
        found.append(log_weights(vae.model, vae.guide, x, 20, seed=3, **settings))
    assert torch.equal(*found)


@a_few_always("start", ["prior", "guide"])
def test_annealing_by_a_graph_is_that_without(start, monkeypatch):
    vae = VAE((4,), 2)
    found = []
    for worth in (math.inf, 0.0):
        monkeypatch.setattr(repeated_functions, "WORTH_RECORDING", worth)
        found.append(
            ais(vae.model, vae.guide, X, num_temperatures=5, num_chains=3, start=start, seed=1)
        )
    assert found[0].equals(found[1])


def test_bdmc_by_a_graph_is_that_without(monkeypatch):
    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.LogNormal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.LogNormal(x / 4, 0.5))

    z = torch.tensor([[0.5, 1.5]])
    found = []
    for worth in (math.inf, 0.0):
        monkeypatch.setattr(repeated_functions, "WORTH_RECORDING", worth)
        found.append(
            bdmc(model, guide, z[0] + 0.1, {"z": z[0]}, num_temperatures=5, num_chains=3, seed=1)
        )
    assert found[0].equals(found[1])


def test_results_that_many_data_give_are_the_same(monkeypatch):
    vae = VAE((4,), 2)
    found = []
    for worth in (math.inf, 0.0):
        monkeypatch.setattr(repeated_functions, "WORTH_RECORDING", worth)
        results = log_evidence(vae.model, vae.guide, X, 100, seed=2)
        found.append(results)
    assert found[0].equals(found[1])
