"""The benchmarks, as lines and as JSON; exit status 1 if a target is missed.

python -m benchmarks [--compilers] [--json FILE] [NAME ...]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import platform
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks import (
    annealing,
    epoch,
    evaluation,
    evidence_scaling,
    likelihood_step,
    programs,
    rounded_products,
    start_up,
    streaming,
    svi_step,
    workers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.figure import Figure

_LIBRARIES = ("pyro_vae", "torch", "pyro-ppl", "numpyro", "jax")


def _benchmarks(*, compilers: bool) -> dict[str, Callable[[], Iterator[Figure]]]:
    return {
        "start-up": start_up.figures,
        "svi-step": partial(svi_step.figures, compilers=compilers),
        "programs": programs.figures,
        "rounded-products": partial(rounded_products.figures, compilers=compilers),
        "epoch": epoch.figures,
        "likelihood-step": likelihood_step.figures,
        "evaluation": evaluation.figures,
        "annealing": annealing.figures,
        "evidence-scaling": evidence_scaling.figures,
        "workers": workers.figures,
        "streaming": streaming.figures,
    }


def _machine() -> dict[str, Any]:
    """Where the numbers were measured, and with what."""
    known = Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip()
        for line in (known.read_text().splitlines() if known.is_file() else [])
        if line.startswith("model name")
    ]
    versions = {}
    for name in _LIBRARIES:
        if importlib.util.find_spec({"pyro-ppl": "pyro"}.get(name, name)) is not None:
            versions[name] = importlib.metadata.version(name)
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(names),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": versions,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = _benchmarks(compilers=False)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(known)}")
    parser.add_argument("--compilers", action="store_true", help="steps through compilers, too")
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    asked = parser.parse_args()
    if unknown := set(asked.names) - known.keys():
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    found = {}
    for name, figures in _benchmarks(compilers=asked.compilers).items():
        if asked.names and name not in asked.names:
            continue
        found[name] = []
        for figure in figures():
            print(figure, flush=True)
            found[name].append(figure)
    if asked.json is not None:
        rows = {name: [figure.as_row() for figure in each] for name, each in found.items()}
        command = " ".join(["python -m benchmarks", *sys.argv[1:]])
        about = {"command": command, "machine": _machine(), "figures": rows}
        asked.json.write_text(json.dumps(about, indent=2) + "\n")
    sys.exit(0 if all(figure.met for each in found.values() for figure in each) else 1)


if __name__ == "__main__":
    main()
