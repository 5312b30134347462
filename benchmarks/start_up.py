"""Imports and help in fresh processes, against the import of PyTorch and Pyro."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.figure import Figure
from benchmarks.timing import interleaved

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["figures"]

_RATIO = 1.3
_SECONDS = 2.0
_LINES = {
    "substrate": ("-c", "import torch, pyro"),
    "package": ("-c", "import pyro_vae"),
    "verbs": ("-c", "from pyro_vae import VAE, data, evaluate, fit, summary"),
    "help": ("-m", "pyro_vae", "--help"),
    "fit help": ("-m", "pyro_vae", "fit", "--help"),
}


def figures() -> Iterator[Figure]:
    """Imports as multiples of PyTorch's and Pyro's, and the seconds of help."""
    runs = {
        name: partial(
            subprocess.run, [sys.executable, *line], check=True, stdout=subprocess.DEVNULL
        )
        for name, line in _LINES.items()
    }
    median = interleaved(runs, rounds=5, warm_up=1)
    base = median["substrate"]
    unit = "of the import of PyTorch and Pyro"
    yield Figure("import torch, pyro", base, "s")
    yield Figure("import pyro_vae", median["package"] / base, unit, at_most=_RATIO)
    yield Figure("import of models and verbs", median["verbs"] / base, unit)
    yield Figure("pyro-vae --help", median["help"], "s", at_most=_SECONDS)
    yield Figure("pyro-vae fit --help", median["fit help"] / base, unit)
