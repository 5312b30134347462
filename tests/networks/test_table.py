"""Free parameters for every datum: found by content, whatever its place."""

import copy

import pytest
import torch
from torch import nn

from pyro_vae.errors import DataError
from pyro_vae.networks import FreeParameters


@pytest.fixture
def x():
    return torch.randn(10, 4)


@pytest.fixture
def table(x):
    table = FreeParameters(12, 3, start=torch.randn(12, 3))
    table.enrol(x)
    return table


def test_lookup_is_by_content(table, x):
    assert torch.equal(table(x), table.values[:10])
    order = torch.randperm(10)
    assert torch.equal(table(x[order]), table.values[order])
    assert torch.equal(table(x[7]), table.values[7])
    shuffled = x[order[:6]].reshape(2, 3, 4)
    assert torch.equal(table(shuffled), table.values[order[:6]].reshape(2, 3, 3))
    assert torch.equal(table(x.T.contiguous().T), table.values[:10])
    assert table(x[:0]).shape == (0, 3)
    assert torch.equal(table(x.double()), table(x))


def test_equal_data_share_a_row(x):
    table = FreeParameters(10, 2)
    table.enrol(torch.cat([x[:5], x[:5]]))
    table.enrol(x)
    with torch.no_grad():
        table.values.copy_(torch.arange(20.0).reshape(10, 2))
    assert torch.equal(table(x), table.values)
    zero, negative = torch.zeros(1, 4), -torch.zeros(1, 4)
    table = FreeParameters(1, 2)
    table.enrol(zero)
    assert torch.equal(table(negative), table(zero))


def test_gradients_reach_the_rows_that_were_looked_up(table, x):
    rows = [2, 5, 5]
    weight = torch.randn(3, 3)
    (table(x[rows]) * weight).sum().backward()
    expected = torch.zeros(12, 3)
    expected[2], expected[5] = weight[0], weight[1] + weight[2]
    torch.testing.assert_close(table.values.grad, expected)


def test_unknown_data(table, x):
    with pytest.raises(DataError, match=r"2 of 4 .* datum 1: call enrol\(features\)"):
        table(torch.stack([x[0], x[0] + 1, x[1], x[1] - 1]))


def test_capacity(table, x):
    table.enrol(torch.zeros(2, 4) + torch.arange(2.0)[:, None])
    with pytest.raises(DataError, match="14 different data do not fit into num_rows=12"):
        table.enrol(torch.stack([x[0], x[0] + 1, x[1] + 1]))
    # None of those was enrolled.
    with pytest.raises(DataError, match="1 of 1"):
        table(x[0] + 1)
    table.enrol(x)


@pytest.mark.parametrize("assign", [False, True])
def test_state_round_trip(table, x, assign):
    outer, other = nn.Sequential(table), nn.Sequential(FreeParameters(12, 3))
    other.load_state_dict(copy.deepcopy(outer.state_dict()), assign=assign)
    assert torch.equal(other(x), table(x))
    assert other[0].keys.dtype == torch.int64
    other[0].enrol(x[:2] + 1)
    assert torch.equal(other(x), table(x))
    assert torch.equal(other(x[:2] + 1), other[0].values[10:12])
    # Loading forgets what was enrolled since.
    other.load_state_dict(outer.state_dict())
    with pytest.raises(DataError, match="2 of 2"):
        other(x[:2] + 1)
    assert torch.equal(copy.deepcopy(table)(x), table(x))


def test_starts(x):
    assert FreeParameters(3, 2).values.abs().sum() == 0
    assert torch.equal(FreeParameters(3, 2, torch.ones(2)).values, torch.ones(3, 2))
    with pytest.raises(ValueError, match=r"start has shape \(3,\)"):
        FreeParameters(3, 2, torch.ones(3))
    with pytest.raises(ValueError, match="num_rows got 0"):
        FreeParameters(0, 2)
