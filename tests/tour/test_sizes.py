"""The chart of depth and width: what is counted, and PCA's error by scikit-learn."""

import numpy as np
import pytest
from sklearn import decomposition

from pyro_vae import data
from pyro_vae.errors import DataError
from pyro_vae.tour import depth_and_width


def test_every_size_is_fitted_and_counted():
    digits = data.load("digits")
    table = depth_and_width(digits, 3, depths=(1, 2), widths=(5,), seeds=(0, 1), epochs=1)
    assert table["model"].tolist() == [
        "PCA",
        *(2 * ["shallow"]),
        *(2 * ["1 hidden layer"]),
        *(2 * ["2 hidden layers"]),
    ]
    # Weights and biases, encoder and decoder, of 64 pixels and a code of 3.
    assert table["parameters"].tolist()[1::2] == [
        65 * 3 + 4 * 64,
        65 * 5 + 6 * 3 + 4 * 5 + 6 * 64,
        65 * 5 + 6 * 5 + 6 * 3 + 4 * 5 + 6 * 5 + 6 * 64,
    ]
    first, second = table.loc[table["model"] == "shallow", "error"]
    assert first != second
    pca = decomposition.PCA(3).fit(digits.train.flatten(1).numpy() / 16)
    for column, x in (("error", digits.test), ("training_error", digits.train)):
        rows = x.flatten(1).numpy() / 16
        expected = np.square(rows - pca.inverse_transform(pca.transform(rows))).mean()
        assert table.loc[0, column] == pytest.approx(expected, rel=1e-4)


def test_data_of_no_mass_are_refused():
    with pytest.raises(DataError, match="real values"):
        depth_and_width(data.load("moons"), 1, epochs=1)
