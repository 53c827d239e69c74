"""The web server of one page: loopback, a secret in the address, nothing but reading."""

from __future__ import annotations

import hmac
import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from fastpty.watch.live import Live
from fastpty.watch.page import live_page, update

__all__ = ["Server"]

_HOSTS = frozenset({"127.0.0.1", "localhost"})
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
        given = urlsplit(self.path).path.split("/")
        token = given[1] if len(given) > 1 else ""
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        known = hmac.compare_digest(token.encode(), self.server.token.encode())
        if host not in _HOSTS or not known:
            return self._refuse(403)
        if self.command not in ("GET", "HEAD"):
            return self._refuse(405)
        self._asked = given[2:]
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
