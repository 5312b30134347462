"""Iterables of batches as data: their rows are cut anew, and every pass is drawn alike."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from pyro_vae import data
from pyro_vae.data import Dataset
from pyro_vae.errors import DataError
from pyro_vae.inference import evaluate, fit
from pyro_vae.models import VAE
from pyro_vae.models.likelihoods import Normal

#: Bytes of memory that hold a few of the blocks of these data.
LITTLE = 2**13
SMALL = {"epochs": 3, "batch_size": 64, "progress": False}


def rows(n=500, seed=0):
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))


def vae():
    return VAE((5,), 2, likelihood=Normal(), encoder=(8,), decoder=(8,), seed=0)


def same(one, two):
    one, two = one.state_dict(), two.state_dict()
    return all(torch.equal(one[key], two[key]) for key in one)


class Counting:
    """Batches of odd sizes; how often they were begun, and taken."""

    def __init__(self, x, sizes=(7, 50, 1)):
        self.x, self.sizes, self.begun = x, sizes, 0

    def __iter__(self):
        self.begun += 1
        start = k = 0
        while start < len(self.x):
            size = self.sizes[k % len(self.sizes)]
            yield self.x[start : start + size]
            start, k = start + size, k + 1


class Endless(IterableDataset):
    def __init__(self, x):
        self.x = x

    def __iter__(self):
        return iter(self.x)


@pytest.mark.parametrize(
    "form",
    [
        lambda x: list(x.split(30)),
        lambda x: [part.numpy() for part in x.split(30)],
        lambda x: [(part, torch.zeros(len(part))) for part in x.split(30)],
        lambda x: [{"y": torch.zeros(len(part)), "x": part} for part in x.split(30)],
        Counting,
        lambda x: DataLoader(TensorDataset(x), batch_size=64),
        lambda x: DataLoader(x, batch_size=64),
        lambda x: DataLoader(Endless(x), batch_size=64),
    ],
)
@pytest.mark.parametrize("memory_limit", [LITTLE, 2**28])
def test_rows_come_in_the_order_of_the_batches(form, memory_limit):
    x = rows()
    streamed = data.stream(form(x), test=form(rows(40, seed=1)), memory_limit=memory_limit)
    assert torch.equal(streamed.train[:], x)
    assert torch.equal(streamed.train[33:90], x[33:90])
    assert torch.equal(streamed.train[5:7], x[5:7])
    assert torch.equal(streamed.test[:], rows(40, seed=1))
    assert len(streamed.validation) == 0
    assert streamed.train.fits == (memory_limit == 2**28)


def test_a_fit_is_that_in_memory_to_the_bit_where_memory_holds_all():
    x, held_out = rows(), rows(80, seed=1)
    streamed = data.stream(DataLoader(TensorDataset(x), batch_size=90), validation=[held_out])
    one, two = vae(), vae()
    fit(one, streamed, **SMALL)
    fit(two, Dataset.from_tensors(x, held_out), **SMALL)
    assert same(one, two)
    found = evaluate(one, streamed.validation, 10)["log_evidence"]
    np.testing.assert_array_equal(found, evaluate(one, held_out, 10)["log_evidence"])


def test_an_epoch_goes_once_through_the_batches_and_has_every_row():
    source = Counting(torch.arange(900.0).reshape(-1, 1).expand(-1, 5).contiguous())
    train = data.stream(source, num_data=900, memory_limit=LITTLE).train
    assert not train.fits
    before, seen = source.begun, []
    left = torch.empty(0, dtype=torch.long)
    for window in train.windows(torch.Generator().manual_seed(0)):
        numbers = torch.cat([left, window])
        whole = len(numbers) - len(numbers) % 64
        seen += [train[batch] for batch in numbers[:whole].split(64)]
        left = numbers[whole:]
    seen.append(train[left])
    assert source.begun == before + 1
    assert torch.cat(seen)[:, 0].sort().values.tolist() == list(range(900))


def test_a_loader_that_shuffles_is_drawn_alike_and_leaves_the_draws_of_training_alone():
    x = rows()

    def fitted(**loader):
        streamed = data.stream(
            DataLoader(TensorDataset(x), batch_size=90, shuffle=True, **loader),
            memory_limit=LITTLE,
        )
        model = vae()
        torch.manual_seed(int(torch.randint(100, ())))  # whatever the process has drawn
        fit(model, streamed, **SMALL)
        return model

    assert same(fitted(), fitted())
    assert same(fitted(generator=torch.Generator()), fitted(generator=torch.Generator()))
    streamed = data.stream(DataLoader(x, batch_size=90, shuffle=True), memory_limit=LITTLE)
    assert torch.equal(streamed.train[:], streamed.train[:])


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        (iter([rows()]), {}, "which can be gone through once"),
        ((part for part in rows().split(30)), {}, "which can be gone through once"),
        ([], {}, "gives no batch"),
        (list(rows().split(30)), {"num_data": 510}, "gave 500 rows, and num_data is 510"),
        (list(rows().split(30)), {"num_data": 490}, "more than the 490 rows"),
        ([rows(), rows()[:, :3]], {}, r"rows of shape \(3,\) after such of \(5,\)"),
        ([{"y": rows()}], {}, "name the data 'x'"),
        ([torch.zeros(4)], {}, r"a batch of shape \(4,\)"),
    ],
)
def test_what_cannot_be_gone_through_is_refused(source, settings, message):
    with pytest.raises(DataError, match=message):
        data.stream(source, **settings)


def test_processes_cannot_share_batches():
    streamed = data.stream(list(rows(60).split(30)))
    with pytest.raises(DataError, match="leave n_jobs out"):
        evaluate(vae(), streamed.train, 5, n_jobs=2)


def test_what_an_iterable_draws_is_one_stream_of_draws():
    class Noisy:
        def __iter__(self):
            for _ in range(10):
                yield torch.randn(30, 5)

    torch.manual_seed(1)
    before = torch.get_rng_state()
    found = data.stream(Noisy(), num_data=300).train[:]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(0)
    assert torch.equal(found, torch.cat([torch.randn(30, 5) for _ in range(10)]))


def test_a_loader_in_the_place_of_data_is_told_of_streaming():
    loader = DataLoader(TensorDataset(torch.ones(4, 2)), batch_size=2)
    with pytest.raises(DataError, match=r"pyro_vae\.data\.stream takes a DataLoader"):
        evaluate(VAE((2,), 1), loader, 2)
