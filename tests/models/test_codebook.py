"""The codebook against SciPy's distances, a recursion by hand, and the k-means fixed point."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from pyro_vae.errors import DataError, UnknownNameError
from pyro_vae.models import codebook
from pyro_vae.models.codebook import Codebook

DIRECT = "donot_use_mm_for_euclid_dist"  # exactly zero between equal vectors


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_assignment_is_the_nearest_by_brute_force(offset):
    book = Codebook(20, 3, seed=1)
    book.codes += offset
    h = torch.randn(7, 50, 3) + offset
    distances = cdist(h.reshape(-1, 3).double(), book.codes.double())
    np.testing.assert_array_equal(book.assign(h).flatten(), distances.argmin(1))
    torch.testing.assert_close(book(book.assign(h)).shape, h.shape)


def test_update_is_the_recursion_by_hand():
    book = Codebook(3, 2, decay=0.9, revive_below=0.0)
    use, sums, codes = (t.double().numpy().copy() for t in (book.use, book.sums, book.codes))
    for _ in range(4):
        h = torch.randn(5, 2, 2)
        z = torch.randint(0, 2, (5, 2))  # the third code is never used
        book.update(h, z)
        for k in range(3):
            members = h[z == k].double().numpy()
            use[k] = 0.9 * use[k] + 0.1 * len(members) / 10
            sums[k] = 0.9 * sums[k] + 0.1 * members.sum(0) / 10
            if len(members):
                codes[k] = sums[k] / use[k]
    np.testing.assert_allclose(book.use, use, rtol=1e-5)
    np.testing.assert_allclose(book.sums, sums, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(book.codes, codes, rtol=1e-4, atol=1e-6)


def test_fixed_vectors_lead_to_the_means_of_their_clusters():
    centres = torch.tensor([[-4.0, 0.0], [4.0, 0.0], [0.0, 6.0]])
    h = centres.repeat_interleave(30, 0) + 0.5 * torch.randn(90, 2)
    book = Codebook(3, 2, decay=0.9)
    book.start(h)
    for _ in range(300):
        book.update(h, book.assign(h))
    z = book.assign(h)
    means = torch.stack([h[z == k].mean(0) for k in range(3)])
    torch.testing.assert_close(book.codes, means, rtol=1e-4, atol=1e-4)
    assert sorted(torch.bincount(z).tolist()) == [30, 30, 30]


@pytest.mark.parametrize("updates", ["ema", "gradient"])
def test_codes_out_of_use_move_to_vectors_of_the_batch(updates):
    book = Codebook(4, 2, updates=updates, decay=0.5, revive_below=0.1)
    h = torch.randn(20, 2)
    with torch.no_grad():
        book.codes.copy_(torch.tensor([[0.0, 0.0], [50.0, 0.0], [60.0, 0.0], [70.0, 0.0]]))
    for step in range(3):
        book.update(h, book.assign(h))
        assert (book.codes[1:, 0] > 40).all(), step  # 1 / 2^3 of the mean use is above a tenth
    book.update(h, book.assign(h))
    distance = torch.cdist(book.codes[1:].detach(), h, compute_mode=DIRECT).min(1)
    assert (distance.values == 0).all()
    assert len(set(distance.indices.tolist())) == 3
    assert (book.use[1:] == 0.25).all()
    if updates == "ema":
        torch.testing.assert_close(book.sums, book.codes * book.use.unsqueeze(1))
    idle = Codebook(4, 2, decay=0.5, revive_below=0.0)
    idle.codes[1:] += 50.0
    for _ in range(200):
        idle.update(h, idle.assign(h))
    assert (idle.codes[1:] > 40).all()
    assert torch.isfinite(idle.codes).all()


def test_a_code_that_the_batch_uses_stays_however_rare():
    book = Codebook(2, 1, updates="gradient", decay=0.0, revive_below=0.5)
    h = torch.tensor([[1.0]] * 9 + [[5.0]])
    with torch.no_grad():
        book.codes.copy_(torch.tensor([[0.0], [6.0]]))
    book.update(h, book.assign(h))
    torch.testing.assert_close(book.use, torch.tensor([0.9, 0.1]))
    assert book.codes.tolist() == [[0.0], [6.0]]


def test_more_dead_codes_than_vectors():
    book = Codebook(8, 2, decay=0.0, revive_below=0.5)
    h = torch.randn(3, 2)
    book.update(h, torch.zeros(3, dtype=torch.long))
    distance, row = torch.cdist(book.codes, h, compute_mode=DIRECT).min(1)
    assert sorted(row[distance == 0].tolist()) == [0, 1, 2]


def test_start_puts_every_code_at_a_vector():
    h = torch.randn(40, 3)
    book = Codebook(10, 3)
    book.start(h, seed=2)
    distance = torch.cdist(book.codes, h, compute_mode=DIRECT).min(1)
    assert (distance.values < 1e-6).all()
    assert len(set(distance.indices.tolist())) == 10
    with pytest.raises(DataError, match="9 vectors"):
        book.start(h[:9])


def test_codes_start_at_some_of_many_vectors_whatever_their_order(monkeypatch):
    """Of 50 at one place and then 50 at another 20 are looked at: all of the first once in 1e7."""
    monkeypatch.setattr(codebook, "_START_VECTORS", 20)
    h = torch.tensor([[-5.0, 0.0], [5.0, 0.0]]).repeat_interleave(50, 0) + 0.1 * torch.randn(
        100, 2
    )
    found = []
    for seed in (2, 2):
        book = Codebook(2, 2)
        book.start(h, seed=seed)
        assert sorted(book.codes[:, 0].sign().tolist()) == [-1, 1]
        found.append(book.codes)
    assert torch.equal(*found)


def test_bad_settings():
    with pytest.raises(UnknownNameError, match="updates 'emma'"):
        Codebook(4, 2, updates="emma")
    with pytest.raises(ValueError, match="num_codes got 0"):
        Codebook(0, 2)
    with pytest.raises(ValueError, match=r"decay got 1\.0"):
        Codebook(4, 2, decay=1.0)
    with pytest.raises(ValueError, match="revive_below got -1"):
        Codebook(4, 2, revive_below=-1)
