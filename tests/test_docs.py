"""The pages of the site, as far as can be seen without building it; `make docs` builds it."""

import importlib.util
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.main import get_command

import pyro_vae
from pyro_vae import inference
from pyro_vae.cli.app import app

DOCS = Path(__file__).parent.parent / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
PAGES = sorted(DOCS.rglob("*.md"))
TERM = re.compile(r"\{term\}`(?:[^`<]*<)?([^`>]+)>?`")


def name_of(path):
    return str(path.relative_to(DOCS))


def terms():
    """Terms of the glossary: the lines at the margin of its directive."""
    body = (DOCS / "glossary.md").read_text().split("```{glossary}\n")[1].split("\n```")[0]
    return [line for line in body.splitlines() if line and not line.startswith(" ")]


@pytest.mark.parametrize("path", TUTORIALS, ids=name_of)
def test_tutorial_is_a_notebook_with_exercises_and_answers(path):
    text = path.read_text()
    front = re.match(r"---\n(.*?)\n---\n\n# ", text, re.DOTALL)
    assert front, "front matter, then the title"
    assert re.search(r"format_name: myst|file_format: mystnb", front[1])
    assert "name: python3" in front[1]
    assert "```{code-cell}" in text
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[-2:] == ["Exercises", "Answers"]
    exercises, answers = text.split("\n## Exercises\n")[1].split("\n## Answers\n")
    asked = re.findall(r"^(\d+)\. ", exercises, re.MULTILINE)
    assert len(asked) >= 3
    assert answers.count(":class: dropdown") == len(asked)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_page_names_no_place_of_one_machine(path):
    assert not re.search(r"(?<![\w.])/(home|work|tmp|root|Users)/", path.read_text())


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_page_fetches_nothing(path):
    """Links may lead out of the site; images, scripts and styles may not come from there."""
    assert not re.search(r"!\[[^\]]*\]\(\w+://|<(script|img|iframe|link)\b", path.read_text())


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_terms_of_a_page_are_in_the_glossary(path):
    known = {term.lower() for term in terms()}
    assert {t.strip().lower() for t in TERM.findall(path.read_text())} <= known


def test_glossary_has_a_chinese_name_after_every_english_one_in_order():
    lines = terms()
    english, chinese = lines[::2], lines[1::2]
    assert len(english) >= 45
    assert len(set(english)) == len(english)
    assert english == sorted(english, key=str.lower)
    assert all(re.search(r"[\u4e00-\u9fff]", name) for name in chinese)
    assert not any(re.search(r"[\u4e00-\u9fff]", name) for name in english)


def test_every_public_name_has_its_place_in_the_reference():
    """Otherwise: add a line to docs/api/inference.md, or a row to docs/api/index.md."""
    page = (DOCS / "api" / "inference.md").read_text()
    listed = re.findall(r"^\.\. auto(?:function|class):: (\w+)$", page, re.MULTILINE)
    wings = [getattr(inference, wing) for wing in inference._WINGS]
    public = {name for wing in wings for name in wing.__all__}
    elsewhere = {"IWAE", "objective_named"}  # with the objectives
    assert sorted(listed) == sorted(public - elsewhere | {"Run"})
    assert set(inference.__all__) - set(inference._WINGS) <= public
    index = (DOCS / "api" / "index.md").read_text()
    modules = {"data", "inference", "models", "__version__"}
    for name in set(pyro_vae.__all__) - modules:
        assert re.search(rf"\b{name}\b", index), name


def test_commands_named_in_the_pages_exist():
    commands = set(get_command(app).commands)
    for path in PAGES:
        for block in re.findall(r"```console\n(.*?)```", path.read_text(), re.DOTALL):
            for name in re.findall(r"^pyro-vae (?:--import \S+ )?(\w+)", block, re.MULTILINE):
                assert name in commands, f"{name_of(path)}: {name}"


@pytest.fixture(scope="module")
def spaced():
    """The site's converter of formulas, from LaTeX to an element tree without namespaces."""
    pytest.importorskip("sphinx", reason="the site is not built here")
    path = DOCS / "_ext" / "mathml.py"
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_file_location("site_mathml", path)
    )
    module.__spec__.loader.exec_module(module)

    def convert(tex):
        tree = ET.fromstring(module.to_mathml(tex, None, as_block=True))
        for element in tree.iter():
            element.tag = element.tag.split("}")[1]
        return tree

    return convert


@pytest.mark.parametrize(
    ("accent", "sign"), [("bar", "\u02c9"), ("hat", "\u02c6"), ("tilde", "~")]
)
def test_the_index_of_an_accented_letter_is_beside_it(spaced, accent, sign):
    tree = spaced(rf"\{accent} w_k = \sum_{{k=1}}^K x")
    accented, index = tree.find("msub")
    assert (accented.tag, [part.text for part in accented]) == ("mover", ["w", sign])
    assert index.text == "k"
    assert tree.find("munderover")[0].text == "\u2211"  # limits of a sum stay where they are


def test_the_bars_of_a_divergence_are_no_taller_than_a_line(spaced):
    bars = [
        part for part in spaced(r"\text{KL}(q \| p) = \sum_l x_l").iter() if part.text == "\u2016"
    ]
    assert [part.get("stretchy") for part in bars] == ["false"]
