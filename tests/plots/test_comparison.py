"""The figure of a comparison: every model in its row, with the numbers of the table."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pyro_vae import plots


def table(count):
    rng = np.random.default_rng(0)
    evidence = np.sort(rng.normal(-20, 1, count))[::-1]
    names = [f"student-t-likelihood-{i}+vamp-prior-{i}+iwae-50" for i in range(count)]
    return pd.DataFrame(
        {
            "log_evidence": evidence,
            "elbo": evidence - rng.gamma(2, 0.3, count),
            "mc_se": 0.01,
            "sampling_se": 0.2,
            "difference": evidence - evidence[0],
            "dse": np.where(np.arange(count) == 0, 0.0, 0.1),
        },
        index=names,
    )


@pytest.mark.parametrize("count", [1, 2, 6, 16])
def test_every_model_has_its_row_and_its_numbers(count):
    shown = table(count)
    figure = plots.model_comparison(SimpleNamespace(table=shown))
    left, right = figure.axes
    assert [text.get_text().replace("\n", "") for text in left.get_yticklabels()] == list(
        shown.index
    )
    points = left.containers[0].lines[0].get_xdata().astype(float)
    np.testing.assert_allclose(points, shown["log_evidence"])
    np.testing.assert_allclose(
        right.containers[0].lines[0].get_xdata().astype(float), shown["difference"]
    )
    # The best is on top.
    assert left.get_ylim()[0] > left.get_ylim()[1]
    assert "nats" in left.get_xlabel()
