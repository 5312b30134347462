"""The package imported in a process that has nothing of it yet: what comes with it, and when.

``python -m tests.first_import`` fails where an import leaves a trace, or comes too early;
names of steps after it are those that are taken.
"""

import importlib
import pkgutil
import random
import sys
import warnings

random.seed(1)
GENERATOR, FILTERS = random.getstate(), list(warnings.filters)

import numpy as np  # noqa: E402

NUMPY = np.random.get_state()[1].tolist()

#: What takes long to import, and no more than a few calls need.
HEAVY = ("arviz", "lightning_fabric", "matplotlib", "scipy.stats", "sklearn", "torchvision")


def check_absent(*names):
    assert [name for name in names if name in sys.modules] == []


def check_no_trace():
    assert random.getstate() == GENERATOR
    assert np.random.get_state()[1].tolist() == NUMPY
    # NumPy was imported above, and has filters of its own.
    added = [kind for kind in warnings.filters if kind not in FILTERS]
    assert all("numpy" in str(kind) for kind in added), added


def the_package():
    import pyro_vae
    import pyro_vae.cli

    check_absent(*HEAVY, "pandas", "pyro", "scipy", "torch", "xarray")
    assert set(pyro_vae.__all__) <= set(dir(pyro_vae))
    assert not hasattr(pyro_vae, "fitt")


def parts_of_a_model():
    from pyro_vae.models.likelihoods import Likelihood

    assert Likelihood.registry
    check_absent(*HEAVY, "pandas", "scipy", "xarray", "torch._dynamo")


def verbs():
    import pyro_vae.inference.training.fit

    # A file of that name does not take the verb's place.
    assert callable(pyro_vae.inference.fit)
    assert callable(pyro_vae.inference.training.fit)
    for name in pyro_vae.__all__:
        getattr(pyro_vae, name)
    check_absent(*HEAVY)


def calls_that_need_more():
    import torch

    from pyro_vae import MixtureModel, data, fit
    from pyro_vae.inference.engine import pareto_khat
    from pyro_vae.models import PCA
    from pyro_vae.models.likelihoods import StudentT

    check_absent(*HEAVY)
    digits = data.load("digits")
    assert "sklearn.datasets" in sys.modules
    check_no_trace()
    heavy_tails = MixtureModel(2, likelihood=StudentT())
    fit(heavy_tails, digits.train[:20].flatten(1), epochs=1, batch_size=10, progress=False)
    assert {"lightning_fabric", "scipy.stats", "sklearn.cluster"} <= sys.modules.keys()
    check_no_trace()
    PCA((64,), 2).initialise(digits.train[:20].flatten(1))
    pareto_khat(torch.linspace(0, 1, 100).reshape(50, 2))
    check_absent("arviz")


def everything():
    import pyro_vae

    for module in pkgutil.walk_packages(pyro_vae.__path__, "pyro_vae."):
        if not module.name.endswith("__main__"):
            found = importlib.import_module(module.name)
            for name in getattr(found, "__all__", ()):
                getattr(found, name)


def check_libraries():
    """Generators untouched, validation on, nothing in Pyro's store, matplotlib as it comes."""
    import matplotlib as mpl
    import pyro
    import torch

    # PyTorch starts from 53 random bits; a seed that somebody set would be a small number.
    assert torch.initial_seed() >= 2**32
    untouched = torch.Generator().manual_seed(torch.initial_seed())
    assert torch.equal(torch.get_rng_state(), untouched.get_state())
    assert torch.get_default_dtype() == torch.float32
    assert torch.distributions.Distribution._validate_args
    for normal in (torch.distributions.Normal, pyro.distributions.Normal):
        try:
            normal(0.0, -1.0)
        except ValueError:
            continue
        raise AssertionError("a negative scale was let through")
    assert not pyro.settings.get("module_local_params")
    assert not list(pyro.get_param_store().keys())
    assert dict(mpl.rcParams) == dict(mpl.rcParamsOrig)


if __name__ == "__main__":
    chosen = sys.argv[1:]
    for step in (the_package, parts_of_a_model, verbs, calls_that_need_more, everything):
        if not chosen or step.__name__ in chosen:
            step()
            check_no_trace()
    if not chosen:
        check_libraries()
