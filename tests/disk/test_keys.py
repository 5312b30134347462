"""The key of a measurement names every setting that decides its numbers."""

import functools
import inspect

import pytest

from pyro_vae import inference
from pyro_vae.disk.runs import Run
from pyro_vae.inference.engine.sampling import Sampling
from pyro_vae.inference.evidence.certify import estimate
from pyro_vae.inference.evidence.checkpoint import ONLY_COST, Checkpoint, in_blocks, key_of
from pyro_vae.inference.evidence.reductions import reduce_weights
from pyro_vae.stored import measured

MEASURING = (
    measured.measure_run,
    measured.measure_split,
    inference.evaluate,
    reduce_weights,
    Sampling,
)
#: What a measurement is made of, which the run and the weights' checksum stand for.
MADE_OF = {"run", "model", "guide", "x", "data", "reductions", "settings", "sampling"}

#: Another value than the default of each setting.
OTHER = {
    "num_particles": 4999,
    "limit": 7,
    "seed": 1,
    "split": "train",
    "iwae": (1, 2),
    "prior_share": 0.1,
    "enumerate_discrete": True,
    "vectorize_particles": False,
    "data_plate": "data",
    "more": len,
}


def settings_of(*functions):
    return {n for f in functions for n in inspect.signature(f).parameters} - MADE_OF


def test_every_setting_of_a_measurement_is_in_its_key_or_only_costs(tmp_path):
    assert settings_of(*MEASURING) == OTHER.keys() | ONLY_COST | {"on"}
    default = measured._asked()
    # Of other rows it is their content that counts.
    rows = tmp_path / "rows.csv"
    rows.write_text("a\n1\n")
    on = measured._asked(on=rows)
    rows.rename(tmp_path / "moved.csv")
    assert measured._asked(on=tmp_path / "moved.csv") == on != default
    keys = {default}
    for name, value in OTHER.items():
        keys.add(measured._asked(**{name: value}))
    assert len(keys) == len(OTHER) + 1
    for name in ONLY_COST:
        assert measured._asked(**{name: 17}) == default
    # A default that is written out is the same measurement.
    assert measured._asked(num_particles=5000, seed=0, iwae=(1, 5, 50, 500, 5000)) == default


def test_a_setting_that_is_added_later_is_in_the_key():
    def measure(x, new_setting=1, *, progress=None):
        """It has one more."""

    assert key_of(measure) != key_of(measure, new_setting=2)
    assert key_of(measure) != key_of(lambda x, new_setting=3: None)
    assert key_of(measure) == key_of(measure, progress=print)


@pytest.mark.parametrize("function", [estimate, inference.gap_parts, in_blocks])
def test_every_number_of_the_other_measurements_is_in_their_keys(function):
    for entry in inspect.signature(function).parameters.values():
        if entry.default is inspect.Parameter.empty or entry.name in ONLY_COST:
            continue
        assert key_of(function) != key_of(function, **{entry.name: "another"}), entry.name


def asked(run, name):
    return run.results(name).attrs["asked"]


def move_weights(run):
    """Give a run other weights, with their own checksum."""
    weights, notes = run.tensors("weights.safetensors")
    moved = {key: value + 0.1 for key, value in weights.items()}
    run.write_tensors("weights.safetensors", moved, {"epoch": notes["epoch"]})


def change_data(monkeypatch):
    """Have another first test datum be read from now on."""
    load = measured.load_data

    def other_data(*arguments, **settings):
        data = load(*arguments, **settings)
        data.test[0] = 0
        return data

    monkeypatch.setattr(measured, "load_data", other_data)


@pytest.mark.slow
def test_what_is_kept_says_what_was_asked(folder):
    run = Run.open(folder)
    for name, measure in (
        ("evidence.nc", measured.measure_run),
        ("gap.nc", lambda run, **s: measured.gap_of_run(run, steps=2, **s)),
        (
            "evidence-importance.nc",
            lambda run, **s: measured.certify_run(run, ["importance"], **s),
        ),
    ):
        found = set()
        for settings in ({}, {"seed": 3}, {"limit": 2}, {"split": "validation"}):
            measure(run, **{"num_particles": 5, "limit": 3, **settings})
            found.add(asked(run, name))
        assert len(found) == 4


def test_a_result_of_other_settings_is_measured_again(folder):
    run = Run.open(folder)
    first = measured.results_of_run(run, num_particles=6, limit=3)
    assert measured.results_of_run(run, num_particles=6, limit=3, memory_limit=2**20).identical(
        first
    )
    shared = measured.results_of_run(run, num_particles=6, limit=3, prior_share=0.5)
    assert not shared["log_evidence"].equals(first["log_evidence"])
    fewer = measured.results_of_run(run, num_particles=6, limit=3, iwae=(1, 2))
    assert fewer["num_particles"].values.tolist() == [1, 2]


def test_an_estimate_that_a_run_has_is_kept_where_none_is_asked_again(folder, monkeypatch):
    measured_now = []
    real = measured.estimate

    @functools.wraps(real)  # the key takes the defaults of what is called
    def counted(name, *arguments, **settings):
        measured_now.append(name)
        return real(name, *arguments, **settings)

    def certify(estimators, again=False, **settings):
        settings = {"num_particles": 5, "limit": 3, **settings}
        certificate = measured.certify_run(run, estimators, again=again, **settings)
        names, measured_now[:] = list(measured_now), []
        return names, certificate

    monkeypatch.setattr(measured, "estimate", counted)
    run = Run.open(folder)
    rows = []
    both = ["importance", "ais"]
    few = {"num_temperatures": 3, "num_chains": 2}
    assert certify(both, **few)[0] == both  # with the annealing's settings, which are others
    names, first = certify(both, **few, progress=lambda *done: rows.append(done))
    assert (names, rows) == ([], [(3, 6), (6, 6)])
    assert list(first.estimates) == both
    # What was stopped between two estimators has the first one kept.
    (folder / "evidence-ais.nc").unlink()
    names, second = certify(both, **few)
    assert names == ["ais"]
    for name in both:
        for column in first.estimates[name]:
            assert second.estimates[name][column].equals(first.estimates[name][column]), column
    assert certify(both, again=True, **few)[0] == both
    assert certify(["importance"], seed=1)[0] == ["importance"]
    assert certify(["importance"], seed=1)[0] == []
    assert certify(["importance"], seed=1, limit=2)[0] == ["importance"]
    move_weights(run)
    assert certify(["importance"], seed=1, limit=2)[0] == ["importance"]
    assert certify(["importance"], seed=1, limit=2)[0] == []
    change_data(monkeypatch)
    assert certify(["importance"], seed=1, limit=2)[0] == ["importance"]


def test_a_checkpoint_of_other_weights_or_data_is_not_gone_on_from(folder, monkeypatch):
    keys = []
    real = Checkpoint.__init__

    def noted(self, path, key, **settings):
        real(self, path, key, **settings)
        keys.append(self)

    monkeypatch.setattr(Checkpoint, "__init__", noted)
    run = Run.open(folder)
    measured.measure_run(run, num_particles=5, limit=3)
    measured.measure_run(run, num_particles=5, limit=3)
    move_weights(run)
    measured.measure_run(run, num_particles=5, limit=3)
    change_data(monkeypatch)
    measured.measure_run(run, num_particles=5, limit=3)
    first, same, other, elsewhere = (checkpoint.key for checkpoint in keys)
    assert first == same
    assert len({first, other, elsewhere}) == 3
