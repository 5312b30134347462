"""Every kind of fitted model pickles and copies, and has the same log p(x) to the bit after."""

import copy
import io
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import joblib
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from joblib.externals import loky
from pyro.infer import SVI
from torch import nn

from pyro_vae import fit
from pyro_vae.data import Dataset
from pyro_vae.inference import log_evidence
from pyro_vae.models import (
    PCA,
    VAE,
    VQVAE,
    Autoencoder,
    AutoregressiveCodes,
    DenoisingAutoencoder,
    HierarchicalVAE,
    Labels,
    LinearVAE,
    MixtureModel,
    PoorMansVAE,
)
from pyro_vae.models.guides import Guide
from pyro_vae.models.likelihoods import Normal
from pyro_vae.models.priors import Prior
from tests.cases import a_few_always

X = torch.randn(24, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(24) % 2
SMALL = {"encoder": (4,), "decoder": (4,)}
SETTINGS = {
    "mixture-of-normals": {"num_components": 3},
    "categorical-normal": {"num_components": 3},
    "vamp-prior": {"num_components": 4},
}


def vae(**parts):
    return VAE((3,), 2, likelihood=Normal(), **SMALL, **parts)


def trained(model):
    data = Dataset.from_tensors(X, labels={"train": LABELS})
    fit(model, data, epochs=1, batch_size=12)
    return model


def parts(role):
    shipped = [n for n, part in role.registry.items() if part.__module__.startswith("pyro_vae")]
    argument = role.__name__.lower()
    return {
        f"{argument} {name}": vae(**{argument: role.named(name, **SETTINGS.get(name, {}))})
        for name in shipped
    }


def kinds():
    quantised = VQVAE((3,), 4, 2, likelihood=Normal(), **SMALL)
    return {
        **parts(Prior),
        **parts(Guide),
        "conditional": vae(condition=Labels(2)),
        "unamortised": trained(vae()).unamortised(X),
        "hierarchical": HierarchicalVAE((3,), (3, 2), likelihood=Normal(), hidden=((4,), (4,))),
        "linear": LinearVAE((3,), 2),
        "PCA": PCA((3,), 2),
        "mixture": MixtureModel(3, Normal()),
        "VQ-VAE": quantised,
        "VQ-VAE with a prior": trained(quantised).with_prior(AutoregressiveCodes(8, 1)),
        "autoencoder": Autoencoder((3,), 2, likelihood=Normal(), **SMALL),
        "denoising autoencoder": DenoisingAutoencoder((3,), 2, likelihood=Normal(), **SMALL),
        "poor man's VAE": PoorMansVAE((3,), 2, **SMALL),
    }


def numbers(model):
    """What is measured of a model: log p(x) and its error, or reconstructions without a prior."""
    model = model.evidence_model
    if not model.has_evidence:
        with torch.no_grad():
            return model.decode(model.code(X[:4])).numpy()
    x = {"x": X[:4], "condition": LABELS[:4]} if model.inputs else X[:4]
    found = log_evidence(model.model, model.guide, x, 4, enumerate_discrete=True)
    return np.stack([found["log_evidence"], found["log_evidence_se"]])


@pytest.fixture(scope="module")
def fitted():
    """Every kind, fitted and then measured, with its numbers."""
    models = {kind: trained(model) for kind, model in kinds().items()}
    return {kind: (model, numbers(model)) for kind, model in models.items()}


def through_a_file(dump, load):
    def passed(model):
        with io.BytesIO() as file:
            dump(model, file)
            file.seek(0)
            return load(file)

    return passed


WAYS = {
    "copy.deepcopy": copy.deepcopy,
    "pickle": through_a_file(pickle.dump, pickle.load),
    "joblib": through_a_file(joblib.dump, joblib.load),
    "torch.save": through_a_file(torch.save, lambda file: torch.load(file, weights_only=False)),
}


@a_few_always("way", WAYS, ["pickle"])
def test_the_same_numbers_after(fitted, way):
    for kind, (model, before) in fitted.items():
        again = WAYS[way](model)
        assert again is not model
        np.testing.assert_array_equal(numbers(again), before, err_msg=kind)
        # One that was brought back and used goes the same way again.
        WAYS[way](again)


SPAWN = multiprocessing.get_context("spawn")
CONTEXTS = {loky.ProcessPoolExecutor: {}, ProcessPoolExecutor: {"mp_context": SPAWN}}


def measured_elsewhere(files):
    torch.set_num_threads(1)
    return {kind: numbers(pickle.loads(file)) for kind, file in files.items()}


@pytest.mark.slow
def test_the_same_numbers_in_a_fresh_process(fitted):
    files = {kind: pickle.dumps(model) for kind, (model, _) in fitted.items()}
    with ProcessPoolExecutor(1, SPAWN) as pool:
        found = pool.submit(measured_elsewhere, files).result()
    for kind, (_, before) in fitted.items():
        np.testing.assert_array_equal(found[kind], before, err_msg=kind)


def trained_elsewhere(model):
    torch.set_num_threads(1)
    before = numbers(model)
    # PyTorch lends a worker the memory of the sender's tensors: what changes them takes a copy.
    return before, trained(copy.deepcopy(model))


@pytest.mark.slow
@pytest.mark.parametrize("executor", CONTEXTS)
def test_models_go_to_workers_and_come_back_trained(fitted, executor):
    with executor(1, **CONTEXTS[executor]) as pool:
        for kind, (model, before) in fitted.items():
            found, further = pool.submit(trained_elsewhere, model).result()
            np.testing.assert_array_equal(found, before, err_msg=kind)
            np.testing.assert_array_equal(numbers(model), before, err_msg=kind)
            expected = numbers(trained(copy.deepcopy(model)))
            np.testing.assert_array_equal(numbers(further), expected, err_msg=kind)


def test_nothing_is_left_on_the_parameters_by_ones_own_svi(fitted):
    model = copy.deepcopy(fitted["guide mean-field-normal"][0])
    before = copy.deepcopy(model.state_dict())
    svi = SVI(model.model, model.guide, pyro.optim.Adam({"lr": 1e-2}), model.default_objective())
    svi.step(X)
    for key, parameter in model.named_parameters():
        assert not torch.equal(parameter, before[key]), key
        assert not vars(parameter), key
    np.testing.assert_array_equal(numbers(pickle.loads(pickle.dumps(model))), numbers(model))


class Registered(nn.Module):
    """A program of one's own that hands its network to Pyro's store."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.Linear(1, 3)

    def model(self, x):
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x), 1), 1.0).to_event(1))
            mean = self.decoder(z)
            pyro.sample("x", dist.Normal(mean, 1.0).to_event(1), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(torch.zeros(len(x), 1), 1.0).to_event(1))


def test_a_program_that_registers_its_networks_with_pyro():
    program = Registered()
    fit(program, X, epochs=1, batch_size=12)
    pyro.clear_param_store()
    again = pickle.loads(pickle.dumps(program))
    assert torch.equal(again.decoder.weight, program.decoder.weight)
