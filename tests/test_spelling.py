"""What a person types: settings, and the command lines that are printed to be copied."""

import subprocess
from pathlib import Path

import pytest

from pyro_vae.errors import SettingError, UnknownNameError
from pyro_vae.models.guides import Guide
from pyro_vae.models.likelihoods import Likelihood, Normal, StudentT
from pyro_vae.models.priors import Prior
from pyro_vae.spelling import command_line, parse_call, split_list


@pytest.mark.parametrize(
    "name",
    ["my run", "it's", '"both\'"', "$HOME", "`id`", "a;b&c|d", "-x", "*", "[bold]x", "a\nb"],
)
def test_a_shell_reads_a_command_line_as_it_was_meant(name):
    typed = command_line("fit", "--run", Path(name), "--resume")
    script = f"set -- {typed.removeprefix('pyro-vae')}; printf '%s\\0' \"$@\""
    read = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    first, option, path, last = read.removesuffix("\0").split("\0")
    assert (first, option, last) == ("fit", "--run", "--resume")
    assert Path(path) == Path(name)
    assert not path.startswith("-")


def test_lists_are_cut_outside_brackets():
    text = " normal(scale=latent, min_scale=0.1), student-t ,per-column(columns=[a, b(c=1,d=2)])"
    assert split_list(text) == [
        "normal(scale=latent, min_scale=0.1)",
        "student-t",
        "per-column(columns=[a, b(c=1,d=2)])",
    ]
    assert split_list("") == []


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("normal", {}),
        ("normal()", {}),
        ("normal(scale=0.5)", {"scale": 0.5}),
        ("normal(scale=per-feature)", {"scale": "per-feature"}),
        ("normal(scale='latent', min_scale=1e-2)", {"scale": "latent", "min_scale": 0.01}),
        (
            "normal(a=true, b=None, c=[1, 2], d=[x,y])",
            {"a": True, "b": None, "c": [1, 2], "d": ["x", "y"]},
        ),
    ],
)
def test_values(text, settings):
    assert parse_call(text) == ("normal", settings)


@pytest.mark.parametrize("text", ["normal(", "normal(0.5)", "normal(=1)", "normal(a=)", "", "a b"])
def test_what_cannot_be_read(text):
    with pytest.raises(SettingError, match="cannot be read"):
        parse_call(text)


def test_parts_are_made_from_text():
    part = Likelihood.parse("student-t(df=4, scale=latent)")
    assert isinstance(part, StudentT)
    assert (part.df, part.scale) == (4, "latent")
    assert Prior.parse("vamp-prior(num_components=7)").num_components == 7
    assert Guide.parse("low-rank-normal(rank=3)").rank == 3
    given = Likelihood.parse("normal(scale=0.5)", lambda part: {"scale": 2.0, "min_scale": 0.1})
    assert isinstance(given, Normal)
    assert (given.scale, given.min_scale) == (0.5, 0.1)
    with pytest.raises(UnknownNameError, match="Did you mean 'student-t'"):
        Likelihood.parse("studentt(df=3)")
    with pytest.raises(SettingError, match=r"normal has no setting 'sigma': it has scale"):
        Likelihood.parse("normal(sigma=3)")
    with pytest.raises(SettingError, match="cannot be made"):
        Likelihood.parse("binomial")
