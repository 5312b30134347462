"""Estimators side by side: they agree where all are right, and say so where one is not."""

import numpy as np
import pytest
import torch

from pyro_vae.errors import UnknownNameError
from pyro_vae.inference import certify, log_evidence
from pyro_vae.inference.evidence.checkpoint import Checkpoint, in_blocks
from pyro_vae.models import VAE, LinearVAE, MixtureModel
from pyro_vae.models.guides import MeanFieldNormal
from pyro_vae.models.likelihoods import Normal
from tests.inference.evidence.test_ais import one_mode_guide, two_modes_model
from tests.oracles import LinearGaussian

ORACLE = LinearGaussian()
X = ORACLE.draw(8).float()
FEW = {"num_particles": 500, "num_temperatures": 15, "num_chains": 8}


class Bimodal:
    """A posterior with two modes, and a guide that has one."""

    model, guide = staticmethod(two_modes_model), staticmethod(one_mode_guide)


def test_all_agree_on_a_linear_gaussian_model():
    vae = LinearVAE((5,), 2, scale=0.7, guide=MeanFieldNormal())
    with torch.no_grad():
        vae.weight.copy_(torch.tensor(ORACLE.W))
        vae.bias.copy_(torch.tensor(ORACLE.m))
        vae.encoder.mean.weight.copy_(torch.tensor(ORACLE.A))
        vae.encoder.mean.bias.copy_(-torch.tensor(ORACLE.A @ ORACLE.m))
    found = certify(vae, X, **FEW)
    assert found.agree, str(found)
    assert not found.left_out
    assert len(found.table) == 7
    np.testing.assert_allclose(
        found.estimates["exact"]["log_evidence"], ORACLE.log_px(X.double()), atol=1e-4
    )
    assert "All 7 estimates agree" in str(found)


@pytest.mark.slow
def test_a_missed_mode_is_found_out():
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.double)
    names = ("quadrature", "importance", "ais-from-prior")
    found = certify(
        *(Bimodal(), x), estimators=names, num_particles=4000, num_temperatures=60, num_chains=64
    )
    assert not found.agree
    pairs = {(d.first, d.second) for d in found.disagreements}
    assert ("quadrature", "importance") in pairs
    assert ("quadrature", "ais-from-prior") not in pairs
    assert all(
        "importance is a lower bound, and here a loose one" in d.reason
        for d in found.disagreements
    )


@pytest.mark.slow
def test_what_does_not_apply_is_left_out():
    vae = VAE((5,), 3, likelihood=Normal(0.7), encoder=(4,), decoder=(4,))
    seen = []
    found = certify(vae, X[:2], **FEW, progress=lambda *done: seen.append(done))
    assert set(found.left_out) == {"exact", "quadrature"}
    assert seen[-1] == (7, 7)
    mixture = MixtureModel(2, Normal("latent"))
    mixture.initialise(X)
    exact = certify(mixture, X, estimators=("exact", "importance"), num_particles=2)
    assert exact.agree
    with pytest.raises(UnknownNameError, match="Did you mean 'importance'"):
        certify(vae, X, estimators=["importanse"])
    with pytest.raises(UnknownNameError):
        certify(vae, X, estimators=("annealed",))


def test_blocks_that_were_done_are_not_done_again(tmp_path):
    calls = []

    def block(x):
        calls.append(len(x))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return log_evidence(ORACLE.model, ORACLE.guide, x, 40)

    x = ORACLE.draw(23)
    checkpoint = Checkpoint(tmp_path / "partial.nc", "key")
    with pytest.raises(KeyboardInterrupt):
        in_blocks(block, x, checkpoint, size=5)
    seen = []
    found = in_blocks(block, x, checkpoint, size=5, progress=lambda *done: seen.append(done))
    assert calls == [5, 5, 5, 5, 5, 3]
    assert seen == [(15, 23), (20, 23), (23, 23)]
    whole = log_evidence(ORACLE.model, ORACLE.guide, x, 40)
    np.testing.assert_array_equal(found["log_evidence"], whole["log_evidence"])
    # Complete on disk, but the run was stopped before it was told so.
    again = in_blocks(block, x, checkpoint, size=5)
    np.testing.assert_array_equal(again["log_evidence"], whole["log_evidence"])
    assert again.attrs["estimator"] == whole.attrs["estimator"]
    assert calls[-1] == 3


def test_what_nothing_can_estimate_is_called_that():
    found = certify(VAE((5,), 2, likelihood=Normal()), X, estimators=["exact"], **FEW)
    assert not found.agree
    assert str(found).startswith("Nothing estimates log p(x) of this model. exact:")
