"""Strict surroundings for every test: seeded, validated, with a clean param store."""

import pyro
import pytest
import torch

# The models of the tests are small: threads would wait for each other longer than they work.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _strict_surroundings():
    pyro.clear_param_store()
    with pyro.validation_enabled(True):
        torch.manual_seed(20140501)
        yield
    assert not list(pyro.get_param_store().keys()), "a test left parameters in the global store"
