"""One story written in each library: log p(x) is known, and the weights are the same numbers."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import FactorAnalysis

from pyro_vae import Pair, evaluate
from pyro_vae.pairs import from_numpyro, from_pythae, from_scvi, from_sklearn
from tests.peers.story import ORACLE, A, M, T, W, X, linear, log_px, log_weights, tensor
from tests.tolerances import STANDARD_ERRORS

pytestmark = pytest.mark.filterwarnings("ignore")  # of scvi-tools; see its own tests

#: (x - m) A' as a layer.
ENCODED = (A, -A @ M)


def by_functions():
    encode, decode = linear(*ENCODED), linear(W, M)
    normal = torch.distributions.Normal
    pair = Pair.from_functions(
        x=X,
        encode=lambda x: normal(encode(x), tensor(T)),
        decode=lambda z: normal(decode(z), 1.0),
        prior=normal(tensor([0.0, 0.0]), 1.0),
        modules=[encode, decode],
    )
    return pair, X


def by_pythae():
    pytest.importorskip("pythae")
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.layer = linear(*ENCODED)

        def forward(self, x):
            loc = self.layer(x)
            variance = tensor(2 * np.log(T)).expand_as(loc)
            return ModelOutput(embedding=loc, log_covariance=variance)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.layer = linear(W, M)

        def forward(self, z):
            return ModelOutput(reconstruction=self.layer(z))

    config = VAEConfig(input_dim=(5,), latent_dim=2, reconstruction_loss="mse")
    return from_pythae(VAE(config, Encoder(), Decoder()).double().eval(), X), X


def by_numpyro():
    pytest.importorskip("numpyro")
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    def model(x):
        with numpyro.plate("data", len(x)):
            z = numpyro.sample("z", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
            numpyro.sample("x", dist.Normal(z @ W.T + M, 1.0).to_event(1), obs=x)

    def guide(x):
        with numpyro.plate("data", len(x)):
            numpyro.sample("z", dist.Normal((x - M) @ A.T, T).to_event(1))

    return from_numpyro(model, guide, {}, X), X


def by_scvi():
    pytest.importorskip("scvi")
    from anndata import AnnData
    from scvi.model import SCVI

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.z_transformation = linear(*ENCODED), torch.nn.Identity()

        def forward(self, x, *_):
            guide = torch.distributions.Normal(self.layer(x), tensor(T))
            return guide, guide.rsample()

    class Decoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = linear(W, M)

        def forward(self, dispersion, z, library, *_):
            return None, None, self.layer(z), None

    cells = AnnData(X.numpy())
    SCVI.setup_anndata(cells)
    model = SCVI(cells, n_latent=2, gene_likelihood="normal", log_variational=False)
    module = model.module
    module.z_encoder, module.decoder = Encoder(), Decoder()
    module.px_r.data.zero_()  # the logarithm of a standard deviation of one
    module.double().eval()
    ones = torch.ones(len(X))
    x = {"x": X, "batch": torch.zeros(len(X)).long(), "library": ones}
    return from_scvi(model, x), x


LIBRARIES = {
    "functions": by_functions,
    "pythae": by_pythae,
    "NumPyro": by_numpyro,
    "scvi-tools": by_scvi,
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_log_px_is_the_closed_form(library):
    pair, x = LIBRARIES[library]()
    found = evaluate(pair, x, 2000)
    error = found["log_evidence_se"].values
    assert error.max() < 0.05
    away = np.abs(found["log_evidence"].values - log_px().numpy())
    assert (away < STANDARD_ERRORS * error).all()
    # And the gap is KL(q || p(z | x)), which both being normal has a closed form.
    gap_error = STANDARD_ERRORS * found["gap_se"].values
    assert (np.abs(found["gap"].values - ORACLE.gap()) < gap_error).all()


@pytest.mark.parametrize("library", [name for name in LIBRARIES if name != "functions"])
def test_the_weights_are_the_same_numbers(library):
    z = torch.randn(30, len(X), 2, generator=torch.Generator().manual_seed(0)).double()
    wanted = log_weights(*by_functions(), z)
    pair, x = LIBRARIES[library]()
    assert log_weights(pair, x, z).numpy() == pytest.approx(wanted.numpy(), rel=1e-5, abs=1e-5)


def test_scikit_learn_has_the_same_log_px_with_no_gap():
    estimator = FactorAnalysis(2).fit(X.numpy())
    estimator.mean_, estimator.components_ = M, W.T
    estimator.noise_variance_ = np.ones(5)
    found = evaluate(from_sklearn(estimator, X), X, 5)
    assert found["log_evidence"].values == pytest.approx(log_px().numpy(), abs=1e-9)
    assert found["elbo"].values == pytest.approx(estimator.score_samples(X.numpy()), abs=1e-6)
