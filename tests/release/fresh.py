"""A wheel in an empty environment, far from the repository: README's commands, one by one.

``python -m tests.release.fresh dist/*.whl`` installs it, runs the commands on small data, and
fails at the first that fails. ``PIP_CONSTRAINT`` and pip's other variables are pip's, as ever.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: README's commands, on data that are built in, and few.
COMMANDS = """
pyro-vae --help
pyro-vae data
pyro-vae data patients.csv --columns patient=drop
pyro-vae fit --run runs/patients --data patients.csv --columns patient=drop --epochs 2
pyro-vae evaluate runs/patients --limit 20 --num-particles 50
pyro-vae score runs/patients --num-particles 50
pyro-vae sample runs/patients
pyro-vae fit --run runs/digits --data digits --binarisation stochastic --epochs 1
pyro-vae fit --run runs/digits --resume
pyro-vae evaluate runs/digits --limit 20 --num-particles 50 --jobs 2
pyro-vae report runs/digits
pyro-vae sample runs/digits
pyro-vae figure interpolation runs/digits
pyro-vae explore runs/digits
pyro-vae lecture --panels holes,collapse,decoder --run runs/digits
pyro-vae derive --out derivation.html
pyro-vae fit --run runs/vamp --data digits --binarisation stochastic --epochs 1 \
 --prior vamp-prior(num_components=20)
pyro-vae compare runs/digits runs/vamp --limit 20 --num-particles 50
"""
#: Where torchvision was not installed, whoever asks for its data is told of the extra.
WITHOUT_EXTRAS = """
import importlib.util
import pyro_vae
from pyro_vae import data

assert "site-packages" in pyro_vae.__file__, pyro_vae.__file__
if importlib.util.find_spec("torchvision") is None:
    try:
        data.load("mnist", data_root=".", download=True)
    except pyro_vae.errors.MissingDataError as error:
        assert "pip install 'pyro-vae[images]'" in str(error), error
    else:
        raise AssertionError("mnist was loaded without torchvision")
"""


def main(wheel: str) -> None:
    """Install and run; the temporary folder goes with everything in it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        venv.create(place / "env", with_pip=True)
        scripts = place / "env" / ("Scripts" if os.name == "nt" else "bin")
        # Nothing of the repository is found by accident.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environment["PATH"] = f"{scripts}{os.pathsep}{environment['PATH']}"
        run = {"check": True, "cwd": place, "env": environment}
        python = str(scripts / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", Path(wheel).resolve()], **run)
        subprocess.run([python, "-m", "pip", "check"], **run)
        shutil.copy(ROOT / "examples" / "patients.csv", place)
        for line in COMMANDS.replace("\\\n", "").strip().splitlines():
            print(f"$ {line}", flush=True)
            subprocess.run([scripts / "pyro-vae", *line.split()[1:]], **run, stdout=sys.stderr)
        subprocess.run([python, "-c", WITHOUT_EXTRAS], **run)
        size = sum(p.stat().st_size for p in (place / "env").rglob("*") if p.is_file())
    print(f"{Path(wheel).name} works by itself; its environment takes {size / 1e9:.1f} GB")


if __name__ == "__main__":
    main(*sys.argv[1:])
