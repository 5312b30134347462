"""The file: self-contained, escaped, allowed nothing but itself; the command that writes it."""

import base64
import contextlib
import hashlib
import http.client
import itertools
import json
import re
import threading
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer
from unittest import mock

import pytest

from pyro_vae.errors import SettingError
from pyro_vae.lecture import PANELS, describe_run, serve_page, write_explorer, write_lecture
from pyro_vae.models.likelihoods import Gamma
from tests.cli.test_commands import run
from tests.lecture.models import counts, small_vae


@pytest.fixture(scope="module")
def part():
    return describe_run(small_vae(), counts(), name="</script><b>bold")


def test_it_asks_for_nothing_outside(tmp_path, part):
    write_explorer(tmp_path / "page.html", part)
    html = (tmp_path / "page.html").read_text()
    outside = re.findall(r"https?://[^\"'\s<]*|//[a-z0-9-]+\.[a-z]+", html)
    assert set(outside) == {"http://www.w3.org/2000/svg"}
    for means in ("src=", "@import", "url(", "fetch(", "XMLHttpRequest", "WebSocket", "import("):
        assert means not in html
    assert re.findall(r'href="([^"]*)"', html) == ["data:,"]
    for colour in ("#0072B2", "#D55E00", "#009E73", "#CC79A7"):
        assert colour in html


def test_its_policy_allows_its_own_script_and_style_only(tmp_path, part):
    write_explorer(tmp_path / "page.html", part)
    html = (tmp_path / "page.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for element, source in (("script", "script-src"), ("style", "style-src")):
        (inside,) = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in policy
    assert not re.search(r'\s(style|on[a-z]+)="', html)


def test_names_are_escaped(tmp_path, part):
    write_explorer(tmp_path / "page.html", part)
    html = (tmp_path / "page.html").read_text()
    assert "<b>" not in html
    document = re.search(r'id="page-data">(.*?)</script>', html, re.DOTALL)[1]
    assert json.loads(document)["panels"]["decoder"] == json.loads(json.dumps(part))


def test_without_a_run_there_are_two_parts(tmp_path):
    write_explorer(tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert re.findall(r"<h2[^>]*>(\d)\.", html) == ["1", "2"]
    assert len(html) < 80_000


def test_every_control_has_a_label(tmp_path, part):
    write_explorer(tmp_path / "page.html", part)
    html = (tmp_path / "page.html").read_text()
    body = html[: html.index("<template")]
    controls = re.findall(r'<input[^>]* id="([^"]+)"', body)
    assert len(controls) == body.count("<input") == 6
    assert set(controls) <= set(re.findall(r'<label for="([^"]+)"', body))
    identifiers = re.findall(r'\bid="([^"]+)"', html)
    assert len(identifiers) == len(set(identifiers))


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "wrote explore.html" in run("explore").stdout
    assert "<h2" in (tmp_path / "explore.html").read_text()
    folder = tmp_path / "counts"
    run("fit", "--run", folder, "--epochs", 1, "--latent-dim", 2, "--hidden", "8")
    run("explore", folder)
    html = (folder / "explore.html").read_text()
    assert '"name": "counts"' in html
    run("explore", folder, "--out", tmp_path / "new" / "page.html")
    assert (tmp_path / "new" / "page.html").read_text() == html


def test_the_command_refuses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mixture"
    run("fit", "--model", "mixture", "--components", 2, "--epochs", 1, "--run", folder)
    refused = run("explore", folder, status=2).stderr
    assert "MixtureModel" in refused
    assert not (folder / "explore.html").exists()
    assert "without --serve" in run("explore", "--port", 8000, status=2).stderr
    assert "a folder" in run("explore", "--out", tmp_path, status=2).stderr
    with mock.patch("pyro_vae.cli.explore.load_model", return_value=small_vae(likelihood=Gamma())):
        assert "likelihood got gamma" in run("explore", folder, status=2).stderr


def test_the_lecture_by_its_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "counts"
    run("fit", "--run", folder, "--epochs", 1, "--latent-dim", 2, "--hidden", "8")
    # In the lecture's order, whatever order they are named in.
    panels = "decoder, identity"
    said = run("lecture", "--panels", panels, "--run", folder, "--out", "a/page.html").stdout
    assert re.search(r"wrote a/page\.html \(0\.\d MB, \d+ s\)", said)
    html = (tmp_path / "a" / "page.html").read_text()
    assert re.findall(r'<section id="(\w+)"', html) == ["identity", "decoder"]
    assert '"name": "counts"' in html
    run("lecture", "--panels", "gradients", "--out", "b.html")
    assert re.findall(r'<section id="(\w+)"', (tmp_path / "b.html").read_text()) == ["gradients"]


def test_the_lecture_refuses_before_it_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stop = mock.patch.dict(PANELS, {"codes": mock.Mock(side_effect=AssertionError)})
    with stop:
        refused = run("lecture", "--panels", "codes,coeds", status=2).stderr
        assert "panels got 'coeds'" in refused
        assert "divergence" in refused
        assert "panels got none" in run("lecture", "--panels", "", status=2).stderr
        assert "a folder" in run("lecture", "--out", tmp_path, status=2).stderr
        assert "without --serve" in run("lecture", "--port", 8000, status=2).stderr
    with pytest.raises(SettingError, match=r"run got 'mine'.*'decoder' alone"):
        write_lecture(tmp_path / "page.html", panels=["codes"], run={"name": "mine"})
    assert list(tmp_path.iterdir()) == []


def test_serving_on_the_loopback_address_only(tmp_path):
    path = tmp_path / "page.html"
    write_explorer(path)
    with serve_page(path) as server:
        host, port = server.server_address
        assert host == "127.0.0.1"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
                assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
                assert answer.read() == path.read_bytes()
            with pytest.raises(urllib.error.HTTPError, match="404") as missing:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/etc/passwd")
            missing.value.close()
            with (
                pytest.raises(SettingError, match=f"--port got {port}"),
                serve_page(path, port),
            ):
                pass
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def served(path):
    """Answers to raw requests: ``ask(method, target, *headers)`` gives status, headers, body."""
    with serve_page(path) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()

        def ask(method, target, *hosts):
            connection = http.client.HTTPConnection(*server.server_address, timeout=10)
            connection.putrequest(method, target, skip_host=True)
            for host in hosts:
                connection.putheader("Host", host.format(port=server.server_port))
            connection.endheaders()
            with contextlib.closing(connection), connection.getresponse() as answer:
                return answer.status, dict(answer.headers), answer.read()

        try:
            yield ask
        finally:
            server.shutdown()
            thread.join()


def test_only_its_own_names_are_answered(tmp_path):
    path = tmp_path / "page.html"
    write_explorer(path)
    page = path.read_bytes()
    with served(path) as ask:
        for own in ("127.0.0.1:{port}", "localhost:{port}", "LocalHost:{port}", "[::1]:{port}"):
            assert ask("GET", "/", own)[::2] == (200, page), own
        foreign = ("evil.example", "evil.example:{port}", "localhost", "localhost:1", "")
        foreign += (
            "localhost:{port}.evil.example",
            "evil.example/localhost:{port}",
            "0.0.0.0:{port}",
        )
        for host in foreign:
            for method, target in itertools.product(("GET", "HEAD"), ("/", "/other")):
                status, _, body = ask(method, target, host)
                assert status == 403, host
                assert page[:200] not in body
        assert ask("GET", "/")[0] == 403
        assert ask("GET", "/", "localhost:{port}", "evil.example")[0] == 403


def test_head_has_the_headers_of_get_and_no_body(tmp_path):
    path = tmp_path / "page.html"
    write_explorer(path)
    with served(path) as ask:
        status, headers, body = ask("GET", "/", "localhost:{port}")
        assert (status, body) == (200, path.read_bytes())
        status, found, body = ask("HEAD", "/", "localhost:{port}")
        assert (status, body) == (200, b"")
        for name in ("Content-Type", "Content-Length"):
            assert found[name] == headers[name]
        assert ask("HEAD", "/other", "localhost:{port}")[::2] == (404, b"")


def test_the_command_serves_until_interrupted(tmp_path):
    stop = mock.patch.object(ThreadingHTTPServer, "serve_forever", side_effect=KeyboardInterrupt)
    with stop:
        said = run("explore", "--out", tmp_path / "page.html", "--serve").stdout
    assert re.search(r"serving http://127\.0\.0\.1:\d+/", said)
    assert "stopped" in said
