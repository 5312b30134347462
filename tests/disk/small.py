"""A run that is fitted in a moment."""

from pyro_vae.data import load
from pyro_vae.inference import fit
from pyro_vae.models import VAE
from pyro_vae.models.likelihoods import Binomial


def small_fit(folder, *, seed=0, epochs=2, **settings):
    data = load("digits")
    model = VAE((8, 8), 2, likelihood=Binomial(16), encoder=(8,), decoder=(8,), seed=seed)
    settings = {"batch_size": 700, "seed": seed, "progress": False, **settings}
    return fit(model, data, run=folder, epochs=epochs, **settings)
