"""What depth and width of an autoencoder are worth.

Autoencoders of none, one, two and three hidden layers either side of a code of eight numbers, and
PCA, the linear case, on the digits: what they reconstruct held out, against how many parameters
they have. docs/story.md says what was found.
"""

import argparse
from pathlib import Path

from pyro_vae import data, plots
from pyro_vae.pages.report import save_figure
from pyro_vae.tour import depth_and_width


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--figure", type=Path, default=None, help="where to draw the chart")
    options = parser.parse_args()

    digits = data.load("digits", seed=0)
    table = depth_and_width(digits, seeds=range(options.seeds), epochs=options.epochs)
    shown = table.groupby(["model", "width"], sort=False).agg(
        parameters=("parameters", "first"),
        held_out=("error", "mean"),
        least=("error", "min"),
        largest=("error", "max"),
        training=("training_error", "mean"),
    )
    print("squared error by depth and width, per pixel: mean, least and largest of the seeds")
    print(shown.round(5).to_string())
    if options.figure is not None:
        save_figure(plots.error_against_size(table), options.figure)


if __name__ == "__main__":
    main()
