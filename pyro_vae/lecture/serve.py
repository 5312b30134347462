"""The page on this machine's own address, for browsers that open no files."""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from pyro_vae.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["serve_page"]

_LOOPBACK = "127.0.0.1"
_NAMES = (_LOOPBACK, "localhost", "[::1]")


@contextmanager
def serve_page(path: Path, port: int = 0) -> Iterator[ThreadingHTTPServer]:
    """A server of this one file, on the loopback address only; ``serve_forever`` runs it.

    Parameters
    ----------
    path
        HTML file, read once.
    port
        Port to listen on; 0 takes any that is free.

    Raises
    ------
    SettingError
        If the port cannot be had.
    """
    page = path.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            if self._answer():
                self.wfile.write(page)

        def _answer(self) -> bool:
            """Status and headers; whether they are the page's."""
            if not _is_own(self.headers.get_all("Host", []), server.server_port):
                self.send_error(HTTPStatus.FORBIDDEN, "this page is for this machine alone")
                return False
            if self.path != "/":
                self.send_error(HTTPStatus.NOT_FOUND)
                return False
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            return True

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing of requests."""

    try:
        server = ThreadingHTTPServer((_LOOPBACK, port), Handler)
    except (OSError, OverflowError) as error:
        raise SettingError(
            f"--port got {port}, which cannot be had ({error}): give another, or 0 for any that "
            "is free"
        ) from error
    with server:
        yield server


def _is_own(hosts: list[str], port: int) -> bool:
    """Whether a request was for this server by a name of its own.

    A site elsewhere can have its name resolve to the loopback address, and would then be
    allowed to read the page; its requests still bear its name (DNS rebinding).
    """
    own = {f"{name}:{port}" for name in _NAMES} | (set(_NAMES) if port == 80 else set())
    return len(hosts) == 1 and hosts[0].lower() in own
