"""Precisions that round what matrix products multiply, and nothing else."""

import pytest
import torch

from pyro_vae.disk.runs import Run
from pyro_vae.errors import RunError, SettingError
from pyro_vae.inference import fit
from pyro_vae.inference.training.devices import PRODUCTS, matrix_products
from pyro_vae.models import VAE
from pyro_vae.recording import has_compiler

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)).sigmoid().bernoulli()
FEW = {"epochs": 2, "batch_size": 20, "progress": False}
ROUNDED = [precision for precision, named in PRODUCTS.items() if named is not None]


class Noting(VAE):
    """A VAE that notes what PyTorch is set to whenever it is run through."""

    found: set[str]

    def model(self, x):
        self.found.add(torch.get_float32_matmul_precision())
        return super().model(x)


def noting(fails=False):
    vae = Noting((6,), 2, encoder=(8,), decoder=(8,))
    vae.found = set()
    if fails:
        vae.model = lambda x: 1 / 0
    return vae


@pytest.mark.parametrize("precision", ROUNDED)
def test_products_are_set_while_it_trains_and_put_back(precision):
    vae, before = noting(), torch.get_float32_matmul_precision()
    fit(vae, X, precision=precision, compile="off", **FEW)
    assert vae.found == {PRODUCTS[precision]}
    assert torch.get_float32_matmul_precision() == before
    with pytest.raises(ZeroDivisionError):
        fit(noting(fails=True), X, precision=precision, compile="off", **FEW)
    assert torch.get_float32_matmul_precision() == before


def test_what_pytorch_is_set_to_stands_unless_told_otherwise():
    vae = noting()
    with matrix_products("32-medium"):
        fit(vae, X, compile="off", **FEW)
    assert vae.found == {"medium"}


def test_pytorch_is_not_asked_unless_told_otherwise(monkeypatch):
    """It refuses to say, where its newer settings of the same were used."""

    def refuses():
        raise RuntimeError

    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuses)
    vae = VAE((6,), 2, encoder=(8,), decoder=(8,))
    assert fit(vae, X, compile="graph", **FEW).compiled == "graph"


@pytest.mark.parametrize("precision", ROUNDED)
def test_steps_are_recorded_and_the_run_keeps_the_precision(precision, tmp_path):
    result = fit(noting(), X, run=tmp_path, precision=precision, compile="graph", **FEW)
    assert result.compiled == "graph"
    assert Run.open(tmp_path).config()["fit"]["precision"] == precision
    longer = FEW | {"epochs": 3}
    with pytest.raises(RunError, match="precision"):
        fit(noting(), X, run=tmp_path, resume=True, compile="graph", **longer)


@pytest.mark.parametrize("precision", ROUNDED)
def test_a_step_is_that_of_rounded_factors(precision):
    """To within the rounding: 8 and 11 bits of each factor, over a layer of 200 products."""
    x = torch.randn(300, 200, generator=torch.Generator().manual_seed(1))
    w = torch.randn(200, 300, generator=torch.Generator().manual_seed(2))
    exact = x.double() @ w.double()
    with matrix_products(precision):
        found = x @ w
    bits = {"32-medium": 8, "32-high": 11}[precision]
    # Errors of two factors, each uniform over the last bit at most, and independent.
    sd = (2 * (x.double() ** 2) @ (w.double() ** 2) / 3).sqrt() * 2.0**-bits
    assert float(((found.double() - exact) / sd).abs().max()) < 6


def test_an_unknown_precision_is_refused_with_all_there_are():
    with pytest.raises(SettingError, match=r"precision='32-low'.*32-high.*32-medium"):
        fit(noting(), X, precision="32-low", **FEW)


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler(), reason="inductor needs a C++ compiler")
def test_compiled_steps_are_those_of_the_handlers_to_the_rounding():
    vae = VAE((784,), 50, encoder=(200, 200), decoder=(200, 200), activation="tanh")
    x = torch.rand(200, 784, generator=torch.Generator().manual_seed(0)).bernoulli()
    result = fit(vae, x, "iwae-5", precision="32-medium", compile="inductor", **FEW)
    assert result.compiled == "inductor"
