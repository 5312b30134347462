"""What the tour has to say: its table, its pictures, and sentences made of its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from pyro_vae import inference, plots
from pyro_vae.data.representatives import different_pairs
from pyro_vae.inference.latents.holes import hole_summary
from pyro_vae.models import MixtureModel
from pyro_vae.pictures.decoded import decoded_draws, interpolate
from pyro_vae.stored.measured import measure_summary
from pyro_vae.tour.claims import claim_sentences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from matplotlib.figure import Figure

    from pyro_vae.data import Dataset
    from pyro_vae.tour.visits import Visit

__all__ = ["conclusions", "figures", "hole_table", "table"]

#: Share of data whose error is withheld beyond which an estimate is marked as a bound.
_UNSURE = 0.05


def table(visits: Sequence[Visit]) -> pd.DataFrame:
    """Reconstruction and log p(x), one row a model; sampling standard errors in brackets."""
    rows = {}
    for seen in visits:
        row = dict.fromkeys(("squared error", "ELBO", "log p(x)", "bits/dim"), "-")
        if seen.reconstruction is not None:
            row["squared error"] = _cell(*seen.reconstruction, digits=4)
        if seen.results is not None:
            row |= _evidence_cells(seen.results)
        rows[seen.stop.title] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def hole_table(visits: Sequence[Visit]) -> pd.DataFrame:
    """The hole test, one row a model that has codes; standard errors in brackets."""
    rows = {}
    for seen in visits:
        if seen.holes is None:
            continue
        summary = hole_summary(seen.holes)
        rows[seen.stop.title] = {
            f"{label} {score}": _cell(*summary.loc[(source, name)], digits=digits)
            for source, label in (("midpoint", "mid-point"), ("draw", "draw"))
            for score, name, digits in (("density", "log_density", 1), ("distance", "distance", 4))
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _evidence_cells(results: xr.Dataset) -> dict[str, str]:
    """ELBO, log p(x) and bits; a bound is marked as one."""
    summary, attrs = measure_summary(results), results.attrs

    def cell(name: str, digits: int) -> str:
        return _cell(summary.loc[name, "mean"], summary.loc[name, "sampling_se"], digits=digits)

    # Weights with such tails give a lower bound that more particles would raise.
    unsure = summary["mean"].get("withheld", 0.0) > _UNSURE
    bound = bool(attrs.get("deterministic_guide")) or bool(unsure and not attrs["exact"])
    row = {"ELBO": cell("elbo", 1)}
    row["log p(x)"] = ("≥ " if bound else "") + cell("log_evidence", 1)
    if attrs["base_measure"] != "counting":
        row["log p(x)"] += " density"
    if "bits_per_dim" in summary.index:
        row["bits/dim"] = ("≤ " if bound else "") + cell("bits_per_dim", 3)
    return row


def _cell(mean: float, error: float, *, digits: int) -> str:
    return f"{mean:.{digits}f} ({error:.{digits}f})"


def figures(seen: Visit, data: Dataset, *, seed: int = 0) -> dict[str, Figure]:
    """Reconstructions, walks between codes, and draws, by caption."""
    found: dict[str, Any] = {}
    scale = data.unit_scale
    if len(data.event_shape) != 2:
        return found
    if not isinstance(seen.model, MixtureModel):
        model: Any = seen.model
        originals = data.test[:10]
        back = inference.reconstruct(model, originals)
        found["Test data and their reconstructions."] = plots.reconstructions(
            (scale * originals).numpy(), (scale * back).numpy()
        )
        walks = [scale * interpolate(model, data.test[pair]) for pair in different_pairs(data)]
        found["Straight lines between the codes of two test data."] = plots.interpolation(
            torch.stack(walks).numpy()
        )
    images, caption = decoded_draws(seen.model, data, 40, seed=seed)
    found[caption] = plots.image_grid((scale * images).numpy())
    return found


def conclusions(visits: Sequence[Visit]) -> list[str]:
    """Sentences that say what the numbers show, made of the numbers."""
    by_name = {seen.stop.name: seen for seen in visits}
    lines = []
    pca, linear = by_name.get("pca"), by_name.get("linear-vae")
    if pca and linear and pca.results is not None and linear.results is not None:
        difference = float((linear.results["log_evidence"] - pca.results["log_evidence"]).mean())
        lines.append(
            f"The linear VAE's log p(x) differs from PCA's by {difference:+.2f} nats per datum: "
            "they are one model, fitted in two ways, and the "
            "rest is training not yet done."
        )
    lines += _hole_sentence(by_name)
    lines += _bits_sentence(visits)
    return lines + claim_sentences(visits)


def _hole_sentence(by_name: Mapping[str, Visit]) -> list[str]:
    """Mid-points of the VAE beside those of the deep autoencoder."""
    vae, deep = by_name.get("vae"), by_name.get("deep-autoencoder")
    if vae is None or deep is None or vae.holes is None or deep.holes is None:
        return []
    found = inference.latents.compare_holes(vae.holes, deep.holes)
    lines = []
    for source, what in (("midpoint", "mid-points of codes"), ("draw", "draws around codes")):
        mean, error = found.loc[(source, "log_density")]
        nearer = found.loc[(source, "distance"), "mean"]
        lines.append(
            f"Decoded {what}: those of the VAE have a reference log-density "
            f"{abs(mean):.1f} nats {'above' if mean > 0 else 'below'} the deep autoencoder's "
            f"(standard error {error:.1f}), and lie {abs(nearer):.4f} "
            f"{'nearer to' if nearer < 0 else 'further from'} the nearest training picture."
        )
    return lines


def _bits_sentence(visits: Sequence[Visit]) -> list[str]:
    """The best model by bits per dimension."""
    bits = {}
    for seen in visits:
        if seen.results is not None:
            summary = measure_summary(seen.results)
            if "bits_per_dim" in summary.index:
                bits[seen.stop.title] = float(summary.loc["bits_per_dim", "mean"])
    if not bits:
        return []
    best = min(bits, key=lambda title: bits[title])
    return [
        f"By held-out log p(x), or the bound on it, {best} needs the fewest bits: "
        f"{bits[best]:.3f} per dimension. Autoencoders are not in that ranking: they have no "
        "log p(x)."
    ]
