"""Every public function runs on the device of its model, with the numbers of the CPU."""

from functools import cache

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map

from pyro_vae import evaluate
from tests.cases import a_few_always
from tests.conversion import test_every_function as every
from tests.models.test_cross_product import made_of
from tests.models.test_devices import MADE_OF
from tests.other_device import HERE, There, moved, second_device

#: Lightning moves the model of ``fit`` to the device of its own setting, and the training is in
#: ``tests/models/test_devices.py``. The other hands the model's ``decode`` a code of the CPU.
ELSEWHERE = {"fit", "VAE.initialise"}
NAMES = [name for name in every.CASES if name not in ELSEWHERE]

#: Functions that draw nothing: on a GPU, whose generator is another, their numbers are the CPU's.
WITHOUT_DRAWS = (
    *("reconstruct", "reconstruction_error", "interpolate", "traverse", "manifold", "quadrature"),
    *("VAE.code", "VAE.posterior", "LinearVAE.exact_posterior", "LinearVAE.log_prob"),
    *("MixtureModel.log_prob", "MixtureModel.responsibilities", "Autoencoder.code"),
    *("VQVAE.assign", "VQVAE.enumerated_log_prob", "VQVAE.perplexity", "HierarchicalVAE.codes"),
)
MAKERS = ("vae", "linear", "mixture", "codebook")


def plain_of_there():
    """Whether a tensor of the second device can be taken for a plain one: not by PyTorch 2.6."""
    try:
        There(torch.zeros(1)).as_subclass(torch.Tensor)
    except RuntimeError:
        return False
    return True


needs_second_device = pytest.mark.skipif(
    not plain_of_there(), reason="this PyTorch has no plain tensor on such a device"
)


@pytest.fixture
def models_on(monkeypatch):
    """Put the models of the cases somewhere."""

    def put(move):
        for name in ("samples", "replicates"):
            monkeypatch.setattr(every, name, cache(getattr(every, name).__wrapped__))
        for name in MAKERS:
            maker = getattr(every, name)
            maker = getattr(maker, "__wrapped__", maker)
            monkeypatch.setattr(
                every, name, lambda maker=maker, **settings: move(maker(**settings))
            )

    return put


def numbers_of(name, x):
    torch.manual_seed(0)
    found = every.CASES[name](x)
    return every.numbers(
        tree_map(lambda part: part.cpu() if isinstance(part, torch.Tensor) else part, found)
    )


@needs_second_device
@pytest.mark.parametrize("name", NAMES)
def test_no_tensor_is_made_on_the_cpu_in_passing(name, models_on):
    expected = numbers_of(name, every.plain(every.rows_of(name)))
    models_on(moved)
    with second_device():
        found = numbers_of(name, moved(every.plain(every.rows_of(name))))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_every_function_on_a_gpu(models_on):
    expected = {name: numbers_of(name, every.plain(every.rows_of(name))) for name in NAMES}
    models_on(lambda model: model.cuda())
    for name in NAMES:
        found = numbers_of(name, every.plain(every.rows_of(name)).cuda())
        for ours, theirs in zip(found, expected[name], strict=True):
            if name in WITHOUT_DRAWS:
                np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5, err_msg=name)
            else:
                assert np.shape(ours) == np.shape(theirs), name


@needs_second_device
@a_few_always("names", MADE_OF, 3, ids="+".join)
def test_every_part_is_measured_there(names):
    model, x = made_of(*names)
    expected = evaluate(model.eval(), x, 20)
    with second_device():
        found = evaluate(moved(model), moved(x), 20)
    for name in ("log_evidence", "elbo", "gap", "khat"):
        np.testing.assert_array_equal(found[name].values, expected[name].values)


# The device itself


def test_a_tensor_of_the_cpu_is_a_stranger_there():
    with second_device():
        x = moved(torch.ones(3))
        assert isinstance(x.double() + 1, There)
        assert torch.zeros(3, device=x.device).device == x.new_tensor([1.0]).device == HERE
        with pytest.raises(RuntimeError, match="two devices"):
            x + torch.ones(3)
        assert torch.equal(x.cpu(), torch.ones(3))
        assert isinstance(torch.ones(3).to(x), There)
        with pytest.raises(RuntimeError, match="numpy"):
            x.numpy()


def test_it_draws_as_the_cpu_does():
    torch.manual_seed(3)
    expected = torch.randn(4)
    torch.manual_seed(3)
    with second_device():
        assert torch.equal(torch.randn(4, device=HERE).cpu(), expected)
