"""Every public function takes its data in every form, and gives the same numbers to the bit."""

import inspect
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import pyro_vae
from pyro_vae import explaining, inference, models, referee
from pyro_vae.conversion import as_inputs
from pyro_vae.data import Dataset
from pyro_vae.models.likelihoods import Normal
from pyro_vae.pictures import decoded
from tests.conversion.kinds import KINDS, ROWS, plain

#: Classes of the rows.
CLASSES = [0, 1, 0, 1, 0, 1]


def some_cells(x):
    """A mask of a table in any form: six cells of seven."""
    shape = np.shape(x)
    return np.arange(shape[0] * shape[1]).reshape(shape) % 7 > 0


def vae(**settings):
    return models.VAE(
        (3,), 2, likelihood=Normal(0.7), encoder=(4,), decoder=(4,), **settings
    ).eval()


def linear():
    return models.LinearVAE((3,), 1, seed=1).eval()


@cache
def mixture():
    model = models.MixtureModel(2, Normal("latent"), (3,))
    model.initialise(plain())
    return model


@cache
def codebook():
    model = models.VQVAE(
        (3,), num_positions=1, num_codes=2, code_dim=2, encoder=(4,), decoder=(4,)
    )
    model.initialise(plain())
    return model.eval()


@cache
def samples():
    model = vae()
    return inference.posterior_samples(model.model, model.guide, plain(), 3, num_particles=6)


@cache
def replicates():
    model = vae()
    return inference.checking.posterior_predictive(model.model, model.guide, plain(), samples())


def fitted(x):
    model = vae()
    return inference.fit(model, x, epochs=2, batch_size=4, progress=False).metrics[
        ["train_elbo", "validation_elbo"]
    ]


WINGS = [getattr(inference, wing) for wing in inference._WINGS]


def verb(name):
    (wing,) = (wing for wing in WINGS if name in wing.__all__)
    return getattr(wing, name)


def pair(name, *args, model=vae, **settings):
    """A case of a function of model, guide and x."""

    def call(x):
        made = model()
        return verb(name)(made.model, made.guide, x, *args, **settings)

    return call


def of_model(name, *args, model=vae, **settings):
    return lambda x: verb(name)(model(), x, *args, **settings)


def reference(x):
    return inference.latents.fit_reference(x, num_leading=1, num_components=(1,))


CASES = {
    "ais": pair("ais", num_temperatures=3, num_chains=2),
    "bdmc": lambda x: inference.evidence.bdmc(
        vae().model, vae().guide, x, {"z": torch.zeros(6, 2)}, num_temperatures=3, num_chains=2
    ),
    "certify": of_model(
        "certify", estimators=["exact", "importance"], num_particles=5, model=linear
    ),
    "compare": lambda x: inference.compare(
        {"one": vae(), "two": linear()}, x, num_particles=5
    ).table.drop(columns="seconds"),
    "conditional": of_model("conditional", [1], 5, draws=3),
    "derive": lambda x: str(
        explaining.derive(linear().model, linear().guide, x, num_particles=20)
    ),
    "describe_data": lambda x: inference.evidence.describe_data(x, x)["fingerprint"],
    "elbo": pair("elbo", 3),
    "elbo_surgery": pair("elbo_surgery", 3),
    "evaluate": of_model("evaluate", 5, iwae=(1, 2)),
    "evaluate, of a pair": lambda x: inference.evaluate(
        (vae().model, vae().guide), x, 5, iwae=(1, 2)
    ),
    "fit": fitted,
    "fit_guide": lambda x: (
        inference.training.fit_guide(vae().unamortised(x), x, steps=2, num_particles=2).elbo
    ),
    "fit_reference": lambda x: reference(x).log_density(x),
    "gap": pair("gap", 5),
    "gap_parts": of_model("gap_parts", 5, steps=2),
    "gradient_snr": lambda x: (
        lambda m: inference.gradient_snr(
            m, x, list(m.encoder.parameters()), num_particles=(1,), repeats=3
        )
    )(vae()),
    "attribute_test": lambda x: inference.latents.attribute_test(vae(), x, CLASSES, x, CLASSES),
    "augmentation_test": lambda x: inference.latents.augmentation_test(
        vae(), x, CLASSES, x, CLASSES, per_class=2, repeats=2
    ),
    "direction_test": lambda x: inference.latents.direction_test(
        vae(),
        x,
        {"class": CLASSES},
        x,
        {"class": CLASSES},
        family=x,
        family_factors={"class": CLASSES},
    ),
    "halfway_test": lambda x: inference.latents.halfway_test(
        vae(), x, x, family=ROWS, state=CLASSES
    ),
    "hole_test": lambda x: inference.latents.hole_test(
        vae(), x, x, reference=reference(plain(ROWS * 4)), num_draws=3, num_pairs=2
    ),
    "impute": lambda x: inference.impute(
        vae(missing="zeros"), {"x": x, "observed": some_cells(x)}, 5, draws=3
    ),
    "iwae_bound": pair("iwae_bound", (1, 2)),
    "ladder": pair("ladder", num_particles=6, ks=(1, 2)),
    "latent_report": pair("latent_report", 5),
    "log_evidence": pair("log_evidence", 5),
    "log_likelihood": lambda x: inference.checking.log_likelihood(
        vae().model, vae().guide, x, samples()
    ),
    "log_weights": pair("log_weights", 3),
    "memory_test": lambda x: inference.latents.memory_test(x, x, x),
    "mutual_information_gap": lambda x: inference.latents.mutual_information_gap(
        vae(), x, {"v": [0, 1, 0, 1, 0, 1]}, num_draws=2
    ),
    "neighbour_accuracy": lambda x: inference.latents.neighbour_accuracy(
        x, CLASSES, x, CLASSES, neighbours=2
    ),
    "posterior_predictive": lambda x: inference.checking.posterior_predictive(
        vae().model, vae().guide, x, samples()
    ),
    "posterior_samples": pair("posterior_samples", 3, num_particles=6),
    "predictive_p_values": lambda x: inference.checking.predictive_p_values(
        x, replicates()["x"], {"mean": np.mean}
    ),
    "prior_draws": pair("prior_draws", 2),
    "quadrature": pair("quadrature", model=linear, tolerance=0.1),
    "reach": pair("reach", 50.0, pilot=25),
    "reconstruct": of_model("reconstruct"),
    "reconstruction_error": of_model("reconstruction_error"),
    "sample_log_weights": lambda x: (
        torch.manual_seed(0),
        inference.engine.sample_log_weights(vae().model, vae().guide, x, 2)[0],
    )[1],
    "referee": lambda x: [
        number.value
        for number in referee.referee(
            vae(),
            x,
            num_particles=5,
            num_annealed=2,
            num_temperatures=3,
            num_simulated=0,
            num_ranked=0,
            steps=2,
        )
        .parts[0]
        .numbers.values()
    ],
    "score": of_model("score", 5, reference=[-9.0, -5.0]),
    "simulator": lambda x: (
        torch.manual_seed(0),
        inference.simulator(vae().model, vae().guide, x)(3),
    )[1],
    "stream_log_weights": lambda x: list(
        inference.engine.stream_log_weights(vae().model, vae().guide, x, 2)
    ),
    "to_inference_data": lambda x: inference.checking.to_inference_data(
        vae().model, vae().guide, x, 3, samples=samples()
    )["observed_data"],
    "explain": lambda x: str(pyro_vae.explain(linear(), x, num_particles=20)),
    "interpolate": lambda x: decoded.interpolate(vae(), x, 2),
    "traverse": lambda x: decoded.traverse(vae(), x),
    "manifold": lambda x: decoded.manifold(vae(), 2, x=x),
    "VAE.code": lambda x: vae().code(x),
    "VAE.posterior": lambda x: vae().posterior(x).mean,
    "VAE.initialise": lambda x: (lambda m: (m.initialise(x), m.decode(torch.zeros(1, 2)))[1])(
        vae()
    ),
    "LinearVAE.exact_posterior": lambda x: linear().exact_posterior(x).mean,
    "LinearVAE.log_prob": lambda x: linear().log_prob(x),
    "LinearVAE.supported_units": lambda x: linear().supported_units(x),
    "PCA.initialise": lambda x: (lambda m: (m.initialise(x), m.code(x))[1])(models.PCA((3,), 1)),
    "MixtureModel.log_prob": lambda x: mixture().log_prob(x),
    "MixtureModel.responsibilities": lambda x: mixture().responsibilities(x),
    "MixtureModel.initialise": lambda x: (lambda m: (m.initialise(x), m.log_prob(plain()))[1])(
        models.MixtureModel(2, Normal("latent"))
    ),
    "VQVAE.assign": lambda x: codebook().assign(x),
    "VQVAE.enumerated_log_prob": lambda x: codebook().enumerated_log_prob(x),
    "VQVAE.perplexity": lambda x: codebook().perplexity(x),
    "Autoencoder.code": lambda x: models.Autoencoder((3,), 2, encoder=(4,), decoder=(4,)).code(x),
    "HierarchicalVAE.codes": lambda x: models.HierarchicalVAE(
        (3,), (2, 1), hidden=((4,), (4,))
    ).codes(x),
    "Dataset": lambda x: list(
        vars(Dataset.from_tensors(x, x, x, kind="real").standardised()).values()
    )[1:4],
}


#: Functions of a single datum, of two, and of more than the others.
OF_ONE = {"derive"}
OF_TWO = {"interpolate"}
OF_MANY = {"fit_reference", "hole_test"}

#: Functions whose answer to a tensor in float64 is one in float64: better, and not the same.
WIDE = {
    "LinearVAE.log_prob",
    "MixtureModel.log_prob",
    "MixtureModel.responsibilities",
}


def numbers(result):
    """Every number of a result, as arrays in order."""
    if isinstance(result, xr.DataTree):  # of ArviZ 1.x
        return [a for group in result.subtree for a in numbers(group.to_dataset())]
    if isinstance(result, xr.Dataset):
        return [variable.values for variable in result.data_vars.values()]
    if isinstance(result, inference.evidence.Certificate):
        return [a for found in result.estimates.values() for a in numbers(found)]
    if isinstance(result, pd.DataFrame):
        return [result.to_numpy(dtype=float)]
    if isinstance(result, torch.Tensor):
        return [result.detach().numpy()]
    if isinstance(result, dict):
        return [a for part in result.values() for a in numbers(part)]
    if isinstance(result, tuple | list):
        return [a for part in result for a in numbers(part)]
    return [np.asarray(result)]


def rows_of(name):
    if name in OF_MANY:
        return ROWS * 4
    return ROWS[:1] if name in OF_ONE else ROWS[:2] if name in OF_TWO else ROWS


#: Forms that every function is tried with each time; the slow test has all of them.
SOME = ("tensor bool", "tensor float64", "sparse COO tensor", "list", "polars frame")
#: Functions that take seconds, tried with fewer of them.
DEAR = ("gap_parts", "referee", "ais", "bdmc", "fit_guide", "score", "compare")


def check(name, kinds):
    rows = rows_of(name)
    expected = numbers(CASES[name](plain(rows)))
    assert expected
    for kind in kinds:
        got = numbers(CASES[name](KINDS[kind](rows)))
        assert len(got) == len(expected), kind
        for ours, theirs in zip(got, expected, strict=True):
            if name in WIDE and kind == "tensor float64":
                np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
            else:
                np.testing.assert_array_equal(ours, theirs, err_msg=kind, strict=True)


@pytest.mark.parametrize("name", CASES)
def test_every_function_gives_the_same_numbers(name):
    check(name, SOME[-2:] if name in DEAR else SOME)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_form_gives_the_same_numbers(name):
    check(name, KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_form_becomes_the_plain_tensor(kind):
    rows = ROWS
    made = as_inputs(KINDS[kind](rows), vae())
    assert torch.equal(made, plain())
    assert (made.dtype, made.layout, type(made)) == (torch.float32, torch.strided, torch.Tensor)
    assert made.is_contiguous()
    assert not made.requires_grad
    stored = Dataset.from_tensors(KINDS[kind](rows), test=KINDS[kind](rows))
    assert torch.equal(stored.train, plain())
    assert torch.equal(stored.test, plain())
    assert stored.kind == "binary"


def test_no_function_is_left_out():
    known = {
        name
        for wing in WINGS
        for name in wing.__all__
        if inspect.isfunction(function := getattr(wing, name))
        and {"x", "data", "images", "train"} & set(inspect.signature(function).parameters)
    }
    assert known <= set(CASES)
    assert len(known) > 30
