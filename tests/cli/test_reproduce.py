"""``pyro-vae reproduce`` as a user runs it: list, table, card, check."""

import json

import pytest

from pyro_vae.cards.card import write_card
from pyro_vae.reproduction import EXPERIMENTS, read_card
from tests.cli.test_commands import run

SMALL = ("--data", "digits", "--epochs", 1, "--particles", 40, "--limit", 6, "--annealed", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("reproduced") / "iwae"
    done = run("reproduce", "iwae", "--parts", "vae", *SMALL, "--out", out)
    assert "1 of 1: VAE, one layer" in done.stderr
    assert "-log p(x), VAE" in done.stdout
    assert f"card: {out / 'iwae.json'}" in done.stdout
    return out


def test_the_experiments_are_listed():
    table = run("reproduce").stdout
    listed = json.loads(run("reproduce", "--json").stdout)["experiments"]
    assert listed.keys() == EXPERIMENTS.keys()
    for name in listed:
        assert name in table
    assert listed["iwae"]["parts"][:4] == ["vae", "iwae-5", "iwae-5-longer", "iwae-50"]


def test_a_card_and_its_page(folder):
    card = read_card(folder / "iwae.json")
    assert card.command == (
        "pyro-vae reproduce iwae --data digits --epochs 1 --particles 40 --limit 6 --annealed 0 "
        "--parts vae"
    )
    page = (folder / "iwae.html").read_text()
    value = -card.part("vae").numbers["log_evidence"].value
    assert f"{value:.2f}" in page
    # One epoch has no curve, and nothing was published of these data.
    assert "<img" not in page
    again = json.loads(
        run("reproduce", "iwae", "--parts", "vae", *SMALL, "--out", folder, "--json").stdout
    )
    assert again["rows"][0]["ours"]["value"] == value


def test_a_card_is_checked(folder, tmp_path):
    assert "The card holds." in run("reproduce", "--check", folder / "iwae.json").stdout
    moved = folder / "moved"
    moved.mkdir()
    (folder / "vae").rename(moved / "vae")
    card = read_card(folder / "iwae.json")
    part = card.parts[0]
    values = [value - 5 for value in part.per_datum["log_evidence"]]
    part = part.model_copy(update={"per_datum": part.per_datum | {"log_evidence": values}})
    write_card(moved / "iwae.json", card.model_copy(update={"parts": [part]}))
    missing = run("reproduce", "--check", folder / "iwae.json", status=1)
    assert "has no weights" in missing.stderr
    wrong = run("reproduce", "--check", moved / "iwae.json", status=1)
    assert "vae: differs" in wrong.stdout
    assert "The card does NOT hold." in wrong.stdout
    found = json.loads(run("reproduce", "--check", moved / "iwae.json", "--json", status=1).stdout)
    assert found["holds"] is False
    assert found["parts"][0]["largest"] == pytest.approx(5, abs=0.01)
    (moved / "vae").rename(folder / "vae")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("reproduce", "iwea"), "experiment 'iwea'"),
        (("reproduce", "iwae", "--parts", "x"), "part of iwae 'x'"),
        (("reproduce", "iwae", "--schedule", "x"), "schedule 'x'"),
        (("reproduce", "iwae", "--check", "x.json"), "--check got a card, and iwae was given"),
        (("reproduce", "ppca", "--minutes", "-1"), "minutes got -1"),
        (("reproduce", "ppca", "--train"), "--train is for --check"),
    ],
)
def test_what_cannot_be_asked(arguments, message, tmp_path):
    out = () if "--check" in arguments else ("--out", tmp_path / "out")
    assert message in run(*arguments, *out, status=2).stderr
    assert not (tmp_path / "out").exists()
