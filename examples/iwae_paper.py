"""The VAE and the IWAE of Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519, one layer.

784-200-200-50 with tanh, batches of 100, MNIST binarised afresh every epoch, and the paper's
learning rates: 0.001 x 10^(-i/7) for 3^i epochs, i = 0..7, 3,280 epochs in all. ``--epochs``
keeps the shares of the stages; ``--epochs 3280`` is the paper's own schedule, a day and more on
two cores. A run that is stopped goes on where it was.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from pyro_vae import VAE, data, inference, load_data, load_model
from pyro_vae.disk.runs import Run

STAGES = [3**i for i in range(8)]


def paper_schedule() -> Callable[[float], float]:
    """Multiplier of the learning rate as a function of the share of training done."""

    def multiplier(share: float) -> float:
        done, stage = share * sum(STAGES), 0
        while done >= sum(STAGES[: stage + 1]):
            stage += 1
        return 10 ** (-stage / 7)

    return multiplier


def train(objective: str, options: argparse.Namespace) -> Run:
    """Fit one model, or go on with its run, or find it done."""
    dataset = data.load(options.data, binarisation="dynamic", data_root=options.data_root)
    vae = VAE(
        dataset.event_shape, 50, encoder=(200, 200), decoder=(200, 200), activation="tanh", seed=0
    )
    folder = options.out / objective
    inference.fit(
        vae,
        dataset,
        objective,
        epochs=options.epochs,
        batch_size=100,
        schedule=paper_schedule(),
        run=folder,
        resume=(folder / "config.json").is_file(),
    )
    return Run.open(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-root", default=None)
    parser.add_argument("--out", type=Path, default=Path("runs/iwae"))
    parser.add_argument("--epochs", type=int, default=64)
    parser.add_argument("--objectives", default="elbo,iwae-5")
    parser.add_argument("--num-particles", type=int, default=5000)
    parser.add_argument("--limit", type=int, default=1000, help="test images to measure on")
    parser.add_argument("--steps", type=int, default=500, help="of the local optimisation")
    options = parser.parse_args()

    models, x = {}, torch.empty(0)
    for objective in options.objectives.split(","):
        run = train(objective, options)
        models[objective] = load_model(run)
        x = load_data(run, data_root=options.data_root).test[: options.limit]
    comparison = inference.compare(models, x, num_particles=options.num_particles)
    table = comparison.table[
        ["log_evidence", "mc_se", "difference", "dse", "elbo", "active_units"]
    ]
    print(f"log p(x) of {len(x)} test images at {options.num_particles} particles, nats per image")
    print(table.round(3).to_string())
    for note in comparison.notes:
        print(note)
    for objective, model in models.items():
        parts = inference.gap_parts(model, x, options.num_particles, steps=options.steps)
        means = {
            name: float(parts[name].mean())
            for name in ("gap", "approximation_gap", "amortisation_gap")
        }
        print(objective, {name: round(mean, 3) for name, mean in means.items()}, end=" ")
        print("converged" if parts.attrs["converged"] else "not converged: more --steps")


if __name__ == "__main__":
    main()
