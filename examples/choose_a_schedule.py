"""Batch size and learning rate, chosen on training images that are held out, never on test images.

Every pair trains the one-layer VAE of Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519,
for the same number of epochs, with two epochs of warm-up and a cosine to zero; what counts is the
bound of the validation images at the end. A pair is written ``BATCH:RATE``.
"""

import argparse
import time

from pyro_vae import data, evaluate, fit
from pyro_vae.reproduction.experiments.iwae import one_layer
from pyro_vae.reproduction.trained import warmed_cosine

PAIRS = "100:0.001,100:0.002,100:0.004,200:0.004,200:0.008,400:0.008"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-root", default=None)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--objective", default="elbo")
    parser.add_argument("--pairs", default=PAIRS)
    parser.add_argument("--limit", type=int, default=500, help="images for log p(x)")
    options = parser.parse_args()

    # The sixth of the training images that MNIST holds out unless it is told otherwise.
    dataset = data.load(options.data, binarisation="dynamic", data_root=options.data_root)
    print(f"{options.objective}, {options.epochs} epochs; validation images of {dataset}")
    for pair in options.pairs.split(","):
        batch_size, rate = pair.split(":")
        vae, began = one_layer(dataset, seed=0), time.monotonic()
        done = fit(
            vae,
            dataset,
            options.objective,
            epochs=options.epochs,
            batch_size=int(batch_size),
            learning_rate=float(rate),
            schedule=warmed_cosine(2)(options.epochs),
        )
        seconds = time.monotonic() - began
        found = evaluate(vae, dataset.validation[: options.limit], 500)
        print(
            f"batch {batch_size}, rate {rate}: bound {done.metrics['validation_elbo'].max():.2f}, "
            f"log p(x) {float(found['log_evidence'].mean()):.2f} nats, {seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
