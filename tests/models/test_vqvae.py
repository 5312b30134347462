"""The VQ-VAE: its bound by enumeration, its gradients by their definition, its two stages."""

import json
import math

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Predictive, Trace_ELBO

import pyro_vae
from pyro_vae import data
from pyro_vae.disk.runs import Run
from pyro_vae.errors import DataError, ProgramError
from pyro_vae.inference import evaluate, fit, summary
from pyro_vae.models import VQVAE, AutoregressiveCodes, model_from_config
from pyro_vae.models.likelihoods import Bernoulli, Binomial, Poisson
from pyro_vae.networks import Convolutional, ConvolutionalGrid, Dense
from tests.tolerances import STANDARD_ERRORS

HOLES = torch.rand(40, 4, 4, generator=torch.Generator().manual_seed(5)) < 0.2
X = (torch.arange(640) % 7 < 3).float().reshape(40, 4, 4).masked_fill(HOLES, 0.0)


def make(num_codes=5, code_dim=2, num_positions=3, **settings):
    return VQVAE(
        (4, 4),
        num_codes,
        code_dim,
        num_positions,
        **{"encoder": (8,), "decoder": (8,), **settings},
    )


def grid(**settings):
    parts = {"encoder": ConvolutionalGrid((3,)), "decoder": ConvolutionalGrid((3,))}
    return make(num_positions=None, **parts, **settings)


def started(vq, x=X):
    vq.initialise(x)
    return vq


@pytest.mark.parametrize("build", [make, grid])
def test_sites_and_shapes(build):
    vq = started(build()).eval()
    positions = vq.num_positions
    assert positions == (3 if build is make else 4)
    guide = poutine.trace(vq.guide).get_trace(X)
    model = poutine.trace(poutine.replay(vq.model, trace=guide)).get_trace(X)
    for trace, names in ((guide, ["z"]), (model, ["z", "x"])):
        found = [n for n, s in trace.nodes.items() if s["type"] == "sample" and n != "data"]
        assert found == names
    assert guide.nodes["z"]["value"].dtype == torch.int64
    assert vq.assign(X).shape == (40, positions)
    assert vq.code(X).shape == (40, vq.latent_dim) == (40, 2 * positions)
    assert vq.decode(vq.code(X)).shape == X.shape
    assert Predictive(vq.model, num_samples=3)(num_data=4)["x"].shape == (3, 4, 4, 4)
    assert vq.guide(num_data=6).shape == (6, positions)
    torch.testing.assert_close(vq.decode(vq.code(X)), vq.observation(vq.assign(X)).mean)
    torch.testing.assert_close(vq.quantise(vq.code(X)), vq.embed(vq.posterior(X).mean))


def test_the_elbo_is_one_term_of_log_px_and_the_kl_is_s_log_k():
    vq = started(make()).double().eval()
    x = X.double()
    with torch.no_grad():
        term = vq.observation(vq.assign(x)).log_prob(x) - 3 * math.log(5)
        exact = vq.enumerated_log_prob(x)
        # Brute force, one z at a time.
        terms = [
            vq.observation(torch.tensor([a, b, c])).log_prob(x) - 3 * math.log(5)
            for a in range(5)
            for b in range(5)
            for c in range(5)
        ]
        torch.testing.assert_close(exact, torch.stack(terms).logsumexp(0))
        torch.testing.assert_close(vq.enumerated_log_prob(x, chunk_size=3), exact)
        assert (term < exact).all()
        results = evaluate((vq.model, vq.guide), x, 50, iwae=(1, 50))
    np.testing.assert_allclose(results["elbo"], term, rtol=1e-9)
    np.testing.assert_allclose(results["iwae"].sel(num_particles=50), term, rtol=1e-9)
    np.testing.assert_allclose(results["kl_to_prior"], 3 * math.log(5), rtol=1e-9)
    assert Trace_ELBO().loss(vq.model, vq.guide, x) == pytest.approx(-float(term.sum()))
    with pytest.raises(ProgramError, match=r"5\^3 values, above limit=100"):
        vq.enumerated_log_prob(x, limit=100)


def test_measure_says_that_it_is_a_bound_until_the_prior_draws_too():
    vq = started(make()).eval()
    results = evaluate(vq, X[:6], 100)
    assert "not an estimate of log p(x)" in results.attrs["bound"]
    assert results.attrs["deterministic_guide"] == 1
    assert np.isnan(results["khat"]).all()
    assert np.isnan(results["gap"]).all()
    assert np.isnan(results["ess"]).all()
    np.testing.assert_allclose(results["log_evidence"], results["elbo"], rtol=1e-12)
    np.testing.assert_allclose(results.attrs["perplexity"], vq.perplexity(X[:6]))
    used = {int(code) for code in vq.assign(X[:6]).flatten()}
    assert (results.attrs["codes_in_use"], results.attrs["num_codes"]) == (len(used), 5)
    assert summary(results).loc["khat > 0.7"].isna().all()
    # A mixture of the guide and the prior reaches every z: an estimate, against enumeration.
    estimate = evaluate(vq, X[:6], 4000, prior_share=0.5, seed=1)
    assert "deterministic_guide" not in estimate.attrs
    exact = vq.enumerated_log_prob(X[:6]).detach().numpy()
    error = estimate["log_evidence_se"].values
    assert (abs(estimate["log_evidence"].values - exact) < STANDARD_ERRORS * error).all()
    assert (error < 0.1).all()


@pytest.mark.parametrize("updates", ["ema", "gradient"])
def test_gradients_are_those_of_the_definition(updates):
    """Encoder: dL/de at the codes and the commitment; codes: their distance to h alone."""
    vq = started(make(updates=updates, revive_below=0.0, decay=0.0)).double()
    x, weight = X.double(), 16 / 6
    with torch.no_grad():
        z = vq.assign(x)
    Trace_ELBO().differentiable_loss(vq.model, vq.guide, x).backward()
    found = {key: p.grad.clone() for key, p in vq.named_parameters()}
    h = vq.code(x)
    e = vq.embed(z).detach().requires_grad_()  # as the guide left the codes
    loss = -vq.likelihood(vq.decoder(e)).log_prob(x).sum()
    decoder = torch.autograd.grad(loss, [e, *vq.decoder.parameters()])
    at_h = decoder[0] + 2 * 0.25 * weight * (h - e).detach()
    encoder = torch.autograd.grad(h, list(vq.encoder.parameters()), at_h)
    names = [f"encoder.{key}" for key, _ in vq.encoder.named_parameters()]
    names += [f"decoder.{key}" for key, _ in vq.decoder.named_parameters()]
    expected = dict(zip(names, [*encoder, *decoder[1:]], strict=True))
    if updates == "gradient":
        to_codes = torch.zeros_like(vq.codebook.codes)
        distance = 2 * weight * (e - h).detach().reshape(-1, 2)
        to_codes.index_add_(0, z.flatten(), distance)
        expected["codebook.codes"] = to_codes
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, msg=lambda m, key=key: f"{key}: {m}")


def test_training_loss_is_minus_the_bound_and_only_training_moves_the_codes():
    vq = started(make())
    before = {key: value.clone() for key, value in vq.state_dict().items()}
    with torch.no_grad():
        quiet = Trace_ELBO().loss(vq.model, vq.guide, X)
    vq.eval()
    assert Trace_ELBO().loss(vq.model, vq.guide, X) == quiet
    torch.testing.assert_close(dict(vq.state_dict()), before, rtol=0, atol=0)
    vq.train()
    loss = Trace_ELBO().differentiable_loss(vq.model, vq.guide, X)
    assert not torch.equal(vq.codebook.codes, before["codebook.codes"])
    # The bound with the indices that the old codes gave, at the new codes.
    moved = vq.codebook.codes.clone()
    vq.codebook.codes.copy_(before["codebook.codes"])
    z = vq.assign(X)
    vq.codebook.codes.copy_(moved)
    bound = vq.observation(z).log_prob(X).sum() - len(X) * 3 * math.log(5)
    torch.testing.assert_close(loss, -bound)


@pytest.mark.slow
def test_svi_trains_every_parameter():
    vq = started(make(likelihood=Binomial(1), updates="gradient"))
    before = {key: value.clone() for key, value in vq.named_parameters()}
    svi = SVI(vq.model, vq.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
    losses = [svi.step(X) for _ in range(150)]
    assert sum(losses[-20:]) < sum(losses[:20])
    assert all(not torch.equal(v, before[k]) for k, v in vq.named_parameters())


def test_usage_and_perplexity_by_hand():
    vq = started(make()).eval()
    counts = np.zeros(5)
    for k in vq.assign(X).flatten().tolist():
        counts[k] += 1
    np.testing.assert_array_equal(vq.usage(X), counts)
    share = counts[counts > 0] / counts.sum()
    assert vq.perplexity(X) == pytest.approx(math.exp(-(share * np.log(share)).sum()))


def test_a_datum_has_the_same_bound_in_any_batch():
    vq = started(grid()).eval()
    with torch.no_grad():
        bound = vq.observation(vq.assign(X)).log_prob(X)
        alone = torch.cat([vq.observation(vq.assign(x[None])).log_prob(x[None]) for x in X])
    torch.testing.assert_close(alone, bound)


def test_an_interrupted_run_resumes_to_the_bit(tmp_path):
    def whole(folder, epochs, **how):
        vq = make(revive_below=0.9, decay=0.7)
        return vq, fit(vq, X, epochs=epochs, batch_size=16, run=folder, **how, progress=False)

    straight, _ = whole(tmp_path / "a", 6)
    tensors = Run.open(tmp_path / "a").tensors("checkpoint.safetensors")[0]

    vq = make(revive_below=0.9, decay=0.7)
    steps, update = 0, vq.codebook.update

    def interrupted(h, z):
        nonlocal steps
        steps += 1
        if steps == 11:  # in the middle of the fourth epoch
            raise KeyboardInterrupt
        update(h, z)

    vq.codebook.update = interrupted
    stopped = fit(vq, X, epochs=6, batch_size=16, run=tmp_path / "b", progress=False)
    assert stopped.stopped == "interrupt"
    resumed, _ = whole(tmp_path / "b", 6, resume=True)
    torch.testing.assert_close(
        dict(resumed.state_dict()), dict(straight.state_dict()), rtol=0, atol=0
    )
    again = Run.open(tmp_path / "b").tensors("checkpoint.safetensors")[0]
    torch.testing.assert_close(again, tensors, rtol=0, atol=0)


def correlated(size=400):
    """Rows of four pixels, all equal to one of two patterns per image: codes that agree."""
    generator = torch.Generator().manual_seed(3)
    pattern = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]])
    which = torch.randint(0, 2, (size,), generator=generator)
    flip = torch.rand(size, 4, 4, generator=generator) < 0.05
    return (pattern[which][:, None, :].expand(-1, 4, -1) != flip).float()


@pytest.mark.slow
def test_the_second_stage_trains_the_prior_alone_and_raises_the_bound(tmp_path):
    x = correlated()
    first = make(4, 2, 2)
    fit(first, x, epochs=15, batch_size=50, learning_rate=5e-3, progress=False)
    first.eval()
    kept = {key: value.clone() for key, value in first.state_dict().items()}
    second = first.with_prior(AutoregressiveCodes(width=8, layers=1, heads=2))
    uniform = -Trace_ELBO().loss(first.model, first.guide, x) / len(x)
    assert -Trace_ELBO().loss(second.model, second.guide, x) / len(x) == pytest.approx(uniform)
    start = {key: value.clone() for key, value in second.state_dict().items()}
    fit(
        second, x, epochs=25, batch_size=50, learning_rate=1e-2, run=tmp_path / "r", progress=False
    )
    for key, value in second.state_dict().items():
        assert torch.equal(value, start[key]) == (not key.startswith("prior.")), key
    torch.testing.assert_close(dict(first.state_dict()), kept, rtol=0, atol=0)
    assert all(parameter.requires_grad for parameter in first.parameters())
    second.eval()
    with torch.no_grad():
        z = second.assign(x)
        gain = second.prior().log_prob(z).mean() + 2 * math.log(4)
        # No prior over codes does better than their frequencies, whose mean log is -entropy.
        share = torch.unique(z, dim=0, return_counts=True)[1] / len(x)
        assert gain <= 2 * math.log(4) - torch.special.entr(share).sum() + 1e-4
    assert gain > 0.5
    bound = -Trace_ELBO().loss(second.model, second.guide, x) / len(x)
    assert bound == pytest.approx(uniform + float(gain), abs=1e-3)
    assert (second.enumerated_log_prob(x).mean() >= bound).all()
    assert second.model(num_data=7).shape == (7, 4, 4)
    loaded = pyro_vae.load_model(tmp_path / "r")
    assert loaded.frozen
    torch.testing.assert_close(dict(loaded.state_dict()), dict(second.state_dict()))
    assert "frozen" in loaded.description()
    with pytest.raises(ProgramError, match="with_prior"):
        second.initialise(x)


def test_batch_normalisation_stays_as_it_is_in_the_second_stage():
    x = correlated()
    plan = Dense((8,), batch_norm=True)
    first = make(4, 2, 2, encoder=plan, decoder=plan)
    fit(first, x, epochs=2, batch_size=50, progress=False)
    second = first.with_prior(AutoregressiveCodes(width=8, layers=1, heads=2))
    codes = first.eval().assign(x)
    kept = {key: value.clone() for key, value in first.state_dict().items()}
    assert torch.equal(second.train().assign(x[:7]), codes[:7])
    assert second.prior.training
    fit(second, x, epochs=2, batch_size=50, progress=False)
    for key, value in kept.items():
        torch.testing.assert_close(second.state_dict()[key], value, rtol=0, atol=0)
    assert torch.equal(second.assign(x), codes)


def test_settings_come_back_from_json():
    for vq in (make(updates="gradient", commitment_cost=0.5), grid(likelihood=Binomial(2))):
        again = model_from_config(json.loads(json.dumps(vq.config)))
        again.load_state_dict(vq.state_dict())
        assert again.config == vq.config
        torch.testing.assert_close(again.code(X), vq.code(X))
        assert "a lower bound: one term" in again.description()
    own = make(encoder=torch.nn.Linear(16, 6))
    assert own.config is None
    assert own.with_prior(AutoregressiveCodes()).config is None


def test_exposure_reaches_the_likelihood():
    vq = make(likelihood=Poisson(exposure=True)).eval()
    assert vq.inputs == ("exposure",)
    z, exposure = torch.zeros(2, 3, dtype=torch.long), torch.tensor([1.0, 4.0])
    means = vq.observation(z, exposure=exposure).mean
    torch.testing.assert_close(means[1], 4 * means[0])
    trace = poutine.trace(vq.model).get_trace(X[:2], exposure)
    torch.testing.assert_close(
        trace.nodes["x"]["fn"].mean,
        vq.observation(trace.nodes["z"]["value"], exposure=exposure).mean,
    )
    one = vq.enumerated_log_prob(X[:2], exposure)[1:]
    torch.testing.assert_close(one, vq.enumerated_log_prob(X[1:2], exposure[1:]))


def test_bad_settings():
    with pytest.raises(ValueError, match="num_positions got 9: the encoder's grid of 2x2"):
        make(num_positions=9, encoder=ConvolutionalGrid((3,)))
    with pytest.raises(ValueError, match="num_positions got 0"):
        make(num_positions=0)
    with pytest.raises(ValueError, match="commitment_cost got -1"):
        make(commitment_cost=-1)
    with pytest.raises(DataError, match="40 codes need"):
        make(40).initialise(X[:13])
    with pytest.raises(DataError, match="S d = 3 x 2 = 6"):
        make().decode(torch.zeros(2, 5))
    with pytest.raises(DataError, match="encoder maps"):
        make(encoder=torch.nn.Linear(16, 7))


def test_any_network_and_batch_works_with_bernoulli():
    vq = make(encoder=Convolutional((2,), hidden=()), likelihood=Bernoulli())
    fit(vq, X, epochs=2, batch_size=20, progress=False)
    assert torch.isfinite(vq.code(X)).all()


@pytest.mark.slow
def test_digits_use_their_codes_and_more_positions_tell_more():
    digits = data.load("digits")
    reconstruction, perplexity = {}, {}
    for positions in (1, 4, 8):
        vq = VQVAE(digits.event_shape, 64, 8, positions, likelihood=Binomial(16))
        fit(vq, digits, epochs=60, progress=False)
        vq.eval()
        with torch.no_grad():
            scores = vq.observation(vq.assign(digits.test)).log_prob(digits.test)
        reconstruction[positions] = float(scores.mean())
        perplexity[positions] = vq.perplexity(digits.test)
    assert reconstruction[1] + 20 < reconstruction[4] < reconstruction[8]
    assert min(perplexity.values()) > 32
