"""The gap taken apart, on a model where every part is known."""

import numpy as np
import pytest
import torch

from pyro_vae.errors import ProgramError
from pyro_vae.inference import gap_parts
from pyro_vae.models import LinearVAE
from pyro_vae.models.guides import FullCovarianceNormal, MeanFieldNormal
from tests.cases import a_few_always
from tests.inference.training.test_local import ORACLE, X, best_gap, linear_vae
from tests.tolerances import STANDARD_ERRORS


@a_few_always("family", [MeanFieldNormal, FullCovarianceNormal])
def test_parts_are_those_of_the_closed_form(family):
    vae = linear_vae(family())
    with torch.no_grad():
        # An encoder not far from right: the posterior mean, but one scale for all data.
        vae.encoder.output.weight.mul_(0.3)
    parts = gap_parts(vae, X, 1000, steps=3000, learning_rate=0.05)
    assert parts.attrs["converged"] == 1
    log_px = ORACLE.log_px(X.double())
    error = STANDARD_ERRORS * parts["log_evidence_se"] + 1e-4
    assert (abs(parts["log_evidence"] - log_px) < error).all()
    np.testing.assert_allclose(parts["approximation_gap"], best_gap(family), atol=0.03)
    np.testing.assert_allclose(
        parts["gap"], parts["approximation_gap"] + parts["amortisation_gap"], atol=1e-9
    )
    assert (parts["amortisation_gap"] > -STANDARD_ERRORS * parts["amortisation_gap_se"]).all()
    assert float(parts["amortisation_gap"].mean()) > 0.1


@pytest.mark.slow
def test_an_optimal_encoder_has_no_amortisation_gap():
    vae = LinearVAE((5,), 2, scale=0.7)
    with torch.no_grad():
        vae.weight.copy_(torch.tensor(ORACLE.W))
        vae.bias.copy_(torch.tensor(ORACLE.m))
        exact = vae.exact_posterior(X)
        vae.encoder.mean.weight.copy_(torch.tensor(ORACLE.A))
        vae.encoder.mean.bias.copy_(-torch.tensor(ORACLE.A @ ORACLE.m))
        tril = torch.linalg.cholesky(exact.covariance_matrix[0])
        vae.encoder.covariance.copy_(
            torch.cat([(tril.diagonal().exp() - 1).log(), 2 * tril[[1], [0]]])
        )
    parts = gap_parts(vae, X, 200, steps=200)
    for name in ("gap", "approximation_gap", "amortisation_gap"):
        # Adam's last steps leave the guide this far from the optimum it started at.
        np.testing.assert_allclose(parts[name], 0.0, atol=0.03)
    np.testing.assert_allclose(parts["log_evidence"], ORACLE.log_px(X.double()), atol=1e-4)
    assert (parts["log_evidence_se"] == 0).all()


def test_a_pair_without_an_unamortised_form_is_refused_in_a_sentence():
    class Plain:
        model, guide = ORACLE.model, ORACLE.guide

    with pytest.raises(ProgramError, match=r"Plain, which has no unamortised\(x\)"):
        gap_parts(Plain(), torch.zeros(2, 5))
