"""Whether the numbers of two commits are equal to the bit.

    python -m benchmarks.same_numbers HEAD~1 HEAD

checks both out beside each other, gives each the same commands of ``pyro-vae`` in an empty folder,
and compares what they leave and print: weights and states to resume from, metrics of every epoch,
draws, results per datum, pictures, ``--json``. A fit that is interrupted and resumed must also
have the numbers of the one that was not. Clocks, checksums, and settings that are written out as
text are no numbers and are left out. It prints a table, and exits with 1 if anything differs.

It names commands and their options alone, so that it serves across any renaming in Python. Both
commits run in this environment, with one thread; it takes some minutes.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from safetensors.numpy import load_file

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]

#: Keys, columns and attributes that are no numbers of a model.
LEFT_OUT = {"seconds", "checksum", "asked", "weights"}

_DIGITS = ("--data", "digits", "--binarisation", "dynamic", "--batch-size", "256", "--seed", "3")
_DATA = (*_DIGITS, "--hidden", "32")
_VAE = (*_DATA, "--latent-dim", "4", "--epochs", "30")
_FEW = ("--limit", "6", "--particles", "200")

#: The fit that is interrupted as soon as it has a checkpoint, and then resumed.
INTERRUPTED = "resumed"

#: Commands by what they show; each is given ``--json``.
COMMANDS: dict[str, tuple[str, ...]] = {
    "fit: a VAE": ("fit", "--run", "vae", *_VAE),
    "fit: interrupted, resumed": ("fit", "--run", INTERRUPTED, *_VAE),
    "fit: a mixture": (
        *("fit", "--run", "mixture", "--model", "mixture", "--components", "5"),
        *(*_DIGITS, "--epochs", "5"),
    ),
    "fit: a hierarchical VAE": (
        *("fit", "--run", "layers", "--model", "hierarchical-vae", "--objective", "iwae-5"),
        *(*_DATA, "--epochs", "3"),
    ),
    "fit: a conditional VAE": (
        *("fit", "--run", "given", "--condition", "labels", "--objective", "dreg-4"),
        *("--prior", "vamp-prior(num_components=10)", "--guide", "inverse-autoregressive-flow"),
        *(*_DATA, "--latent-dim", "3", "--epochs", "3", "--schedule", "cosine"),
    ),
    "fit: counts, no encoder": (
        *("fit", "--run", "free", "--data", "digits", "--values", "levels", "--unamortised"),
        *("--likelihood", "binomial", "--hidden", "32", "--latent-dim", "2", "--epochs", "3"),
    ),
    "fit: a VQ-VAE": (
        *("fit", "--run", "quantised", "--model", "vq-vae(num_codes=8, code_dim=2)"),
        *(*_DATA, "--epochs", "3"),
    ),
    "prior": ("prior", "quantised", "--run", "learned", "--epochs", "3"),
    "evaluate: a VAE": (
        *("evaluate", "vae", *_FEW, "--estimator", "defensive,widened,ais", "--gap"),
        *("--temperatures", "20", "--chains", "4"),
    ),
    "evaluate: a mixture": ("evaluate", "mixture", *_FEW, "--estimator", "exact"),
    "evaluate: a hierarchical VAE": ("evaluate", "layers", *_FEW),
    "evaluate: a conditional VAE": ("evaluate", "given", *_FEW),
    "evaluate: counts, no encoder": ("evaluate", "free", *_FEW),
    "evaluate: a learned prior": ("evaluate", "learned", *_FEW),
    "compare": ("compare", "vae", "mixture", "layers", *_FEW),
    "sample: a VAE": ("sample", "vae", "--count", "20", "--seed", "1"),
    "sample: a learned prior": ("sample", "learned", "--count", "20", "--seed", "1"),
    "grid": (
        *("grid", "--out", "grid", "--prior", "standard-normal,laplace"),
        *("--objective", "elbo,stl-5", "--data", "digits", "--binarisation", "threshold"),
        *("--hidden", "16", "--latent-dim", "2", "--epochs", "2", *_FEW),
    ),
    "derive": ("derive", "--particles", "500", "--epochs", "20", "--out", "derived"),
    "figure": ("figure", "gap", "vae"),
}


def run_all(commit: str, checkout: Path, work: Path) -> None:
    """Give a commit all commands, in an empty folder; what they print is kept there."""
    git("worktree", "add", "--detach", "--quiet", str(checkout), commit)
    work.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [sys.executable, "-c", "import pyro_vae; print(pyro_vae.__file__)"],
        cwd=work,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    if not Path(found).is_relative_to(checkout):
        sys.exit(f"pyro_vae comes from {found}, not from the checkout of {commit}")
    for number, (what, words) in enumerate(COMMANDS.items(), 1):
        print(f"{commit}: {number} of {len(COMMANDS)}, {what}", file=sys.stderr)
        if INTERRUPTED in words:
            interrupt(words, work, environment)
            words = (*words[:3], "--resume")
        printed = work / "printed" / f"{number:02}.json"
        printed.parent.mkdir(exist_ok=True)
        done = subprocess.run(
            pyro_vae(*words, "--json"), cwd=work, env=environment, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"{commit}: pyro-vae {' '.join(words)} failed:\n{done.stderr}")
        printed.write_text(done.stdout)


def pyro_vae(*words: str) -> list[str]:
    return [sys.executable, "-m", "pyro_vae", *words]


def interrupt(words: tuple[str, ...], work: Path, environment: dict[str, str]) -> None:
    """Begin a fit, and press Ctrl-C once it has something to go on from."""
    process = subprocess.Popen(
        pyro_vae(*words),
        cwd=work,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    checkpoint = work / INTERRUPTED / "checkpoint.safetensors"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    if process.wait() == 0:
        sys.exit("the fit was done before it was interrupted: give it more epochs")


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


# Each reader gives what can be compared: text or bytes by name.


def _array(values: np.ndarray) -> str | bytes:
    values = np.asarray(values)
    return repr(values.tolist()) if values.dtype == object else _typed(values)


def _typed(values: np.ndarray) -> bytes:
    return f"{values.dtype} {values.shape} ".encode() + values.tobytes()


def _tensors(path: Path) -> dict[str, str | bytes]:
    return {name: _typed(values) for name, values in load_file(path).items()}


def _netcdf(path: Path) -> dict[str, str | bytes]:
    with xr.open_dataset(path, engine="h5netcdf") as results:
        parts = {str(name): _array(part.values) for name, part in results.variables.items()}
        parts |= {f"attribute {k}": repr(v) for k, v in results.attrs.items() if k not in LEFT_OUT}
    return parts


def _csv(path: Path) -> dict[str, str | bytes]:
    with path.open(newline="") as file:
        columns = zip(*csv.reader(file), strict=True)
        return {name: repr(column) for name, *column in columns if name not in LEFT_OUT}


def _json(path: Path) -> dict[str, str | bytes]:
    leaves: dict[str, str | bytes] = {}

    def walk(name: str, part: Any) -> None:
        if isinstance(part, dict | list):
            pairs = part.items() if isinstance(part, dict) else enumerate(part)
            for key, inner in pairs:
                if key not in LEFT_OUT:
                    walk(f"{name}/{key}", inner)
            leaves[f"{name}/"] = repr(len(part))
        else:
            leaves[name] = repr(part)

    walk("", json.loads(path.read_text()))
    return leaves


def _npy(path: Path) -> dict[str, str | bytes]:
    return {"array": _typed(np.load(path))}


def _picture(path: Path) -> dict[str, str | bytes]:
    return {"picture": path.read_bytes()}


READERS: dict[str, Callable[[Path], dict[str, str | bytes]]] = {
    ".safetensors": _tensors,
    ".nc": _netcdf,
    ".csv": _csv,
    ".json": _json,
    ".npy": _npy,
    ".png": _picture,
}


def numbers(work: Path) -> dict[str, dict[str, str | bytes]]:
    """All that can be compared, by file."""
    return {
        str(path.relative_to(work)): READERS[path.suffix](path)
        for path in sorted(work.rglob("*"))
        if path.suffix in READERS
    }


def differences(one: dict[str, str | bytes], other: dict[str, str | bytes]) -> list[str]:
    """Names of what only one has, or of what is not the same."""
    return [name for name in sorted(one.keys() | other) if one.get(name) != other.get(name)]


def report(one: Path, other: Path) -> bool:
    """Print the table; whether all is equal."""
    found = [numbers(work) for work in (one, other)]
    rows = {}
    for name in sorted(found[0].keys() | found[1]):
        if name in found[0] and name in found[1]:
            parts = found[0][name]
            rows[name] = (len(parts), differences(parts, found[1][name]))
        else:
            rows[name] = (0, ["in one commit only"])
    for name in ("weights.safetensors", "metrics.csv"):
        whole, resumed = (found[1][f"{folder}/{name}"] for folder in ("vae", INTERRUPTED))
        rows[f"{INTERRUPTED} as if not interrupted: {name}"] = (
            len(whole),
            differences(whole, resumed),
        )
    width = max(map(len, rows))
    for name, (count, unlike) in rows.items():
        verdict = "equal" if not unlike else f"DIFFERENT: {', '.join(unlike[:5])}"
        print(f"{name:{width}}  {count:5d}  {verdict}")
    unequal = sum(bool(unlike) for _, unlike in rows.values())
    print(f"{len(rows) - unequal} of {len(rows)} equal to the bit")
    for number, (what, words) in enumerate(COMMANDS.items(), 1):
        print(f"printed/{number:02}.json: {what}: pyro-vae {' '.join(words)}")
    return not unequal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("commits", nargs=2, metavar="COMMIT")
    commits = [git("rev-parse", "--short", name) for name in parser.parse_args().commits]
    with tempfile.TemporaryDirectory() as scratch:
        checkouts = [Path(scratch).resolve() / side for side in ("one", "other")]
        works = [folder.with_name(f"{folder.name}-work") for folder in checkouts]
        try:
            for commit, checkout, work in zip(commits, checkouts, works, strict=True):
                run_all(commit, checkout, work)
            equal = report(*works)
        finally:
            for checkout in checkouts:
                subprocess.run(
                    ["git", "worktree", "remove", "--force", str(checkout)],
                    cwd=ROOT,
                    check=False,
                    capture_output=True,
                )
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
