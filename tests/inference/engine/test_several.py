"""Several data in one pass: each has the draws and the weights that it has alone."""

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_vae.errors import DataError
from pyro_vae.inference.engine import weights
from pyro_vae.inference.engine.sampling import Sampling
from pyro_vae.inference.engine.several import SeveralAtOnce
from pyro_vae.inference.engine.weights import DrawsByRow
from pyro_vae.models import VAE, HierarchicalVAE
from pyro_vae.models.condition import Labels
from pyro_vae.models.guides import InverseAutoregressiveFlow, LowRankNormal
from pyro_vae.models.likelihoods import Poisson
from pyro_vae.models.priors import StudentT
from pyro_vae.recording import NotRecordableError, repeated

GENERATOR = torch.Generator().manual_seed(1)
# Equal data are among them, and no batch holds a divisor of 23.
X = (torch.rand(23, 4, generator=GENERATOR) < 0.4).float()
COUNTS = torch.poisson(X * 3, generator=GENERATOR)
K = 20


def pairs():
    conditional = VAE((4,), 2, likelihood=Poisson(exposure=True), condition=Labels(3))
    given = {"x": COUNTS, "condition": torch.arange(23) % 3, "exposure": X.sum(-1) + 1}
    return {
        "a VAE": (VAE((4,), 2), X),
        "low rank, Student's t": (VAE((4,), 3, guide=LowRankNormal(1), prior=StudentT(4.0)), X),
        "a flow": (VAE((4,), 2, guide=InverseAutoregressiveFlow()), X),
        "two layers": (HierarchicalVAE((4,), (3, 2)), X),
        "labels and exposures": (conditional, given),
    }


def drawer(monkeypatch, model, x, *, many, guide=None, **settings):
    """What draws the rows of x: ``many`` data or more go through together."""
    monkeypatch.setattr(weights, "_MANY", many)
    monkeypatch.setattr(weights, "_SEVERAL", 1)
    guide = model.guide if guide is None else guide
    model = model.model if hasattr(model, "model") else model
    sampling = Sampling(seed=3, **settings)
    return DrawsByRow(model, guide, x, K, sampling).draw


@pytest.mark.parametrize("name", pairs())
def test_draws_are_those_of_a_datum_alone_and_weights_are_so_to_rounding(name, monkeypatch):
    vae, x = pairs()[name]
    alone = drawer(monkeypatch, vae, x, many=1000)
    together = drawer(monkeypatch, vae, x, many=1, memory_limit=300_000)
    assert "several" in together.__qualname__, "it fell back to one at a time"
    for row in (0, 22, 5, 4, 21):
        a, b = alone(row), together(row)
        assert list(a.values) == list(b.values)
        for site in a.values:
            assert a.values[site].shape == b.values[site].shape
            torch.testing.assert_close(a.values[site], b.values[site], rtol=1e-5, atol=1e-6)
        for ours, theirs in zip(a.terms, b.terms, strict=True):
            assert ours.dtype == theirs.dtype == torch.float64
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


def test_batches_are_of_rows_and_not_of_what_was_asked_before(monkeypatch):
    vae = VAE((4,), 2)
    forth = drawer(monkeypatch, vae, X, many=1, memory_limit=300_000)
    back = drawer(monkeypatch, vae, X, many=1, memory_limit=300_000)
    found = [forth(row).terms.log_weights for row in range(23)]
    again = [back(row).terms.log_weights for row in reversed(range(23))]
    assert all(map(torch.equal, found, reversed(again)))


def test_memory_decides_how_many_go_together(monkeypatch):
    sizes = []
    monkeypatch.setattr(
        weights, "SeveralAtOnce", lambda function, x, size, seed: sizes.append(size) or (lambda: 0)
    )
    for limit in (10**5, 10**6, 10**7):
        drawer(monkeypatch, VAE((4,), 2), X, many=1, memory_limit=limit)
    assert sizes[0] >= 1
    assert sizes[1] == pytest.approx(10 * sizes[0], rel=0.1, abs=10)
    assert sizes[2] == pytest.approx(10 * sizes[1], rel=0.1)


def model(x):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Gamma(2.0, 1.0))
        pyro.sample("x", dist.Poisson(z), obs=x)


def guide(x):
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Gamma(2.0 + x, 2.0))


def test_draws_that_depend_on_more_than_a_shape_are_made_one_at_a_time(monkeypatch):
    """A gamma's are made by rejection."""
    x = COUNTS[:, 0]
    together = drawer(monkeypatch, model, x, many=1, guide=guide)
    assert "several" not in together.__qualname__
    alone = drawer(monkeypatch, model, x, many=1000, guide=guide)
    assert torch.equal(together(7).terms.log_weights, alone(7).terms.log_weights)


def test_a_function_of_the_whole_batch_is_refused():
    """Its one datum is all that there is."""
    with pytest.raises(NotRecordableError):
        SeveralAtOnce(lambda x: [x * torch.rand(()).bernoulli()], X, 5, lambda row: row)


def test_a_datum_that_the_programs_refuse_is_refused(monkeypatch):
    """A graph does not look at values, so somebody else must."""

    def binary(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Bernoulli(logits=z), obs=x)

    def normal(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x, 1.0))

    x = X[:, 0].clone()
    x[17] = 0.5
    with pytest.raises(ValueError, match="support"):
        drawer(monkeypatch, binary, x, many=1, guide=normal)
    vae, given = pairs()["labels and exposures"]
    wrong = {**given, "condition": given["condition"].clone()}
    wrong["condition"][17] = 3
    with pytest.raises(DataError, match="label 3"):
        drawer(monkeypatch, vae, wrong, many=1)
    monkeypatch.setattr(repeated, "WORTH_RECORDING", 0.0)
    alone = drawer(monkeypatch, binary, x, many=1000, guide=normal)
    with pytest.raises(ValueError, match="support"):
        alone(3)
