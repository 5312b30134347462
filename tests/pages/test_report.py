"""The HTML report: self-contained, escaped, written whole."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from pyro_vae.pages.report import Section, save_figure, write_report


def figure():
    figure = Figure()
    figure.subplots().plot([1, 2])
    return figure


def write(path, **changes):
    arguments = {
        "title": "<script>alert(1)</script>",
        "introduction": "Nats & more.",
        "table": pd.DataFrame({"ELBO": ["-1.0"]}, index=["run <b>"]),
        "sections": [Section("One", "z ~ N(0, I)", {"A caption": figure()})],
        "conclusions": ["So it is."],
        "provenance": {"seed": "0"},
    }
    write_report(path, **{**arguments, **changes})


def test_it_is_self_contained_and_escaped(tmp_path):
    write(tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "run &lt;b&gt;" in html
    for outside in ('src="http', "href=", "url(", "@import"):
        assert outside not in html
    assert html.count("data:image/png;base64,") == 1
    assert 'alt="A caption"' in html
    assert '<html lang="en">' in html


def test_a_failure_leaves_the_old_report(tmp_path):
    write(tmp_path / "report.html", title="first")
    with pytest.raises(AttributeError):
        write(tmp_path / "report.html", sections=["not a section"])
    assert "first" in (tmp_path / "report.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_figures_are_written_whole(tmp_path):
    save_figure(figure(), tmp_path / "figures" / "one.png")
    assert (tmp_path / "figures" / "one.png").read_bytes().startswith(b"\x89PNG")
