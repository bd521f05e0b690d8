"""huggingface_hub's client: for whom it asks, what it asks again, and its errors as ours, without a token."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from m2v_core.errors import InvalidInputError, M2VError, ModelNotFoundError, TransferError
from m2v_core.redact import redacted
from m2v_hub.__about__ import __version__
from m2v_hub.names import MAIN

#: Seconds before a request is made again, one after the other.
PAUSES = (1.0, 2.0, 4.0)

#: The longest pause that the Hub may ask for (`Retry-After`) and get.
LONGEST_PAUSE = 60.0

#: Answers after which the same request may succeed.
_PASSING = frozenset({408, 412, 429, 500, 502, 503, 504})

#: The root of the errors of huggingface_hub's HTTP library: requests in 0.x, httpx in 1.x, httpx2 in 2.x.
_HTTPError: type[Exception] = [
    kind for kind in HfHubHTTPError.__mro__ if kind.__module__.split(".")[0] in ("requests", "httpx", "httpx2")
][-1]

#: In what they say if nobody answers at an address.
_NOBODY = re.compile("ConnectError|NewConnectionError|NameResolutionError")

#: What huggingface_hub and hf_xet raise when something fails.
_FAILURES: tuple[type[Exception], ...] = (_HTTPError, OSError, ValueError, RuntimeError)

_NOT_FOUND = (
    (GatedRepoError, "{at} is gated: accept its terms on the Hub, and log in (hf auth login) or pass token=."),
    (RevisionNotFoundError, "{name} has no revision {revision!r}; check the branch, tag or commit."),
    (
        RepositoryNotFoundError,
        "The Hub has no model {name}, or it is private: check the spelling, and log in (hf auth login) or pass token=.",
    ),
)
_REMEDIES = {
    401: "It does not accept the token: log in again (hf auth login) or pass token=.",
    403: "The token may not do this: it needs the right to, for this repository.",
    412: "Others changed the repository at the same time, again and again. Try again later.",
    429: "It was asked too often. Try again later.",
}

T = TypeVar("T")


class DamagedFileError(OSError):
    """A file did not arrive as the Hub has it; it is gone from the cache, and may be fetched again."""


@dataclass(frozen=True)
class Client:
    """Asks the Hub about one repository.

    Attributes:
        repo_id: `org/name`.
        revision: The branch, tag or commit that is asked for.
        token: As huggingface_hub takes it: `None` for the stored one.
        api: huggingface_hub's client.
    """

    repo_id: str
    revision: str
    token: str | None = field(repr=False)
    api: HfApi = field(repr=False)

    @classmethod
    def of(cls, repo_id: str, revision: str, token: str | None, *, required: bool = False) -> Client:
        """A client for `token`, or for the one that huggingface_hub finds.

        Raises:
            InvalidInputError: The token is no token, or there is none and one is `required`.
        """
        stored = checked_token(get_token())
        token = checked_token(token)
        if required and token is None:
            token = stored
            if token is None:
                raise InvalidInputError(
                    "To publish needs a token of the Hub with the right to write: set HF_TOKEN, log in (hf auth "
                    "login), or pass token=."
                )
        api = HfApi(token=token, library_name="m2v-hub", library_version=__version__)
        return cls(repo_id, revision, token, api)

    @property
    def at(self) -> str:
        """What errors call the repository at its revision."""
        return self.repo_id if self.revision == MAIN else f"{self.repo_id} at {self.revision}"

    def ask(self, request: Callable[[], T], *, doing: str, pauses: tuple[float, ...] = PAUSES, unsure: str = "") -> T:
        """The result of `request`, which is made again after each of `pauses` if its failure may pass.

        Args:
            request: Must do no harm if it is made twice.
            doing: What an error says could not be done, such as "fetching org/name".
            pauses: Seconds.
            unsure: What an error adds if the Hub may have done what it was asked for without a word of it.

        Raises:
            M2VError: It failed; the error is ours, without the original one, whose text and parts may hold a token.
        """
        for pause in (*pauses, None):
            try:
                return request()
            except M2VError:
                raise
            except _FAILURES as error:
                reason = _reason(error)
                passing = _wait(reason, pause or 0)
                wait = None if pause is None else passing
                problem = self._plain(reason, doing, unsure if passing is not None else "")
            if wait is None:
                raise problem
            time.sleep(wait)
        raise AssertionError  # the last pause is None

    def shown(self, text: object) -> str:
        """`text` in one line, without the token of this client, the stored one, or anything that looks like one."""
        return redacted(text, self.token, get_token())

    def _plain(self, error: Exception, doing: str, unsure: str) -> M2VError:
        """Our error for what huggingface_hub raised."""
        for kind, text in _NOT_FOUND:
            if isinstance(error, kind):
                return ModelNotFoundError(text.format(at=self.at, name=self.repo_id, revision=self.revision))
        if status := _status(error):
            reason = self._answer(error, status)
        elif isinstance(error, DamagedFileError):
            reason = f"{error} Try again; if it stays so, tell the owner of the repository."
        elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
            reason = "the disk is full. Free some space, or set HF_HOME to another disk."
        elif isinstance(error, (_HTTPError, OfflineModeIsEnabled, LocalEntryNotFoundError)):
            reason = (
                f"the Hub cannot be reached, or stopped answering ({type(error).__name__}: {self.shown(error)}). "
                f"Check the connection, and that HF_HUB_OFFLINE is not set; then try again."
            )
        else:
            reason = f"{type(error).__name__}: {self.shown(error)}"
        return TransferError(f"{doing} failed: {reason} {unsure}".rstrip())

    def _answer(self, error: Exception, status: int) -> str:
        message = getattr(error, "server_message", None)
        said = f' It says: "{self.shown(message)}".' if message else ""
        remedy = _REMEDIES.get(status, "Try again later." if status >= 500 else "")
        return f"the Hub answered with status {status}.{said} {remedy}".rstrip()


def checked_token(token: str | None) -> str | None:
    r"""`token` without spaces around it.

    An HTTP client would refuse a token with a line break in it, and print it.

    Raises:
        InvalidInputError: It is empty, or holds anything but printable ASCII. The error does not show it.

    Example:
        >>> checked_token("a-token\n")
        'a-token'
    """
    if token is None:
        return None
    word = token.strip()
    if not (word and word.isascii() and word.isprintable() and " " not in word):
        raise InvalidInputError(
            f"A Hub token (token=, HF_TOKEN, hf auth login) is one word of letters, digits and signs; found "
            f"{len(word)} characters, of which some are not, or nothing. Copy it again."
        )
    return word


def _reason(error: Exception) -> Exception:
    """What is behind "Error while uploading ..." and "cannot find the requested files in the local cache"."""
    while isinstance(error, (RuntimeError, LocalEntryNotFoundError)) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _status(error: Exception) -> int:
    """The status of the Hub's answer, 0 if there was none."""
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def _wait(error: Exception, pause: float) -> float | None:
    """Seconds before the same request may succeed; `None` if that is of no use."""
    if status := _status(error):
        asked = str(error.response.headers.get("Retry-After", ""))  # type: ignore[attr-defined] # it has a status
        seconds = max(pause, float(asked)) if asked.isdecimal() else pause
        return seconds if status in _PASSING and seconds <= LONGEST_PAUSE else None
    if _NOBODY.search(repr(error)):
        return None
    # A connection that broke; or bytes that do not match their size (an OSError without a number) or checksum.
    broke = isinstance(error, (_HTTPError, DamagedFileError)) or (type(error) is OSError and error.errno is None)
    return pause if broke else None
