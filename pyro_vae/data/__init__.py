"""Data sets by name, and those of one's own: their splits, their schema, their binarisation."""

from pyro_vae.on_demand import without_trace

with without_trace():
    from pyro_vae.data.catalogue import Entry, catalogue, load
    from pyro_vae.data.dataset import Dataset
    from pyro_vae.data.hiding import hide
    from pyro_vae.data.kind import Kind
    from pyro_vae.data.moon_phases import every_moon, moon
    from pyro_vae.data.reading.reader import read
    from pyro_vae.data.schema.column import Column
    from pyro_vae.data.schema.schema import Schema
    from pyro_vae.data.sprites import SPRITE_FACTORS
    from pyro_vae.data.streamed.dataset import StreamedDataset
    from pyro_vae.data.streamed.reader import stream

__all__ = [
    "SPRITE_FACTORS",
    "Column",
    "Dataset",
    "Entry",
    "Kind",
    "Schema",
    "StreamedDataset",
    "catalogue",
    "every_moon",
    "hide",
    "load",
    "moon",
    "read",
    "stream",
]
