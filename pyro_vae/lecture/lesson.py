"""Which panels there are, in which order, and what each is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyro_vae.errors import SettingError
from pyro_vae.lecture.page import write_page
from pyro_vae.lecture.panels.codebook import codebook_of
from pyro_vae.lecture.panels.codes import codes_of
from pyro_vae.lecture.panels.collapse import collapse_of
from pyro_vae.lecture.panels.continuum import continuum_of
from pyro_vae.lecture.panels.decoder import digits_decoder
from pyro_vae.lecture.panels.divergence import divergence_of
from pyro_vae.lecture.panels.gap import gap_of
from pyro_vae.lecture.panels.holes import holes_of
from pyro_vae.lecture.panels.noise import noise_of
from pyro_vae.progress import measuring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["PANELS", "TOY", "write_explorer", "write_lecture"]

#: The model of the panels that need no training: z ~ Normal(0, 1), x | z ~ Normal(w z + b, s).
TOY = {"w": 1.5, "b": 0.5, "s": 1.0}


def _toy(_: int) -> dict[str, Any]:
    return {"toy": TOY}


#: Every panel in the order of the lecture, and what makes its numbers of a seed.
PANELS: dict[str, Callable[[int], dict[str, Any]]] = {
    "codes": codes_of,
    "holes": holes_of,
    "noise": noise_of,
    "divergence": divergence_of,
    "continuum": continuum_of,
    "identity": _toy,
    "gradients": _toy,
    "sampling": _toy,
    "gap": gap_of,
    "collapse": collapse_of,
    "codebook": codebook_of,
    "decoder": digits_decoder,
}
#: Those of a page to explore a run with.
_EXPLORED = ("identity", "sampling")


def write_lecture(
    path: Path,
    *,
    panels: Iterable[str] | None = None,
    run: dict[str, Any] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> None:
    """Train what the panels show, and write the page.

    Parameters
    ----------
    path
        HTML file to write, whole or not at all.
    panels
        Which of ``PANELS``, in their order there; all without it.
    run
        What ``describe_run`` gave, for the last panel in place of a model trained here.
    seed
        Seed of the models that are trained here.
    progress
        Whether to show a bar; by default where somebody can see it move.

    Raises
    ------
    SettingError
        If there is no panel of that name, or none was named; if there is a run and no panel
        for it.
    """
    chosen = _chosen(PANELS if panels is None else panels)
    if run is not None and "decoder" not in chosen:
        raise SettingError(
            f"run got {run['name']!r}, which the panel 'decoder' alone shows: add it to panels, "
            "or leave the run out"
        )
    made = {}
    with measuring("panels", show=progress) as advance:
        for done, name in enumerate(chosen, 1):
            made[name] = run if name == "decoder" and run is not None else PANELS[name](seed)
            advance(done, len(chosen))
    write_page(path, made, heading="lecture")


def write_explorer(path: Path, run: dict[str, Any] | None = None) -> None:
    """Write the page of the identity, of importance sampling and, given one, of a run's decoder.

    Parameters
    ----------
    path
        HTML file to write, whole or not at all.
    run
        What ``describe_run`` gave; without it the page has its first two panels.
    """
    made = {name: PANELS[name](0) for name in _EXPLORED}
    if run is not None:
        made["decoder"] = run
    write_page(path, made, heading="explore")


def _chosen(names: Iterable[str]) -> list[str]:
    wanted = list(names)
    unknown = [name for name in wanted if name not in PANELS]
    if unknown or not wanted:
        raise SettingError(
            f"panels got {', '.join(map(repr, unknown)) or 'none'}: name one or more of "
            f"{', '.join(PANELS)}"
        )
    return [name for name in PANELS if name in wanted]
