"""Variational autoencoders as Pyro programs, with the gap between ELBO and log p(x) measured."""

from importlib.metadata import version
from typing import TYPE_CHECKING

from pyro_vae.on_demand import names_on_demand

if TYPE_CHECKING:
    from pyro_vae import data as data
    from pyro_vae import inference as inference
    from pyro_vae import models as models
    from pyro_vae.explaining import explain as explain
    from pyro_vae.inference.evidence.compare import compare as compare
    from pyro_vae.inference.evidence.evaluate import evaluate as evaluate
    from pyro_vae.inference.evidence.evaluate import summary as summary
    from pyro_vae.inference.training.fit import fit as fit
    from pyro_vae.models import VAE as VAE
    from pyro_vae.models import MixtureModel as MixtureModel
    from pyro_vae.pairs import Pair as Pair
    from pyro_vae.stored.loading import load_data as load_data
    from pyro_vae.stored.loading import load_model as load_model

__version__ = version("pyro-vae")

#: Where the public names are.
_NAMES = {
    "VAE": "pyro_vae.models",
    "MixtureModel": "pyro_vae.models",
    "Pair": "pyro_vae.pairs",
    "compare": "pyro_vae.inference.evidence.compare",
    "evaluate": "pyro_vae.inference.evidence.evaluate",
    "explain": "pyro_vae.explaining",
    "fit": "pyro_vae.inference.training.fit",
    "load_data": "pyro_vae.stored.loading",
    "load_model": "pyro_vae.stored.loading",
    "summary": "pyro_vae.inference.evidence.evaluate",
}

_ROOMS = ("data", "inference", "models")

__all__ = ["__version__", *_ROOMS, *names_on_demand(__name__, _NAMES)]
