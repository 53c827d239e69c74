"""The web server of one page: loopback, a secret in the address, nothing but reading."""

from __future__ import annotations

import hmac
import re
import secrets
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fastpty.watch.live import Live
from fastpty.watch.page import live_page, update

__all__ = ["Server"]

_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?")
"""Names by which a browser on this machine, or at the other end of an SSH tunnel, may ask. A page
of another site whose name was made to point here would ask by that name."""
_POLICY = "img-src 'self' data:; style-src 'unsafe-inline'; connect-src 'self'; script-src"


class Server(ThreadingHTTPServer):
    """Serves what a :class:`Live` shows. Nothing that a request says reaches the file system.

    Parameters
    ----------
    port : 0 for one that is free.

    Raises
    ------
    OSError : the port cannot be used.
    """

    daemon_threads = True

    def __init__(self, live: Live, port: int) -> None:
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OverflowError as error:
            raise OSError(f"{error}") from error
        self.live = live
        self.token = secrets.token_urlsafe(24)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is no error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self.server_port}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "fastpty"
    sys_version = ""
    timeout = 60
    """Seconds without a request until a connection is closed."""

    def parse_request(self) -> bool:
        """Also whether there is an answer at all."""
        if not super().parse_request():
            return False
        _, token, *asked = [*self.path.partition("?")[0].split("/"), ""]
        known = hmac.compare_digest(token.encode(), self.server.token.encode())
        if not known or not _HOST.fullmatch(self.headers.get("Host", "")):
            return self._refuse(403)
        if self.command not in ("GET", "HEAD"):
            return self._refuse(405)
        self._asked = asked[:-1]
        return True

    def do_GET(self) -> None:
        """The page, what is new in it, or one of its images."""
        view = self.server.live.look()
        if self._asked == [""]:
            nonce = secrets.token_urlsafe(16)
            policy = f"{_POLICY} 'nonce-{nonce}'"
            self._answer(live_page(view, policy, nonce), "text/html; charset=utf-8", policy=policy)
        elif self._asked == ["update"]:
            tag = f'"{view.version}"'
            if self.headers.get("If-None-Match") == tag:
                self._send_head(304, {"ETag": tag})
            else:
                self._answer(update(view), "application/json", tag=tag)
        elif len(self._asked) == 2 and self._asked[0] == "image":
            image = self.server.live.image(self._asked[1])
            if image is None:
                self._refuse(404)
            else:
                self._answer(image, "image/png")
        else:
            self._refuse(404)

    do_HEAD = do_GET

    def _answer(
        self, content: str | bytes, kind: str, *, policy: str = "", tag: str | None = None
    ) -> None:
        body = content.encode() if isinstance(content, str) else content
        headers = {"Content-Type": kind, "Content-Length": str(len(body))}
        if tag is not None:
            headers["ETag"] = tag
        self._send_head(200, headers, policy)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int) -> bool:
        """Always false; a body that came with the request is not read."""
        self.close_connection = True
        headers = {"Content-Length": "0", "Connection": "close"}
        self._send_head(status, headers | ({"Allow": "GET, HEAD"} if status == 405 else {}))
        return False

    def _send_head(self, status: int, headers: dict[str, str], policy: str = "") -> None:
        own = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        self.send_response(status)
        for name, value in {
            "Cache-Control": "no-store",
            "Content-Security-Policy": f"default-src 'none'; {own}; {policy}".rstrip("; "),
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """The terminal is the user's."""
