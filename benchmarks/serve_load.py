"""A load for a server on this machine: connections that send a request as soon as the one before is answered.

A process of its own, with as little work for each request as Python allows, so that it is not what is measured. Prints
JSON: requests a second, and the latency of half and of 99 % of the requests in milliseconds.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path


def requests(path: str, bodies: list[bytes]) -> Iterator[bytes]:
    """The requests, as they go over the wire, again and again."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
    return cycle([f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies])


class Connection:
    """One connection, with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer, self._size, self.sent = bytearray(), 0, 0.0

    def send(self, request: bytes) -> None:
        """Send a request; it is small enough for the socket's buffer."""
        self.sent = time.perf_counter()
        self.socket.sendall(request)

    def answered(self) -> bool:
        """Read what has come; whether the answer is whole."""
        part = self.socket.recv(1 << 20)
        if not part:
            raise SystemExit("the server closed a connection")
        self._answer += part
        if not self._size:
            end = self._answer.find(b"\r\n\r\n")
            if end < 0:
                return False
            if not self._answer.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"expected the status 200; found {bytes(self._answer[:300])!r}")
            start = self._answer.lower().index(b"content-length: ") + 16
            self._size = end + 4 + int(self._answer[start : self._answer.index(b"\r", start)])
        if len(self._answer) < self._size:
            return False
        self._answer, self._size = bytearray(), 0
        return True


def load(port: int, path: str, bodies: list[bytes], connections: int, seconds: float) -> dict[str, float]:
    """Send requests for some seconds, of which the first quarter is not counted."""
    wire, times, sent = requests(path, bodies), list[float](), connections
    selector = selectors.DefaultSelector()
    for _ in range(connections):
        connection = Connection(port)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(next(wire))
    start = time.perf_counter()
    counted, end = start + seconds / 4, start + seconds
    while (now := time.perf_counter()) < end:
        for key, _ in selector.select(1):
            connection = key.data
            if connection.answered():
                now = time.perf_counter()
                if now > counted:
                    times.append(now - connection.sent)
                connection.send(next(wire))
                sent += 1
    times.sort()
    return {
        "requests": sent,
        "rate": len(times) / (now - counted),
        "p50": times[len(times) // 2] * 1e3,
        "p99": times[len(times) * 99 // 100] * 1e3,
    }


def main() -> None:
    """Arguments: port, path, file of bodies (one a line), connections, seconds."""
    port, path, file, connections, seconds = sys.argv[1:]
    bodies = Path(file).read_bytes().splitlines()
    print(json.dumps(load(int(port), path, bodies, int(connections), float(seconds))))


if __name__ == "__main__":
    main()
