"""Reproducing: what runs, what is kept, what a card says, against direct measurement."""

import inspect
import json
import math
import shutil

import numpy as np
import pytest
import torch

from pyro_vae import inference, load_model
from pyro_vae.cards.card import Found, Number, write_card
from pyro_vae.cards.page import write_page
from pyro_vae.data import Dataset
from pyro_vae.disk.runs import Run
from pyro_vae.errors import DataError, RunError, UnknownNameError
from pyro_vae.inference.evidence.certify import estimate
from pyro_vae.inference.training.settings import multiplier_of
from pyro_vae.inference.training.sweep import fit_in
from pyro_vae.models import VAE
from pyro_vae.reproduction import (
    EXPERIMENTS,
    Difference,
    Level,
    Plan,
    card_table,
    check,
    markdown,
    read_card,
    reproduce,
    sources,
    trained,
)
from pyro_vae.reproduction.trained import iwae_stages, warmed_cosine
from tests.cases import a_few_always

SMALL = {
    "data": "digits",
    "epochs": 2,
    "num_particles": 60,
    "limit": 12,
    "num_annealed": 0,
    "progress": False,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small reproduction of two parts: its folder, and its card as it was returned."""
    folder = tmp_path_factory.mktemp("reproduced")
    return folder, reproduce("iwae", folder, parts=["vae", "iwae-5"], **SMALL)


def again(folder, tmp_path):
    """A copy of a reproduction, to be changed."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    return copy


@pytest.mark.slow
def test_a_card_says_what_is_measured_directly(small):
    folder, card = small
    assert [part.name for part in card.parts] == ["vae", "iwae-5"]
    for part in card.parts:
        model = load_model(folder / part.name)
        assert isinstance(model, VAE)
        data = EXPERIMENTS["iwae"].load(Plan(**card.plan), None)
        found = inference.evaluate(model, data.test[:12], 60, seed=0)
        assert part.per_datum["log_evidence"] == found["log_evidence"].values.round(3).tolist()
        number = part.numbers["log_evidence"]
        assert number.value == pytest.approx(float(found["log_evidence"].mean()), abs=1e-9)
        spread = float(found["log_evidence"].values.std(ddof=1)) / math.sqrt(12)
        assert number.sampling_error == pytest.approx(spread)
        assert part.weights == Run.open(folder / part.name).weights_seal()
        assert part.certificate == ""
        assert len(part.curve["epoch"]) == 2


def test_the_page_puts_side_by_side_what_has_both_numbers(small, tmp_path):
    folder, card = small
    # Nothing was published of these data.
    assert "Side by side" not in (folder / "iwae.html").read_text()
    rows = [card.rows[0].model_copy(update={"published": 86.76, "source": "Table 1"})]
    write_page(tmp_path / "page.html", card.model_copy(update={"rows": rows + card.rows[1:]}), {})
    assert "Side by side" in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_annealing_is_held_against_the_particles(small, tmp_path, monkeypatch):
    monkeypatch.setitem(inspect.unwrap(estimate).__kwdefaults__, "num_temperatures", 10)
    copy = again(small[0], tmp_path)
    card = reproduce("iwae", copy, parts=["vae"], **SMALL | {"num_annealed": 2})
    part, before = (each.part("vae") for each in (card, small[1]))
    assert part.per_datum == before.per_datum
    run = Run.open(copy / "vae")
    kept = {name: run.results(f"evidence-{name}.nc") for name in ("importance", "ais")}
    assert kept["ais"].sizes["datum"] == 2
    for line, (name, found) in zip(part.certificate.splitlines()[1:3], kept.items(), strict=True):
        said = line.split()
        assert said[0] == name
        assert float(said[1]) == pytest.approx(float(found["log_evidence"].mean()), abs=6e-4)


def test_a_difference_is_paired(small):
    _, card = small
    first, second = (
        np.array(card.part(name).per_datum["log_evidence"]) for name in ("iwae-5", "vae")
    )
    row = next(row for row in card.rows if "gain of IWAE, K = 5" in row.label)
    assert row.ours.value == pytest.approx((first - second).mean())
    error = (first - second).std(ddof=1) / math.sqrt(len(first))
    assert row.ours.sampling_error == pytest.approx(error)
    # Nothing was published of these data.
    assert {row.published for row in card.rows} == {None}


def test_a_table_has_both_numbers_with_their_sources():
    lines = (
        Level("minus a", "one", "a", 3.5, "Table 1", sign=-1),
        Level("b", "one", "b", "best"),
        Difference("apart", "one", "two", 1.0, "Table 2", values="a", errors="a_se"),
        Level("of two", "three", "a", 4.0, "Table 1"),
    )
    numbers = {
        "a": Number(value=-3.0, sampling_error=0.5),
        "b": Number(value=2.0, sampling_error=0.1),
        "best": Number(value=2.5),
    }
    per_datum = {"a": [1.0, 2.0, None], "a_se": [0.3, 0.4, 0.0]}
    one = Found(name="one", title="", numbers=numbers, per_datum=per_datum)
    two = one.model_copy(
        update={"name": "two", "per_datum": {"a": [0.0, 3.0], "a_se": [0.0, 0.0]}}
    )
    rows = [line.row({"one": one, "two": two}) for line in lines]
    assert (rows[0].published, rows[0].ours.value, rows[0].ours.sampling_error) == (3.5, 3.0, 0.5)
    # A closed form is of the same data: their spread is no error of the difference.
    assert (rows[1].published, rows[1].ours.value, rows[1].ours.sampling_error) == (2.5, 2.0, None)
    assert rows[2].ours.value == 0.0
    assert rows[2].ours.sampling_error == pytest.approx(1.0)
    assert rows[2].ours.monte_carlo_error == pytest.approx(0.25)
    assert rows[3].ours is None
    elsewhere = [line.elsewhere().row({"one": one, "two": two}).published for line in lines]
    assert elsewhere == [None, 2.5, None, None]


def test_a_card_in_markdown(small):
    _, card = small
    rows = [row.model_copy(update={"published": 86.76, "source": "Table 1"}) for row in card.rows]
    text = markdown(card.model_copy(update={"rows": rows}))
    ours = card.part("vae").numbers["log_evidence"]
    assert 0.1 < ours.sampling_error < 10
    cell = f"{-ours.value:.2f} ({ours.sampling_error:.2f})"
    assert f"| -log p(x), VAE | 86.76 (1) | {cell}" in text
    assert text.endswith("(1) Table 1.")
    assert sources(card) == []
    assert "published" not in card_table(card)


def test_what_is_there_is_not_done_again(small, monkeypatch):
    folder, card = small
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("weights.safetensors")}

    def never(*_, **__):
        raise AssertionError("measured again")

    part = EXPERIMENTS["iwae"].parts[0]
    monkeypatch.setattr(type(part), "measure", never)
    assert reproduce("iwae", folder, parts=["vae"], **SMALL).parts == card.parts
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(AssertionError, match="measured again"):
        reproduce("iwae", folder, parts=["vae"], **SMALL | {"num_particles": 61})


@pytest.mark.slow
def test_parts_can_be_added(small, tmp_path):
    folder, card = small
    copy = again(folder, tmp_path)
    more = reproduce("iwae", copy, parts=["iwae-50"], **SMALL)
    assert [part.name for part in more.parts] == ["vae", "iwae-5", "iwae-50"]
    assert more.parts[:2] == card.parts


def test_what_is_replaced_leaves_nothing(small, tmp_path):
    copy = again(small[0], tmp_path)
    settings = SMALL | {"epochs": 1, "overwrite": True}
    card = reproduce("iwae", copy, parts=["vae"], **settings)
    assert [(part.name, part.training["epochs_done"]) for part in card.parts] == [("vae", 1)]
    assert read_card(copy / "iwae.json") == read_card(str(copy / "iwae.json")) == card


@pytest.mark.slow
def test_parts_are_checked_as_each_was_measured(small, tmp_path):
    copy = again(small[0], tmp_path)
    card = reproduce("iwae", copy, parts=["vae"], **SMALL | {"num_particles": 70, "limit": 4})
    assert [part.protocol["num_particles"] for part in card.parts] == [70, 60]
    assert [each.verdict for each in check(copy / "iwae.json", progress=False)] == ["equal"] * 2


def test_another_plan_is_refused_and_nothing_is_touched(small):
    folder, _ = small
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for changed in ({"seed": 1}, {"epochs": 3}, {"schedule": "paper"}):
        with pytest.raises(RunError, match="another experiment than iwae, or one with other"):
            reproduce("iwae", folder, parts=["vae"], **SMALL | changed)
    with pytest.raises(RunError, match="another experiment than ppca"):
        reproduce("ppca", folder, progress=False)
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "iwea"}, "experiment 'iwea'"),
        ({"parts": ["vea"]}, "part of iwae 'vea'"),
        ({"schedule": "fast"}, "schedule 'fast'"),
        ({"compile": "grpah"}, "compile 'grpah'"),
    ],
)
def test_unknown_names_are_refused_before_anything_is_made(arguments, message, tmp_path):
    given = {"name": "iwae", "out": tmp_path / "out", **SMALL} | arguments
    with pytest.raises(UnknownNameError, match=message):
        reproduce(**given)
    assert not (tmp_path / "out").exists()


class TestBeginningAtAnotherPart:
    """K = 50 begins at the weights of K = 5."""

    @pytest.fixture
    def firsts(self, monkeypatch):
        """Weights of every training at its start, by the name of its folder."""
        found = {}

        def noted(folder, model, *arguments, **options):
            found[folder.name] = {k: v.clone() for k, v in model.state_dict().items()}
            return fit_in(folder, model, *arguments, **options)

        monkeypatch.setattr(trained, "fit_in", noted)
        return found

    def test_the_weights_are_those_of_the_part_before(self, small, tmp_path, firsts):
        copy = again(small[0], tmp_path)
        card = reproduce("iwae", copy, parts=["iwae-5-longer"], **SMALL)
        assert [part.name for part in card.parts] == ["vae", "iwae-5", "iwae-5-longer"]
        assert card.parts[:2] == small[1].parts
        before, _ = Run.open(copy / "iwae-5").tensors("weights.safetensors")
        assert firsts["iwae-5-longer"].keys() == before.keys()
        assert all(torch.equal(firsts["iwae-5-longer"][name], before[name]) for name in before)
        longer = EXPERIMENTS["iwae"].chosen(["iwae-5-longer"])[0]
        assert card.part(longer.name).training["note"] == longer.schedules["sooner"].note

    def test_the_part_before_is_trained_where_it_is_not_there(self, small, tmp_path, firsts):
        card = reproduce("iwae", tmp_path, parts=["iwae-5-longer"], **SMALL)
        assert list(firsts) == ["iwae-5", "iwae-5-longer"]
        assert [part.name for part in card.parts] == ["iwae-5-longer"]
        assert Run.open(tmp_path / "iwae-5").weights_seal() == small[1].part("iwae-5").weights
        # Begun once, a run has weights of its own and asks for no other.
        shutil.rmtree(tmp_path / "iwae-5")
        assert reproduce("iwae", tmp_path, parts=["iwae-5-longer"], **SMALL).parts == card.parts
        assert not (tmp_path / "iwae-5").exists()

    def test_a_check_trains_both_as_the_card_says(self, tmp_path):
        out = tmp_path / "out"
        reproduce("iwae", out, parts=["iwae-5-longer"], **SMALL)
        for name in ("iwae-5", "iwae-5-longer"):
            shutil.rmtree(out / name)
        (checked,) = check(out / "iwae.json", train=True, progress=False)
        assert checked.verdict == "equal"

    def test_the_papers_schedule_begins_at_new_weights(self):
        for part in EXPERIMENTS["iwae"].parts:
            assert part.before(Plan("mnist", schedule="paper")) is None


@pytest.mark.slow
def test_minutes_make_fewer_epochs(tmp_path):
    settings = SMALL | {"epochs": 5000, "minutes": 1 / 60}
    card = reproduce("iwae", tmp_path, parts=["vae"], **settings)
    done = card.part("vae").training["epochs"]
    assert 1 <= done < 5000
    # Once begun, the number of epochs is that of the run, however fast the machine is now.
    assert reproduce("iwae", tmp_path, parts=["vae"], **settings).parts == card.parts


def test_an_interrupted_part_goes_on(small, tmp_path, monkeypatch):
    folder, card = small
    copy = again(folder, tmp_path)
    shutil.rmtree(copy / "vae")
    (copy / "iwae.json").unlink()

    def stopped(data, epoch):
        if epoch == 1:
            raise KeyboardInterrupt
        return epoch_train(data, epoch)

    epoch_train = Dataset.epoch_train
    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "epoch_train", stopped)
        with pytest.raises(KeyboardInterrupt):
            reproduce("iwae", copy, parts=["vae"], **SMALL)
    assert len(Run.open(copy / "vae").metrics()) == 1
    assert not (copy / "iwae.json").exists()
    assert reproduce("iwae", copy, parts=["vae"], **SMALL).part("vae").per_datum == (
        card.part("vae").per_datum
    )


class TestHowAStepIsComputed:
    """``precision`` and ``compile`` reach the training, and a run keeps them."""

    @pytest.fixture
    def computed(self, monkeypatch):
        """How every training was told to compute a step."""
        told = []

        def noted(*arguments, **options):
            told.append((options["precision"], options["compile"]))
            return fit_in(*arguments, **options)

        monkeypatch.setattr(trained, "fit_in", noted)
        return told

    def test_a_run_goes_on_as_it_began_and_is_trained_again_so(self, tmp_path, computed):
        how = {"precision": "32-medium", "compile": "off"}
        card = reproduce("iwae", tmp_path, parts=["vae"], **how, **SMALL)
        found = card.part("vae")
        for said in (found.training, card.plan):
            assert {name: said[name] for name in how} == how
        assert card.command.endswith("--precision 32-medium --compile off --parts vae")
        assert reproduce("iwae", tmp_path, parts=["vae"], **SMALL).part("vae") == found
        shutil.rmtree(tmp_path / "vae")
        (checked,) = check(tmp_path / "iwae.json", train=True, progress=False)
        assert checked.verdict == "equal"
        assert computed == [("32-medium", "off")] * 3


class TestCheck:
    def test_a_card_holds(self, small):
        folder, _ = small
        before = {path: path.read_bytes() for path in folder.rglob("*.nc")}
        found = check(folder / "iwae.json", progress=False)
        assert [(each.part, each.verdict, each.largest) for each in found] == [
            ("vae", "equal", 0.0),
            ("iwae-5", "equal", 0.0),
        ]
        assert {path: path.read_bytes() for path in before} == before

    def test_fewer_data_are_the_same_data(self, small):
        folder, _ = small
        found = check(folder / "iwae.json", limit=5, progress=False)
        assert all(each.verdict == "equal" and "5 data" in each.reason for each in found)

    @a_few_always(("moved", "verdict"), [(0.005, "equal"), (3.0, "differs")], [(3.0, "differs")])
    def test_a_wrong_number_is_found(self, small, tmp_path, moved, verdict):
        copy = again(small[0], tmp_path)
        card = read_card(copy / "iwae.json")
        part = card.parts[0]
        values = [value + moved for value in part.per_datum["log_evidence"]]
        changed = part.model_copy(update={"per_datum": part.per_datum | {"log_evidence": values}})
        parts = [changed, *card.parts[1:]]
        write_card(copy / "iwae.json", card.model_copy(update={"parts": parts}))
        first, second = check(copy / "iwae.json", progress=False)
        assert (first.verdict, second.verdict) == (verdict, "equal")

    @pytest.mark.slow
    def test_a_wrong_mean_is_found_where_the_data_are_right(self, small, tmp_path):
        copy = again(small[0], tmp_path)
        card = read_card(copy / "iwae.json")
        part = card.parts[0]
        for name in ("active_units", "log_evidence", "kl_to_prior"):
            number = part.numbers[name].model_copy(update={"value": part.numbers[name].value + 2})
            wrong = part.model_copy(update={"numbers": part.numbers | {name: number}})
            parts = [wrong, *card.parts[1:]]
            write_card(copy / "iwae.json", card.model_copy(update={"parts": parts}))
            first, second = check(copy / "iwae.json", progress=False)
            assert (first.verdict, second.verdict) == ("differs", "equal")
            assert name in first.reason
            # Of fewer data no mean over all of them is known.
            assert check(copy / "iwae.json", limit=5, progress=False)[0].verdict == "equal"

    def test_noise_of_the_draws_is_no_difference(self, small, tmp_path):
        """Another seed draws otherwise: to the card that is as another machine would."""
        copy = again(small[0], tmp_path)
        card = read_card(copy / "iwae.json")
        parts = [
            part.model_copy(update={"protocol": part.protocol | {"num_particles": 61}})
            for part in card.parts
        ]
        write_card(copy / "iwae.json", card.model_copy(update={"parts": parts}))
        for each in check(copy / "iwae.json", progress=False):
            assert each.verdict == "within error", each

    def test_a_card_changed_by_hand_is_refused(self, small, tmp_path):
        copy = again(small[0], tmp_path)
        document = json.loads((copy / "iwae.json").read_text())
        document["parts"][0]["per_datum"]["log_evidence"][0] += 0.1
        (copy / "iwae.json").write_text(json.dumps(document))
        with pytest.raises(RunError, match="is not what was written"):
            check(copy / "iwae.json", progress=False)

    def test_other_weights_and_none_are_refused(self, small, tmp_path):
        copy = again(small[0], tmp_path)
        shutil.rmtree(copy / "vae")
        with pytest.raises(RunError, match=r"vae has no weights.*--train"):
            check(copy / "iwae.json", progress=False)
        shutil.copytree(copy / "iwae-5", copy / "vae")
        with pytest.raises(RunError, match="vae has other weights"):
            check(copy / "iwae.json", progress=False)

    def test_other_data_are_refused(self, small, tmp_path):
        copy = again(small[0], tmp_path)
        card = read_card(copy / "iwae.json")
        write_card(copy / "iwae.json", card.model_copy(update={"plan": card.plan | {"seed": 1}}))
        with pytest.raises(DataError, match="the data digits are not those of the card"):
            check(copy / "iwae.json", progress=False)

    @pytest.mark.slow
    def test_a_card_alone_is_trained_again(self, small, tmp_path):
        """From nothing but the card, on the same machine, the same numbers to the bit."""
        alone = tmp_path / "iwae.json"
        shutil.copy(small[0] / "iwae.json", alone)
        found = check(alone, train=True, progress=False)
        assert [(each.verdict, each.largest) for each in found] == [("equal", 0.0)] * 2
        assert list(tmp_path.iterdir()) == [alone]


def test_the_authors_stages():
    """3^i epochs at 10^(-i/7), to one decimal as their code has it, over 3,280 epochs."""
    multiplier = iwae_stages(3280)
    rates = [0.001 * multiplier(epoch / 3280) for epoch in range(3280)]
    expected = [rate for i in range(8) for rate in [1e-4 * round(10 ** (1 - i / 7), 1)] * 3**i]
    assert rates == pytest.approx(expected)
    assert [round(1e4 * rates[sum(3**j for j in range(i))], 1) for i in range(8)] == [
        10.0, 7.2, 5.2, 3.7, 2.7, 1.9, 1.4, 1.0
    ]  # fmt: skip


@pytest.mark.parametrize("epochs", [1, 2, 7, 1000])
def test_a_warmed_cosine(epochs):
    multiplier = multiplier_of(warmed_cosine(2)(epochs))
    rates = [multiplier(epoch / epochs) for epoch in range(epochs)]
    assert rates[0] == pytest.approx(1 / 3)
    for epoch, rate in enumerate(rates):
        cosine = 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        assert rate == pytest.approx(min(1, (epoch + 1) / 3) * cosine)
