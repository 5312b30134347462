"""Cards ranked by what lies on them: the same as ``compare``, and what is refused."""

import json

import numpy as np
import pytest
import torch

from pyro_vae import compare
from pyro_vae.cards.card import write_card
from pyro_vae.data import Dataset
from pyro_vae.errors import ComparisonError, RunError
from pyro_vae.models import VAE, LinearVAE
from pyro_vae.models.likelihoods import Normal
from pyro_vae.referee import compare_cards, referee
from tests.cli.test_commands import run
from tests.oracles import LinearGaussian

ORACLE = LinearGaussian()
X = ORACLE.draw(40)
FEW = {"num_particles": 500, "num_annealed": 0, "num_simulated": 0, "num_ranked": 0}


def models():
    vae = VAE((5,), 2, likelihood=Normal(0.7), encoder=(4,), decoder=(4,))
    return {"vae": vae, "linear": LinearVAE((5,), 2, scale=0.7, seed=1)}


def written(folder, name, card, **protocol):
    """A card in a folder, some of its protocol changed."""
    part = card.parts[0]
    part = part.model_copy(update={"protocol": {**part.protocol, **protocol}})
    write_card(folder / name, card.model_copy(update={"parts": [part]}))
    return folder / name


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cards")
    return [
        written(folder, f"{name}.json", referee(model, X.float(), name=name, **FEW))
        for name, model in models().items()
    ]


def test_cards_are_ranked_as_their_models_are(cards):
    board = compare_cards(cards).table
    measured = compare(models(), X.float(), num_particles=500, iwae=(5, 50)).table
    assert list(board.index) == list(measured.index)
    columns = ["log_evidence", "mc_se", "sampling_se", "difference", "dse", "dse_mc", "p_value"]
    columns += ["elbo", "gap", "unreliable", "parameters", "active_units"]
    for name in columns:
        ours, theirs = (table[name].to_numpy(dtype=float) for table in (board, measured))
        assert ours == pytest.approx(theirs, abs=2e-5, nan_ok=True), name


def test_a_withheld_error_stays_withheld(cards):
    comparison = compare_cards(cards)
    measured = compare(models(), X.float(), num_particles=500, iwae=(5, 50))
    assert comparison.notes == measured.notes
    assert np.isnan(comparison.table.loc["vae", "mc_se"])


def test_standardised_data_are_compared_in_their_own_units(tmp_path):
    table = torch.tensor(2.0 + 3.0 * X.numpy())
    plain = Dataset.from_tensors(table[:20], test=table[20:])
    scaled = plain.standardised()
    paths = [
        written(tmp_path, f"{name}.json", referee(model, data, name=name, **FEW))
        for (name, model), data in zip(models().items(), (plain, scaled), strict=True)
    ]
    board = compare_cards(paths).table
    of_each = {"vae": plain, "linear": scaled}
    measured = compare(models(), of_each, num_particles=500, iwae=(5, 50)).table
    assert board["log_evidence"].to_numpy() == pytest.approx(
        measured["log_evidence"].to_numpy(), abs=1e-4
    )


def test_other_data_measures_and_rows_are_refused(cards, tmp_path):
    linear = models()["linear"]
    moved = written(tmp_path, "moved.json", referee(linear, X.float() + 0.1, name="m", **FEW))
    with pytest.raises(ComparisonError, match="different test data"):
        compare_cards([cards[0], moved])
    fewer = written(tmp_path, "fewer.json", referee(linear, X[:9].float(), name="f", **FEW))
    with pytest.raises(ComparisonError, match="measured on 40 data and f on 9"):
        compare_cards([cards[0], fewer])
    card = referee(linear, X.float(), name="other", **FEW)
    masses = written(tmp_path, "masses.json", card, base_measure="counting")
    with pytest.raises(ComparisonError, match="lebesgue measure and other under the counting"):
        compare_cards([cards[0], masses])
    unknown = written(tmp_path, "unknown.json", card, base_measure="unknown")
    with pytest.raises(ComparisonError, match="does not say which measure"):
        compare_cards([unknown, cards[0]])


def test_what_is_no_card_is_refused(cards, tmp_path):
    with pytest.raises(ComparisonError, match="fewer than two"):
        compare_cards(cards[:1])
    with pytest.raises(ComparisonError, match="has one twice"):
        compare_cards([cards[0], cards[0]])
    with pytest.raises(RunError, match="is missing"):
        compare_cards([cards[0], tmp_path / "none.json"])
    document = json.loads(cards[0].read_text())
    document["parts"][0]["per_datum"]["log_evidence"][0] += 1
    (tmp_path / cards[0].name).write_text(json.dumps(document))
    with pytest.raises(RunError, match="its checksum does not fit"):
        compare_cards([tmp_path / cards[0].name, cards[1]])


def test_two_of_one_name_go_by_their_paths(cards, tmp_path):
    again = written(tmp_path, "again.json", referee(models()["vae"], X.float(), name="vae", **FEW))
    assert set(compare_cards([cards[0], again]).table.index) == {str(cards[0]), str(again)}


def test_the_command_ranks_cards(cards, tmp_path):
    done = run("compare", *cards, "--out", tmp_path / "board.png")
    assert "data of the cards, nats per datum" in done.stdout
    assert (tmp_path / "board.png").is_file()
    table = json.loads(run("compare", *cards, "--json").stdout)["table"]
    assert table["linear"]["rank"] == int(compare_cards(cards).table.loc["linear", "rank"])
    refused = run("compare", cards[0], tmp_path, status=2)
    assert "compare cards with cards" in " ".join(refused.stderr.split())
    refused = run("compare", *cards, "--limit", 5, status=2)
    assert "--limit is for runs" in refused.stderr
