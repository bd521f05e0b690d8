"""A server of its own, by uvicorn: a socket, and a stop that leaves no request unanswered."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from m2v_core.errors import InvalidInputError
from m2v_core.serve.config import ServeConfig

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from m2v_core.serve.gate import State

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it listens, and tells the application when it stops."""

    def __init__(self, config: uvicorn.Config, state: State, started: Callable[[], object]) -> None:
        super().__init__(config)
        self._state, self._started = state, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._state.stopping = True
        super().handle_exit(sig, frame)


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket of this address, which does not listen yet.

    Raises:
        InvalidInputError: The address is not one of this machine, or is in use.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, number)
        try:
            if hasattr(socket, "SO_REUSEPORT"):  # on Windows the option means something else
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInputError(
            f"The server cannot listen on {host!r}, port {port}: {reason}. Choose another host or port."
        ) from None
    return bound


def run(app: Starlette, bound: socket.socket, config: ServeConfig, started: Callable[[], object]) -> State:
    """Serve an application of `create_app` until the process gets SIGTERM or SIGINT, and then answer what has come.

    Args:
        app: The application.
        bound: A socket, which is closed at the end.
        config: Seconds for the stop.
        started: Called once the server listens.

    Returns:
        The counts of requests.
    """
    state: State = app.state.serve
    settings = uvicorn.Config(
        app,
        access_log=False,  # it would hold the query of an address
        log_config=None,
        loop="asyncio",  # uvloop saves little, and under load it accepts new connections one by one
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=config.stop_seconds,
        ws="none",
    )
    server = _Server(settings, state, started)
    # uvicorn repeats a signal for the handler that was there before: with its own, the process goes on to its end.
    before = {name: signal.signal(name, server.handle_exit) for name in _SIGNALS}
    try:
        server.run([bound])
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    return state
