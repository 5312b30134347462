"""A user's own network is looked at before any long work starts."""

import pytest
import torch
from torch import nn

from pyro_vae.errors import DataError
from pyro_vae.networks import MLP, FreeParameters, check_network


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Normalised(nn.Module):
    """Batch normalisation of the flattened batch, and some dropout."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.dropout = nn.Dropout().eval()

    def forward(self, x):
        return self.dropout(self.norm(x.reshape(-1, 4))).reshape(x.shape)


@pytest.mark.parametrize(
    "network",
    [MLP(4, (), 4), MLP(4, (5,), 4).double(), nn.Identity(), FreeParameters(2, 4), Normalised()],
)
def test_networks_that_fit(network):
    check_network("encoder", network, 4, 4)


def test_a_look_changes_nothing():
    network = Normalised()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    check_network("encoder", network, 4, 4)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert network.training
    assert network.norm.training
    assert not network.dropout.training


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (MLP(4, (), 5), r"maps \(2, 3, 4\) to \(2, 3, 5\): it must map \(2, 3, 4\) to \(2, 3, 6"),
        (nn.Flatten(), r"maps \(2, 3, 4\) to \(2, 12\)"),
        (Pair(), "to tuple: it must map"),
        (MLP(7, (), 6), r"fails on .* \(2, 3, 4\) \(RuntimeError: .*mat1 .*must map \(2, 3, 4\)"),
        (FreeParameters(2, 5), "size_out=5: it must give 6"),
    ],
)
def test_networks_that_do_not(network, message):
    with pytest.raises(DataError, match=f"decoder .*{message}") as caught:
        check_network("decoder", network, 4, 6)
    assert "\n" not in str(caught.value)
