"""The parts of ``fit``, each by itself."""

import math
import warnings
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from lightning_fabric import Fabric
from pyro.infer import Trace_ELBO
from torch import nn

from pyro_vae.data import Dataset, load
from pyro_vae.disk.runs import Run
from pyro_vae.errors import (
    DataError,
    NonFiniteLossError,
    ProgramError,
    RunError,
    UnknownNameError,
    WriteError,
)
from pyro_vae.inference import fit
from pyro_vae.inference.training.epochs import EpochBounds, run_epochs
from pyro_vae.inference.training.folder import TrainingFolder, config_of, held_run
from pyro_vae.inference.training.loss import Loss, LossAndGradients, ThroughHandlers
from pyro_vae.inference.training.non_finite import first_bad_site
from pyro_vae.inference.training.processes import Processes
from pyro_vae.inference.training.program import make_ready, require_gradients, require_trainable
from pyro_vae.inference.training.progress import bound_text, progress_bar
from pyro_vae.inference.training.settings import (
    TrainingSettings,
    multiplier_of,
    schedule_name,
)
from pyro_vae.inference.training.splits import Splits, dataset_of
from pyro_vae.inference.training.state import TrainingState, weights_of
from pyro_vae.inference.training.steps import Steps, epoch_seed, update_by
from pyro_vae.inference.training.validation import Validation
from pyro_vae.models import VAE, MixtureModel
from pyro_vae.models.condition import Labels
from pyro_vae.models.likelihoods import Bernoulli
from pyro_vae.progress import wants_bar

X = (torch.arange(160) % 3 == 0).float().reshape(40, 4)


def small_vae(seed=0, **settings):
    return VAE((4,), 2, encoder=(6,), decoder=(6,), seed=seed, **settings)


def asked(**settings):
    defaults = {
        "epochs": 4,
        "batch_size": 10,
        "learning_rate": 0.5,
        "schedule": "constant",
        "clip_norm": None,
        "patience": None,
        "seed": 0,
        "precision": "32-true",
        "compile": "auto",
    }
    return TrainingSettings(**(defaults | settings))


# What is asked


def test_the_rate_of_an_epoch_is_that_of_the_share_before_it():
    def halving(share):
        return 1 - share / 2

    for schedule, rates in (
        ("constant", [0.5] * 4),
        ("cosine", [0.25 * (1 + math.cos(math.pi * k / 4)) for k in range(4)]),
        (halving, [0.5, 0.4375, 0.375, 0.3125]),
    ):
        assert [asked(schedule=schedule).rate(epoch) for epoch in range(4)] == rates


def test_a_batch_is_no_larger_than_the_data():
    assert asked().within(10) == asked()
    with pytest.warns(UserWarning, match="batch_size 10 is larger than the 3"):
        assert asked().within(3).batch_size == 3


def test_the_warning_of_a_large_batch_points_to_the_call():
    with pytest.warns(UserWarning, match="batch_size") as caught:
        fit(small_vae(), X, epochs=1, batch_size=99)
    assert caught[0].filename == __file__


def test_a_schedule_that_gives_no_rate_is_refused_where_it_does():
    multiplier = multiplier_of(lambda share: 1 - 2 * share)
    assert multiplier(0.5) == 0
    with pytest.raises(ValueError, match=r"^schedule gave -0\.5 at the share 0\.75 of training"):
        multiplier(0.75)
    with pytest.raises(UnknownNameError, match="Did you mean 'cosine'"):
        multiplier_of("cosin")


def test_functions_are_one_schedule_where_they_give_the_same():
    assert schedule_name("cosine", 10) == "cosine"
    first = schedule_name(lambda share: 1 - share, 10)
    assert first == schedule_name(lambda done: 1 - done, 10)
    assert first != schedule_name(lambda share: 1 - share / 2, 10)
    assert first != schedule_name(lambda share: 1 - share, 11)
    # However many epochs there are, a name is made in a moment.
    assert schedule_name(lambda share: 1 - share, 10**12).startswith("custom ")


def test_a_run_with_another_function_for_a_schedule_is_not_resumed(tmp_path):
    settings = {"epochs": 2, "batch_size": 20, "progress": False, "run": tmp_path / "run"}
    fit(small_vae(), X, schedule=lambda share: 1 - share, **settings)
    with pytest.raises(RunError, match=r"other settings of fit \(schedule\)"):
        fit(small_vae(), X, schedule=lambda share: 1 - share / 2, resume=True, **settings)
    again = fit(small_vae(), X, schedule=lambda share: 1 - share, resume=True, **settings)
    assert again.stopped == "epochs"


def test_what_is_kept_of_the_settings_is_what_decides():
    config = asked(schedule=lambda share: 1.0, clip_norm=2.0).as_config(Trace_ELBO())
    assert config["objective"] == "elbo"
    assert config["schedule"].startswith("custom ")
    assert (config["epochs"], config["clip_norm"], config["patience"]) == (4, 2.0, None)


# What is trained


def test_what_cannot_be_trained_is_refused():
    with torch.no_grad(), pytest.raises(ProgramError, match="gradients off"):
        require_gradients()
    for wrong in (object(), nn.Linear(1, 1), SimpleNamespace(model=len, guide=len)):
        with pytest.raises(TypeError, match="model got"):
            require_trainable(wrong)
    require_trainable(small_vae())


def test_a_model_is_initialised_unless_it_goes_on():
    splits = Splits.of(MixtureModel(2, Bernoulli()), dataset_of(X))
    fresh, resumed = MixtureModel(2, Bernoulli(), (4,)), MixtureModel(2, Bernoulli(), (4,))
    make_ready(fresh, splits, goes_on=False)
    make_ready(resumed, splits, goes_on=True)
    assert fresh.initialised
    assert resumed.initialised
    assert fresh.eta.abs().max() > 0
    assert resumed.eta.abs().max() == 0
    # Without parameters there is nothing to load a checkpoint into.
    unbuilt = MixtureModel(2, Bernoulli())
    make_ready(unbuilt, splits, goes_on=True)
    assert unbuilt.eta.abs().max() > 0


def test_a_guide_with_parameters_for_each_datum_is_not_validated():
    digits = load("digits", binarisation="stochastic")
    model = VAE((8, 8), 1, encoder=(4,), decoder=(4,)).unamortised(digits.train)
    splits = make_ready(model, Splits.of(model, digits), goes_on=False)
    assert len(splits.validation) == 0
    dynamic = load("digits", binarisation="dynamic")
    with pytest.raises(DataError, match="unamortised guide"):
        make_ready(model, Splits.of(model, dynamic), goes_on=False)


# The data


def test_side_information_goes_with_its_split():
    digits = load("digits")
    model = VAE((8, 8), 1, encoder=(4,), decoder=(4,), condition=Labels(10))
    splits = Splits.of(model, digits)
    assert set(splits.train) == {"x", "condition"}
    assert len(splits.train["condition"]) == len(digits.train)
    assert len(splits.validation["condition"]) == len(digits.validation)
    assert len(splits.without_validation().validation["x"]) == 0


def test_every_epoch_has_its_own_binarisation_where_it_is_dynamic():
    digits = load("digits", binarisation="dynamic")
    splits = Splits.of(VAE((8, 8), 1, encoder=(4,), decoder=(4,)), digits)
    first, second = splits.train_in(0), splits.train_in(1)
    assert torch.equal(first, digits.epoch_train(0))
    assert not torch.equal(first, second)
    assert torch.equal(second, splits.train_in(1))
    still = Splits.of(small_vae(), dataset_of(X))
    assert still.train_in(0) is still.train_in(1)
    assert dataset_of(still.data) is still.data


# The run


CONFIG = {"objective": "elbo", "epochs": 4, "batch_size": 10, "learning_rate": 0.1}
CONFIG |= {"schedule": "constant", "clip_norm": None, "patience": None, "seed": 0}
CONFIG |= {"precision": "32-true", "compile": "auto"}


def begun(run, resume=False, seed=0):
    """A model, its optimiser after a step, the folder and the state."""
    model = small_vae(seed)
    optimiser = torch.optim.Adam(model.parameters())
    folder = TrainingFolder(run, writes=True)
    config = config_of(model, dataset_of(X), CONFIG)
    state = folder.begin(model, optimiser, config, resume=resume)
    return model, optimiser, folder, state


def stepped(model, optimiser):
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optimiser.step()


def add(state, weights, bound=1.0):
    return state.add(
        weights, train_elbo=0.0, validation_elbo=bound, learning_rate=0.1, seconds=1.0
    )


def test_without_a_run_nothing_is_kept():
    with held_run(None, False, False, alone=True) as run:
        assert run is None
    model, optimiser, folder, state = begun(None)
    add(state, weights_of(model))
    folder.save(state, weights_of(model), optimiser, better=True)
    folder.leave_vacant(TrainingState())
    assert not folder.has_checkpoint
    with pytest.raises(RunError, match="resume=True needs"), held_run(None, True, False, alone=1):
        pass
    with pytest.raises(RunError, match="run got int"), held_run(3, False, False, alone=True):
        pass


def test_what_was_saved_is_gone_on_with(tmp_path):
    with held_run(tmp_path / "run", False, False, alone=True) as run:
        model, optimiser, folder, state = begun(run)
        assert not folder.has_checkpoint
        stepped(model, optimiser)
        add(state, weights_of(model))
        folder.save(state, weights_of(model), optimiser, better=True)
        stepped(model, optimiser)
        add(state, weights_of(model), bound=0.5)
        folder.save(state, weights_of(model), optimiser, better=False)
    with held_run(tmp_path / "run", True, False, alone=True) as run:
        again, its_optimiser, folder, loaded = begun(run, resume=True, seed=0)
    assert folder.has_checkpoint
    assert (loaded.epoch, loaded.best_epoch, loaded.best_bound) == (2, 1, 1.0)
    assert loaded.metrics.equals(state.metrics)
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)
        assert torch.equal(loaded.best[key], state.best[key])
    moments = optimiser.state_dict()["state"]
    for index, found in its_optimiser.state_dict()["state"].items():
        assert all(torch.equal(found[name], moments[index][name]) for name in found)


def test_weights_that_are_the_best_are_written_once(tmp_path):
    with held_run(tmp_path / "run", False, False, alone=True) as run:
        model, optimiser, folder, state = begun(run)
        stepped(model, optimiser)
        weights = weights_of(model)
        add(state, weights)
        folder.save(state, weights, optimiser, better=True)
        tensors, _ = run.tensors("checkpoint.safetensors")
        assert not any(name.startswith("best/") for name in tensors)
        assert {f"current/{name}" for name in weights} <= tensors.keys()
    with held_run(tmp_path / "run", True, False, alone=True) as run:
        again, its_optimiser, folder, loaded = begun(run, resume=True, seed=0)
        for key, value in weights.items():
            assert torch.equal(again.state_dict()[key], value)
            assert torch.equal(loaded.best[key], value)
        # They stay the best while the model goes on, and are then written beside its own.
        stepped(again, its_optimiser)
        add(loaded, weights_of(again), bound=0.5)
        folder.save(loaded, weights_of(again), its_optimiser, better=False)
    with held_run(tmp_path / "run", True, False, alone=True) as run:
        _, _, _, reloaded = begun(run, resume=True, seed=0)
    assert reloaded.best_epoch == 1
    assert all(torch.equal(reloaded.best[key], value) for key, value in weights.items())


def test_a_run_of_other_settings_or_another_model_is_refused(tmp_path):
    with held_run(tmp_path / "run", False, False, alone=True) as run:
        model, optimiser, folder, state = begun(run)
        add(state, weights_of(model))
        folder.save(state, weights_of(model), optimiser, better=True)
        data = dataset_of(X)
        for config, part in (
            (config_of(model, data, CONFIG | {"seed": 1}), r"fit \(seed\)"),
            (config_of(small_vae(1), data, CONFIG), r"model \(seed\)"),
            (config_of(model, load("digits"), CONFIG), r"data \(name, origin, values\)"),
        ):
            with pytest.raises(RunError, match=f"other settings of {part}"):
                folder.begin(model, optimiser, config, resume=True)
        config = config_of(model, data, CONFIG)
        other = nn.Linear(1, 1)
        with pytest.raises(RunError, match="weights of another model"):
            folder.begin(other, torch.optim.Adam(other.parameters()), config, resume=True)


def test_a_process_that_does_not_write_leaves_the_folder_alone(tmp_path):
    with held_run(tmp_path / "run", False, False, alone=True) as run:
        model, optimiser, _, state = begun(run)
        before = sorted(p.name for p in run.path.iterdir())
        other = TrainingFolder(run, writes=False)
        add(state, weights_of(model))
        other.save(state, weights_of(model), optimiser, better=True)
        other.leave_vacant(TrainingState())
        assert sorted(p.name for p in run.path.iterdir()) == before


def test_a_run_that_never_had_an_epoch_is_taken_back(tmp_path):
    with held_run(tmp_path / "run", False, False, alone=True) as run:
        _, _, folder, state = begun(run)
        folder.leave_vacant(state)
        assert not (run.path / "config.json").exists()
    Run.require_free(tmp_path / "run")


def test_a_disk_that_is_full_is_said_with_what_to_do(tmp_path, monkeypatch):
    def full(*_):
        raise WriteError("no space")

    with held_run(tmp_path / "run", False, False, alone=True) as run:
        model, optimiser, folder, state = begun(run)
        add(state, weights_of(model))
        monkeypatch.setattr(Run, "write_tensors", full)
        with pytest.raises(WriteError, match=r"no space\. Epoch 1 is not kept: resume=True"):
            folder.save(state, weights_of(model), optimiser, better=True)


def test_lost_weights_are_mended_from_the_checkpoint(tmp_path):
    with held_run(tmp_path / "run", False, False, alone=True) as run:
        model, optimiser, folder, state = begun(run)
        add(state, weights_of(model))
        folder.save(state, weights_of(model), optimiser, better=True)
        (run.path / "weights.safetensors").unlink()
        begun(run, resume=True)
        for key, value in run.tensors("weights.safetensors")[0].items():
            assert torch.equal(value, model.state_dict()[key])


# The loop over epochs


class Counting(nn.Module):
    """Its one weight counts the epochs."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def train_to(self, epoch):
        with torch.no_grad():
            self.weight.fill_(epoch)


def looped(bounds, *, patience=None, stop=None, state=None, error=KeyboardInterrupt):
    """A loop in which epoch k has the validation bound ``bounds[k]`` and ``stop`` raises."""
    model, kept = Counting(), []
    state = TrainingState() if state is None else state

    def run_epoch(epoch):
        model.train_to(epoch + 1)
        if epoch == stop:
            raise error
        return EpochBounds(0.0, bounds[epoch], 0.1)

    def keep(weights, better, found):
        kept.append((float(weights["weight"]), better, found.validation))

    try:
        stopped = run_epochs(model, state, run_epoch, keep, epochs=len(bounds), patience=patience)
    except NonFiniteLossError:
        stopped = "error"
    return stopped, state, kept, model.weight.item()


def test_every_epoch_is_kept_with_whether_it_is_the_best():
    stopped, state, kept, weight = looped([1.0, 3.0, 2.0])
    assert (stopped, state.stopped, weight) == ("epochs", "epochs", 3)
    assert kept == [(1.0, True, 1.0), (2.0, True, 3.0), (3.0, False, 2.0)]
    assert (state.best_epoch, float(state.best["weight"])) == (2, 2)
    assert list(state.metrics["epoch"]) == [1, 2, 3]
    assert state.metrics["seconds"].is_monotonic_increasing


def test_patience_ends_it():
    stopped, state, kept, _ = looped([1.0, 0.5, 0.5, 9.0], patience=2)
    assert (stopped, state.stopped, state.epoch, len(kept)) == ("patience", "patience", 3, 3)
    # At the last epoch it is patience that ended it, as it would have.
    assert looped([1.0, 0.5, 0.5], patience=2)[0] == "patience"


def test_ctrl_c_and_bad_losses_leave_the_last_whole_epoch():
    for error, how in ((KeyboardInterrupt, "interrupt"), (NonFiniteLossError("nan"), "error")):
        stopped, state, kept, weight = looped([1.0, 2.0, 3.0], stop=2, error=error)
        assert (stopped, state.stopped, state.epoch, weight) == (how, "", 2, 2)
        assert len(kept) == 2
        assert looped([1.0], stop=0, error=error)[3] == 0


def test_it_goes_on_where_it_was():
    _, state, _, _ = looped([1.0, 2.0, 3.0, 0.0], stop=2)
    seconds = state.rows[-1]["seconds"] = 100.0
    stopped, state, kept, _ = looped([1.0, 2.0, 3.0, 0.0], state=state)
    assert (stopped, state.epoch, state.best_epoch, len(kept)) == ("epochs", 4, 3, 2)
    assert (state.metrics["seconds"][2:] >= seconds).all()


def test_warnings_that_the_error_says_better_are_not_shown():
    def run_epoch(epoch):
        warnings.warn("Encountered NaN: loss", stacklevel=1)
        return EpochBounds(0.0, 0.0, 0.1)

    state = TrainingState()
    run_epochs(Counting(), state, run_epoch, lambda *_: None, epochs=1, patience=None)
    assert state.epoch == 1


# The best weights, and when to stop


def test_without_validation_every_epoch_is_the_best():
    state = TrainingState()
    assert [add(state, {}, math.nan) for _ in range(3)] == [True] * 3
    assert state.best_epoch == 3
    state.judge(epochs=9, patience=1)
    assert state.stopped == ""


def test_equal_is_not_better():
    state = TrainingState()
    assert [add(state, {}, bound) for bound in (1.0, 1.0, 1.5)] == [True, False, True]


def test_weights_are_copies():
    model = Counting()
    before = weights_of(model)
    model.train_to(5)
    assert float(before["weight"]) == 0


# The steps


def steps_of(model, *, batch_size=16, clip_norm=None, seed=0):
    fabric = Fabric(accelerator="cpu", devices=1)
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    loss, optimiser = fabric.setup(Loss(model, Trace_ELBO()), optimiser)
    batch_loss = ThroughHandlers(loss, fabric)
    processes = Processes(fabric, model)
    update = update_by(optimiser)
    return Steps(
        model, loss, batch_loss, optimiser, update, processes, batch_size, clip_norm, seed
    )


def test_batches_are_all_the_data_in_an_order_of_the_seed_and_the_epoch():
    steps = steps_of(small_vae())
    batches = steps.batches(40, epoch=1)
    assert [len(batch) for batch in batches] == [16, 16, 8]
    assert torch.cat(batches).sort().values.tolist() == list(range(40))
    assert torch.equal(torch.cat(batches), torch.cat(steps.batches(40, epoch=1)))
    assert not torch.equal(torch.cat(batches), torch.cat(steps.batches(40, epoch=2)))
    assert len({epoch_seed(seed, epoch) for seed in range(3) for epoch in range(50)}) == 150


def test_an_epoch_is_the_mean_of_the_bound_over_its_steps():
    """With a rate of nothing, the same losses by hand, of batches of two sizes."""
    model = small_vae()
    steps = steps_of(model)
    model.eval()  # as validation leaves it
    found = steps.epoch(X, 3, rate=0.0)
    assert model.training
    total = 0.0
    for batch in steps.batches(40, 3):
        total += Trace_ELBO().differentiable_loss(model.model, model.guide, X[batch]).item()
    assert found == pytest.approx(-total / 40, rel=1e-6)


def test_a_step_goes_down_the_gradient_of_the_loss_per_datum():
    model = small_vae()
    before = weights_of(model)
    steps_of(model, batch_size=40).epoch(X, 0, rate=0.25)
    stepped_to = weights_of(model)
    model.load_state_dict(before)
    other = steps_of(model, batch_size=40)
    (batch,) = other.batches(40, 0)
    (Trace_ELBO().differentiable_loss(model.model, model.guide, X[batch]) / 40).backward()
    for name, parameter in model.named_parameters():
        expected = before[name] - 0.25 * parameter.grad
        torch.testing.assert_close(stepped_to[name], expected)


def test_gradients_are_clipped_and_let_go():
    model = small_vae()
    before = weights_of(model)
    steps_of(model, batch_size=40, clip_norm=0.5).epoch(X, 0, rate=1.0)
    moved = [after - before[name] for name, after in model.named_parameters()]
    assert float(torch.nn.utils.get_total_norm(moved)) == pytest.approx(0.5, rel=1e-4)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_loss_without_a_gradient_makes_no_step():
    model = Counting()
    steps = Steps(model, None, None, None, None, None, 1, None, 0)
    steps.step(LossAndGradients(torch.tensor(1.0), lambda: False))


@pytest.mark.filterwarnings("ignore:Encountered NaN")
def test_a_loss_that_is_not_finite_names_epoch_step_and_site():
    model = small_vae()
    with torch.no_grad():
        model.encoder.output.bias.fill_(math.inf)
    before = weights_of(model)
    with pytest.raises(NonFiniteLossError, match=r"at step 9 \(epoch 4\).*'z' in the guide"):
        steps_of(model).epoch(X, 3, rate=1.0)
    assert all(torch.equal(value, before[key]) for key, value in weights_of(model).items())
    assert first_bad_site(small_vae(), X) == "not reproduced by another draw"


# Validation


def test_the_validation_bound_has_the_same_draws_every_time():
    model = small_vae()
    x = X.repeat(30, 1)  # more than are measured at once
    processes = Processes(Fabric(accelerator="cpu", devices=1), model)
    validation = Validation(model, Loss(model, Trace_ELBO()), x, processes, seed=3)
    state = torch.get_rng_state()
    found = validation.bound()
    assert found == validation.bound()
    assert torch.equal(torch.get_rng_state(), state)
    assert not model.training
    torch.manual_seed(3)
    elbo = Trace_ELBO()
    total = sum(elbo.loss(model.model, model.guide, x[a:b]) for a, b in ((0, 1024), (1024, 1200)))
    assert found == pytest.approx(-total / 1200, rel=1e-6)
    assert math.isnan(Validation(model, None, x[:0], None, 0).bound())


# The bar


def test_the_bar_shows_the_bounds_of_an_epoch(capsys):
    assert bound_text(-3.456, math.nan) == "bound -3.46 nats"
    assert bound_text(-3.456, -2.0) == "bound -3.46 nats, validation -2.00"
    assert wants_bar(True)
    assert not wants_bar(None)
    for show in (True, False):
        with progress_bar(show, 4, 2) as tick:
            tick(-3.0, -2.0)
        shown = capsys.readouterr().err
        assert ("epoch 3/4" in shown) == show
        assert ("validation -2.00" in shown) == show


# The whole


def test_what_is_kept_is_what_the_best_epoch_had(tmp_path):
    data = Dataset.from_tensors(X[:20], X[20:])
    model = small_vae()
    result = fit(model, data, epochs=6, batch_size=20, learning_rate=0.3, run=tmp_path / "run")
    run = Run.open(tmp_path / "run")
    best = result.metrics["validation_elbo"].idxmax() + 1
    assert result.best_epoch == best == run.notes("weights.safetensors")["epoch"]
    for key, value in run.tensors("weights.safetensors")[0].items():
        assert torch.equal(value, model.state_dict()[key])
    pd.testing.assert_frame_equal(run.metrics(), result.metrics, check_exact=True)
