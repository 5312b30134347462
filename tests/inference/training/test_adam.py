"""A step by the kernel of Adam is the step of ``torch.optim.Adam``, to the bit."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from pyro_vae.inference import fit
from pyro_vae.inference.training.adam import AdamByKernel
from pyro_vae.inference.training.steps import update_by
from pyro_vae.models import VAE


def of_two_types():
    """Parameters of two types, which no call of the kernel takes together."""
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(3, 2, generator=generator, dtype=torch.double) for _ in range(5)]
    types = (torch.float, torch.double, torch.float, torch.float, torch.double)
    return [nn.Parameter(x.to(dtype)) for x, dtype in zip(draws, types, strict=True)]


def both(groups_of=lambda parameters: parameters):
    found = []
    for act in (update_by, AdamByKernel):
        parameters = of_two_types()
        optimiser = torch.optim.Adam(groups_of(parameters), lr=0.1, fused=True)
        found.append((parameters, optimiser, act(optimiser)))
    return found


def take_steps(found, *, first=0, steps=6, without=()):
    for parameters, optimiser, update in found:
        for step in range(first, first + steps):
            generator = torch.Generator().manual_seed(step)
            for number, parameter in enumerate(parameters):
                gradient = torch.randn(3, 2, generator=generator).to(parameter)
                parameter.grad = None if (step, number) in without else gradient
            optimiser.param_groups[0]["lr"] = 0.1 / (step + 1)
            update()
            assert all(parameter.grad is None for parameter in parameters)


def assert_same(found):
    (theirs, optimiser, _), (ours, other, _) = found
    assert all(map(torch.equal, theirs, ours))
    states = optimiser.state_dict(), other.state_dict()
    assert states[0]["param_groups"] == states[1]["param_groups"]
    assert states[0]["state"].keys() == states[1]["state"].keys()
    for number, kept in states[0]["state"].items():
        assert kept.keys() == states[1]["state"][number].keys()
        for name, value in kept.items():
            assert torch.equal(value, states[1]["state"][number][name]), (number, name)


def test_weights_moments_and_step_counts_of_two_types():
    found = both()
    take_steps(found)
    assert_same(found)


def test_groups_have_their_own_settings():
    found = both(
        lambda p: [
            {"params": p[:2], "weight_decay": 0.1, "betas": (0.5, 0.6)},
            {"params": p[2:], "eps": 0.1, "maximize": True},
        ]
    )
    take_steps(found)
    assert_same(found)


def test_what_has_no_gradient_is_not_moved_and_its_steps_are_not_counted():
    found = both()
    # Of the fifth there is none at all; of the others now and then, the first of them at once.
    without = {(0, 0), (1, 0), (1, 1), (3, 2), (4, 0), *((step, 4) for step in range(6))}
    take_steps(found, without=without)
    assert_same(found)
    parameters, optimiser, _ = found[1]
    assert torch.equal(parameters[4], of_two_types()[4])
    assert [int(optimiser.state[p]["step"]) for p in parameters[:4]] == [3, 5, 5, 6]


def test_a_state_that_is_loaded_is_the_one_gone_on_from():
    found = both()
    take_steps(found)
    kept = [
        ([p.detach().clone() for p in parameters], optimiser.state_dict())
        for parameters, optimiser, _ in found
    ]
    kept = [
        (weights, {**state, "state": {k: {n: v.clone() for n, v in s.items()} for k, s in
                                      state["state"].items()}})
        for weights, state in kept
    ]  # fmt: skip
    take_steps(found, first=6)
    for (parameters, optimiser, _), (weights, state) in zip(found, kept, strict=True):
        optimiser.load_state_dict(state)
        with torch.no_grad():
            for parameter, weight in zip(parameters, weights, strict=True):
                parameter.copy_(weight)
    take_steps(found, first=12)
    assert_same(found)


@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.5}, {"schedule": "cosine"}])
@pytest.mark.parametrize("compile", ["off", "graph"])
def test_a_training_is_the_one_by_the_optimiser_itself(monkeypatch, compile, settings):
    x = (torch.rand(40, 6, generator=torch.Generator().manual_seed(1)) < 0.4).float()

    def trained():
        torch.manual_seed(0)
        vae = VAE((6,), 2, encoder=(5,), decoder=(5,))
        return vae, fit(vae, x, epochs=3, batch_size=16, compile=compile, **settings)

    ours, result = trained()
    calls = []

    def by_itself(optimiser):
        update = update_by(optimiser)
        return lambda: calls.append(update())

    loop = sys.modules["pyro_vae.inference.training.fit"]  # the verb has its name
    monkeypatch.setattr(loop, "AdamByKernel", by_itself)
    theirs, expected = trained()
    assert len(calls) == 9
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    assert result.metrics["train_elbo"].equals(expected.metrics["train_elbo"])


def test_fabric_leaves_the_look_for_a_gpu_as_it_was():
    code = (
        "import os; from pyro_vae.inference.training.devices import fabric_on; "
        "fabric_on('cpu', 1, '32-true'); print(os.environ.get('PYTORCH_NVML_BASED_CUDA_CHECK'))"
    )
    without = {k: v for k, v in os.environ.items() if k != "PYTORCH_NVML_BASED_CUDA_CHECK"}
    for environment, expected in (
        (without, "None"),
        ({**without, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}, "1"),
    ):
        found = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert found.stdout.split()[-1] == expected, found.stderr
