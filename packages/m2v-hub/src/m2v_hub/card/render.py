"""Render templates to Markdown, in a sandbox and with every value escaped, so that it is shown as plain text."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import Any

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from m2v_core.errors import InvalidInputError
from m2v_core.storage.files import read_user_text

#: Characters of Markdown's structure: all ASCII punctuation but the comma; of "-_./" only those outside of a word.
STRUCTURE = re.compile(r"(?<![0-9A-Za-z])[-_./]|[-_./](?![0-9A-Za-z])|[!-+:-@\[-^`{-~]")
AUTOLINK = re.compile(r"(?i)\b(www)\.")

#: Characters that change the direction of writing beyond the value.
DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

UNKNOWN = "-"

#: Errors that a mistake in a user's template may cause.
MISTAKES = (TemplateError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def plain(value: object) -> str:
    r"""A value as one line of text.

    White space becomes one space, control characters become U+FFFD, and `None` becomes "-".

    Example:
        >>> from m2v_hub.card.render import plain
        >>> plain("two\nlines"), plain(None)
        ('two lines', '-')
    """
    text = UNKNOWN if value is None else str(value)
    text = " ".join(text.split())
    return "".join(
        "\ufffd" if unicodedata.category(sign) in ("Cc", "Cs") or sign in DIRECTIONS else sign for sign in text
    )


def escaped(value: object) -> Markup:
    """A value as one line of Markdown that shows it as text; `Markup` is returned as it is.

    Characters that could begin a structure become character references, which CommonMark (section 2.5) never
    interprets as structure. A backslash is not enough: the Hub looks for formulas before it reads Markdown.

    Example:
        >>> from m2v_hub.card.render import escaped
        >>> print(escaped("org/all-MiniLM-L6-v2"), escaped("a|b <b>"))
        org/all-MiniLM-L6-v2 a&#124;b &#60;b&#62;
    """
    if isinstance(value, Markup):
        return value
    text = AUTOLINK.sub(r"\1&#46;", STRUCTURE.sub(lambda sign: f"&#{ord(sign[0])};", plain(value)))
    return Markup(text)  # noqa: S704 # just escaped


def literal(value: object) -> Markup:
    r"""A string literal of Python and JavaScript, for code in a fence.

    Example:
        >>> from m2v_hub.card.render import literal
        >>> print(literal('a "b"'))
        "a \"b\""
    """
    text = json.dumps(str(value), ensure_ascii=False)
    hidden = (f"\\u{ord(sign):04x}" if not sign.isprintable() and sign <= "\uffff" else sign for sign in text)
    return Markup("".join(hidden))  # noqa: S704 # without a line break it cannot close a fence


def number(value: float) -> str:
    """A number with commas between thousands, or with six significant digits if it is a fraction.

    Example:
        >>> from m2v_hub.card.render import number
        >>> number(29525), number(0.5)
        ('29,525', '0.5')
    """
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def size(n_bytes: int) -> str:
    """A number of bytes with a unit.

    Example:
        >>> from m2v_hub.card.render import size
        >>> size(15_116_888)
        '15.1 MB'
    """
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.1f} {unit}"
    return f"{n_bytes} bytes"


class _Templates(BaseLoader):
    """Loads our templates by name and the user's one by its path; a template can include no other file."""

    def __init__(self, own: Path | None) -> None:
        self.own, self.ours = own, PackageLoader("m2v_hub")

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, Any]:
        if self.own is not None and template == str(self.own):
            return read_user_text(self.own), template, None
        return self.ours.get_source(environment, template)


def render(template: str | Path, context: Mapping[str, Any]) -> str:
    """Render a template: one of ours by its name, or a user's by its path.

    Raises:
        InvalidInputError: The file does not exist; or the template has a mistake, uses an unknown variable, or does
            what the sandbox forbids, and the message names file and line.
    """
    environment = ImmutableSandboxedEnvironment(
        loader=_Templates(template if isinstance(template, Path) else None),
        autoescape=True,  # makes blocks and macros return Markup, which is not escaped again
        finalize=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"literal": literal, "number": number, "size": size}
    try:
        return environment.get_template(str(template)).render(context)
    except TemplateSyntaxError as error:
        raise _mistake(error.filename or error.name or template, error.lineno, error) from None
    except MISTAKES as error:
        raise _mistake(template, _line(error.__traceback__, str(template)), error) from None


def _mistake(name: object, line: int | None, error: Exception) -> InvalidInputError:
    where = f"{name}, line {line}" if line else str(name)
    reason = str(error) or type(error).__name__
    return InvalidInputError(f"{where}: expected a jinja2 template; found a mistake: {reason}.")


def _line(traceback: TracebackType | None, name: str) -> int | None:
    lines = [line for frame, line in walk_tb(traceback) if frame.f_code.co_filename == name]
    return lines[-1] if lines else None
