"""What the tour has to say: its table, its pictures, and sentences made of its numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from pyro_vae import inference, plots
from pyro_vae.gallery import decoded_draws, different_pairs, interpolate
from pyro_vae.held_out import measure_summary
from pyro_vae.inference.holes import hole_summary
from pyro_vae.models import MixtureModel
from pyro_vae.tour.visits import Visit, unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from pyro_vae.data import Dataset

__all__ = ["conclusions", "figures", "table"]


def table(visits: Sequence[Visit]) -> pd.DataFrame:
    """The tour in numbers, one row a model; means with standard errors in brackets."""
    rows = {}
    for seen in visits:
        row = dict.fromkeys(
            (
                "squared error",
                "ELBO",
                "log p(x)",
                "bits/dim",
                "mid-point density",
                "mid-point distance",
                "draw density",
                "draw distance",
            ),
            "-",
        )
        if seen.reconstruction is not None:
            row["squared error"] = _cell(*seen.reconstruction, digits=4)
        if seen.results is not None:
            row |= _evidence_cells(seen)
        if seen.holes is not None:
            summary = hole_summary(seen.holes)
            for source, label in (("midpoint", "mid-point"), ("draw", "draw")):
                row[f"{label} density"] = _cell(*summary.loc[(source, "log_density")], digits=1)
                row[f"{label} distance"] = _cell(*summary.loc[(source, "distance")], digits=4)
        rows[seen.stop.title] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _evidence_cells(seen: Visit) -> dict[str, str]:
    """ELBO, log p(x) and bits of a model that has them; the sampling error stands in brackets."""
    assert seen.results is not None
    summary = measure_summary(seen.results)
    attrs = seen.results.attrs

    def cell(name: str, digits: int) -> str:
        return _cell(summary.loc[name, "mean"], summary.loc[name, "sampling_se"], digits=digits)

    row = {"ELBO": cell("elbo", 1)}
    if attrs.get("deterministic_guide"):
        row["log p(x)"] = f">= {cell('elbo', 1)}"
    else:
        row["log p(x)"] = cell("log_evidence", 1)
    if attrs["base_measure"] != "counting":
        row["log p(x)"] += " density"
    if "bits_per_dim" in summary.index:
        bits = cell("bits_per_dim", 3)
        row["bits/dim"] = f"<= {bits}" if attrs.get("deterministic_guide") else bits
    return row


def _cell(mean: float, error: float, *, digits: int) -> str:
    return f"{mean:.{digits}f} ({error:.{digits}f})"


def figures(seen: Visit, data: Dataset, *, seed: int = 0) -> dict[str, Figure]:
    """Reconstructions, walks between codes, and draws, by caption."""
    found: dict[str, Any] = {}
    scale = unit(data)
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
            "they are one model, fitted in two ways."
        )
    lines += _hole_sentence(by_name)
    lines += _bits_sentence(visits)
    return lines


def _hole_sentence(by_name: Mapping[str, Visit]) -> list[str]:
    """Mid-points of the VAE beside those of the deep autoencoder."""
    vae, deep = by_name.get("vae"), by_name.get("deep-autoencoder")
    if vae is None or deep is None or vae.holes is None or deep.holes is None:
        return []
    lines = []
    for source, what in (("midpoint", "mid-points of codes"), ("draw", "draws around codes")):
        difference = (
            vae.holes[f"{source}_log_density"].values - deep.holes[f"{source}_log_density"].values
        )
        mean, error = difference.mean(), difference.std(ddof=1) / math.sqrt(len(difference))
        nearer = (
            vae.holes[f"{source}_distance"].values - deep.holes[f"{source}_distance"].values
        ).mean()
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
