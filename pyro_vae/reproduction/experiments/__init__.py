"""Published experiments, one in each file."""

from pyro_vae.reproduction.experiment import Experiment
from pyro_vae.reproduction.experiments.ais import AIS
from pyro_vae.reproduction.experiments.disentanglement import DISENTANGLEMENT
from pyro_vae.reproduction.experiments.dreg import DREG
from pyro_vae.reproduction.experiments.frey import FREY
from pyro_vae.reproduction.experiments.gap import GAP
from pyro_vae.reproduction.experiments.iwae import IWAE
from pyro_vae.reproduction.experiments.miwae import MIWAE
from pyro_vae.reproduction.experiments.ppca import PPCA
from pyro_vae.reproduction.experiments.vamp_prior import VAMP_PRIOR

__all__ = ["EXPERIMENTS"]

#: Every experiment by name: bounds and priors, their measurement, tables, codes, faces.
EXPERIMENTS: dict[str, Experiment] = {
    each.name: each
    for each in (PPCA, IWAE, DREG, VAMP_PRIOR, AIS, GAP, MIWAE, DISENTANGLEMENT, FREY)
}
