"""What is half-way between the codes of a half and of a full moon.

Is it a three-quarter moon? The classic argument for the VAE says so, and that an autoencoder's
mid-point is no moon at all. Here it is put to the test: an autoencoder, the poor man's VAE and a
VAE have the same networks, a code of two numbers and the same training. Every held-out half moon
is paired with a full one, no moon in two pairs, and what is decoded half-way between their codes
is held against true moons of *every* phase, radius, place and brightness (``halfway_test``). It
has reached a three-quarter moon where it is as near to a true moon as 19 in 20 of the model's own
reconstructions, and the phase is right to a tenth of the disc.

``--search`` tries other data, networks, noise, weights of the KL and likelihoods; docs/story.md
says what was found.
"""

import argparse
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pyro_vae import VAE, data, fit, plots
from pyro_vae.inference.latents import halfway_summary, halfway_test
from pyro_vae.models import Autoencoder, PoorMansVAE
from pyro_vae.models.likelihoods import ContinuousBernoulli, Likelihood, Normal
from pyro_vae.pages.report import save_figure
from pyro_vae.pictures.decoded import interpolate

MODELS = {"autoencoder": Autoencoder, "poor man's VAE": PoorMansVAE, "VAE": VAE}
FAMILY, LIT = data.every_moon()


@dataclass(frozen=True)
class Condition:
    """What the models see, and how they are made.

    The normal's sigma^2 = 1/2 makes minus the log-density the summed squared error, up to a
    constant.
    """

    moons: str = "three phases"
    likelihood: Likelihood = field(default_factory=lambda: Normal(0.5**0.5))
    hidden: tuple[int, ...] = (128, 64)
    activation: str = "relu"
    beta: float = 1.0


#: What is changed, one thing at a time, on each of the first three kinds of moons.
CHANGES: dict[str, dict[str, Any]] = {
    "as above": {},
    "sigma 0.1": {"likelihood": Normal(0.1)},
    "continuous Bernoulli": {"likelihood": ContinuousBernoulli()},
    "one layer of 32": {"hidden": (32,)},
    "tanh": {"activation": "tanh"},
    "beta 4": {"beta": 4.0},
}


def three_phases() -> data.Dataset:
    """Crescents, halves and full moons: what the argument is told of."""
    return data.load("moon-phases", seed=0)


def all_phases() -> data.Dataset:
    """Every phase from crescent to full."""
    return data.load("all-moon-phases", seed=0)


def a_gap() -> data.Dataset:
    """Every phase but those between 0.6 and 0.9."""
    whole = all_phases()
    parts = {}
    for split, labels in whole.labels.items():
        lit = 0.25 + labels / 40
        parts[split] = getattr(whole, split)[(lit <= 0.6) | (lit >= 0.9)]
    return data.Dataset("moons with a gap", **parts, kind=whole.kind)


def both_ways() -> data.Dataset:
    """Every phase, and every other moon lit from the left: it waxes and wanes."""
    whole = all_phases()
    parts = {split: getattr(whole, split).clone() for split in ("train", "validation", "test")}
    for pictures in parts.values():
        pictures[::2] = pictures[::2].flip(-1)
    return data.Dataset("waxing and waning moons", **parts, kind=whole.kind)


MOONS = {
    "three phases": three_phases,
    "all but 0.6-0.9": a_gap,
    "all phases": all_phases,
    "all, waxing and waning": both_ways,
}


def pairs() -> tuple[Tensor, Tensor]:
    """Held-out half moons and as many full ones, ``(200, 16, 16)`` each: disjoint pairs."""
    moons = three_phases()
    half, full = (moons.test[moons.labels["test"] == label] for label in (1, 2))
    return half, full


def train(name: str, condition: Condition, epochs: int, seed: int) -> torch.nn.Module:
    """One of the three models, fitted."""
    moons = MOONS[condition.moons]()
    model = MODELS[name](
        moons.event_shape,
        2,
        likelihood=condition.likelihood,
        encoder=condition.hidden,
        decoder=condition.hidden[::-1],
        activation=condition.activation,
        seed=seed,
    )
    weighted = name == "VAE" and condition.beta != 1
    fit(
        model,
        moons,
        f"beta-elbo(beta={condition.beta:g})" if weighted else None,
        epochs=epochs,
        batch_size=64,
        learning_rate=2e-3,
        schedule="cosine",
        seed=seed,
        progress=False,
    )
    return model


def judged(model: torch.nn.Module, half: Tensor, full: Tensor) -> dict[str, float]:
    """Means over pairs of what ``halfway_test`` finds."""
    found = halfway_test(model, half, full, family=FAMILY, state=LIT, gain=(0.8, 1.0))
    return halfway_summary(found)["mean"].to_dict()


def row(found: list[dict[str, float]]) -> dict[str, str]:
    """Mean over seeds, and the least and the largest; three-quarter moons in per cent."""
    table = pd.DataFrame(found)
    shown = {}
    for name, factor, digits in (
        ("reconstruction distance", 1, 3),
        ("midpoint distance", 1, 3),
        ("midpoint state", 1, 2),
        ("reached", 100, 0),
    ):
        values = factor * table[name]
        low, high = values.min(), values.max()
        shown[name] = f"{values.mean():.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"
    return shown


def walks(models: dict[str, torch.nn.Module], half: Tensor, full: Tensor) -> dict[str, np.ndarray]:
    """Nine steps from half to full, true and, for two pairs, decoded: ``(., 9, 16, 16)``."""
    paths = {"true phases": data.moon(torch.linspace(0.5, 1, 9))[None].numpy()}
    for name, model in models.items():
        lines = [interpolate(model, torch.stack([half[i], full[i]])) for i in range(2)]
        paths[name] = torch.stack(lines).numpy()
    return paths


def compare(options: argparse.Namespace) -> pd.DataFrame:
    """The three models on three phases and on all, and their walks."""
    half, full = pairs()
    rows, shown = {}, {}
    for moons in ("three phases", "all phases"):
        for name in MODELS:
            found = []
            for seed in range(options.seeds):
                model = train(name, Condition(moons), options.epochs, seed)
                found.append(judged(model, half, full))
                if seed == 0 and name != "poor man's VAE":
                    shown[f"{name}, {moons}"] = model
            rows[f"{moons}; {name}: mid-points"] = row(found)
    if options.figure is not None:
        save_figure(plots.walks(walks(shown, half, full)), options.figure)
    return pd.DataFrame.from_dict(rows, orient="index")


def search(options: argparse.Namespace) -> pd.DataFrame:
    """Autoencoder and VAE under every condition."""
    half, full = pairs()
    tried = {
        (moons, change): replace(Condition(moons), **settings)
        for moons in ("three phases", "all but 0.6-0.9", "all phases")
        for change, settings in CHANGES.items()
    }
    tried["all, waxing and waning", "as above"] = Condition("all, waxing and waning")
    rows = {}
    for (moons, change), condition in tried.items():
        for name in ("autoencoder", "VAE"):
            if name == "autoencoder" and condition.beta != 1:
                continue
            models = [train(name, condition, options.epochs, s) for s in range(options.seeds)]
            rows[moons, change, name] = row([judged(model, half, full) for model in models])
            print(moons, change, name, *rows[moons, change, name].values(), sep="; ", flush=True)
    return pd.DataFrame.from_dict(rows, orient="index")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--figure", type=Path, default=None, help="where to write the walks")
    parser.add_argument("--search", action="store_true", help="try all conditions: 10 minutes")
    options = parser.parse_args()

    table = search(options) if options.search else compare(options)
    print("Distance to the nearest true moon, root mean square per pixel; lit fraction of that")
    print("moon; three-quarter moons in per cent of mid-points. Least and largest of the seeds.")
    print(table.to_string())


if __name__ == "__main__":
    main()
