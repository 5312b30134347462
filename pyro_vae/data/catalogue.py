"""The data sets by name: what is there, what can be had, and ``load``."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, NamedTuple

from pyro_vae.data.binarisation import binarise, check_binarisation
from pyro_vae.data.dataset import Dataset
from pyro_vae.data.digits import Digits
from pyro_vae.data.frey_faces import FreyFaces
from pyro_vae.data.grey_levels import Preprocessed, check_values, preprocess
from pyro_vae.data.hiding import hide as hide_cells
from pyro_vae.data.hiding import parse_pattern
from pyro_vae.data.moon_phases import AllMoonPhases, MoonPhases
from pyro_vae.data.simulated import Moons, Pinwheel
from pyro_vae.data.sources import require_files, resolve_data_root
from pyro_vae.data.sprites import Sprites
from pyro_vae.data.tables import BreastCancer, Iris, Wine
from pyro_vae.data.torchvision_images import KMNIST, MNIST, FashionMNIST
from pyro_vae.errors import DataError, MissingDataError, UnknownNameError
from pyro_vae.verbs import verb

if TYPE_CHECKING:
    from pathlib import Path

    from pyro_vae.data.kind import Kind
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
        Sprites(),
        MoonPhases(),
        AllMoonPhases(),
        Pinwheel(),
        Moons(),
        Iris(),
        Wine(),
        BreastCancer(),
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


@verb
def load(
    name: str = "digits",
    *,
    binarisation: str = "none",
    values: str | None = None,
    standardise: bool = False,
    total_exposure: bool = False,
    hide: str | None = None,
    num_validation: int | None = None,
    seed: int = 0,
    data_root: str | Path | None = None,
    download: bool = False,
) -> Dataset:
    """Load a named data set.

    Parameters
    ----------
    name
        ``digits``, ``mnist``, ``fashion-mnist``, ``kmnist``, ``frey-faces``, ``sprites`` or
        ``moon-phases``, which are grey levels; ``pinwheel``, ``moons``, ``iris``, ``wine`` or
        ``breast-cancer``.
    binarisation
        ``none``; ``threshold`` at half the maximum; ``stochastic``, Bernoulli of the grey
        level, drawn once; ``dynamic``, training data drawn afresh every epoch.
    values
        Form of grey levels that are not binarised. ``unit-interval``: divided by the largest.
        ``levels``: as they are, counts. ``dequantised``: (level + u) / (largest + 1) with u
        uniform on (0, 1), drawn once: the mean over u of log p(level + u) is at most the log
        mass of the level (Theis et al., 2016, arXiv 1511.01844). None: levels for digits and
        sprites, else the unit interval.
    standardise
        Give every feature mean 0 and standard deviation 1 over the training data; for real and
        unit-interval data.
    total_exposure
        Give every row of counts its total, over the mean total, as exposure.
    hide
        Pattern of cells that are made missing, as in ``"cells(share=0.5)"``; see ``hide``.
    num_validation
        Number of validation data, the last of those that are no test data; the set's own split
        unless given.
    seed
        Seed of the binarisation, the dequantisation, of simulated data and of what is hidden.
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
        If the name, the binarisation or the form of the values is unknown.
    MissingDataError
        If the files are not there, or cannot be downloaded.
    DataError
        If a file is broken, or the data cannot have the form that was asked for.

    Examples
    --------
    >>> load("digits", binarisation="stochastic")
    Dataset digits: 1257 train, 180 validation, 360 test; 8x8, binary, binarisation stochastic
    """
    if name not in _SOURCES:
        raise UnknownNameError("data set", name, _SOURCES)
    check_binarisation(binarisation)
    if hide is not None:
        parse_pattern(hide)
    source = _SOURCES[name]
    if values is not None:
        check_values(values)
    _check_form(source, binarisation, values)
    root, named = resolve_data_root(data_root)
    seed = int(operator.index(seed))
    download = download and source.downloadable and bool(source.missing_files(root))
    if download:
        _make_root(root)
    else:
        require_files(source, root, named)
    raw = source.read(root, seed, download)
    if num_validation is not None:
        raw = raw.cut(name, num_validation)
    largest = source.largest_level
    if largest is None:
        form = Preprocessed(raw.splits, source.kind, None, "as given", None)
    elif binarisation != "none":
        splits = {
            split: binarise(x / largest, binarisation, seed, split)
            for split, x in raw.splits.items()
        }
        form = Preprocessed(splits, "binary", None, "as given", None)
    else:
        values = values or ("levels" if source.kind == "counts" else "unit-interval")
        form = preprocess(raw.splits, largest, values, seed)
    data = Dataset(
        name,
        form.splits["train"],
        form.splits["validation"],
        form.splits["test"],
        kind=form.kind,
        maximum=form.maximum,
        labels=raw.labels,
        covariates=raw.covariates,
        binarisation=binarisation,
        values=values,
        seed=seed,
        base_measure=form.base_measure,
        affine=form.affine,
        num_validation=num_validation,
    )
    if hide is not None:
        data = hide_cells(data, hide, seed=seed)
    if total_exposure:
        data = data.with_total_exposure()
    return data.standardised() if standardise else data


def _check_form(source: Source, binarisation: str, values: str | None) -> None:
    """Refuse a form that these data cannot have, or two at once."""
    if source.largest_level is None:
        for argument, got in (("binarisation", binarisation), ("values", values)):
            if got not in ("none", None):
                raise DataError(
                    f"{argument} got {got!r} for {source.name}, whose values are real numbers "
                    f"with no grey level: leave {argument} out, and take a normal likelihood"
                )
    elif values is not None and binarisation != "none":
        raise DataError(
            f"values got {values!r} with binarisation {binarisation!r}: binary data have no "
            "grey levels left; leave one of the two out"
        )


def _make_root(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MissingDataError(
            f"the data root {root} cannot be made ({error.strerror}): give a folder that can be "
            "written to (--data-root or PYRO_VAE_DATA)"
        ) from error
