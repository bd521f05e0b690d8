"""`m2v serve` as a process of its own on loopback: start, key, limits of real sockets, and a stop that loses no request."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from commands import m2v
from conftest import GOLDEN, make_model
from m2v_core import StaticModel
from m2v_core.cli.serve import is_loopback
from m2v_core.search import Index
from m2v_core.serve.server import bound_socket
from servers import JSON, Server, serving

BODY = json.dumps({"input": ["good day", "bad, sunny days!"] * 20})
ANYWHERE = "0.0.0.0"  # noqa: S104 - the warning and the key are about it


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serve") / "small"
    make_model(dim=12).save_pretrained(path)
    return path


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    connection.close()
    return b"".join(parts)


def test_it_serves_and_stops(folder: Path, tmp_path: Path) -> None:
    index = Index(StaticModel.from_pretrained(folder))
    index.add(["good", "day"])
    index.save(tmp_path, include_model=False)
    head = f"my-head={GOLDEN / 'heads' / 'softmax'}"
    with serving(folder, head, "--log-requests", "--threads", 1, "--index", tmp_path) as server:
        status, answer = server.request("POST", "/v1/embeddings?secret", json.dumps({"input": ["good", "day"]}))
        vectors = np.float32([one["embedding"] for one in answer["data"]])
        assert (status, answer["model"]) == (200, "small")
        np.testing.assert_array_equal(vectors, StaticModel.from_pretrained(folder).encode(["good", "day"]))
        assert server.request("GET", "/readyz") == (200, {"status": "ready"})
        assert server.request("POST", "/search", json.dumps({"query": "day", "k": 1}))[1]["hits"][0]["id"] == 1
        assert server.end() == (0, "Stopped: 3 of 3 requests answered")
        assert server.lines[0].startswith("Serving small, my-head at http://127.0.0.1:")
        assert [line.split()[3:6] for line in server.lines[1:-1]] == [
            ["POST", "/v1/embeddings", "200"],
            ["GET", "/readyz", "200"],
            ["POST", "/search", "200"],
        ]
        assert "secret" not in "".join(server.lines)


def test_ctrl_c_and_quiet(folder: Path) -> None:
    """It says nothing but where it is: without that nobody could ask it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [sys.executable, "-m", "m2v_core", "serve", str(folder), "-q", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(2000):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None
                threading.Event().wait(0.01)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0


def test_stopped_in_the_middle_of_a_thousand_requests(folder: Path) -> None:
    """Every request that the server has begun to read is answered, whole; of the others nothing was read."""
    answered, lost, left = list[int](), list[str](), threading.Semaphore(1000)
    halfway, cut = threading.Event(), list[str]()

    def client(server: Server) -> None:
        connection = server.connect()
        while left.acquire(blocking=False):
            try:
                connection.request("POST", "/v1/embeddings", BODY, JSON)
                answer = connection.getresponse()
            except (ConnectionError, http.client.RemoteDisconnected) as error:
                lost.append(type(error).__name__)
                connection.close()
                continue
            try:
                assert len(json.loads(answer.read())["data"]) == 40
                answered.append(answer.status)
            except Exception as error:
                cut.append(repr(error))
            if len(answered) >= 100:
                halfway.set()
        connection.close()

    with serving(folder) as server:
        clients = [threading.Thread(target=client, args=[server]) for _ in range(16)]
        for thread in clients:
            thread.start()
        assert halfway.wait(20)
        code, last = server.end()
        for thread in clients:
            thread.join(20)
    assert cut == []
    assert set(answered) == {200}
    assert len(answered) + len(lost) == 1000
    assert 100 <= len(answered) < 1000
    assert (code, last) == (0, f"Stopped: {len(answered)} of {len(answered)} requests answered")


def test_a_request_that_is_still_coming_is_answered(folder: Path) -> None:
    head = f"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    body = json.dumps({"inputs": "good"}).ljust(len(BODY))
    with serving(folder) as server:
        connection = server.raw(head.encode() + body[:10].encode())
        while "m2v_requests_in_progress 2.0" not in server.request("GET", "/metrics")[1]:
            pass
        server.process.send_signal(signal.SIGTERM)
        while True:  # until it listens no more
            try:
                socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
            except ConnectionError:
                break
        connection.sendall(body[10:].encode())
        answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        code, last = server.end()
        assert code == 0
        assert re.fullmatch(r"Stopped: (\d+) of \1 requests answered", last)


def test_a_stop_has_an_end(folder: Path) -> None:
    with serving(folder, "--stop-seconds", 1) as server:
        head = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        connection = server.raw(head)
        while "m2v_requests_in_progress 2.0" not in server.request("GET", "/metrics")[1]:
            pass
        code, last = server.end()
        connection.close()
        assert code == 1
        assert re.fullmatch(r"Stopped: (\d+) of (\d+) requests answered", last)


@pytest.fixture(scope="module")
def limited(folder: Path) -> Iterator[Server]:
    with serving(folder, "--max-body", 10_000, "--max-texts", 50, "--body-seconds", 2) as server:
        yield server


def chunked(*parts: bytes) -> bytes:
    head = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


def test_a_chunked_body(limited: Server) -> None:
    end = b"0\r\n\r\n"
    with limited.raw(chunked(b'{"inputs":', b' "good"}') + end) as connection:
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")
    for size in (11, 30):  # thousands of bytes, more than the limit: the answer comes after the body
        connection = limited.raw(chunked(*[b"[" * 1000] * size) + end)
        answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"at most 10000 bytes" in answer
    with limited.raw(chunked(b"[")) as connection, pytest.raises(ConnectionError):  # ten megabytes are not read
        connection.sendall((b"3e8\r\n" + b"[" * 1000 + b"\r\n") * 10_000)
    assert limited.request("GET", "/healthz")[0] == 200


def test_a_body_that_is_announced_as_too_large_is_not_asked_for(limited: Server) -> None:
    head = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20000\r\n"
    answer = read_all(limited.raw(head + b"Expect: 100-continue\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    huge = head.replace(b"20000", b"20000000")
    assert read_all(limited.raw(huge + b"\r\n")).startswith(b"HTTP/1.1 413 ")
    status, answer = limited.request("POST", "/embed", b"[" * 20_000)
    assert (status, answer["error"]["code"]) == (413, "request_too_large")


def test_a_slow_body(limited: Server) -> None:
    answer = read_all(limited.raw(chunked(b'{"inputs":')))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"in 2 seconds; found 10 bytes until then" in answer


def test_clients_that_leave_and_bytes_that_are_no_http(limited: Server) -> None:
    limited.raw(chunked(b'{"inputs":')).close()
    limited.raw(b"POST /embed HTTP/1.1\r\nContent-Le").close()
    assert b" 400 " in read_all(limited.raw(b"\x16\x03\x01 no http\r\n\r\n"))
    assert limited.request("POST", "/embed", json.dumps({"inputs": ["a"] * 51}))[1]["error"]["param"] == "inputs"
    assert limited.request("POST", "/embed", json.dumps({"inputs": ["a"] * 50}))[0] == 200


@pytest.mark.parametrize("by_file", [True, False])
def test_the_key(folder: Path, tmp_path: Path, by_file: bool) -> None:
    key = "secret-0123456789"
    (tmp_path / "key").write_text(f"{key}\n")
    arguments = [folder, "--host", ANYWHERE, "--api-key-file", tmp_path / "key"] if by_file else [folder]
    with serving(*arguments, **({} if by_file else {"M2V_API_KEY": key})) as server:
        assert server.request("GET", "/v1/models")[0] == 401
        assert server.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})[0] == 200
        assert server.request("GET", "/healthz")[0] == 200
        server.end()
        assert not any(key in line or "warning" in line for line in server.lines)


def test_an_open_address_without_a_key_is_warned_of(folder: Path) -> None:
    with serving(folder, "--host", ANYWHERE) as server:
        assert server.lines[0].startswith(
            "m2v: warning: anybody who reaches 0.0.0.0 can use this server. Set a key with "
        )
    for host in ("localhost", "127.0.0.2"):
        with bound_socket(host, 0) as bound:
            assert is_loopback(bound)


def fails(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


def test_wrong_usage_is_found_before_the_work(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(m2v("serve"), 2, "MODEL")
    fails(m2v("serve", folder, "--port", "x"), 2, "--port", "whole number")
    fails(m2v("serve", folder, "--port", 70_000), 1, "--port should be a whole number, from 0 to 65535; found 70000")
    fails(m2v("serve", folder, "--body-seconds", 0), 1, "--body-seconds should be a number, above 0; found 0")
    fails(m2v("serve", tmp_path / "none", "--port", 0), 1, "neither a folder")
    fails(m2v("serve", tmp_path, "--port", 0), 1, str(tmp_path))
    fails(m2v("serve", folder, "--port", 0, "--index", tmp_path / "none"), 1, str(tmp_path / "none"))
    fails(m2v("serve", folder, folder), 1, "found 'small' twice. Name one of them: NAME=")
    fails(m2v("serve", "=a"), 1, "Expected a model, or NAME=MODEL; found '=a'")
    fails(m2v("serve", "a="), 1, "Expected a model, or NAME=MODEL; found 'a='")
    fails(m2v("serve", folder, "--host", "no such host"), 1, "cannot listen on 'no such host', port 8000")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        fails(m2v("serve", folder, "--port", port), 1, f"cannot listen on '127.0.0.1', port {port}", "in use")
    fails(m2v("serve", folder, "--api-key-file", tmp_path / "none"), 1, f"{tmp_path / 'none'}: No such file")
    for content in (b"", b"\n", b"a b", "naïve".encode(), b"\xff"):
        (tmp_path / "key").write_bytes(content)
        fails(
            m2v("serve", folder, "--api-key-file", tmp_path / "key"),
            1,
            f"{tmp_path / 'key'} should be a key of visible",
        )
    monkeypatch.setenv("M2V_API_KEY", "")
    fails(m2v("serve", folder), 1, "M2V_API_KEY should be a key of visible ASCII characters; found an empty one")
    (tmp_path / "key").write_text("key")
    fails(m2v("serve", folder, "--api-key-file", tmp_path / "key"), 1, "found --api-key-file and M2V_API_KEY")


def test_a_missing_package_is_named(folder: Path) -> None:
    code = (
        "import sys; sys.modules['starlette'] = None\n"
        "from m2v_core.cli.main import main\n"
        f"sys.exit(main(['serve', {str(folder)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    fails(done, 1, "The server needs starlette, which is not installed: pip install 'm2v-core[serve]'")
