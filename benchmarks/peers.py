"""Five libraries beside ours: each trains by its own trainer; its own figure, and ours, of it.

One data set, scikit-learn's digits of 8 x 8 cells from 0 to 16: zeros and ones (above 7) for
Bernoulli decoders, the counts for scvi-tools, grey levels for scikit-learn. One architecture, 64
inputs, 128 hidden units, 8 latent. Run as `python -m benchmarks.peers`, with the extra `peers`.
"""

from __future__ import annotations

import logging
import math
import tempfile
import time
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from pyro_vae import VAE, Pair, evaluate, fit
from pyro_vae.models.likelihoods import Bernoulli
from pyro_vae.on_demand import library
from pyro_vae.pairs import data_of_scvi, from_numpyro, from_pythae, from_scvi, from_sklearn

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HIDDEN, LATENT, EPOCHS, BATCH, RATE, PARTICLES = 128, 8, 50, 100, 1e-3, 1000
TRAINED, MEASURED = slice(0, 1500), slice(1500, 1600)
GREY = load_digits().data.astype("float32")
BINARY = (GREY > 7).astype("float32")


class Row(NamedTuple):
    """What one library says of its model, and what we say.

    Attributes
    ----------
    library
        Its name.
    epoch
        Seconds for an epoch of 1,500 data by its own trainer, what it compiles included.
    figure
        What it calls its own figure.
    theirs
        Its value for the held-out data, as it is given.
    their_seconds
        Seconds that it took.
    elbo, log_px, error
        Ours in nats per datum, and the standard error of log p(x) by Monte Carlo.
    seconds
        Seconds that ours took, for 1,000 particles.
    """

    library: str
    epoch: float
    figure: str
    theirs: float
    their_seconds: float
    elbo: float
    log_px: float
    error: float
    seconds: float


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    found = call()
    return found, time.perf_counter() - start


def row(name: str, epoch: float, figure: str, call: Callable[[], float], pair: Any, x: Any) -> Row:
    # At the second call nothing is compiled, or traced.
    theirs, _ = timed(call)
    _, their_seconds = timed(call)
    found, _ = timed(lambda: evaluate(pair, x, PARTICLES, seed=0))
    _, seconds = timed(lambda: evaluate(pair, x, PARTICLES, seed=0))
    error = math.sqrt(float((found["log_evidence_se"] ** 2).sum())) / found["elbo"].size
    means = [float(found[key].mean()) for key in ("elbo", "log_evidence")]
    return Row(name, epoch, figure, float(theirs), their_seconds, *means, error, seconds)


def of_pyro_vae() -> Row:
    """Ours, fitted by `fit`: the figure is the ELBO that training reports, of the test data."""
    model = VAE((64,), LATENT, likelihood=Bernoulli(), encoder=(HIDDEN,), decoder=(HIDDEN,))
    x, held = torch.tensor(BINARY[TRAINED]), torch.tensor(BINARY[MEASURED])
    settings = {"batch_size": BATCH, "learning_rate": RATE, "progress": False}
    _, seconds = timed(lambda: fit(model, x, epochs=EPOCHS, **settings))
    own = lambda: float(evaluate(model, held, 1)["elbo"].mean())  # noqa: E731
    return row("pyro_vae", seconds / EPOCHS, "elbo, one particle", own, model, held)


class Textbook(nn.Module):
    """The VAE of PyTorch's examples, 784-400-20 there: binary cross-entropy and a closed KL."""

    def __init__(self) -> None:
        super().__init__()
        self.inward, self.outward = nn.Linear(64, HIDDEN), nn.Linear(LATENT, HIDDEN)
        self.loc, self.log_variance = nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)
        self.logits = nn.Linear(HIDDEN, 64)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log-variance of q(z | x)."""
        h = self.inward(x).relu()
        return self.loc(h), self.log_variance(h)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Probabilities of the cells."""
        return self.logits(self.outward(z).relu()).sigmoid()

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """The example's loss, a sum over the data."""
        loc, log_variance = self.encode(x)
        z = loc + (0.5 * log_variance).exp() * torch.randn_like(loc)
        bce = nn.functional.binary_cross_entropy(self.decode(z), x, reduction="sum")
        return bce - 0.5 * (1 + log_variance - loc**2 - log_variance.exp()).sum()


def of_textbook() -> Row:
    """PyTorch's example: the figure is what it prints, the loss over the number of data."""
    torch.manual_seed(0)
    model, x = Textbook(), torch.tensor(BINARY[TRAINED])
    held = torch.tensor(BINARY[MEASURED])
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)

    def train() -> None:
        for _ in range(EPOCHS):
            for batch in x[torch.randperm(len(x))].split(BATCH):
                optimiser.zero_grad()
                model.loss(batch).backward()
                optimiser.step()

    _, seconds = timed(train)
    pair = Pair.from_functions(
        x=held,
        encode=model.encode,
        family="normal-log-variance",
        decode=lambda z: torch.distributions.Bernoulli(probs=model.decode(z)),
        prior=torch.distributions.Normal(torch.zeros(LATENT), 1.0),
    )

    def own() -> float:
        with torch.no_grad():
            return model.loss(held).item() / len(held)

    return row("PyTorch textbook", seconds / EPOCHS, "loss / data", own, pair, held)


def of_pythae(name: str) -> Row:
    """One of pythae's: the figure is `get_nll`."""
    models, nets = library("pythae.models"), library("pythae.models.nn")
    output = library("pythae.models.base.base_utils").ModelOutput
    trainers = library("pythae.trainers")
    base = Textbook()

    class Encoder(nets.BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = base

        def forward(self, x: torch.Tensor) -> Any:
            loc, log_variance = self.net.encode(x)
            return output(embedding=loc, log_covariance=log_variance)

    class Decoder(nets.BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = base

        def forward(self, z: torch.Tensor) -> Any:
            return output(reconstruction=self.net.decode(z))

    torch.manual_seed(0)
    base = Textbook()
    config = vars(models)[f"{name}Config"](
        input_dim=(64,), latent_dim=LATENT, reconstruction_loss="bce"
    )
    model = vars(models)[name](config, Encoder(), Decoder())
    settings = trainers.BaseTrainerConfig(
        output_dir=tempfile.mkdtemp(),
        num_epochs=EPOCHS,
        learning_rate=RATE,
        per_device_train_batch_size=BATCH,
        no_cuda=True,
    )
    datasets = library("pythae.data.datasets")
    x = datasets.BaseDataset(torch.tensor(BINARY[TRAINED]), torch.zeros(1500))
    trainer = trainers.BaseTrainer(model=model, train_dataset=x, training_config=settings)
    _, seconds = timed(trainer.train)
    model.eval()
    held = torch.tensor(BINARY[MEASURED])

    def own() -> float:
        with torch.no_grad():
            return float(model.get_nll(held, n_samples=PARTICLES, batch_size=PARTICLES))

    return row(f"pythae {name}", seconds / EPOCHS, "get_nll", own, from_pythae(model, held), held)


def of_numpyro() -> Row:
    """NumPyro's: the figure is the loss of `Trace_ELBO`, summed over the data."""
    jax, numpyro, stax = (
        library("jax"),
        library("numpyro"),
        library("jax.example_libraries.stax"),
    )
    jnp, dist = library("jax.numpy"), library("numpyro.distributions")
    infer = library("numpyro.infer")
    decoder = stax.serial(stax.Dense(HIDDEN), stax.Relu, stax.Dense(64))
    encoder = stax.serial(stax.Dense(HIDDEN), stax.Relu, stax.Dense(2 * LATENT))

    def model(x: Any) -> None:
        net = numpyro.module("decoder", decoder, (1, LATENT))
        with numpyro.plate("data", len(x)):
            z = numpyro.sample("z", dist.Normal(jnp.zeros(LATENT), 1.0).to_event(1))
            numpyro.sample("x", dist.Bernoulli(logits=net(z)).to_event(1), obs=x)

    def guide(x: Any) -> None:
        net = numpyro.module("encoder", encoder, (1, 64))
        loc, log_scale = jnp.split(net(x), 2, axis=-1)
        with numpyro.plate("data", len(x)):
            numpyro.sample("z", dist.Normal(loc, jnp.exp(log_scale)).to_event(1))

    svi = infer.SVI(model, guide, numpyro.optim.Adam(RATE), infer.Trace_ELBO())
    x, held = jnp.asarray(BINARY[TRAINED]), BINARY[MEASURED]
    start = svi.init(jax.random.key(0), x[:BATCH])

    @jax.jit
    def epoch(state: Any, key: Any) -> Any:
        batches = x[jax.random.permutation(key, len(x))].reshape(-1, BATCH, 64)
        return jax.lax.scan(lambda s, b: (svi.update(s, b)[0], None), state, batches)[0]

    def train() -> Any:
        state = start
        for key in jax.random.split(jax.random.key(1), EPOCHS):
            state = epoch(state, key)
        return jax.block_until_ready(svi.get_params(state))

    params, seconds = timed(train)
    loss = infer.Trace_ELBO(num_particles=100)

    def own() -> float:
        return float(loss.loss(jax.random.key(2), params, model, guide, jnp.asarray(held)))

    pair = from_numpyro(model, guide, params, held)
    return row("NumPyro", seconds / EPOCHS, "Trace_ELBO, a sum", own, pair, torch.tensor(held))


def of_scvi() -> Row:
    """SCVI on the counts: the figure is `get_marginal_ll`."""
    models, anndata = library("scvi.model"), library("anndata")
    library("scvi").settings.seed = 0
    cells = anndata.AnnData(GREY[: MEASURED.stop])
    models.SCVI.setup_anndata(cells)
    model = models.SCVI(cells, n_hidden=HIDDEN, n_latent=LATENT, gene_likelihood="nb")
    settings = {"enable_progress_bar": False, "logger": None, "accelerator": "cpu"}
    _, seconds = timed(
        lambda: model.train(
            EPOCHS,
            batch_size=BATCH,
            train_size=TRAINED.stop / MEASURED.stop,
            shuffle_set_split=False,
            **settings,
        )
    )
    held = data_of_scvi(model, indices=np.arange(MEASURED.start, MEASURED.stop))

    def own() -> float:
        return float(
            model.get_marginal_ll(
                indices=np.arange(MEASURED.start, MEASURED.stop),
                n_mc_samples=PARTICLES,
                n_mc_samples_per_pass=PARTICLES,
            )
        )

    return row(
        "scvi-tools", seconds / EPOCHS, "get_marginal_ll", own, from_scvi(model, held), held
    )


def of_sklearn() -> Row:
    """Factor analysis of the grey levels: the figure is `score`, and the fit is no epochs."""
    factors = library("sklearn.decomposition").FactorAnalysis(LATENT)
    # A cell that is always 0 has no density.
    noise = np.random.default_rng(0).uniform(size=GREY.shape)
    grey = GREY.astype("float64") + noise
    _, seconds = timed(lambda: factors.fit(grey[TRAINED]))
    held = grey[MEASURED]
    pair = from_sklearn(factors, held)
    return row(
        "scikit-learn", seconds, "score", lambda: factors.score(held), pair, torch.tensor(held)
    )


CONTENDERS: dict[str, Callable[[], Row]] = {
    "pyro_vae": of_pyro_vae,
    "textbook": of_textbook,
    "pythae VAE": lambda: of_pythae("VAE"),
    "pythae IWAE": lambda: of_pythae("IWAE"),
    "NumPyro": of_numpyro,
    "scvi-tools": of_scvi,
    "scikit-learn": of_sklearn,
}


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for made in CONTENDERS.values():
        one = made()
        print(
            f"| {one.library} | {one.figure} | {one.theirs:.3f} | {one.elbo:.3f} "
            f"| {one.log_px:.3f} ± {one.error:.3f} | {1000 * one.epoch:.0f} "
            f"| {10 * one.their_seconds:.1f} | {10 * one.seconds:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
