"""What is shown in a notebook: tables and stories as HTML, and one bar."""

import io
import sys
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import pandas as pd
import pytest

from pyro_vae import VAE, compare, data, evaluate, fit, inference, progress
from pyro_vae.models import LinearVAE, MixtureModel
from pyro_vae.models.likelihoods import Normal

TABLE = data.Dataset.from_frame(
    pd.DataFrame({"<a & b>": [0.5, 1.25, 3.5, -2.0, 7.5] * 8, "stage": [1, 2, 3, 2, 1] * 8})
)


def shown():
    model = VAE((2,), 1, encoder=(4,), decoder=(4,), likelihood=Normal())
    x = TABLE.train
    yield fit(model, x, epochs=1, batch_size=28, progress=False)
    yield model
    yield MixtureModel(2, Normal(), (2,))
    yield TABLE
    yield TABLE.schema
    yield compare({"a": model, "b": LinearVAE((2,), 1)}, x[:9], num_particles=20)
    yield inference.certify(model, x[:3], estimators=["importance"], num_particles=20)


def test_every_result_shows_itself_and_escapes_what_it_holds():
    for thing in shown():
        text = thing._repr_html_()
        ET.fromstring(f"<div>{text.replace('&nbsp;', ' ')}</div>")  # well formed
        if thing in (TABLE, TABLE.schema):
            assert "&lt;a &amp; b&gt;" in text
            assert "ordinal" in text


def test_a_bar_is_shown_where_it_can_be_seen(monkeypatch):
    assert not progress.wants_bar()  # pytest's standard error is no terminal
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(progress, "find_spec", lambda name: name == "ipywidgets")
    assert progress.in_notebook()
    assert progress.wants_bar()
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    assert not progress.wants_bar()  # nothing there moves


@pytest.mark.parametrize("asked", [True, False, None])
def test_any_verb_shows_its_bar_on_request(asked, monkeypatch):
    seen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", seen)
    model = LinearVAE((2,), 1)
    evaluate(model, TABLE.train[:4], 5, progress=asked)
    assert ("evaluate" in seen.getvalue()) == (asked is True)
