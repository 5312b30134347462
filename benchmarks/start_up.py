"""Imports and help in fresh processes, against the import of PyTorch and Pyro."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from benchmarks.timing import interleaved

__all__ = ["report"]

_RATIO = 1.3
_SECONDS = 2.0
_LINES = {
    "substrate": ("-c", "import torch, pyro"),
    "package": ("-c", "import pyro_vae"),
    "verbs": ("-c", "from pyro_vae import VAE, data, evaluate, fit, summary"),
    "help": ("-m", "pyro_vae", "--help"),
    "fit help": ("-m", "pyro_vae", "fit", "--help"),
}


def report() -> bool:
    """Print the ratios of medians, and the seconds of help; whether the targets are met."""
    runs = {
        name: partial(
            subprocess.run, [sys.executable, *line], check=True, stdout=subprocess.DEVNULL
        )
        for name, line in _LINES.items()
    }
    median = interleaved(runs, rounds=5, warm_up=1)
    ratio = {name: seconds / median["substrate"] for name, seconds in median.items()}
    print(
        f"import torch, pyro: {median['substrate']:.2f} s; import pyro_vae "
        f"{median['package']:.2f} s, ratio {ratio['package']:.2f} (target at most {_RATIO}); "
        f"with models and verbs {median['verbs']:.2f} s, ratio {ratio['verbs']:.2f}"
    )
    print(
        f"pyro-vae --help: {median['help']:.2f} s (target at most {_SECONDS} s); "
        f"fit --help {median['fit help']:.2f} s, ratio {ratio['fit help']:.2f}"
    )
    return ratio["package"] <= _RATIO and median["help"] <= _SECONDS
