"""Pairs out of what was written elsewhere: plain functions, PyTorch modules, other libraries.

``Pair.from_functions`` makes Pyro programs of them, so that whatever measures a pair measures
them: bounds, log p(x), the gap, annealing, certificates.
"""

from pyro_vae.pairs.pair import Pair

__all__ = ["Pair"]
