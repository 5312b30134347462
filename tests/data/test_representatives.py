"""Which data are shown."""

import torch

from pyro_vae.data import Dataset
from pyro_vae.data.representatives import different_pairs, one_of_each


def test_members_are_the_first_of_each_class_and_pairs_are_of_two():
    x, labels = torch.rand(8, 4), torch.tensor([3, 1, 3, 0, 1, 2, 0, 2])
    data = Dataset.from_tensors(x, test=x, labels={"train": labels, "test": labels})
    assert one_of_each(data) == [3, 1, 5, 0]
    assert different_pairs(data) == [[3, 0], [1, 5]]
    assert different_pairs(data, 1) == [[3, 0]]
    bare = Dataset.from_tensors(x, test=x)
    assert one_of_each(bare) == list(range(8))
    assert different_pairs(bare, 3) == [[0, 1], [2, 3], [4, 5]]
