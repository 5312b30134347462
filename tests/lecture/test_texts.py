"""What the page says: in every language, with the same blanks and marks, and nothing besides."""

import re
from pathlib import Path

import pytest

import pyro_vae.lecture
from pyro_vae.lecture.page import write_page
from pyro_vae.lecture.texts import FIRST, LANGUAGES, load_texts

TEXTS = load_texts()
ROOM = Path(pyro_vae.lecture.__file__).parent
HEADINGS = {"lecture", "explore", "page"}
#: What may stand inside a string of a script: `name` of a text, or `name_${...}`.
CALL = re.compile(r"""\b(?:plain|text)\(\s*["'`](\w+)(\$\{)?""")
SAID = re.compile(r"""\bsay(?:Plain)?\(\s*["']([\w.]+)["']""")


def names_in(panel, folder):
    """Keys that a panel's page and script ask for, and beginnings of those put together."""
    keys, beginnings = set(), set()
    script = (ROOM / "panels" / f"{panel}.js").read_text()
    for name, more in CALL.findall(script):
        (beginnings if more else keys).add(f"{panel}.{name}")
    # A choice between two names.
    for call in re.findall(r"\bplain\(([^()]*\?[^()]*)[,)]", script):
        keys |= {f"{panel}.{name}" for name in re.findall(r'"(\w+)"', call)}
    write_page(folder / "page.html", {panel: {}}, heading="explore")
    html = (folder / "page.html").read_text()
    keys |= set(re.findall(r'data-(?:text|label)="([\w.]+)"', html))
    return keys | set(SAID.findall(script)), beginnings


def test_every_text_is_in_every_language_with_its_blanks_and_marks():
    for key, texts in TEXTS.items():
        assert list(texts) == list(LANGUAGES), key
        assert all(text.strip() for text in texts.values()), key
        for pattern in (r"\{\w+\}", r"</?\w+>"):
            found = [sorted(re.findall(pattern, text)) for text in texts.values()]
            assert all(one == found[0] for one in found), (key, pattern)
        for text in texts.values():
            assert set(re.findall(r"</?(\w+)", text)) <= {"sub", "sup", "em"}, key
            assert "&" not in text, key
            assert text.count("<") == len(re.findall(r"</?\w+>", text)), key


def test_chinese_is_chinese():
    formula = re.compile(
        r"\{\w+\}|<[^>]*>|[\W\d_]|log|exp|KL|ELBO|IWAE|k-hat|[a-zA-Zβσλ²₁₂]{1,3}\b"
    )
    for key, texts in TEXTS.items():
        if formula.sub("", texts[FIRST]):
            assert re.search(r"[\u4e00-\u9fff]", texts["zh"]), key


PANELS = sorted({key.split(".")[0] for key in TEXTS} - HEADINGS)


@pytest.mark.parametrize("panel", PANELS)
def test_every_text_of_a_panel_is_used(panel, tmp_path):
    keys, beginnings = names_in(panel, tmp_path)
    for key in TEXTS:
        if key.startswith(f"{panel}."):
            assert key in keys or any(key.startswith(start) for start in beginnings), key


@pytest.mark.parametrize("panel", PANELS)
def test_every_text_that_a_script_asks_for_is_there(panel):
    script = (ROOM / "panels" / f"{panel}.js").read_text()
    for name, more in CALL.findall(script):
        key = f"{panel}.{name}"
        assert key in TEXTS or (more and any(k.startswith(key) for k in TEXTS)), key
    for key in SAID.findall(script):
        assert key in TEXTS


def test_a_text_that_is_missing_ends_in_an_error(tmp_path, monkeypatch):
    short = {key: texts for key, texts in TEXTS.items() if key != "identity.curves"}
    monkeypatch.setattr("pyro_vae.lecture.page.load_texts", lambda: short)
    with pytest.raises(KeyError, match=r"identity\.curves"):
        write_page(tmp_path / "page.html", {"identity": {"toy": {}}}, heading="explore")


def test_the_page_of_the_docs_names_every_panel_in_order():
    page = Path(__file__).parents[2] / "docs" / "lecture.md"
    assert re.findall(r"(?m)^\| `(\w+)` \|", page.read_text(encoding="utf-8")) == list(
        pyro_vae.lecture.PANELS
    )
