"""huggingface_hub's client with retries, and with errors of m2v that hold no token."""

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
from m2v_core.redact import checked_token, redacted
from m2v_hub.__about__ import __version__
from m2v_hub.names import MAIN

#: Seconds to wait before the first, second, ... retry of a request.
PAUSES = (1.0, 2.0, 4.0)

#: Longest `Retry-After` that is obeyed, in seconds; after a longer one the request fails.
LONGEST_PAUSE = 60.0

#: HTTP statuses after which the same request may succeed.
_TRANSIENT = frozenset({408, 412, 429, 500, 502, 503, 504})

#: Base class of the errors of huggingface_hub's HTTP library: requests in 0.x, httpx in 1.x, httpx2 in 2.x.
_HTTPError: type[Exception] = [
    kind for kind in HfHubHTTPError.__mro__ if kind.__module__.split(".")[0] in ("requests", "httpx", "httpx2")
][-1]

#: Found in the `repr` of an error if no server answers at an address.
_NO_SERVER = re.compile("ConnectError|NewConnectionError|NameResolutionError")

#: Errors that huggingface_hub and hf_xet raise.
_FAILURES: tuple[type[Exception], ...] = (_HTTPError, OSError, ValueError, RuntimeError)

_NOT_FOUND = (
    (GatedRepoError, "{at} is gated: accept its terms on the Hub, and log in (hf auth login) or set HF_TOKEN."),
    (RevisionNotFoundError, "{name} has no revision {revision!r}; check the branch, tag or commit."),
    (
        RepositoryNotFoundError,
        "The Hub has no model {name}, or it is private: check the spelling; log in (hf auth login) or set HF_TOKEN.",
    ),
)
_REMEDIES = {
    401: "It does not accept the token: log in again (hf auth login) or set HF_TOKEN.",
    403: "The token has no permission to do this: it needs the right to write to this repository, or to read it.",
    412: "Others changed the repository at the same time, at each attempt. Try again later.",
    429: "There were too many requests. Try again later.",
}

T = TypeVar("T")


class DamagedFileError(OSError):
    """A file did not arrive as the Hub has it; it was removed from the cache and may be fetched again."""


@dataclass(frozen=True)
class Client:
    """A client for one repository at one revision.

    Attributes:
        repo_id: Repository id, `org/name`.
        revision: Branch, tag or commit.
        token: Hub token; `None` for the one that huggingface_hub finds.
        api: huggingface_hub's client.
    """

    repo_id: str
    revision: str
    token: str | None = field(repr=False)
    api: HfApi = field(repr=False)

    @classmethod
    def of(cls, repo_id: str, revision: str, token: str | None, *, required: bool = False) -> Client:
        """Make a client with `token`, or with the one that huggingface_hub finds.

        Raises:
            InvalidInputError: The token is malformed, or it is `required` and there is none.
        """
        stored = checked_token(get_token())
        token = checked_token(token)
        if required and token is None:
            token = stored
            if token is None:
                raise InvalidInputError(
                    "Publishing needs a Hub token with the right to write: log in (hf auth login) or set HF_TOKEN."
                )
        api = HfApi(token=token, library_name="m2v-hub", library_version=__version__)
        return cls(repo_id, revision, token, api)

    @property
    def at(self) -> str:
        """The repository and its revision, for messages."""
        return self.repo_id if self.revision == MAIN else f"{self.repo_id} at {self.revision}"

    def ask(self, request: Callable[[], T], *, doing: str, pauses: tuple[float, ...] = PAUSES, unsure: str = "") -> T:
        """Return the result of `request`, and retry it if it fails for a transient reason.

        Args:
            request: Function without arguments that can safely be repeated.
            doing: The action for the error message, such as "Fetching org/name".
            pauses: Seconds to wait before each retry.
            unsure: Sentence for the error message if the Hub may have carried out the request although it failed.

        Raises:
            M2VError: The request failed. The original error is not chained, because it may hold a token.
        """
        for pause in (*pauses, None):
            try:
                return request()
            except M2VError:
                raise
            except _FAILURES as error:
                reason = _reason(error)
                transient = _retry_after(reason, pause or 0)
                wait = None if pause is None else transient
                problem = self._as_m2v_error(reason, doing, unsure if transient is not None else "")
            if wait is None:
                raise problem
            time.sleep(wait)
        raise AssertionError  # the last pause is None

    def shown(self, text: object) -> str:
        """`text` in one line, without the token of this client, the stored one, or anything that looks like one."""
        return redacted(text, self.token, get_token())

    def _as_m2v_error(self, error: Exception, doing: str, unsure: str) -> M2VError:
        """The error of m2v for an error of huggingface_hub."""
        for kind, text in _NOT_FOUND:
            if isinstance(error, kind):
                return ModelNotFoundError(text.format(at=self.at, name=self.repo_id, revision=self.revision))
        if status := _status(error):
            reason = self._answer(error, status)
        elif isinstance(error, DamagedFileError):
            reason = f"{error} Try again; if it fails again, tell the owner of the repository."
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


def _reason(error: Exception) -> Exception:
    """The cause of "Error while uploading ..." or "cannot find the requested files in the local cache"."""
    while isinstance(error, (RuntimeError, LocalEntryNotFoundError)) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _status(error: Exception) -> int:
    """The HTTP status of the Hub's answer; 0 if there was none."""
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def _retry_after(error: Exception, pause: float) -> float | None:
    """Seconds to wait before a retry, at least `pause`; `None` if a retry is pointless."""
    if status := _status(error):
        asked = str(error.response.headers.get("Retry-After", ""))  # type: ignore[attr-defined] # it has a status
        seconds = max(pause, float(asked)) if asked.isdecimal() else pause
        return seconds if status in _TRANSIENT and seconds <= LONGEST_PAUSE else None
    if _NO_SERVER.search(repr(error)):
        return None
    # A broken connection, or bytes that do not match their size (an OSError without a number) or checksum.
    broke = isinstance(error, (_HTTPError, DamagedFileError)) or (type(error) is OSError and error.errno is None)
    return pause if broke else None
