"""Coverage of the 95 % intervals that are given, over ``tests/inference/evidence/zoo.py``.

    python -m benchmarks.interval_coverage --runs 2000 --out docs/figures/interval-coverage.png

prints the table, and draws a figure of it. 2,000 runs of each pair at K = 100 and
1,000, and a quarter of them at 10,000, take some ten minutes of one core.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from pyro_vae.plots.style import BLUE, VERMILION, styled
from tests.inference.evidence.zoo import OUT_OF_REACH, ZOO, covered, given, replications

PARTICLES = (100, 1000, 10_000)

#: Share of intervals given below which a pair counts as withheld.
GIVEN = 0.01


def measure(runs: int, seed: int = 0) -> dict[tuple[str, int], dict[str, float]]:
    """Coverage and share given, of log p(x) and of the gap, by pair and K."""
    table = {}
    for name, pair in (ZOO | OUT_OF_REACH).items():
        for particles in PARTICLES:
            size = runs if particles < 10_000 else runs // 4
            found = replications(pair, particles, size, seed)
            row: dict[str, float] = {"runs": size}
            limit = min(1 - 1 / math.log10(particles), 0.7)
            for of, error in (("log_evidence", "se"), ("gap", "gap_se")):
                inside, let = covered(found, of), given(found, of)
                usual = ~(found["khat"] > limit)
                row |= {
                    f"{of} all": inside.mean(),
                    f"{of} khat": inside[usual].mean() if usual.any() else math.nan,
                    f"{of} given": let.mean(),
                    f"{of} covered": inside[let].mean() if let.any() else math.nan,
                    f"{of} conditional": (found["doubt"][let] == 2).mean() if let.any() else 0.0,
                    f"{of} half-width": 1.96 * np.median(found[error]),
                }
            row["khat given"] = usual.mean()
            table[name, particles] = row
    return table


def as_markdown(table: dict[tuple[str, int], dict[str, float]]) -> str:
    """A line a pair; in each cell what is given and, in brackets, how many of these cover."""
    head = "| pair | " + " | ".join(
        f"{of}, K = {k:,}" for of in ("log p(x)", "gap") for k in PARTICLES
    )
    lines = [head + " |", "|---|" + "---|" * (2 * len(PARTICLES))]
    for name in dict.fromkeys(name for name, _ in table):
        cells = []
        for of in ("log_evidence", "gap"):
            for k in PARTICLES:
                cells.append(_cell(table[name, k], of))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: dict[str, float], of: str) -> str:
    before, share, inside = row[f"{of} all"], row[f"{of} given"], row[f"{of} covered"]
    if share < GIVEN:
        return f"{before:.1%} → withheld"
    error = math.sqrt(max(inside * (1 - inside), 0.05 * 0.95) / (share * row["runs"]))
    condition = "*" if row[f"{of} conditional"] > 0.5 else ""
    return f"{before:.1%} → **{inside:.1%}** ± {error:.1%} of {share:.0%}{condition}"


@styled
def coverage_figure(table: dict[tuple[str, int], dict[str, float]]) -> Figure:
    """Coverage of every cell: of what a k-hat of 0.7 lets through, and of what is given."""
    figure = Figure(figsize=(7.4, 3.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    seen = {key: row for key, row in table.items() if key[0] in ZOO}
    for axes, of, title in zip(panels, ("log_evidence", "gap"), ("log p(x)", "gap"), strict=True):
        for share, column, colour, mark, label in (
            ("khat given", f"{of} khat", VERMILION, "x", "let through by k-hat alone"),
            (f"{of} given", f"{of} covered", BLUE, "o", "given by evidence.trust"),
        ):
            cells = [row for row in seen.values() if row[share] >= GIVEN]
            axes.plot(
                [100 * row[share] for row in cells],
                [100 * row[column] for row in cells],
                mark,
                color=colour,
                markersize=4,
                alpha=0.7,
                label=label,
            )
        axes.axhline(95, color="0.5", linewidth=1, linestyle="--")
        axes.set(xlabel="share of intervals given (%)", title=title)
    panels[0].set_ylabel("of them hold the truth (%)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = measure(options.runs)
    print(as_markdown(table))
    if options.out is not None:
        coverage_figure(table).savefig(options.out, dpi=150)


if __name__ == "__main__":
    main()
