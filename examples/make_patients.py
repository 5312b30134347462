"""Write patients.csv, a table of every kind of column from a story that is known, and its twin.

Frailty z1 and inflammation z2 are N(0, 1) and independent; every column depends on them. In
patients_with_holes.csv some cells are empty, by mechanisms that are known too. The patients are
not real.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd


def patients(count: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of the table, and the z that they were drawn from."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, 2))
    frailty, inflammation = z.T
    cuts = [-1.2, 0.6, 2.2]  # of the ordinal column, on the logit scale
    latent = 1.8 * frailty + rng.logistic(size=count)
    days = np.rint(420 + 160 * frailty + rng.normal(0, 60, count)).astype(int)
    ward_logits = np.stack([0 * frailty, 1.2 * frailty, 1.2 * inflammation - 0.5], axis=1)
    ward = (ward_logits + rng.gumbel(size=(count, 3))).argmax(1)
    table = pd.DataFrame(
        {
            "patient": [f"P{i:04d}" for i in range(count)],
            "admitted": np.datetime64("2023-01-01") + days.astype("timedelta64[D]"),
            "age": np.round(66 + 8 * frailty + rng.normal(0, 5, count), 1),
            "sex": rng.choice(["female", "male"], count),
            "ward": np.array(["general", "geriatric", "infectious"])[ward],
            "severity": np.array(["none", "mild", "moderate", "severe"])[
                np.searchsorted(cuts, latent)
            ],
            "falls": rng.poisson(np.exp(-0.4 + 0.7 * frailty)),
            "crp": np.round(np.exp(1.6 + 0.9 * inflammation + rng.normal(0, 0.4, count)), 2),
            "oxygen": np.round(
                rng.beta(
                    *(40 / (1 + np.exp(np.array([[-1], [1]]) * (2.5 - 0.8 * inflammation)))), count
                ),
                3,
            ).clip(0.001, 0.999),
            "smoker": np.where(
                rng.random(count) < 1 / (1 + np.exp(1.5 - 1.5 * inflammation)), "yes", "no"
            ),
        }
    )
    return table, z


def with_holes(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The table with empty cells: at random, given other columns, and by what stood there.

    ``crp`` is missing completely at random, one time in five; ``oxygen`` and ``smoker`` more often
    where the disease is severe, which is always known; ``age`` the more often the older a patient
    is: log-odds of being there 1.2 - 1.5 (age - 66) / 9.4.
    """
    rng = np.random.default_rng(seed)
    severe = table["severity"].isin(["moderate", "severe"])
    older = (table["age"] - 66) / np.hypot(8, 5)
    missing = {
        "crp": np.full(len(table), 0.2),
        "oxygen": np.where(severe, 0.5, 0.1),
        "smoker": np.where(severe, 0.4, 0.05),
        "age": 1 / (1 + np.exp(1.2 - 1.5 * older)),
    }
    holed = table.copy()
    for column, share in missing.items():
        holed[column] = holed[column].mask(rng.random(len(table)) < share)
    return holed


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "examples")
    table, _ = patients(400, seed=0)
    table.to_csv(folder / "patients.csv", index=False)
    with_holes(table, seed=1).to_csv(folder / "patients_with_holes.csv", index=False)
    print(f"wrote {len(table)} rows to {folder / 'patients.csv'}, and a twin with empty cells")
