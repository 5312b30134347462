"""Named data sets, their splits and their binarisation."""

from pyro_vae.data.catalogue import Entry, catalogue, load
from pyro_vae.data.dataset import Dataset, Kind

__all__ = ["Dataset", "Entry", "Kind", "catalogue", "load"]
