"""Pairs out of what was written elsewhere: plain functions, PyTorch modules, other libraries.

``Pair.from_functions`` makes Pyro programs of them, so that whatever measures a pair measures
them: bounds, log p(x), the gap, annealing, certificates. ``from_sklearn``, ``from_pythae``,
``from_numpyro`` and ``from_scvi`` make one of a fitted model of that library.
"""

from pyro_vae.pairs.of_numpyro import from_numpyro
from pyro_vae.pairs.of_pythae import from_pythae
from pyro_vae.pairs.of_scvi import data_of_scvi, from_scvi
from pyro_vae.pairs.of_sklearn import from_sklearn
from pyro_vae.pairs.pair import Pair

__all__ = ["Pair", "data_of_scvi", "from_numpyro", "from_pythae", "from_scvi", "from_sklearn"]
