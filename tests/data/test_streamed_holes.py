"""Missing cells of data that are streamed: those of the same rows in memory, to the bit."""

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_vae import data, load_data
from pyro_vae.conversion import StreamedArray
from pyro_vae.data import Dataset
from pyro_vae.errors import DataError
from pyro_vae.inference import compare, evaluate, fit
from pyro_vae.models import VAE, MixtureModel
from pyro_vae.models.likelihoods import Normal, PerColumn
from pyro_vae.stored.loading import load_rows
from tests.data.test_streamed_batches import Counting
from tests.data.test_streamed_tables import columns, same_schema, saved
from tests.inference.training.test_streamed_fit import same, same_results

SMALL = {"epochs": 2, "batch_size": 64, "progress": False}

#: Bytes of memory that hold a few of the blocks of these data.
LITTLE = 2**13


def holed(n=900, whole=300):
    """An array of which the first rows are whole, and the others have a hole in seven cells."""
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 3.0, (n, 5)).astype(np.float32)
    x[whole:][rng.random((n - whole, 5)) < 1 / 7] = np.nan
    return x


def in_memory(streamed):
    """The same rows and cells as a data set in memory, made by other code."""
    splits = {s: streamed.inputs(s, ["observed"]) for s in ("train", "validation", "test")}
    x = {s: part["x"][:].where(part["observed"][:], torch.nan) for s, part in splits.items()}
    observed = {s: part["observed"][:] for s, part in splits.items()}
    return Dataset.from_tensors(*x.values(), kind=streamed.kind, observed=observed)


def masked():
    how = {"likelihood": Normal(), "encoder": (8,), "decoder": (8,), "seed": 0}
    return VAE((5,), 2, missing="mask", **how)


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "x.npy", holed())
    return tmp_path / "x.npy"


@pytest.mark.parametrize("memory_limit", [LITTLE, 2**28])
def test_cells_are_those_of_the_file(path, memory_limit):
    streamed = data.stream(path, memory_limit=memory_limit)
    whole = [streamed.inputs(s, ["observed"]) for s in ("train", "validation", "test")]
    x = torch.cat([part["x"][:] for part in whole])
    observed = torch.cat([part["observed"][:] for part in whole])
    assert bool(torch.isfinite(x).all())
    given = holed()
    assert int((~observed).sum()) == int(np.isnan(given).sum())
    cells = x.where(observed, -99.0).numpy()
    assert sorted(map(bytes, cells)) == sorted(map(bytes, np.nan_to_num(given, nan=-99.0)))
    rows = torch.tensor([3, 200, 3])
    assert torch.equal(streamed.observed["train"][rows], streamed.observed["train"][:][rows])


@pytest.mark.parametrize("memory_limit", [LITTLE, 2**28])
def test_a_scale_is_that_of_the_cells_that_are_there(path, memory_limit):
    plain = data.stream(path, memory_limit=memory_limit)
    scaled = data.stream(path, memory_limit=memory_limit, standardise=True)
    expected = in_memory(plain).standardised()
    np.testing.assert_allclose(scaled.affine.location, expected.affine.location, rtol=1e-12)
    np.testing.assert_allclose(scaled.affine.scale, expected.affine.scale, rtol=1e-12)
    there = scaled.observed["test"][:]
    torch.testing.assert_close(
        scaled.test[:].where(there, 0.0), expected.test.where(there, 0.0), rtol=1e-5, atol=1e-6
    )


def test_fit_and_measurement_are_those_in_memory_to_the_bit(path):
    streamed = data.stream(path)
    whole = in_memory(streamed)
    one, two = masked(), masked()
    fit(one, streamed, **SMALL)
    fit(two, whole, **SMALL)
    assert same(one, two)
    few = {name: x.first(40) for name, x in streamed.inputs("test", one.inputs).items()}
    assert all(isinstance(part, StreamedArray) for part in few.values())
    other = {name: x[:40] for name, x in whole.inputs("test", two.inputs).items()}
    same_results(evaluate(one, few, 20), evaluate(two, other, 20))


@pytest.mark.parametrize("standardise", [False, True])
def test_comparisons_are_those_in_memory(path, standardise):
    streamed = data.stream(path, memory_limit=LITTLE, standardise=standardise)
    whole, model = streamed.first_rows(), masked()
    fit(model, streamed, **SMALL)
    models = {"a": model, "b": masked()}
    found = compare(models, streamed, num_particles=5, limit=90)
    expected = compare(models, whole, num_particles=5, limit=90)
    for name in models:
        same_results(found.results[name], expected.results[name])
        for key in ("observed", "observed_cells"):
            assert found.results[name].attrs[key] == expected.results[name].attrs[key]


def test_a_mixture_integrates_holes_out(path):
    streamed = data.stream(path)
    one, two = (MixtureModel(2, Normal(), (5,), missing="marginal") for _ in range(2))
    fit(one, streamed, **SMALL)
    fit(two, in_memory(streamed), **SMALL)
    assert same(one, two)


def test_a_model_of_whole_data_is_refused_and_one_of_holes_takes_whole_data(path, tmp_path):
    vae = VAE((5,), 2, likelihood=Normal(), encoder=(8,), decoder=(8,))
    with pytest.raises(DataError, match="has missing cells, and the model is one of whole data"):
        fit(vae, data.stream(path), **SMALL)
    np.save(tmp_path / "y.npy", np.nan_to_num(holed()))
    streamed = data.stream(tmp_path / "y.npy")
    assert streamed.observed is None
    fit(masked(), streamed, **SMALL)


@pytest.mark.parametrize("kind", ["binary", "counts"])
def test_kinds_are_told_by_the_cells_that_are_there(tmp_path, kind):
    x = np.random.default_rng(0).poisson(0.5 if kind == "counts" else 0.1, (400, 3)).clip(0, 9.0)
    x = x if kind == "counts" else x.clip(0, 1)
    x[::7, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    streamed, read = data.stream(tmp_path / "x.npy"), data.read(tmp_path / "x.npy")
    assert streamed.kind == read.kind == kind
    few = streamed.first_rows(30)
    assert few.observed is not None
    assert few.kind == kind


def with_holes(rows=600, seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(columns(rows, seed))
    return pd.DataFrame({name: table[name].where(rng.random(rows) > 0.1) for name in table})


def test_the_schema_of_a_table_with_holes_is_that_of_the_table_read_whole(tmp_path):
    path, other = saved(tmp_path, with_holes()), saved(tmp_path, with_holes(60, 1), "o.parquet")
    streamed = data.stream(path, validation=other, test=other)
    read = data.read(path, validation=other, test=other)
    same_schema(streamed.schema, read.schema, exact=True)
    for split in ("train", "test"):
        there = read.observed[split]
        assert torch.equal(streamed.observed[split][:], there)
        found, expected = getattr(streamed, split)[:], getattr(read, split)
        torch.testing.assert_close(
            found.where(there, 0.0), expected.where(there, 0.0), rtol=1e-6, atol=1e-6
        )


def test_a_run_of_a_table_with_holes(tmp_path):
    table = with_holes()[["real", "gamma", "count", "words"]]
    streamed = data.stream(saved(tmp_path, table))
    vae = VAE(
        (4,),
        2,
        likelihood=PerColumn(streamed.schema.likelihoods),
        encoder=(8,),
        decoder=(8,),
        missing="mask",
    )
    fit(vae, streamed, run=tmp_path / "run", **SMALL)
    found = load_data(tmp_path / "run")
    assert torch.equal(found.train[:], streamed.train[:])
    assert torch.equal(found.observed["train"][:], streamed.observed["train"][:])
    fit(vae, found, run=tmp_path / "run", resume=True, **SMALL)
    with pytest.raises(DataError, match="every cell is empty"):
        data.stream(saved(tmp_path, {"a": [1.5, 2.5] * 40, "b": [None] * 80}, "empty.parquet"))


@pytest.mark.parametrize("memory_limit", [LITTLE, 2**28])
def test_batches_with_holes_are_gone_through_once_in_an_epoch(memory_limit):
    source = Counting(torch.from_numpy(holed()))
    streamed = data.stream(source, num_data=900, memory_limit=memory_limit)
    assert streamed.train.fits == (memory_limit == 2**28)
    begun = []
    for epochs in (5, 5, 7):
        before = source.begun
        fit(masked(), streamed, **{**SMALL, "epochs": epochs})
        begun.append(source.begun - before)
    # Two epochs more go through it twice more, and not at all where memory holds everything.
    assert begun[2] - begun[1] == (2 if memory_limit == LITTLE else 0)
    if memory_limit == 2**28:
        one, two = masked(), masked()
        fit(one, streamed, **SMALL)
        fit(two, in_memory(streamed), **SMALL)
        assert same(one, two)


def test_other_rows_with_holes_are_all_in_memory_for_what_needs_them(path, tmp_path):
    vae = masked()
    fit(vae, data.stream(path, validation=path, test=path), run=tmp_path / "run", **SMALL)
    rows = load_rows(tmp_path / "run", on=path)
    assert len(rows.test) == 900
    assert int((~rows.observed["test"]).sum()) == int(np.isnan(holed()).sum())
