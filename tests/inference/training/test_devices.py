"""Which of several processes speaks and writes."""

import pytest

from pyro_vae.inference.training.devices import is_first_process


@pytest.mark.parametrize(("rank", "first"), [(None, True), ("0", True), ("1", False)])
def test_one_process_of_a_machine_is_the_first(monkeypatch, rank, first):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert is_first_process() is first
