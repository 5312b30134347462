"""Models of scvi-tools as pairs, at the z that its module draws, against its own sums."""

import warnings

import numpy as np
import pytest
import torch

pytest.importorskip("scvi")

from anndata import AnnData
from scvi.model import SCANVI, SCVI, LinearSCVI

from pyro_vae import evaluate
from pyro_vae.errors import ProgramError, SupportError
from pyro_vae.pairs import data_of_scvi, from_scvi
from tests.peers.story import log_mean_exp, log_weights
from tests.tolerances import STANDARD_ERRORS

# Lightning, Pandas and PyTorch announce their own next versions through scvi-tools.
pytestmark = pytest.mark.filterwarnings("ignore")

CELLS, GENES, LATENT = 40, 12, 3
MODELS = {
    "zero-inflated, library observed": {},
    "zero-inflated, library latent": {"use_observed_lib_size": False},
    "negative binomial, dispersion by batch": {
        "gene_likelihood": "nb",
        "dispersion": "gene-batch",
    },
    "negative binomial, dispersion by label": {
        "gene_likelihood": "nb",
        "dispersion": "gene-label",
    },
    "Poisson, dispersion by cell": {"gene_likelihood": "poisson", "dispersion": "gene-cell"},
}


def cells(kind=SCVI, **columns):
    rng = np.random.default_rng(0)
    means = rng.gamma(1.0, 3.0, size=(CELLS, GENES))
    found = AnnData(rng.poisson(means).astype("float32"))
    found.obs["donor"] = np.array(["a", "b"])[np.arange(CELLS) % 2]
    found.obs["kind"] = np.array(["s", "t", "u"])[np.arange(CELLS) % 3]
    found.obs["age"] = rng.normal(size=CELLS)
    found.obs["size"] = found.X.sum(1)
    kind.setup_anndata(found, **({"batch_key": "donor", "labels_key": "kind"} | columns))
    return found


def made(kind=SCVI, columns=None, **settings):
    torch.manual_seed(11)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = kind(cells(kind, **(columns or {})), n_hidden=8, n_latent=LATENT, **settings)
    model.module.eval()
    model.is_trained_ = True
    return model


def at_own_draws(model, k):
    """Draws of the module, before any softmax, and what `marginal_ll` makes of the same."""
    loader = model._make_data_loader(model.adata, batch_size=CELLS)
    (tensors,) = list(loader)
    module = model.module
    with torch.no_grad():
        torch.manual_seed(5)
        drawn = module.inference(
            **module._get_inference_input(tensors, full_forward_pass=True), n_samples=k
        )
        torch.manual_seed(5)
        theirs = module.marginal_ll(tensors, n_mc_samples=k, n_mc_samples_per_pass=k)
        z = drawn["z"]
        if not module.use_observed_lib_size:
            rows = tensors["batch"].long()
            mean, variance = module._compute_local_library_params(rows)
            z = torch.cat([z, (drawn["library"] - mean) / variance.sqrt()], -1)
    return z, theirs


@pytest.mark.parametrize("name", MODELS)
def test_log_px_is_that_of_marginal_ll_at_the_same_z(name):
    model = made(**MODELS[name])
    x = data_of_scvi(model)
    z, theirs = at_own_draws(model, 20)
    ours = log_mean_exp(log_weights(from_scvi(model, x), x, z))
    # Theirs is in float32, the sum of terms of some 100 nats a cell.
    assert ours.numpy() == pytest.approx(theirs.numpy(), rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_the_bound_is_get_elbo(name):
    model = made(**MODELS[name])
    x = data_of_scvi(model)
    found = evaluate(from_scvi(model, x), x, 4000)
    torch.manual_seed(0)
    theirs = np.array([model.get_elbo(return_mean=False).numpy() for _ in range(50)])
    error = np.sqrt(found["elbo_se"].values ** 2 + theirs.var(0, ddof=1) / len(theirs))
    away = np.abs(found["elbo"].values - theirs.mean(0))
    # Fifty draws give a standard error that is itself uncertain by a tenth.
    assert (away < 1.3 * STANDARD_ERRORS * error).all()


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({}, {"x", "batch", "library"}),
        ({"continuous_covariate_keys": ["age"]}, {"x", "batch", "library", "continuous"}),
        ({"categorical_covariate_keys": ["kind"]}, {"x", "batch", "library", "categorical"}),
        ({"size_factor_key": "size"}, {"x", "batch", "size_factor"}),
    ],
)
def test_what_lies_beside_the_counts(columns, names):
    model = made(columns=columns, encode_covariates=True)
    x = data_of_scvi(model)
    assert set(x) == names
    z, theirs = at_own_draws(model, 5)
    ours = log_mean_exp(log_weights(from_scvi(model, x), x, z))
    assert ours.numpy() == pytest.approx(theirs.numpy(), rel=1e-5, abs=1e-4)


def test_the_linear_decoder_and_some_cells():
    model = made(LinearSCVI)
    some = data_of_scvi(model, indices=[3, 4, 9])
    whole = data_of_scvi(model)
    assert all(torch.equal(part, whole[name][[3, 4, 9]]) for name, part in some.items())
    found = evaluate(from_scvi(model, some), some, 10)
    assert found["log_evidence"].notnull().all()


def test_p_of_x_given_z_adds_up_to_one():
    """Over the counts of each gene, with the small number that guards the logarithms."""
    model = made()
    x = data_of_scvi(model)
    pair = from_scvi(model, x)
    beside = {name: part[:1] for name, part in x.items() if name != "x"}
    likelihood = pair.form.likelihood(torch.zeros(1, LATENT), beside).whole
    counts = torch.arange(5000.0).reshape(-1, 1, 1).expand(-1, 1, GENES)
    with torch.no_grad():
        total = likelihood.log_prob(counts).logsumexp(0)
    assert total.numpy() == pytest.approx(0.0, abs=1e-6)


def test_the_logistic_normal_is_weighed_before_its_softmax():
    """`marginal_ll` takes both normal densities at the softmax of z, the point decoded."""
    model = made(latent_distribution="ln")
    x = data_of_scvi(model)
    pair = from_scvi(model, x)
    beside = {name: part for name, part in x.items() if name != "x"}
    with torch.no_grad():
        torch.manual_seed(5)
        guide = pair.form.posterior(x["x"], beside)
        z = guide.sample((2000,))
        ours = log_mean_exp(log_weights(pair, x, z))
        # The same log p(x) from draws of the prior, which need no guide.
        prior = pair.form.prior().sample((20000, CELLS))
        terms = pair.form.likelihood(prior, beside).log_prob(x["x"]).double()
        exact = log_mean_exp(terms)
        spread = (terms - exact).exp().std(0) / 20000**0.5
    _, theirs = at_own_draws(model, 2000)
    guided = (log_weights(pair, x, z) - ours).exp().std(0) / 2000**0.5
    error = (spread**2 + guided**2).sqrt()
    assert error.max() < 0.15
    assert bool(((ours - exact).abs() < STANDARD_ERRORS * error).all())
    assert float((theirs - exact).abs().max()) > 0.5


def test_passes_that_do_not_divide_the_draws_are_counted_wrong():
    """`marginal_ll` draws ceil(n / p) p of z and subtracts log n: 50 in passes of 40 are 80."""
    model = made()
    once = model.get_marginal_ll(n_mc_samples=50, n_mc_samples_per_pass=50)
    torch.manual_seed(0)
    found = [model.get_marginal_ll(n_mc_samples=50, n_mc_samples_per_pass=40) for _ in range(20)]
    ours = data_of_scvi(model)
    log_px = float(evaluate(from_scvi(model, ours), ours, 2000)["log_evidence"].mean())
    assert once == pytest.approx(log_px, abs=0.1)
    assert np.mean(found) == pytest.approx(log_px + np.log(80 / 50), abs=0.1)


def test_others_are_refused():
    model = made()
    with pytest.raises(ProgramError, match="from_scvi got object: it takes SCVI and LinearSCVI"):
        from_scvi(object(), data_of_scvi(model))
    labelled = SCANVI.from_scvi_model(model, unlabeled_category="s")
    with pytest.raises(ProgramError, match="data_of_scvi got SCANVI"):
        data_of_scvi(labelled)
    x = data_of_scvi(model)
    with pytest.raises(SupportError, match="counts, 0, 1, 2"):
        from_scvi(model, {**x, "x": x["x"] + 0.5})
    model.module.train()
    with pytest.raises(ProgramError, match="another distribution at a second call"):
        from_scvi(model, x)
