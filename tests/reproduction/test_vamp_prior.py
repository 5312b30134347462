"""The VampPrior's experiment: networks, warm-up, log p(x) by SciPy, and the check."""

import numpy as np
import pytest
import torch
from scipy.special import expit, logsumexp
from scipy.stats import norm

from pyro_vae import data as datasets
from pyro_vae.disk.runs import Run
from pyro_vae.inference.training.objectives import objective_named
from pyro_vae.models.priors import StandardNormal, VampPrior
from pyro_vae.reproduction import EXPERIMENTS, check, reproduce
from pyro_vae.stored.loading import load_model
from tests.reproduction.changed import change_datum, verdicts
from tests.tolerances import STANDARD_ERRORS

VAMP = EXPERIMENTS["vamp-prior"]
PARTS = {part.name: part for part in VAMP.parts}
LIMIT, PARTICLES = 8, 400


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("vamp")
    card = reproduce(
        "vamp-prior",
        out,
        data="digits",
        epochs=1,
        limit=LIMIT,
        num_particles=PARTICLES,
        num_annealed=0,
        progress=False,
    )
    return out, card


def test_the_networks_are_those_of_the_paper():
    data = datasets.load("digits", binarisation="dynamic")
    for name, prior in (("standard", StandardNormal), ("vamp", VampPrior)):
        vae = PARTS[name].model(data, 0)
        assert vae.latent_dim == 40
        assert type(vae.prior) is prior
        for network in (vae.encoder, vae.decoder):
            widths = [m.out_features for m in network.modules() if isinstance(m, torch.nn.Linear)]
            assert widths[:2] == [300, 300]
        assert type(PARTS[f"{name}-static"].model(data, 0).prior) is prior
    assert vae.prior.num_components == 500
    assert {PARTS[name].form["binarisation"] for name in ("standard", "vamp")} == {"dynamic"}
    static = {PARTS[f"{name}-static"].form["binarisation"] for name in ("standard", "vamp")}
    assert static == {"stochastic"}


def test_the_kl_is_warmed_up_over_a_hundred_epochs_of_the_papers():
    for part in VAMP.parts:
        training = part.schedules["paper"]
        assert (training.epochs, training.batch_size, training.learning_rate) == (2000, 100, 5e-4)
        assert training.schedule(2000)(0.7) == 1.0
        goal = objective_named(part.objective)
        for epoch in (0, 1, 50, 99, 100, 500, 1999):
            goal.at(epoch / 2000)
            assert goal.weight == pytest.approx(min(1.0, epoch / 100))


def log_prior(vae, z):
    """Log p(z) of draws ``(K, L)``, by SciPy."""
    if isinstance(vae.prior, StandardNormal):
        return norm.logpdf(z).sum(-1)
    with torch.no_grad():
        loc, raw = vae.encoder(vae.prior.pseudo_inputs).chunk(2, -1)
    scale = 1e-6 + np.logaddexp(0, raw.double().numpy())
    parts = norm.logpdf(z[:, None], loc.double().numpy(), scale).sum(-1)
    return logsumexp(parts, axis=1) - np.log(len(parts[0]))


def by_hand(vae, x, k=1000):
    """Log-weights of one image, by draws of NumPy and densities of SciPy."""
    with torch.no_grad():
        loc, raw = vae.encoder(x.flatten()).chunk(2, -1)
    loc, scale = loc.double().numpy(), 1e-6 + np.logaddexp(0, raw.double().numpy())
    z = loc + scale * np.random.default_rng(0).normal(size=(k, len(loc)))
    with torch.no_grad():
        logits = vae.decoder(torch.from_numpy(z).float()).double().numpy().reshape(k, -1)
    pixels = x.flatten().double().numpy()
    log_likelihood = np.log(expit(np.where(pixels == 1, logits, -logits))).sum(-1)
    return log_likelihood + log_prior(vae, z) - norm.logpdf(z, loc, scale).sum(-1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["standard", "vamp"])
def test_elbo_and_log_px_are_those_of_scipy(done, name):
    out, card = done
    vae = load_model(Run.open(out / name))
    x = datasets.load("digits", binarisation="dynamic").test
    found = card.part(name).per_datum
    log_weights = by_hand(vae, x[0])
    error = log_weights.std() * np.sqrt(1 / len(log_weights) + 1 / PARTICLES)
    assert error < 0.3
    elbo = float(Run.open(out / name).results()["elbo"][0])
    assert abs(elbo - log_weights.mean()) < STANDARD_ERRORS * error
    own = logsumexp(log_weights) - np.log(len(log_weights))
    spread = np.exp(log_weights - own).std() / np.sqrt(len(log_weights))
    error = np.hypot(found["log_evidence_se"][0], spread)
    assert abs(found["log_evidence"][0] - own) < STANDARD_ERRORS * error


@pytest.mark.slow
def test_the_gain_is_paired(done):
    _, card = done
    values = [np.array(card.part(n).per_datum["log_evidence"]) for n in ("vamp", "standard")]
    apart = values[0] - values[1]
    (row,) = [row for row in card.rows if row.label == "gain of the VampPrior"]
    assert row.ours.value == pytest.approx(apart.mean())
    assert row.ours.sampling_error == pytest.approx(apart.std(ddof=1) / np.sqrt(LIMIT))


@pytest.mark.slow
def test_the_card_holds_until_a_number_is_changed(done):
    out, _ = done
    path = out / "vamp-prior.json"
    change_datum(path, "standard", "log_evidence", by=100.0)
    found = verdicts(check(path, progress=False))
    assert found == {"standard": "differs", "vamp": "equal"}
