"""The options of the server, listed once."""

from __future__ import annotations

from dataclasses import dataclass

from m2v_core import checks
from m2v_core.options import option
from m2v_core.threads import thread_count


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """Options of the server.

    Attributes:
        host: Address to listen on.
        port: Port to listen on, 0 for any free one.
        threads: Threads that a large batch may use; `None` for one for each CPU.
        max_batch: Most texts that are computed together, unless a single request has more.
        max_body: Largest body of a request, in bytes.
        max_texts: Most texts in a request.
        max_chars: Most characters of a text.
        max_requests: Most requests that are worked on or wait; further ones are refused with the status 429.
        body_seconds: Seconds in which the body of a request must arrive.
        stop_seconds: Seconds that requests may take after the signal to stop.
        log_requests: Whether to log a line for each request.

    Raises:
        InvalidInputError: A value is out of range.

    Example:
        >>> ServeConfig(port=8080).max_texts
        2048
    """

    host: str = option("127.0.0.1", "address to listen on; 0.0.0.0 for all of this machine", metavar="HOST")
    port: int = option(8000, "port to listen on; 0 for any free one", metavar="PORT", parse=int)
    threads: int | None = option(
        None, "threads that a large batch may use (default: one for each CPU)", metavar="N", parse=int
    )
    max_batch: int = option(1024, "texts of several requests that are computed together", metavar="N", parse=int)
    max_body: int = option(8 * 2**20, "bytes of the body of a request", metavar="BYTES", parse=int)
    max_texts: int = option(2048, "texts of a request", metavar="N", parse=int)
    max_chars: int = option(100_000, "characters of a text", metavar="N", parse=int)
    max_requests: int = option(
        256, "requests at a time; further ones are refused with the status 429", metavar="N", parse=int
    )
    body_seconds: float = option(30.0, "seconds in which the body of a request must arrive", metavar="S", parse=float)
    stop_seconds: int = option(30, "seconds that requests may take after the signal to stop", metavar="S", parse=int)
    log_requests: bool = option(default=False, help="log a line for each request, without its texts")

    def __post_init__(self) -> None:
        checks.expect(type(self.host) is str and self.host != "", "host", "an address such as 127.0.0.1", self.host)
        checks.whole("port", self.port, 0, 65_535)
        thread_count(self.threads)
        for name in ("max_batch", "max_body", "max_texts", "max_chars", "max_requests", "stop_seconds"):
            checks.whole(name, getattr(self, name), 1)
        checks.number("body_seconds", self.body_seconds, above=0)
        checks.flag("log_requests", self.log_requests)
