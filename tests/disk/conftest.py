import shutil

import pytest

from pyro_vae.disk.runs import Run
from pyro_vae.stored.measured import certify_run, gap_of_run, measure_run
from tests.disk.small import small_fit


@pytest.fixture(scope="session")
def _kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept") / "run"
    small_fit(folder)
    run = Run.open(folder)
    measure_run(run, num_particles=5, limit=3)
    certify_run(run, ["importance"], num_particles=5, limit=3)
    gap_of_run(run, num_particles=5, limit=3, steps=2)
    return folder


@pytest.fixture
def folder(_kept, tmp_path):
    """A measured run of one's own."""
    return shutil.copytree(_kept, tmp_path / "run")
