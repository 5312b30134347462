"""Walks through latent spaces, on a model whose code and decoder are known."""

import pytest
import torch
from torch import nn

from pyro_vae import plots
from pyro_vae.data import Dataset
from pyro_vae.errors import DataError
from pyro_vae.models import VAE, Autoencoder
from pyro_vae.models.condition import Labels
from pyro_vae.models.likelihoods import Poisson
from pyro_vae.pictures.decoded import (
    decoded_draws,
    draw_samples,
    interpolate,
    manifold,
    morph,
    traverse,
)
from pyro_vae.pictures.paths import grid_of_quantiles, spherical, straight
from tests.tolerances import STANDARD_ERRORS


class Doubling(nn.Module):
    """x of shape (size, 1) has the code x / 2, which decodes to x."""

    def __init__(self, size):
        super().__init__()
        self.latent_dim = size

    def code(self, x):
        return x[..., 0] / 2

    def decode(self, z):
        return 2 * z.unsqueeze(-1)


@pytest.mark.parametrize(("name", "path"), [("straight", straight), ("spherical", spherical)])
def test_walks_are_the_decoded_paths(name, path):
    x = torch.randn(3, 4, 1)
    codes = x[..., 0] / 2
    legs = morph(Doubling(4), list(x), 5, path=name)
    assert legs.shape == (2, 5, 4, 1)
    torch.testing.assert_close(legs[1, ..., 0], 2 * path(codes[1], codes[2], 5))
    torch.testing.assert_close(legs[0, -1], legs[1, 0])
    torch.testing.assert_close(interpolate(Doubling(4), x[:2], 5, path=name), legs[0])


@pytest.mark.parametrize("count", [1, 3])
def test_a_path_goes_between_two(count):
    with pytest.raises(DataError, match=f"^x got {count} data: a path goes between two") as caught:
        interpolate(Doubling(4), torch.randn(count, 4, 1))
    assert "morph" in str(caught.value)


def test_the_plane_is_a_grid_or_lies_where_the_codes_are():
    images, z = manifold(Doubling(2), 5)
    torch.testing.assert_close(z, grid_of_quantiles(5))
    torch.testing.assert_close(images[..., 0], 2 * z)
    x = 3 + torch.tensor([4.0, 1.0]).unsqueeze(1) * torch.randn(500, 2, 1)
    codes = x[..., 0] / 2
    moved = manifold(Doubling(2), 5, x=x).z
    torch.testing.assert_close(moved[2, 2], codes.mean(0))
    spread = (moved - codes.mean(0)) / codes.std(0)
    torch.testing.assert_close(spread, grid_of_quantiles(5), atol=1e-5, rtol=1e-4)
    for options in ({}, {"x": torch.randn(5, 3, 1)}):
        with pytest.raises(DataError, match="codes of length 3"):
            manifold(Doubling(3), **options)


def test_traversals_begin_with_the_coordinate_that_varies_most():
    x = torch.randn(100, 3, 1) * torch.tensor([1.0, 6.0, 2.0]).unsqueeze(1)
    images, dimensions, values = traverse(Doubling(3), x, steps=5)
    assert dimensions == (1, 2, 0)
    span = 3 * (x[:, 1, 0] / 2).square().mean().sqrt()
    torch.testing.assert_close(values, torch.linspace(-1, 1, 5) * span)
    for row, dimension in enumerate(dimensions):
        expected = x[0, :, 0].repeat(5, 1)
        expected[:, dimension] = 2 * values
        torch.testing.assert_close(images[row, ..., 0], expected)
    one = traverse(Doubling(3), x[:1], [2], span=1.0, steps=3)
    assert one.images.shape == (1, 3, 3, 1)
    torch.testing.assert_close(one.images[0, :, 2, 0], torch.tensor([-2.0, 0.0, 2.0]))


def test_a_conditional_model_keeps_the_first_condition():
    vae = VAE((2, 2), 2, condition=Labels(3), encoder=(4,), decoder=(4,))
    x, c = torch.rand(2, 2, 2).round(), torch.eye(3)[[2, 0]]
    given = {"condition": c}
    with torch.no_grad():
        first = vae.decode(vae.code(x, c), c)[0]
    torch.testing.assert_close(interpolate(vae, x, 4, given=given)[0], first)
    torch.testing.assert_close(morph(vae, x, 4, given=given)[0, 0], first)
    plane = manifold(vae, 3, given={"condition": c[1:]})
    with torch.no_grad():
        torch.testing.assert_close(plane.images[0, 1], vae.decode(plane.z[0, 1:2], c[1:])[0])
    assert traverse(vae, x, steps=3, given=given).images.shape == (2, 3, 2, 2)


def test_the_encoder_is_given_no_exposure():
    vae = VAE((4,), 2, likelihood=Poisson(exposure=True), encoder=(4,), decoder=(4,))
    x, given = torch.ones(3, 4), {"exposure": torch.tensor([2.0, 5.0, 7.0])}
    with torch.no_grad():
        codes = vae.code(x)
        ends = vae.decode(codes[:1], exposure=given["exposure"][:1])
    torch.testing.assert_close(interpolate(vae, x[:2], 3, given=given)[:1], ends)
    assert traverse(vae, x, steps=3, given=given).images.shape == (2, 3, 4)
    assert manifold(vae, 3, x=x, given=given).images.shape == (3, 3, 4)


def test_draws_are_those_of_the_seed_and_leave_the_state_alone():
    x = torch.rand(200, 4).round()
    data = Dataset.from_tensors(x, test=x[:5])
    settings = {"encoder": (4,), "decoder": (4,)}
    vae, auto = VAE((4,), 2, **settings), Autoencoder((4,), 2, **settings)
    makes = (
        lambda seed: draw_samples(vae, 50, seed=seed),
        lambda seed: decoded_draws(vae, data, 50, seed=seed)[0],
        lambda seed: decoded_draws(auto, data, 50, seed=seed)[0],
    )
    state = torch.get_rng_state()
    for make in makes:
        assert torch.equal(make(1), make(1))
        assert not torch.equal(make(1), make(2))
    assert torch.equal(torch.get_rng_state(), state)


def test_draws_without_a_prior_are_around_the_codes_of_the_training_data():
    """Linear, so that the mean of 5,000 images is that of the codes; test data lie elsewhere."""
    x = torch.randn(300, 3, 1) + 2
    data = Dataset.from_tensors(x, test=x + 10)
    model = Doubling(3)
    model.has_evidence = False
    images, words = decoded_draws(model, data, 5000)
    far = (images.mean(0) - x.mean(0)).abs()
    assert (far < STANDARD_ERRORS * x.std(0) / 5000**0.5).all()
    assert "training data" in words


def test_one_datum_is_no_path():
    with pytest.raises(DataError, match="x got 1 data"):
        morph(Doubling(2), torch.randn(1, 2, 1))


def test_figures_show_each_image_at_its_place():
    images = torch.arange(3 * 3 * 4.0).reshape(3, 3, 2, 2).numpy()
    ax = plots.manifold_grid(images, grid_of_quantiles(3).numpy()).axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$z_1$", "$z_2$")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["\N{MINUS SIGN}1.0", "0.0", "1.0"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["1.0", "0.0", "\N{MINUS SIGN}1.0"]
    assert (ax.images[0].get_array()[3:5, 6:8] == images[1, 2]).all()
    rows = plots.traversals(images, [4, 0, 2], torch.tensor([-1.0, 0.0, 1.0]).numpy()).axes[0]
    assert [t.get_text() for t in rows.get_yticklabels()] == ["$z_{5}$", "$z_{1}$", "$z_{3}$"]
    strip = plots.morph_strip(images[0], images[:2]).axes[0].images[0].get_array()
    assert (strip[3:5, :2] == images[0, 1]).all()
    assert (strip[3:5, -2:] == images[0, 2]).all()
    assert (strip[3:5, 4:6] == images[1, 0]).all()
    assert len(plots.path_comparison({"straight": images, "spherical": images}).axes) == 2
