"""Guide parameters per datum: the optimum of each family, known for a linear-Gaussian model."""

import copy

import numpy as np
import pytest
import torch

from pyro_vae.data import Dataset
from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference import evaluate, fit
from pyro_vae.inference.training import fit_guide
from pyro_vae.models import PCA, VAE, Labels, model_from_config
from pyro_vae.models.guides import FullCovarianceNormal, LowRankNormal, MeanFieldNormal
from pyro_vae.models.likelihoods import Normal
from pyro_vae.networks import Unamortised
from pyro_vae.recording import repeated
from tests.oracles import LinearGaussian
from tests.recordings import recorded

ORACLE = LinearGaussian()
X = ORACLE.draw(40).float()


def linear_vae(guide, **settings):
    """A VAE whose model is that of the oracle, and whose encoder knows nothing."""
    vae = VAE((5,), 2, likelihood=Normal(0.7), guide=guide, encoder=(4,), decoder=(), **settings)
    with torch.no_grad():
        vae.decoder.output.weight.copy_(torch.tensor(ORACLE.W))
        vae.decoder.output.bias.copy_(torch.tensor(ORACLE.m))
    return vae


def best_gap(family):
    """Least KL to the posterior N(mu, Lambda^-1): zero for a full covariance; for a mean-field
    normal (sum_l log Lambda_ll - log |Lambda|) / 2, with variances 1 / Lambda_ll."""
    if family is not MeanFieldNormal:
        return 0.0
    precision = np.linalg.inv(ORACLE.posterior_cov)
    return 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])


@pytest.mark.parametrize(
    "family",
    [
        MeanFieldNormal,
        pytest.param(FullCovarianceNormal, marks=pytest.mark.slow),
        pytest.param(LowRankNormal, marks=pytest.mark.slow),
    ],
)
def test_every_datum_reaches_the_optimum_of_the_family(family):
    vae = linear_vae(family())
    before = copy.deepcopy(vae.state_dict())
    local = vae.unamortised(X)
    done = fit_guide(local, X, steps=3000, learning_rate=0.05)
    assert done.converged
    assert done.elbo[-1] > done.elbo[0]
    results = evaluate((local.model, local.guide), X, 2000)
    gap = ORACLE.log_px(X.double()) - results["elbo"].values
    np.testing.assert_allclose(gap, best_gap(family), atol=0.02)
    # The model, and the encoder, are as they were.
    assert all(torch.equal(value, before[key]) for key, value in vae.state_dict().items())
    assert all(p.requires_grad for p in vae.parameters())


def test_it_starts_where_the_encoder_is():
    vae = linear_vae(MeanFieldNormal())
    torch.testing.assert_close(vae.unamortised(X).code(X), vae.code(X))
    twice = torch.cat([X[:3], X[:5]])
    torch.testing.assert_close(vae.unamortised(twice).code(twice), vae.code(twice))


@pytest.mark.slow
def test_a_guide_that_was_right_is_not_made_worse():
    """The exact posterior, a hundred times narrower than a step is long."""
    torch.manual_seed(20140501)
    x = torch.randn(30, 8) @ torch.randn(8, 8)
    pca = PCA((8,), 7)
    pca.initialise(x)
    with torch.no_grad():
        pca.likelihood.sigma.raw.fill_(-20.0)
        pca._take_posterior()
    local = pca.unamortised(x[:1])
    start = evaluate((local.model, local.guide), x[:1], 500)["elbo"].item()
    assert not fit_guide(local, x[:1], steps=60).converged
    assert evaluate((local.model, local.guide), x[:1], 500)["elbo"].item() >= start


@pytest.mark.parametrize("family", [MeanFieldNormal(), FullCovarianceNormal()])
def test_a_recorded_graph_climbs_as_the_handlers_do_to_the_bit(family, monkeypatch):
    torch.manual_seed(0)
    vae = VAE((6,), 2, guide=family, encoder=(8,), decoder=(8,))
    x = (torch.rand(5, 6) < 0.5).float()
    found, graphs = {}, recorded(monkeypatch)
    for name, worth in (("handlers", float("inf")), ("graph", 0.0)):
        monkeypatch.setattr(repeated, "WORTH_RECORDING", worth)
        local = vae.unamortised(x)
        result = fit_guide(local, x, steps=120, seed=3)
        found[name] = result.elbo, [p.detach().clone() for p in local.local_parameters]
    assert len(graphs) == 1
    assert found["graph"][0] == found["handlers"][0]
    assert all(map(torch.equal, found["graph"][1], found["handlers"][1]))
    assert found["graph"][0][-1] > found["graph"][0][0]


def test_what_did_not_converge_says_so():
    local = linear_vae(MeanFieldNormal()).unamortised(X)
    done = fit_guide(local, X, steps=20)
    assert not done.converged
    assert len(done.elbo) == 20


@pytest.mark.slow
def test_conditional_and_enumerated_models_too():
    from pyro_vae.models.priors import CategoricalNormal

    c = torch.arange(40) % 3
    vae = linear_vae(MeanFieldNormal(), condition=None, prior=CategoricalNormal(3))
    fit_guide(vae.unamortised(X), X, steps=120)
    conditional = VAE(
        (5,), 2, likelihood=Normal(0.7), condition=Labels(3), encoder=(4,), decoder=(4,)
    )
    done = fit_guide(conditional.unamortised(X, c), {"x": X, "condition": c}, steps=120)
    assert done.elbo[-1] > done.elbo[0]


def test_a_vae_without_an_encoder_is_trained_by_fit(tmp_path):
    data = Dataset.from_tensors(X, ORACLE.draw(10, seed=2).float())
    vae = VAE((5,), 2, likelihood=Normal(0.7), encoder=Unamortised(40), decoder=())
    result = fit(
        *(vae, data),
        **{"epochs": 40, "batch_size": 20, "learning_rate": 0.05, "run": tmp_path / "run"},
    )
    # Validation data have no parameters: the last weights are kept.
    assert result.metrics["validation_elbo"].isna().all()
    assert result.best_epoch == 40
    again = model_from_config(vae.config)
    again.load_state_dict(vae.state_dict())
    torch.testing.assert_close(again.code(X), vae.code(X))
    with pytest.raises(DataError, match="enrol"):
        vae.code(data.validation)


def test_bad_use():
    vae = linear_vae(MeanFieldNormal())
    with pytest.raises(ProgramError, match=r"model.unamortised\(x\)"):
        fit_guide(vae, X)
    grey = Dataset("grey", torch.rand(8, 5), X[:0], X[:0], "binary", binarisation="dynamic")
    with pytest.raises(DataError, match="dynamic binarisation"):
        fit(VAE((5,), 2, encoder=Unamortised(8)), grey, epochs=1, batch_size=8)
