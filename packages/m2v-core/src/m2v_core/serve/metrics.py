"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

#: Content-Type of the text format that all versions of Prometheus read.
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Bounds of the histograms.
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)


class Metrics:
    """Counters of one server. They hold no texts and no names but those of routes.

    Args:
        in_progress: The number of requests that are being worked on, or wait.
    """

    def __init__(self, in_progress: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        registry = self._registry
        self._requests = Counter("m2v_requests", "Requests.", ("route", "status"), registry=registry)
        self._seconds = Histogram(
            "m2v_request_seconds",
            "Seconds from a request's header to its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        Gauge("m2v_requests_in_progress", "Requests not answered yet.", registry=registry).set_function(in_progress)
        self._texts = Counter("m2v_texts", "Texts of requests.", registry=registry)
        self._tokens = Counter("m2v_tokens", "Tokens of texts that were embedded.", registry=registry)
        self._batches = Histogram("m2v_batch_texts", "Texts computed together.", buckets=_TEXTS, registry=registry)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def texts(self, texts: int, tokens: int = 0) -> None:
        """Count the texts of a request."""
        self._texts.inc(texts)
        self._tokens.inc(tokens)

    def batch(self, texts: int) -> None:
        """Count a batch."""
        self._batches.observe(texts)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)
