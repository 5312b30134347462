"""A table with a column of every kind, for tests of reading it and of what is made of it."""

import numpy as np
import pandas as pd

#: What has to be said of the table, as a person types it.
COLUMNS = "id=drop, grade=ordinal(levels=[low, mid, high]), site=covariate, centre=label"

#: Kind, likelihood and type of cells of every column, as the schema ought to have them.
EXPECTED = {
    "id": ("text", "", "word"),
    "age": ("real", "normal", "number"),
    "stage": ("ordinal", "ordinal(num_classes=4)", "number"),
    "grade": ("ordinal", "ordinal(num_classes=3)", "word"),
    "smoker": ("yes-no", "bernoulli", "word"),
    "falls": ("count", "poisson", "number"),
    "visits": ("count", "negative-binomial", "number"),
    "crp": ("positive", "log-normal", "number"),
    "wait": ("positive", "gamma", "number"),
    "share": ("share", "beta", "number"),
    "change": ("real", "student-t", "number"),
    "seen": ("date", "normal", "time"),
    "at": ("date", "normal", "time"),
    "colour": ("category", "categorical(num_classes=3)", "word"),
    "site": ("category", "", "word"),
    "centre": ("yes-no", "", "number"),
}


def mixed(count=200, seed=0):
    """A frame of independent columns."""
    rng = np.random.default_rng(seed)
    days = rng.integers(0, 900, count)
    return pd.DataFrame(
        {
            "id": [f"p{i}" for i in range(count)],
            "age": rng.normal(60, 12, count).round(1),
            "stage": rng.integers(1, 5, count),
            "grade": rng.choice(["low", "mid", "high"], count),
            "smoker": rng.choice(["yes", "no"], count),
            "falls": rng.poisson(2, count),
            "visits": rng.negative_binomial(1, 0.1, count),
            "crp": rng.lognormal(1, 1, count).round(3),
            "wait": rng.gamma(0.7, 9, count).round(4) + 1e-4,
            "share": rng.beta(2, 3, count),
            "change": rng.standard_t(2, count),
            "seen": pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D"),
            "at": pd.Timestamp("2021-05-01 08:30:00")
            + pd.to_timedelta(rng.integers(0, 10**6, count), unit="s"),
            "colour": rng.choice(["blue", "green", "red"], count),
            "site": rng.choice(list("ABC"), count),
            "centre": rng.integers(0, 2, count),
        }
    )
