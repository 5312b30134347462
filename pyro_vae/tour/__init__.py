"""From compression to generation, model by model, on one data set and at one length of code.

The order is that of the field's introductions: PCA; the autoencoder, shallow, deep and
denoising; noise on the code and a norm; the VAE, and its KL weighted; the mixture, whose
continuous limit the VAE is; the codebook, and a prior learned over it.
"""

from pyro_vae.tour.claims import Claims, claims_table, pixel_accuracy
from pyro_vae.tour.moons import (
    MOON_STOPS,
    MoonStop,
    MoonVisit,
    fit_moons,
    moon_sentences,
    moon_table,
    moon_walks,
    visit_moons,
)
from pyro_vae.tour.sizes import depth_and_width
from pyro_vae.tour.stops import STOPS, Plan, Stop, likelihood_for
from pyro_vae.tour.story import conclusions, figures, hole_table, table
from pyro_vae.tour.visits import Visit, fit_stop, visit

__all__ = [
    "MOON_STOPS",
    "STOPS",
    "Claims",
    "MoonStop",
    "MoonVisit",
    "Plan",
    "Stop",
    "Visit",
    "claims_table",
    "conclusions",
    "depth_and_width",
    "figures",
    "fit_moons",
    "fit_stop",
    "hole_table",
    "likelihood_for",
    "moon_sentences",
    "moon_table",
    "moon_walks",
    "pixel_accuracy",
    "table",
    "visit",
    "visit_moons",
]
