"""``pyro-vae referee`` as a user runs it: a pair in a file, its card, the check, failures."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pyro_vae.cards.card import read_card, unlisted, write_card
from tests.cases import a_few_always
from tests.cli.test_commands import run
from tests.oracles import LinearGaussian
from tests.tolerances import STANDARD_ERRORS

#: The pair of the oracle, in a file that prints and has its weights beside it.
FILE = """
import numpy as np
import torch
from torch import nn
import pyro
import pyro.distributions as dist

print("the file speaks")
SAVED = np.load(__file__.replace("model.py", "weights.npz"))


class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        for name in SAVED:
            self.register_buffer(name, torch.tensor(SAVED[name]))

    def model(self, x):
        with pyro.plate("data", len(x), dim=-1):
            zero = torch.zeros(2, dtype=torch.double)
            z = pyro.sample("z", dist.Normal(zero, 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z @ self.W.T + self.m, self.s).to_event(1), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal((x - self.m) @ self.A.T, self.t).to_event(1))


def made():
    return Mine()


pair = (Mine().model, Mine().guide)
rows = np.load(__file__.replace("model.py", "rows.npy"))


def named_rows():
    return {"x": rows}


number = 3


def needs(x):
    return x
"""

SMALL = (
    *("--particles", 400, "--annealed", 6, "--simulated", 6, "--ranked", 40),
    *("--temperatures", 30),
)
TINY = ("--particles", 30, "--annealed", 0, "--simulated", 0, "--ranked", 0)
ORACLE = LinearGaussian()
X = ORACLE.draw(24)


def write_files(folder):
    names = ("W", "m", "s", "A", "t")
    np.savez(folder / "weights.npz", **{name: getattr(ORACLE, name) for name in names})
    np.save(folder / "rows.npy", X.numpy())
    (folder / "model.py").write_text(FILE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("theirs")
    write_files(place)
    arguments = ("--data", place / "rows.npy", "--reported", -6, "--reported-as", "their page")
    done = run("referee", f"{place / 'model.py'}:made", *arguments, *SMALL, "--out", place / "out")
    assert "made: 24 data, nats per datum, measure lebesgue" in done.stdout
    assert "the file speaks" not in done.stdout
    assert "(1) their page" in done.stdout
    assert "Left out: the parts of the gap." in done.stdout
    assert f"card: {place / 'out' / 'referee.json'}" in done.stdout
    return place


def test_the_card_has_the_closed_form(folder):
    card = read_card(folder / "out" / "referee.json")
    number = card.part("made").numbers["log_evidence"]
    gap = number.value - ORACLE.log_px(X).mean()
    assert abs(gap) <= STANDARD_ERRORS * number.monte_carlo_error
    values = unlisted(card.part("made").per_datum["log_evidence"])
    assert np.abs(values - ORACLE.log_px(X)).max() < 0.2
    page = (folder / "out" / "referee.html").read_text()
    assert page.count("<img") == 4
    assert "their page" in page


def test_the_command_of_a_card_writes_it_again(folder, tmp_path):
    card = read_card(folder / "out" / "referee.json")
    assert card.command == (
        f"pyro-vae referee {folder / 'model.py'}:made --data {folder / 'rows.npy'} "
        "--particles 400 --annealed 6 --temperatures 30 --simulated 6 --ranked 40 "
        "--reported -6.0 --reported-as 'their page'"
    )


@pytest.mark.slow
def test_a_card_holds_until_something_is_changed(folder, tmp_path):
    path = folder / "out" / "referee.json"
    assert "The card holds." in run("referee", "--check", path).stdout
    text = (folder / "model.py").read_text()
    (folder / "model.py").write_text(text + "\n# another line\n")
    assert "is not the file of which" in run("referee", "--check", path, status=1).stderr
    (folder / "model.py").write_text(text)
    weights, rows = ((folder / n).read_bytes() for n in ("weights.npz", "rows.npy"))
    saved = dict(np.load(folder / "weights.npz"))
    np.savez(folder / "weights.npz", **{**saved, "s": 0.71})
    assert "the weights are not those" in run("referee", "--check", path, status=1).stderr
    (folder / "weights.npz").write_bytes(weights)
    np.save(folder / "rows.npy", X.numpy() + 0.01)
    assert "the data are not those" in run("referee", "--check", path, status=1).stderr
    (folder / "rows.npy").write_bytes(rows)


@pytest.mark.slow
def test_a_card_that_says_something_else_does_not_hold(folder):
    card = read_card(folder / "out" / "referee.json")
    said = card.parts[0]
    columns = {**said.per_datum, "elbo": [v - 3 for v in said.per_datum["elbo"]]}
    part = said.model_copy(update={"per_datum": columns})
    other = folder / "out" / "other.json"
    write_card(other, card.model_copy(update={"parts": [part]}))
    done = run("referee", "--check", other, "--json", status=1)
    assert json.loads(done.stdout)["holds"] is False


FORMS = [("pair", "model.py:rows"), ("Mine", "model.py:named_rows")]


@pytest.mark.slow
@pytest.mark.parametrize(("pair", "data"), FORMS)
def test_other_forms_of_a_pair_and_of_data(folder, tmp_path, pair, data):
    arguments = ("--data", folder / data, *TINY, "--out", tmp_path / "out", "--json")
    done = run("referee", f"{folder / 'model.py'}:{pair}", *arguments)
    rows = {row["label"]: row for row in json.loads(done.stdout)["rows"]}
    truth = ORACLE.log_px(X).mean()
    assert rows["log p(x), importance sampling"]["ours"]["value"] == pytest.approx(truth, abs=0.1)
    assert run("referee", "--check", tmp_path / "out" / "referee.json").stdout


@pytest.mark.slow
def test_a_named_data_set_gives_its_test_data(tmp_path):
    (tmp_path / "net.py").write_text(
        "from pyro_vae.models import VAE\n"
        "from pyro_vae.models.likelihoods import Normal\n"
        "vae = VAE((4,), 1, likelihood=Normal(), encoder=(3,), decoder=(3,))\n"
    )
    arguments = (*TINY, "--data", "iris", "--standardise", "--limit", 9)
    run("referee", f"{tmp_path / 'net.py'}:vae", *arguments, "--out", tmp_path / "out")
    card = read_card(tmp_path / "out" / "referee.json")
    assert card.data["name"] == "iris"
    assert card.parts[0].protocol["data"] == 9
    assert card.parts[0].protocol["log_jacobian"] != 0
    assert [row for row in card.rows if "in the original units" in row.label]
    assert "--standardise" in card.command
    assert "--limit 9" in card.command
    assert "The card holds" in run("referee", "--check", tmp_path / "out" / "referee.json").stdout


#: What a file does, the exit status, and what is said of it.
FAILURES = [
    ("raise KeyError('gone')", 2, "line 2: KeyError: 'gone'"),
    ("def broken(:", 2, "line 2: SyntaxError"),
    ("raise SystemExit(3)", 2, "line 2: SystemExit: 3"),
    ("import os; os._exit(3)", 1, "ended with exit status 3 before it was measured"),
    ("import os; os.kill(os.getpid(), 9)", 1, "was ended by SIGKILL"),
    ("import ctypes; ctypes.string_at(0)", 1, "line 2: its process was ended by SIGSEGV"),
    ("import nothing_like_it", 2, "line 2: ModuleNotFoundError"),
    ("thing = 3", 2, "thing is a int: it must be an object with Pyro programs"),
    ("def thing(x): return x", 2, "needs x: give a name that needs no argument"),
    ("other = 3", 2, "unknown name in"),
]


@a_few_always(("line", "status", "message"), FAILURES, FAILURES[0:6:5])
def test_a_file_that_fails(tmp_path, line, status, message):
    (tmp_path / "bad.py").write_text(f"first = 1\n{line}\n")
    arguments = ("--data", "iris", *TINY, "--out", tmp_path / "out")
    done = run("referee", f"{tmp_path / 'bad.py'}:thing", *arguments, status=status)
    assert message in " ".join(done.stderr.split())
    assert str(tmp_path / "bad.py") in done.stderr
    assert not (tmp_path / "out" / "referee.json").exists()


@pytest.mark.slow
def test_a_file_that_never_ends_is_ended_in_time(tmp_path):
    (tmp_path / "bad.py").write_text("import time\nwhile True:\n    time.sleep(0.1)\n")
    arguments = ("--data", "iris", *TINY, "--out", tmp_path / "out", "--timeout", 12)
    began = time.monotonic()
    done = run("referee", f"{tmp_path / 'bad.py'}:thing", *arguments, status=1)
    assert "line 3: not done after 12 seconds" in " ".join(done.stderr.split())
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_who_is_stopped_leaves_no_process_and_no_card(tmp_path):
    (tmp_path / "bad.py").write_text(
        "import os, time\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-m", "pyro_vae", "referee", f"{tmp_path / 'bad.py'}:thing"]
    command += ["--data", "iris", "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(600):
            if (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text():
                break
            time.sleep(0.1)
        child = int((tmp_path / "pid").read_text())
        # Killed outright, it has no time to end the other.
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    for _ in range(100):
        if not Path(f"/proc/{child}").exists():
            break
        time.sleep(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert not (tmp_path / "out" / "referee.json").exists()


REFUSED = [
    ((), "the pair got nothing: give FILE.py:NAME"),
    (("vae",), "the pair got 'vae': give FILE.py:NAME"),
    (("none.py:vae", "--data", "iris"), "none.py: there is no such file"),
    (("{model}:made",), "--data is missing"),
    (("{model}:made", "--check", "card.json"), "--check got a card"),
    (("--check", "card.json", "--data", "iris"), "--check got a card"),
    (("{model}:made", "--data", "iris", "--timeout", "0"), "--timeout got 0"),
    (("{model}:made", "--data", "no-such-set"), "no-such-set"),
    (("{model}:made", "--data", "{model}:number"), "number"),
    (("{model}:made", "--data", "{model}:rows", "--annealed", "1"), "num_annealed got 1"),
    (("{model}:made", "--data", "{model}:rows", "--reported-of", "x"), "is reported 'x'"),
]


@a_few_always(("arguments", "message"), REFUSED, REFUSED[:7])
def test_what_cannot_be_asked(folder, arguments, message, tmp_path):
    given = [part.format(model=folder / "model.py") for part in arguments]
    out = () if "--check" in given else ("--out", tmp_path / "out")
    failed = {"number": 1}.get(message, 2)
    assert message in " ".join(run("referee", *given, *out, status=failed).stderr.split())


def test_a_card_is_not_overwritten_unasked(folder):
    arguments = ("--data", folder / "rows.npy", *TINY, "--out", folder / "out")
    refused = run("referee", f"{folder / 'model.py'}:made", *arguments, status=1)
    assert "holds a card: give another --out, or --overwrite" in refused.stderr
