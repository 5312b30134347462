"""Grids: shapes, leading dimensions, layout, locality."""

import json

import pytest
import torch

from pyro_vae.networks import Architecture, ConvolutionalGrid
from pyro_vae.protocols import SettableOutput, offers

CASES = {
    "plain": ConvolutionalGrid((3, 5)),
    "one": ConvolutionalGrid((2,), activation="elu"),
    "on-the-grid": ConvolutionalGrid((4, 5), hidden=(6, 6)),
    "residual": ConvolutionalGrid((4, 4), hidden=(5,), residual=True),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", [(28, 20), (7, 5), (3, 8, 8)])
@pytest.mark.parametrize("lead", [(), (3,), (2, 1, 3), (0,)])
def test_shapes_and_leading_dimensions(name, shape, lead):
    plan, size = CASES[name], torch.Size(shape).numel()
    height, width = plan.grid(shape)
    steps = len(plan.channels)
    assert (height, width) == tuple(-(-n // 2**steps) for n in shape[-2:])
    length = 3 * height * width
    for network, size_in, size_out in (
        (plan.encoder(shape, 0, length), size, length),
        (plan.decoder(length, shape, 2 * size), length, 2 * size),
    ):
        features = torch.randn(*lead, size_in)
        with torch.no_grad():
            out = network(features)
            assert out.shape == (*lead, size_out)
            for row, mapped in zip(
                features.reshape(-1, size_in), out.reshape(-1, size_out), strict=True
            ):
                torch.testing.assert_close(network(row), mapped, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_gradients_reach_every_parameter(name):
    encoder = CASES[name].encoder((8, 8), 0, 3 * 16)
    for network, size_in in ((encoder, 64), (CASES[name].decoder(3 * 16, (8, 8), 64), 48)):
        network(torch.randn(64, size_in)).square().sum().backward()
        for key, parameter in network.named_parameters():
            assert parameter.grad.abs().sum() > 0, key


def test_a_place_sees_and_paints_its_own_part_of_the_image():
    plan = ConvolutionalGrid((4, 4))
    with torch.no_grad():
        encoder, decoder = plan.encoder((16, 16), 0, 16 * 2), plan.decoder(16 * 2, (16, 16), 256)
        dark, corner = torch.zeros(16, 16), torch.zeros(16, 16)
        corner[:2, -2:] = 1.0
        change = (encoder(corner.flatten()) - encoder(dark.flatten())).reshape(4, 4, 2)
        seen = change.abs().sum(-1) > 0
        assert seen[0, 3]
        assert not seen[:, :2].any()
        assert not seen[2:].any()
        codes = torch.zeros(4, 4, 2)
        codes[0, 3] = 1.0
        painted = (decoder(codes.flatten()) - decoder(torch.zeros(32))).reshape(16, 16) != 0
        assert painted[:4, 12:].any()
        assert not painted[:, :4].any()
        assert not painted[12:].any()


def test_settings_come_back_and_the_output_starts_where_it_is_told():
    plan = ConvolutionalGrid((3, 2), hidden=(4,), residual=True)
    assert Architecture.from_config(json.loads(json.dumps(plan.to_config()))) == plan
    decoder = plan.decoder(8, (8, 8), 64)
    assert offers(decoder, SettableOutput)
    decoder.set_output(torch.arange(64.0))
    with torch.no_grad():
        torch.testing.assert_close(decoder(torch.zeros(8)), torch.arange(64.0))
    assert "8x8" in decoder.summary()
    assert plan.encoder((8, 8), 0, 8).summary() == "convolutions 8x8, channels 3-2-4-2"


def test_what_does_not_divide_is_refused():
    plan = ConvolutionalGrid((3, 2))
    with pytest.raises(ValueError, match="2x2 got 7 numbers"):
        plan.encoder((8, 8), 0, 7)
    with pytest.raises(ValueError, match="num_params got 65"):
        plan.decoder(8, (8, 8), 65)
    with pytest.raises(ValueError, match="no place for a condition"):
        plan.encoder((8, 8), 2, 8)
    with pytest.raises(ValueError, match="channels got 0"):
        ConvolutionalGrid((3,), hidden=(0,))
