"""Which of several processes speaks and writes, and what torchrun is told."""

import pytest
import torch

from pyro_vae.errors import SettingError
from pyro_vae.inference.training.devices import fabric_on, is_alone, is_first_process


@pytest.mark.parametrize(
    ("ranks", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "RANK": "0"}, True),
        ({"LOCAL_RANK": "0", "RANK": "4"}, False),  # the first of another machine
    ],
)
def test_one_process_of_all_is_the_first(monkeypatch, ranks, first):
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, rank in ranks.items():
        monkeypatch.setenv(name, rank)
    assert is_first_process() is first


def test_torchrun_says_how_many_processes_there_are(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_torchelastic_launched", lambda: True)
    found = {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "RANK": "5", "LOCAL_RANK": "1"}
    for name, value in {**found, "GROUP_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert not is_alone(1)
    for devices in (1, 4):
        assert fabric_on("cpu", devices, "32-true").world_size == 8
    with pytest.raises(SettingError, match=r"devices got 3, and torchrun started 4 processes"):
        fabric_on("cpu", 3, "32-true")
