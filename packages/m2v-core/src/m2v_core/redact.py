"""Check access tokens, and remove them from texts of others before they reach an error, a log or a file."""

from __future__ import annotations

import re

from m2v_core.errors import InvalidInputError

#: A Hub token, an authorization header, or a URL query with values, which may be a signature that grants access.
SECRET = re.compile(r"\b(?:hf|api_org)_\w{6,}|(?<=Bearer )[^\s'\"]+|(?<=\?)[^\s'\"]*=[^\s'\"]*")

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
