"""Conditional VAEs: the condition reaches the model and the guide, through every function."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO

from pyro_vae.data import Dataset
from pyro_vae.errors import DataError, UnknownNameError
from pyro_vae.inference import evaluate, fit, log_evidence, log_weights
from pyro_vae.models import VAE, Condition, Covariates, Labels, model_from_config
from pyro_vae.models.likelihoods import Normal
from tests.tolerances import STANDARD_ERRORS

X = (torch.arange(54) % 4 < 2).float().reshape(6, 3, 3)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def make(condition=Labels(3), **settings):  # noqa: B008 (frozen)
    return VAE((3, 3), 2, condition=condition, encoder=(8,), decoder=(8,), **settings)


def test_the_condition_changes_both_programs():
    vae = make()
    z = torch.randn(1, 2)
    one, two = (vae.decode(z, torch.tensor([label])) for label in (0, 1))
    assert not torch.allclose(one, two)
    one, two = (vae.code(X[:1], torch.tensor([label])) for label in (0, 1))
    assert not torch.allclose(one, two)


def test_networks_of_ones_own_hear_x_or_z_first_and_then_the_condition():
    class First(torch.nn.Module):
        """Passes on the first so many numbers of its input."""

        def __init__(self, size):
            super().__init__()
            self.size = size

        def forward(self, h):
            return h[..., : self.size]

    vae = VAE((4,), 4, condition=Labels(3), encoder=(8,), decoder=First(4))
    z = torch.randn(6, 4)
    torch.testing.assert_close(vae.decode(z, LABELS), z.sigmoid())
    vae = VAE((4,), 2, condition=Labels(3), encoder=First(4), decoder=(8,))
    x = torch.rand(6, 4).round()
    torch.testing.assert_close(vae.code(x, LABELS), vae.likelihood.standardise(x)[:, :2])


def test_one_hot_is_the_label():
    vae = make()
    hot = torch.nn.functional.one_hot(LABELS, 3).float()
    assert torch.equal(vae.code(X, LABELS), vae.code(X, hot))


@pytest.mark.parametrize("condition", [Labels(3), Covariates(3)])
def test_svi_takes_it_by_name(condition):
    vae = make(condition)
    c = LABELS if isinstance(condition, Labels) else torch.randn(6, 3)
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
    losses = [svi.step(X, condition=c) for _ in range(80)]
    assert sum(losses[-20:]) < sum(losses[:20])
    assert vae.model(condition=c).shape == (6, 3, 3)
    with pyro.plate("particles", 7, dim=-2):
        assert vae.model(condition=c).shape == (7, 6, 3, 3)


def test_named_inputs_measure_what_a_closed_over_condition_does():
    vae = make()
    named = log_evidence(vae.model, vae.guide, {"x": X, "condition": LABELS}, 500)
    for row in range(6):
        c = LABELS[row : row + 1]
        closed = log_evidence(
            lambda x, c=c: vae.model(x, c), lambda x, c=c: vae.guide(x, c), X[row : row + 1], 500
        )
        difference = float(named["log_evidence"][row] - closed["log_evidence"][0])
        errors = [float(r["log_evidence_se"][i]) for r, i in ((named, row), (closed, 0))]
        assert abs(difference) < STANDARD_ERRORS * (errors[0] ** 2 + errors[1] ** 2) ** 0.5


@pytest.mark.slow
def test_it_learns_what_the_label_tells():
    """With the label given, the latent need not carry it, and log p(x | c) is above log p(x)."""
    torch.manual_seed(0)
    labels = torch.randint(3, (600,))
    x = 3.0 * labels.unsqueeze(1).float() + 0.5 * torch.randn(600, 2)
    parts = {"train": slice(0, 400), "validation": slice(400, 500), "test": slice(500, 550)}
    data = Dataset.from_tensors(
        *(x[part] for part in parts.values()),
        labels={name: labels[part] for name, part in parts.items()},
    )
    bounds = {}
    for condition in (None, Labels(3)):
        vae = VAE(
            (2,), 1, likelihood=Normal("shared"), condition=condition, encoder=(16,), decoder=(16,)
        )
        fit(vae, data, epochs=40, batch_size=100, learning_rate=2e-2)
        inputs = data.inputs("test", vae.inputs) if vae.inputs else data.test
        results = evaluate((vae.model, vae.guide), inputs, 100)
        bounds[condition] = float(results["log_evidence"].mean())
    test_labels = data.labels["test"].unsqueeze(1)
    truth = float(dist.Normal(3.0 * test_labels, 0.5).log_prob(data.test).sum(1).mean())
    assert abs(bounds[Labels(3)] - truth) < 0.15
    # Without the label, log 3 = 1.10 nats more at the best.
    assert bounds[None] < truth - 0.9


def test_config_round_trip():
    for condition in (Labels(3), Covariates(2)):
        vae = make(condition)
        again = model_from_config(vae.config)
        again.load_state_dict(vae.state_dict())
        assert again.condition == condition
    with pytest.raises(UnknownNameError, match="unknown condition 'lables'"):
        Condition.from_config({"name": "lables"})


@pytest.mark.parametrize(
    ("condition", "given", "message"),
    [
        (Labels(3), None, "condition is missing"),
        (Labels(3), torch.tensor([0, 1, 2, 3, 0, 0]), "label 3"),
        (Labels(3), torch.rand(6), "whole numbers"),
        (Covariates(2), None, "condition is missing"),
        (Covariates(2), torch.rand(6, 3), r"shape \(6, 3\)"),
        (Covariates(2), torch.full((6, 2), torch.nan), "NaN"),
        (None, LABELS, "without one"),
    ],
)
def test_bad_conditions(condition, given, message):
    with pytest.raises(DataError, match=message):
        make(condition).model(X, condition=given)


def test_bad_settings():
    with pytest.raises(ValueError, match="num_classes got 1"):
        Labels(1)
    with pytest.raises(ValueError, match="num_covariates got 0"):
        Covariates(0)


def test_rows_that_do_not_match():
    vae = make()
    with pytest.raises(DataError, match=r"different numbers of rows \(x 6, condition 2\)"):
        log_weights(vae.model, vae.guide, {"x": X, "condition": LABELS[:2]}, 3)
