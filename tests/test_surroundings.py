"""What the process is when a public function is called, it is when the function returns."""

import inspect
import random
import tempfile
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from pyro.infer import util as pyro_infer
from pyro.poutine import util as pyro_poutine
from sklearn.datasets import load_iris

import pyro_vae
from pyro_vae import data, explaining, fit, inference, referee
from pyro_vae.cards import write_card
from pyro_vae.data import Dataset
from pyro_vae.inference.engine import ConjugateNormal
from pyro_vae.models import VAE, Autoencoder, HierarchicalVAE, LinearVAE, MixtureModel
from pyro_vae.models.guides import Guide
from pyro_vae.models.likelihoods import Normal
from pyro_vae.models.priors import Prior

PAIR = ConjugateNormal()
X = torch.linspace(-1, 1, 6, dtype=torch.double)
CLASSES = np.arange(40) % 2
TABLE = torch.tensor(load_iris().data[::10], dtype=torch.float32)


WINGS = [getattr(inference, wing) for wing in inference._WINGS]


def pair(name, **settings):
    (wing,) = (wing for wing in WINGS if name in wing.__all__)
    return lambda: getattr(wing, name)(PAIR.model, PAIR.guide, X, **settings)


def small(seed=0):
    return VAE((4,), 2, likelihood=Normal(), encoder=(4,), decoder=(4,), seed=seed)


def samples():
    return inference.posterior_samples(PAIR.model, PAIR.guide, X, 20, num_particles=100)


def images():
    return torch.rand(40, 4, generator=torch.Generator().manual_seed(0))


def results():
    return inference.evaluate((PAIR.model, PAIR.guide), X, 50)


def drawn_log_weights():
    return inference.log_weights(PAIR.model, PAIR.guide, X, 50)


def holes(model):
    reference = inference.latents.fit_reference(images(), num_components=(1,))
    return inference.latents.hole_test(
        model, images(), images(), reference=reference, num_draws=10
    )


def halfway():
    return inference.latents.halfway_test(
        autoencoder(), images(), images() + 0.1, family=images(), state=CLASSES
    )


def directions():
    classes = {"one": CLASSES, "two": np.arange(40) // 20}
    return inference.latents.direction_test(
        autoencoder(),
        images(),
        classes,
        images(),
        classes,
        family=images(),
        family_factors=classes,
    )


def reversed_bdmc():
    latents = {"z": torch.zeros(6, dtype=torch.double)}
    return inference.evidence.bdmc(
        PAIR.model, PAIR.guide, X, latents, num_temperatures=3, num_chains=2
    )


def autoencoder():
    return Autoencoder((4,), 2, likelihood=Normal(), encoder=(4,), decoder=(4,))


def checked_replicates():
    replicates = inference.checking.posterior_predictive(PAIR.model, PAIR.guide, X, samples())
    return inference.checking.predictive_p_values(X.numpy(), replicates["x"], {"mean": np.mean})


def snr():
    vae = small()
    parameters = list(vae.encoder.parameters())
    return inference.gradient_snr(vae, TABLE, parameters, num_particles=(1, 2), repeats=3)


def streamed():
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/table.npy", TABLE.numpy())
        found = data.stream(f"{folder}/table.npy", memory_limit=64)
        fit(small(), found, epochs=1, batch_size=8, progress=False)
        return found.first_rows(2)


def refereed(model=None):
    return referee.referee(
        model or small(),
        TABLE,
        num_particles=30,
        num_annealed=2,
        num_temperatures=3,
        num_simulated=2,
        num_ranked=10,
        steps=2,
    )


def on_cards(function, *models):
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.json" for number, _ in enumerate(models or (None,))]
        for path, model in zip(paths, models or (None,), strict=True):
            write_card(path, refereed(model))
        return function(*paths)


CALLS = {
    "active_directions": lambda: inference.engine.active_directions(images()),
    "active_units": lambda: inference.engine.active_units(images()),
    "ais": pair("ais", num_temperatures=3, num_chains=2),
    "attribute_test": lambda: inference.latents.attribute_test(
        autoencoder(), images(), CLASSES, images(), CLASSES
    ),
    "augmentation_test": lambda: inference.latents.augmentation_test(
        autoencoder(), images(), CLASSES, images(), CLASSES, repeats=2
    ),
    "bdmc": reversed_bdmc,
    "calibration_sentences": lambda: inference.checking.calibration_sentences(
        inference.sbc_ranks(small().model, small().guide, 20, 9)
    ),
    "catalogue": data.catalogue,
    "certify": lambda: inference.certify(small(), TABLE[:3], estimators=["importance"]),
    "check": lambda: on_cards(lambda path: referee.check(small(), TABLE, path)),
    "compare_cards": lambda: on_cards(
        lambda *paths: referee.compare_cards(paths), small(), small(1)
    ),
    "compare": lambda: inference.compare({"a": small(), "b": small(1)}, TABLE, num_particles=30),
    "compare_holes": lambda: inference.latents.compare_holes(
        holes(autoencoder()), holes(autoencoder())
    ),
    "compare_sharpness": lambda: inference.latents.compare_sharpness(
        {"data": images().reshape(-1, 4, 4), "draws": images().reshape(-1, 4, 4)}
    ),
    "compare_results": lambda: inference.compare(
        {"a": small(), "b": small(1)}, TABLE, num_particles=30
    ),
    "conditional": lambda: inference.conditional(small(), TABLE, [1], 30, draws=5),
    "derive": lambda: explaining.derive(PAIR.model, PAIR.guide, X[:1], num_particles=50),
    "describe_data": lambda: inference.evidence.describe_data(TABLE, TABLE),
    "direction_summary": lambda: inference.latents.direction_summary(directions()),
    "direction_test": directions,
    "effective_sample_size": lambda: inference.engine.effective_sample_size(drawn_log_weights()),
    "elbo": pair("elbo", num_particles=5),
    "elbo_surgery": pair("elbo_surgery", num_particles=5),
    "evaluate": results,
    "every_moon": data.every_moon,
    "explain": lambda: pyro_vae.explain(small(), TABLE[:1], num_particles=50),
    "fit": lambda: fit(small(), TABLE, epochs=2, batch_size=8, progress=False),
    "fit_guide": lambda: inference.training.fit_guide(small().unamortised(TABLE), TABLE, steps=2),
    "fit_reference": lambda: inference.latents.fit_reference(images(), num_components=(1,)),
    "gap": pair("gap", num_particles=30),
    "gap_parts": lambda: inference.gap_parts(small(), TABLE[:3], 30, steps=2),
    "gradient_snr": snr,
    "halfway_summary": lambda: inference.latents.halfway_summary(halfway()),
    "halfway_test": halfway,
    "hole_summary": lambda: inference.latents.hole_summary(holes(autoencoder())),
    "hide": lambda: data.hide(data.load("iris"), "cells(share=0.3)"),
    "hole_test": lambda: holes(autoencoder()),
    "impute": lambda: inference.impute(
        VAE((4,), 2, likelihood=Normal(), missing="mask"),
        {"x": TABLE, "observed": TABLE > 1.0},
        30,
        draws=5,
    ),
    "interval": lambda: inference.evidence.interval(results()),
    "iwae_bound": pair("iwae_bound", num_particles=(1, 5)),
    "ladder": pair("ladder", num_particles=20),
    "latent_report": pair("latent_report", num_particles=30),
    "load": lambda: data.load("digits", binarisation="stochastic"),
    "log_evidence": pair("log_evidence", num_particles=30),
    "log_likelihood": lambda: inference.checking.log_likelihood(
        PAIR.model, PAIR.guide, X, samples()
    ),
    "log_weights": drawn_log_weights,
    "moon": lambda: data.moon(0.5),
    "memory_test": lambda: inference.latents.memory_test(images(), images(), images() + 0.1),
    "mutual_information_gap": lambda: inference.latents.mutual_information_gap(
        small(), TABLE, {"species": torch.arange(len(TABLE)) % 3}
    ),
    "neighbour_accuracy": lambda: inference.latents.neighbour_accuracy(
        images(), CLASSES, images(), CLASSES
    ),
    "objective_named": lambda: inference.training.objective_named("iwae-5"),
    "pareto_khat": lambda: inference.engine.pareto_khat(drawn_log_weights()),
    "pareto_smoothed": lambda: inference.engine.pareto_smoothed(drawn_log_weights()),
    "plan_particles": lambda: inference.plan_particles(drawn_log_weights()),
    "pool": lambda: inference.pool([1.0, 2.0], [1.0, 1.0]),
    "posterior_predictive": lambda: inference.checking.posterior_predictive(
        PAIR.model, PAIR.guide, X, samples()
    ),
    "posterior_samples": samples,
    "predictive_p_values": checked_replicates,
    "prior_draws": pair("prior_draws", num_samples=5),
    "quadrature": pair("quadrature"),
    "reach": pair("reach", pilot=50),
    "read": lambda: data.read("examples/patients.csv", columns="patient=drop"),
    "reconstruct": lambda: inference.reconstruct(small(), TABLE),
    "reconstruction_error": lambda: inference.latents.reconstruction_error(small(), TABLE),
    "sbc_ranks": lambda: inference.sbc_ranks(small().model, small().guide, 20, 9),
    "referee": refereed,
    "score": lambda: inference.score(small(), TABLE, 30, reference=[-9.0, -5.0]),
    "sharpness": lambda: inference.latents.sharpness(images().reshape(-1, 4, 4)),
    "simulator": pair("simulator"),
    "stream": streamed,
    "stream_log_weights": lambda: list(
        inference.engine.stream_log_weights(PAIR.model, PAIR.guide, X, 20, prior_share=0.5)
    ),
    "summary": lambda: inference.summary(results()),
    "to_inference_data": pair("to_inference_data", num_samples=10, num_particles=50),
    "verify": lambda: inference.verify(inference.training.IWAE(2), num_particles=2),
    "widened": lambda: inference.engine.widened(PAIR.guide),
}

#: They write to, or read from, a run; or draw from the current state, as their docstrings say.
ELSEWHERE = {"load_data", "load_model", "sample_log_weights"}

MODELS = {
    **{
        f"prior {name}": (lambda name=name: VAE((4,), 2, prior=Prior.named(name)))
        for name in Prior.registry
    },
    **{
        f"guide {name}": (lambda name=name: VAE((4,), 2, guide=Guide.named(name)))
        for name in Guide.registry
    },
    "hierarchical": lambda: HierarchicalVAE((4,), (2, 2)),
    "linear": lambda: LinearVAE((4,), 2),
    "mixture": lambda: fit(
        MixtureModel(3, likelihood=Normal()), TABLE, epochs=2, batch_size=8, progress=False
    ),
}


def surroundings():
    """What a person may have set, or may rely on, as things that can be compared."""
    return {
        "PyTorch's generator": torch.random.get_rng_state().numpy().tobytes(),
        "NumPy's generator": np.random.get_state()[1].tobytes() + bytes(np.random.get_state()[2]),
        "Python's generator": random.getstate(),
        "default dtype": torch.get_default_dtype(),
        "default device": str(torch.get_default_device()),
        "Pyro's validation": (
            pyro_infer.is_validation_enabled(),
            pyro_poutine.is_validation_enabled(),
        ),
        "PyTorch's validation": torch.distributions.Distribution._validate_args,
        "matplotlib's settings": dict(mpl.rcParams),
        "warning filters": list(warnings.filters),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "NumPy's errors": np.geterr(),
    }


@contextmanager
def no_trace():
    before = surroundings()
    yield
    after = surroundings()
    assert [what for what in before if before[what] != after[what]] == []


def public_functions():
    found = {"derive": explaining.derive}
    for module in (pyro_vae, inference, *WINGS, data, referee):
        for name in module.__all__:
            if inspect.isfunction(getattr(module, name)):
                found[name] = getattr(module, name)
    return found


def test_every_public_function_has_a_call():
    assert set(public_functions()) == set(CALLS) | ELSEWHERE


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_call_leaves_no_trace(name):
    with no_trace():
        CALLS[name]()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_making_a_model_leaves_no_trace(name):
    with no_trace():
        MODELS[name]()


def test_a_simulation_study_draws_new_data_every_time():
    torch.manual_seed(0)
    drawn = []
    for _ in range(3):
        x = torch.randn(20, 4)
        fit(small(), x, epochs=1, batch_size=8, progress=False)
        drawn.append(float(x[0, 0]))
    torch.manual_seed(0)
    assert drawn == [float(torch.randn(20, 4)[0, 0]) for _ in range(3)]


def test_threads_take_turns_and_get_what_they_would_get_alone():
    def trained(seed):
        vae = small(seed)
        found = fit(vae, TABLE, epochs=3, batch_size=8, seed=seed, progress=False)
        return found.metrics["train_elbo"].tolist(), vae.decoder.state_dict()

    alone = [trained(seed) for seed in range(3)]
    together = {}
    threads = [
        threading.Thread(target=lambda seed=seed: together.__setitem__(seed, trained(seed)))
        for seed in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, (bound, weights) in enumerate(alone):
        assert together[seed][0] == bound
        assert all(torch.equal(together[seed][1][key], value) for key, value in weights.items())


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_float64")
def test_a_default_of_float64_is_no_obstacle():
    vae = small()
    fit(vae, TABLE, epochs=2, batch_size=8, progress=False)
    found = inference.evaluate((vae.model, vae.guide), TABLE, 30)
    assert np.isfinite(found["log_evidence"].values).all()
    named = Dataset.from_tensors(TABLE.double())
    fit(MixtureModel(2, likelihood=Normal()), named, epochs=2, batch_size=8, progress=False)


def test_training_in_float64_can_be_measured():
    vae = small()
    fit(vae, TABLE, epochs=2, batch_size=8, precision="64-true", progress=False)
    found = inference.evaluate((vae.model, vae.guide), TABLE, 30)
    assert np.isfinite(found["log_evidence"].values).all()
