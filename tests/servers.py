"""`m2v serve` as a process of its own, on a free port of this machine."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

JSON = {"Content-Type": "application/json"}


class Server:
    """A running server: its process, port, and what it wrote on stderr so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.lines = process, list[str]()
        assert process.stderr is not None
        for line in process.stderr:
            self.lines.append(line.rstrip("\n"))
            if found := re.match(r"Serving .* at http://.*:(\d+) ", line):
                self.port = int(found[1])
                return
        raise AssertionError("\n".join(self.lines))

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        connection = self.connect()
        connection.request(method, path, body, JSON | (headers or {}))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        is_json = answer.headers["content-type"] == "application/json"
        return answer.status, json.loads(content) if is_json else content.decode()

    def raw(self, data: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(data)
        return connection

    def end(self, name: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """The exit code and the last line on stderr after a signal."""
        self.process.send_signal(name)
        _, rest = self.process.communicate(timeout=20)
        self.lines += rest.splitlines()
        return self.process.returncode, self.lines[-1]


@contextmanager
def serving(*arguments: object, **variables: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "m2v_core", "serve", "--port", "0", *map(str, arguments)]
    environment = {**os.environ, **variables}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield Server(process)
        finally:
            process.kill()
