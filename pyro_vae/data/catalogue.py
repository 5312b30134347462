"""The data sets by name: what is there, what can be had, and ``load``."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, NamedTuple

from pyro_vae.data.binarisation import binarise, check_binarisation
from pyro_vae.data.dataset import Dataset
from pyro_vae.data.digits import Digits
from pyro_vae.data.frey_faces import FreyFaces
from pyro_vae.data.simulated import Moons, Pinwheel
from pyro_vae.data.sources import require_files, resolve_data_root
from pyro_vae.data.torchvision_images import KMNIST, MNIST, FashionMNIST
from pyro_vae.errors import DataError, MissingDataError, UnknownNameError

if TYPE_CHECKING:
    from pathlib import Path

    from pyro_vae.data.dataset import Kind
    from pyro_vae.data.sources import Source

__all__ = ["Entry", "catalogue", "load"]

_SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Digits(),
        MNIST(),
        FashionMNIST(),
        KMNIST(),
        FreyFaces(),
        Pinwheel(),
        Moons(),
    )
}


class Entry(NamedTuple):
    """A line of the catalogue.

    Attributes
    ----------
    name, description, event_shape, kind
        What it is.
    available
        Whether ``load`` would find it without a download.
    where
        The folder it is in, or how to have it.
    """

    name: str
    description: str
    event_shape: tuple[int, ...]
    kind: Kind
    available: bool
    where: str


def catalogue(*, data_root: str | Path | None = None) -> list[Entry]:
    """Every named data set, and whether it is on this machine.

    Parameters
    ----------
    data_root
        Folder with the data sets; ``PYRO_VAE_DATA``, else the user's cache folder.
    """
    root, _ = resolve_data_root(data_root)
    entries = []
    for source in _SOURCES.values():
        available = not source.missing_files(root)
        where = str(root) if available and not source.built_in else source.how_to_get(root)
        entries.append(
            Entry(
                source.name,
                source.description,
                source.event_shape,
                source.kind,
                available,
                where,
            )
        )
    return entries


def load(
    name: str = "digits",
    *,
    binarisation: str = "none",
    seed: int = 0,
    data_root: str | Path | None = None,
    download: bool = False,
) -> Dataset:
    """Load a named data set.

    Parameters
    ----------
    name
        ``digits``, ``mnist``, ``fashion-mnist``, ``kmnist``, ``frey-faces``, ``pinwheel`` or
        ``moons``.
    binarisation
        ``none``; ``threshold`` at half the maximum; ``stochastic``, Bernoulli of the grey
        level, drawn once; ``dynamic``, training data drawn afresh every epoch.
    seed
        Seed of the binarisation, and of simulated data.
    data_root
        Folder with the data sets; ``PYRO_VAE_DATA``, else the user's cache folder.
    download
        Fetch a missing set into the data root.

    Returns
    -------
    Dataset
        Float32 splits, with labels where the set has them.

    Raises
    ------
    UnknownNameError
        If the name or the binarisation is unknown.
    MissingDataError
        If the files are not there, or cannot be downloaded.
    DataError
        If a file is broken, or real numbers were to be binarised.

    Examples
    --------
    >>> load("digits", binarisation="stochastic")
    Dataset digits: 1257 train, 180 validation, 360 test; 8x8, binary, binarisation stochastic
    """
    if name not in _SOURCES:
        raise UnknownNameError("data set", name, _SOURCES)
    check_binarisation(binarisation)
    source = _SOURCES[name]
    if binarisation != "none" and source.kind == "real":
        raise DataError(
            f"binarisation got {binarisation!r} for {name}, whose values are real numbers with "
            "no grey level: take binarisation='none' and a normal likelihood"
        )
    root, named = resolve_data_root(data_root)
    seed = int(operator.index(seed))
    download = download and source.downloadable and bool(source.missing_files(root))
    if download:
        _make_root(root)
    else:
        require_files(source, root, named)
    raw = source.read(root, seed, download)
    splits, kind, maximum = raw.splits, source.kind, source.maximum
    if binarisation != "none":
        splits = {
            split: binarise(x / (maximum or 1), binarisation, seed, split)
            for split, x in splits.items()
        }
        kind, maximum = "binary", None
    return Dataset(
        name,
        splits["train"],
        splits["validation"],
        splits["test"],
        kind=kind,
        maximum=maximum,
        labels=raw.labels,
        binarisation=binarisation,
        seed=seed,
    )


def _make_root(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MissingDataError(
            f"the data root {root} cannot be made ({error.strerror}): give a folder that can be "
            "written to (--data-root or PYRO_VAE_DATA)"
        ) from error
