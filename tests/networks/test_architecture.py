"""Architectures: shapes, leading dimensions, first weights, layout, settings."""

import json

import pytest
import torch
from torch import nn

from pyro_vae.errors import UnknownNameError
from pyro_vae.networks import (
    MLP,
    Architecture,
    Convolutional,
    ConvolutionalGrid,
    Dense,
    SigmoidMean,
    Unamortised,
)
from pyro_vae.networks.layers import Residual
from pyro_vae.protocols import SettableOutput, offers

CASES = {
    "dense": Dense(hidden=(7, 7, 5)),
    "dense-residual": Dense(hidden=(7, 7, 5), residual=True, activation="tanh"),
    "linear": Dense(hidden=()),
    "linear-residual": Dense(hidden=(), residual=True),
    "convolutional": Convolutional(channels=(3, 5), hidden=(8,)),
    "convolutional-residual": Convolutional((4, 4, 5), hidden=(6, 6), residual=True),
    "one-convolution": Convolutional(channels=(2,), hidden=(), activation="elu"),
    "sigmoid-mean": SigmoidMean(hidden=(7, 5)),
}
SHAPES = [(28, 20), (7, 5), (1, 9), (1, 1), (3, 8, 8), (2, 5, 7)]
BUILDS = [
    (name, shape)
    for name in CASES
    for shape in [*SHAPES, (4,)]
    if len(shape) > 1 or isinstance(CASES[name], Dense)
]


def build(name, shape, conditions=3):
    """An encoder to 4 numbers, and a decoder from 2 latent values to 2 parts."""
    size = torch.Size(shape).numel()
    encoder = CASES[name].encoder(shape, conditions, 4)
    decoder = CASES[name].decoder(2 + conditions, shape, 2 * size)
    return [(encoder, size + conditions, 4), (decoder, 2 + conditions, 2 * size)]


def test_every_architecture_has_a_case():
    # A grid's lengths are multiples of its places: tests/networks/test_grid.py.
    others = {Unamortised, ConvolutionalGrid}
    assert {type(case) for case in CASES.values()} == set(Architecture.registry.values()) - others


@pytest.mark.parametrize(("name", "shape"), BUILDS)
@pytest.mark.parametrize("lead", [(), (3,), (2, 1, 3), (0,), (2, 0)])
def test_leading_dimensions_agree_with_row_by_row(name, shape, lead):
    for network, size_in, size_out in build(name, shape):
        features = torch.randn(*lead, size_in)
        with torch.no_grad():
            out = network(features)
            assert out.shape == (*lead, size_out)
            rows = [network(row) for row in features.reshape(-1, size_in)]
            flat = torch.stack(rows) if rows else torch.empty(0, size_out)
            torch.testing.assert_close(out.reshape(-1, size_out), flat, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "shape"), BUILDS)
def test_gradients_reach_every_parameter(name, shape):
    for network, size_in, _ in build(name, shape):
        network(torch.randn(64, size_in)).square().sum().backward()
        for key, parameter in network.named_parameters():
            assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", CASES)
def test_the_condition_is_heard(name):
    for network, size_in, _ in build(name, (6, 6)):
        features = torch.randn(5, size_in)
        other = features.clone()
        other[:, -1] += 1
        assert not torch.allclose(network(features), network(other))


@pytest.mark.parametrize("name", CASES)
def test_settings_come_back_from_json(name):
    again = Architecture.from_config(json.loads(json.dumps(CASES[name].to_config())))
    assert again == CASES[name]
    assert hash(again) == hash(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_output_starts_at_eta(name):
    decoder = CASES[name].decoder(2, (6, 5), 60)
    assert offers(decoder, SettableOutput)
    # Means are between 0 and 1, where the first half of the parameters are means.
    ends = (0.02, 1.9) if name == "sigmoid-mean" else (-4, 4)
    eta = torch.linspace(*ends, 60)
    decoder.set_output(eta)
    # At the start all other biases are zero, and every activation but softplus takes 0 to 0.
    torch.testing.assert_close(decoder(torch.zeros(3, 2)), eta.expand(3, 60))
    assert not torch.allclose(decoder(torch.ones(2)), eta)
    assert all(parameter.requires_grad for parameter in decoder.parameters())


def test_parts_of_a_decoder_are_images_one_after_the_other():
    # A constant image per output channel: channels must come out parts-major, as _split reads.
    decoder = Convolutional((4, 6), ()).decoder(2, (3, 4, 5), 2 * 60)
    output = decoder.convolutions[-1]
    with torch.no_grad():
        output.weight.zero_()
        # The middle of the kernel of channel c passes c times the first hidden channel.
        output.weight[:, 0, 1, 1] = torch.arange(6.0)
    hidden = []
    decoder.convolutions[-2].register_forward_hook(lambda *args: hidden.append(args[-1]))
    parts = decoder(torch.randn(7, 2)).reshape(7, 2, 3, 4, 5)
    image = nn.functional.interpolate(hidden[0][:, 0:1], size=(4, 5))[:, 0]
    assert image.abs().max() > 0
    for part in range(2):
        for channel in range(3):
            torch.testing.assert_close(parts[:, part, channel], (3 * part + channel) * image)


def test_an_encoder_reads_the_flattened_image():
    plan = Convolutional((5,), ())
    encoder = plan.encoder((2, 6, 4), 0, 3)
    x = torch.randn(7, 2, 6, 4)
    by_hand = encoder.head(encoder.convolutions(x).flatten(1))
    assert torch.equal(encoder(x.flatten(1)), by_hand)
    # One image in the sense of (H, W) is one channel.
    flat = plan.encoder((6, 4), 0, 3)
    assert flat.convolutions[0].in_channels == 1


def test_a_residual_layer_without_its_branch_is_the_identity():
    network = MLP(4, (6, 6, 6), 2, residual=True)
    blocks = [module for module in network if isinstance(module, Residual)]
    assert len(blocks) == 2
    h = torch.randn(5, 6)
    expected = h + blocks[0].layer(h.relu())
    torch.testing.assert_close(blocks[0](h), expected)
    with torch.no_grad():
        blocks[0].layer.weight.zero_()
    assert torch.equal(blocks[0](h), h)
    widening = MLP(4, (6, 8), 2, residual=True)[1]
    with torch.no_grad():
        widening.layer.weight.zero_()
    assert torch.equal(widening(h), h @ widening.skip.weight.T)


@pytest.mark.parametrize(
    ("activation", "residual", "depth"),
    [
        *((name, False, 5) for name in ("elu", "relu", "tanh")),
        *((name, True, depth) for name in ("elu", "relu", "silu", "tanh") for depth in (5, 30)),
    ],
)
def test_signal_neither_dies_nor_explodes_at_the_start(activation, residual, depth):
    x, z = torch.randn(200, 784), torch.randn(200, 10)
    dense = Dense((100,) * depth, activation, residual)
    convolutional = Convolutional((32,) * 4, (100,) * depth, activation, residual)
    for architecture in (dense, convolutional):
        for out in (
            architecture.encoder((28, 28), 0, 20)(x),
            architecture.decoder(10, (28, 28), 784)(z),
        ):
            # Spread over the data, which a large mean would not show.
            assert 0.05 < out.std(0).mean() < 3


def test_seed_is_the_caller_s():
    weights = []
    for _ in range(2):
        torch.manual_seed(5)
        decoder = Convolutional().decoder(2, (9, 9), 81)
        weights.append(torch.cat([p.flatten() for p in decoder.parameters()]))
    assert torch.equal(*weights)


def test_summaries():
    assert Dense((5, 6), "tanh").encoder((2, 2), 1, 3).summary() == "MLP 5-5-6-3, Tanh"
    assert Dense((), residual=True).decoder(2, (3,), 3).summary() == "MLP 2-3, residual"
    encoder, decoder = (network for network, _, _ in build("one-convolution", (7, 5)))
    assert encoder.summary() == "convolutions 7x5, channels 2, MLP 27-4"
    assert decoder.summary() == "MLP 5-24, convolutions 7x5, channels 2"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(hidden=(200, 0)), "hidden layer width got 0"),
        (lambda: Convolutional(channels=(32, 1.5)), r"number of channels got 1\.5"),
        (lambda: Convolutional(channels=()), "at least one convolution"),
        (lambda: Convolutional(hidden=(-1,)), "hidden layer width got -1"),
        (lambda: Convolutional().encoder((64,), 0, 2), r"event_shape got \(64,\): conv"),
        (lambda: Convolutional().decoder(2, (1, 2, 3, 4), 24), "convolutions need images"),
        # A full covariance of 8x8 pixels: 64 means and 64 * 65 / 2 entries of a factor.
        (lambda: Convolutional().decoder(2, (8, 8), 64 + 2081), "num_params got 2145 for 64"),
        # Whole as channels, but not as parts of colour images.
        (lambda: Convolutional().decoder(2, (3, 2, 2), 16), "same number of parameters"),
    ],
)
def test_what_cannot_be_built(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_names_are_checked():
    with pytest.raises(UnknownNameError, match="Did you mean 'relu'"):
        Dense(activation="rely")
    with pytest.raises(UnknownNameError, match="Did you mean 'tanh'"):
        Convolutional(activation="than")
    with pytest.raises(UnknownNameError, match="Did you mean 'convolutional'"):
        Architecture.from_config({"name": "convolution"})
