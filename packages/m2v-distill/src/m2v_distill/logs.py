"""The log of the package, shown on stderr, and the logs of libraries, held back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from m2v_core.redact import printable_lines

logger = logging.getLogger("m2v_distill")


class _Printable(logging.Formatter):
    """Messages that cannot steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


@contextmanager
def notes_on_stderr() -> Iterator[None]:
    """Show the package's notes on stderr."""
    handler, level = logging.StreamHandler(), logger.level
    handler.setFormatter(_Printable())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Hide everything below an error in the log of a library."""
    log = logging.getLogger(name)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
