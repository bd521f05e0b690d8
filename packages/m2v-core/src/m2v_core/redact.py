"""Texts of others before they reach a terminal, an error, a log or a file; and access tokens, which must not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from m2v_core.errors import InvalidInputError

#: A Hub token, an authorization header, or a URL query with values, which may be a signature that grants access.
SECRET = re.compile(r"\b(?:hf|api_org)_\w{6,}|(?<=Bearer )[^\s'\"]+|(?<=\?)[^\s'\"]*=[^\s'\"]*")

_JOINERS = "\u200c\u200d"

#: A Hub token of full length, as it must not appear in a published file.
HUB_TOKEN = re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}")


def redacted(text: object, *secrets: str | None, limit: int = 300) -> str:
    r"""`text` as one printable line of at most `limit` characters, with every secret replaced by `***`.

    Args:
        text: A message of another program or of a server, or the exception that holds it.
        secrets: Tokens that are known to be secret, whatever their form; `None` and "" are ignored.
        limit: Characters to keep. The text is redacted before it is shortened.

    Example:
        >>> redacted("token hf_abcdefgh1234\nis not valid; see https://host/file?Signature=5")
        'token *** is not valid; see https://host/file?***'
    """
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in str(text)).split())
    for word in {word for secret in filter(None, secrets) for word in (secret.strip(), *secret.split()) if word}:
        line = line.replace(word, "***")  # as it is, or as a message breaks it
    line = SECRET.sub("***", line)
    return line if len(line) <= limit else f"{line[:limit]}…"


def printable(text: str) -> str:
    r"""A text as one line that cannot steer a terminal: what is not printable is escaped.

    Every text of a model, of a file of strangers or of a server is shown by this function or by `printable_lines`.

    Example:
        >>> printable("calm" + chr(27) + "[31m" + chr(10))
        'calm\\x1b[31m\\n'
    """
    return escaped(text, lambda sign: sign.encode("unicode_escape").decode())


def printable_lines(text: str) -> str:
    r"""The same for a text of several lines.

    Example:
        >>> print(printable_lines("calm" + chr(10) + chr(0x202E) + "day"))
        calm
        \u202eday
    """
    return "\n".join(map(printable, text.split("\n")))


def escaped(text: str, escape: Callable[[str], str]) -> str:
    """A text in which `escape` has replaced what is not printable: control characters, and those that change the order.

    Spaces of all kinds are printable here, and what joins letters, or keeps them from that, in some scripts.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or _is_harmless(sign) else escape(sign) for sign in text)


def _is_harmless(sign: str) -> bool:
    return sign in _JOINERS or unicodedata.category(sign) == "Zs"


def checked_token(token: str | None) -> str | None:
    r"""Return `token` without white space around it.

    An HTTP client refuses a token with a line break inside, and its error shows the token.

    Raises:
        InvalidInputError: It is empty, or holds anything but printable ASCII. The error does not show it.

    Example:
        >>> checked_token("a-token\n")
        'a-token'
    """
    if token is None:
        return None
    if not isinstance(token, str):
        raise InvalidInputError(f"A Hub token is a text (str), or None; found {type(token).__name__}.")
    word = token.strip()
    if not (word and word.isascii() and word.isprintable() and " " not in word):
        raise InvalidInputError(
            f"A Hub token is one word of ASCII letters, digits and punctuation; found {len(word)} characters, some of "
            f"them others, or none. Copy the token again (HF_TOKEN, or hf auth login)."
        )
    return word


def has_hub_token(text: str) -> bool:
    """Whether `text` contains what looks like a complete Hub token.

    Example:
        >>> has_hub_token("hf_" + "x" * 34), has_hub_token("hf_hub_download")
        (True, False)
    """
    return HUB_TOKEN.search(text) is not None
