"""Every part as scikit-learn asks for its settings: got, set, cloned."""

import pytest
import torch
from sklearn.base import clone

from pyro_vae.errors import SettingError
from pyro_vae.models import VAE
from pyro_vae.models.autoencoders import Corruption
from pyro_vae.models.code_priors import CodePrior
from pyro_vae.models.guides import Guide
from pyro_vae.models.likelihoods import Likelihood, Normal, PerColumn
from pyro_vae.models.mechanisms import Mechanism, SelfMasking
from pyro_vae.models.priors import MixtureOfNormals, Prior
from pyro_vae.networks import Architecture, Convolutional, Dense

NEEDED = {
    "binomial": {"total_count": 4},
    "categorical": {"num_classes": 4},
    "discretised-logistic": {"num_levels": 4},
    "ordinal": {"num_classes": 4},
    "per-column": {"columns": [Normal(), "bernoulli"]},
}
PARTS = [
    role.named(name, **NEEDED.get(name, {}))
    for role in (Likelihood, Prior, Guide, Mechanism, Corruption, CodePrior)
    for name, part in role.registry.items()
    if part.__module__.startswith("pyro_vae")
]
NETWORKS = [
    Architecture.registry[name](**({"num_rows": 3} if name == "unamortised" else {}))
    for name, part in Architecture.registry.items()
    if part.__module__.startswith("pyro_vae")
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.role} {part.name}")
def test_a_part_is_cloned_and_set(part):
    twin = clone(part)
    assert type(twin) is type(part)
    assert twin is not part
    assert twin.to_config() == part.to_config()
    assert part.get_params(deep=True) == twin.get_params(deep=False)
    assert part.set_params() is part
    again = twin.set_params(**part.get_params())
    assert again is twin
    assert repr(twin) == repr(part)
    with pytest.raises(SettingError, match="no setting 'nonsense'"):
        part.set_params(nonsense=1)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_an_architecture_is_its_own_clone(network):
    assert clone(network) is network
    assert network.with_params(**network.get_params()) == network
    with pytest.raises(SettingError, match="no setting 'nonsense'"):
        network.with_params(nonsense=1)


def test_a_setting_is_checked_and_what_is_made_of_it_is_made_anew():
    normal = Normal()
    assert normal.set_params(scale="latent").sigma.blocks == 1
    assert normal.with_params(scale=2.0).scale == 2.0
    assert normal.scale == "latent"
    with pytest.raises(ValueError, match="scale got -1"):
        normal.set_params(scale=-1.0)
    assert normal.scale == "latent"
    with pytest.raises(ValueError, match="num_components got 0"):
        MixtureOfNormals(2).set_params(num_components=0)
    assert Dense((3,)).with_params(hidden=[4, 5]).hidden == (4, 5)
    with pytest.raises(ValueError, match="0"):
        Convolutional().with_params(channels=(0,))


def test_a_part_of_a_model_is_left_whole():
    vae = VAE(
        (3,),
        2,
        likelihood=Normal(),
        prior=MixtureOfNormals(2),
        encoder=(4,),
        decoder=(4,),
        missing="mask",
        mechanism=SelfMasking([0]),
    )
    for part in (vae.likelihood, vae.prior, vae.guide_family, vae.mechanism):
        before = part.state_dict()
        with pytest.raises(SettingError, match="is part of a model"):
            part.set_params(**part.get_params())
        assert part.state_dict().keys() == before.keys()
        fresh = clone(part)
        assert part.built
        assert not fresh.built
        assert not list(fresh.parameters())
    columns = PerColumn([Normal(), Normal()])
    columns.build((2,))
    assert not {id(part) for part in clone(columns).columns} & {id(p) for p in columns.columns}
    assert vae.model(torch.zeros(5, 3)).shape == (5, 3)
