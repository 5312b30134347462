"""Batch normalisation in networks: any leading dimensions, and eval mode row by row."""

import copy

import pytest
import torch
from torch import nn

from pyro_vae.inference.training.objectives import objective_named
from pyro_vae.models import VAE
from pyro_vae.networks import Convolutional, Dense

SPECS = {
    "dense": Dense((6, 5), batch_norm=True),
    "convolutional": Convolutional((3, 4), (5,), batch_norm=True),
}


def made(name, role):
    torch.manual_seed(3)
    if role == "encoder":
        return SPECS[name].encoder((6, 5), 0, 4), 30
    return SPECS[name].decoder(4, (6, 5), 30), 4


@pytest.mark.parametrize("role", ["encoder", "decoder"])
@pytest.mark.parametrize("name", SPECS)
def test_leading_dimensions_are_rows_in_both_modes(name, role):
    network, size = made(name, role)
    x = torch.randn(3, 7, size)
    for mode in (True, False):
        network.train(mode)
        torch.testing.assert_close(network(x).flatten(0, 1), network(x.flatten(0, 1)))


@pytest.mark.parametrize("role", ["encoder", "decoder"])
@pytest.mark.parametrize("name", SPECS)
def test_eval_mode_treats_every_row_alone(name, role):
    network, size = made(name, role)
    x = torch.randn(50, size)
    before = network(x).detach()
    network.eval()
    after = network(x).detach()
    assert float((before - after).abs().max()) > 1e-3  # running moments are not the batch's yet
    torch.testing.assert_close(after[:1], network(x[:1]))


def test_hidden_layers_are_normalised_as_pytorch_does_it():
    network, _ = made("dense", "encoder")
    x = torch.randn(20, 30)
    by_hand = x
    for part in network:
        if isinstance(part, nn.BatchNorm1d):
            mean, variance = by_hand.mean(0), by_hand.var(0, correction=0)
            by_hand = (by_hand - mean) / (variance + part.eps).sqrt()
        else:
            by_hand = part(by_hand)
    torch.testing.assert_close(network(x), by_hand)
    kinds = [type(part).__name__ for part in network]
    assert kinds == [*("Linear", "BatchNorm", "ReLU") * 2, "Linear"]


def test_a_lone_row_is_normalised_by_the_running_moments():
    network, _ = made("dense", "encoder")
    x = torch.randn(1, 30)
    network.train()
    trained = network(x)
    torch.testing.assert_close(trained, network.eval()(x))


@pytest.mark.parametrize("objective", ["iwae-3", "beta-tc-elbo", "dreg-3", "beta-elbo"])
@pytest.mark.parametrize("name", SPECS)
def test_running_moments_are_those_of_the_batch_whatever_the_objective(name, objective):
    torch.manual_seed(3)
    spec = SPECS[name]
    vae = VAE((6, 5), 4, encoder=spec, decoder=spec, seed=1)
    x = torch.bernoulli(torch.full((20, 6, 5), 0.5))
    expected = copy.deepcopy(vae)
    expected.posterior(x)
    if objective == "dreg-3":
        expected.posterior(x)  # the guide is run twice: for the draws, and for their densities
    objective_named(objective).differentiable_loss(vae.model, vae.guide, x)
    for key, moment in expected.encoder.named_buffers():
        torch.testing.assert_close(vae.encoder.get_buffer(key), moment, msg=key)


def test_without_gradients_the_batch_normalises_and_the_running_moments_stay():
    for role in ("encoder", "decoder"):
        network, size = made("convolutional", role)
        x = torch.randn(20, size)
        with_gradients = copy.deepcopy(network)(x)
        before = {name: buffer.clone() for name, buffer in network.named_buffers()}
        with torch.no_grad():
            torch.testing.assert_close(network(x), with_gradients)
        for name, buffer in network.named_buffers():
            assert torch.equal(buffer, before[name])


def test_a_lone_image_of_one_pixel_is_normalised_by_the_running_moments():
    network = Convolutional((2,), (), batch_norm=True).encoder((2, 2), 0, 1).train()
    x = torch.randn(1, 4)
    trained = network(x)
    torch.testing.assert_close(trained, network.eval()(x))


def test_batch_norm_beside_skip_connections_is_refused():
    with pytest.raises(ValueError, match="batch_norm got True beside residual=True"):
        Dense((4, 4), residual=True, batch_norm=True)


def test_summary_and_config():
    assert Dense((4,), batch_norm=True).encoder((3,), 0, 2).summary().endswith("normalisation")
    assert SPECS["dense"].to_config()["batch_norm"] is True
