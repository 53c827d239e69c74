"""The server: who gets an answer, to what, and how it is told that nothing is new."""

from __future__ import annotations

import html
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from fastpty.errors import FastptyError
from fastpty.watch import watch
from fastpty.watch.live import Live
from fastpty.watch.server import Server
from tests.watch.cases import begun, leave


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Of a folder ``run`` that does not exist; what it shows is refreshed by the tests."""
    with Server(Live(tmp_path / "run"), 0) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


def ask(
    server: Server, path: str = "", method: str = "GET", token: str | None = None, **headers: str
) -> tuple[HTTPResponse, bytes]:
    """The answer to a request below the page's address."""
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    try:
        target = f"/{server.token if token is None else token}/{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, headers=named)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def test_the_page(server: Server) -> None:
    answer, body = ask(server)
    assert answer.status == 200
    page = body.decode()
    assert "Reading the folder" in page
    headers = answer.headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; frame-ancestors 'none';")
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert page.count("<script") == page.count(f'<script nonce="{nonce}">') == 1
    assert f"script-src 'nonce-{nonce}'" in html.unescape(page)  # a saved page keeps the rule
    assert nonce not in ask(server)[1].decode()
    assert server.address == f"http://127.0.0.1:{server.server_port}/{server.token}/"
    assert server.server_address[0] == "127.0.0.1"
    assert len(server.token) >= 32


@pytest.mark.parametrize("token", ["", "x", "token", "%00", "../..", "favicon.ico"])
def test_without_the_token(server: Server, token: str) -> None:
    wrong = server.token.swapcase() if token == "token" else token
    for method in ("GET", "HEAD", "POST"):
        answer, body = ask(server, "update", method, wrong)
        assert (answer.status, body) == (403, b"")


@pytest.mark.parametrize("path", [b"/\xe9/", b"//[/", b"*", b"/?/", b"http://localhost/"])
def test_odd_requests(server: Server, path: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as connection:
        connection.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:9000", 200),  # the other end of a tunnel
        ("evil.example", 403),
        ("evil.example:80", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost@evil.example", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_only_a_page_of_this_machine_may_ask(server: Server, host: str, status: int) -> None:
    assert ask(server, Host=host)[0].status == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "ODD"])
def test_nothing_but_reading(server: Server, method: str) -> None:
    answer, body = ask(server, "", method)
    assert (answer.status, body) == (405, b"")
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path",
    [
        *("x", "progress.json", "../run/progress.json", "image", "image/", "image/x.png"),
        *("image/../progress.json", "image/%2e%2e%2fprogress.json", "update/", "/etc/passwd"),
        *("image//etc/passwd", "../../../../etc/passwd"),
    ],
)
def test_no_path_leads_to_a_file(server: Server, tmp_path: Path, path: str) -> None:
    leave(tmp_path / "run", begun())
    assert ask(server, path)[0].status == 404


def test_what_is_new_and_when_nothing_is(server: Server, tmp_path: Path) -> None:
    server.live.refresh()
    answer, body = ask(server, "update")
    news = json.loads(body)
    tag = answer.headers["ETag"]
    assert tag == f'"{news["version"]}"'
    assert "Waiting for a run" in news["header"]
    for method in ("GET", "HEAD"):
        answer, body = ask(server, "update", method, If_None_Match=tag)
        assert (answer.status, body, answer.headers["ETag"]) == (304, b"", tag)
    server.live.refresh()
    assert ask(server, "update", If_None_Match=tag)[0].status == 304

    leave(tmp_path / "run", begun(), state=False)
    server.live.refresh()
    answer, body = ask(server, "update", If_None_Match=tag)
    assert answer.status == 200
    assert json.loads(body)["title"] == "4/12 run"
    assert json.loads(body)["version"] in ask(server)[1].decode()
    answer, body = ask(server, "update", "HEAD")
    assert (answer.status, body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0


def test_an_image(server: Server) -> None:
    server.live._images = {"a.png": b"\x89PNG"}
    answer, body = ask(server, "image/a.png")
    assert (answer.status, answer.headers["Content-Type"], body) == (200, "image/png", b"\x89PNG")


def test_one_looks_for_all(server: Server) -> None:
    """A request is answered at once, and makes the thread look."""
    before = ask(server, "update")[1]
    assert "Reading the folder" in json.loads(before)["header"]
    with server.live:
        for _ in range(1000):
            ask(server, "update")
            if "Waiting for a run" in server.live.look().head:
                return
    raise AssertionError("it never looked")


@pytest.mark.parametrize("port", [None, 70000])
def test_a_port_that_cannot_be_used(server: Server, tmp_path: Path, port: int | None) -> None:
    def ready(address: str) -> None:
        raise AssertionError("it is served")

    with pytest.raises(FastptyError, match=r"--port: \d+ cannot be used .*leave it out"):
        watch(tmp_path, server.server_port if port is None else port, ready)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(FastptyError, match=r"is a file\. Name the output folder"):
        watch(tmp_path / "a", 0, lambda address: None)


def test_the_command_until_ctrl_c(tmp_path: Path) -> None:
    """Without torch."""
    program = (
        # Where the tests run in the background Ctrl-C is ignored, and children inherit that.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys; sys.argv = ['fastpty', 'watch', sys.argv[1]]\n"
        "from fastpty.cli import main\n"
        "try: main()\n"
        "finally: assert 'torch' not in sys.modules\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert f"shows the run in {tmp_path / 'run'}. Ctrl-C" in process.stdout.readline()
        place: Any = address.removeprefix("http://").split("/")
        connection = HTTPConnection(place[0], timeout=30)
        connection.request("GET", f"/{place[1]}/")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, said) == (0, "")
