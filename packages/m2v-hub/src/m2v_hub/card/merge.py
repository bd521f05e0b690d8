"""Put a new card into an existing one: what people wrote by hand stays, byte for byte.

m2v's text is between two marker lines, and m2v sets some keys of the metadata. Everything else belongs to the user:
text before and after the markers, other keys, comments. Of a card without markers, m2v changes only the metadata.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

import yaml

from m2v_core.checks import expect
from m2v_core.errors import InvalidInputError

BEGIN = "<!-- m2v:begin (written by m2v, and again at each push: write before or after it) -->"
END = "<!-- m2v:end -->"

#: A marker line; the text after the word is for people.
MARKER = re.compile(r"^<!--[ \t]*m2v:(begin|end)\b[^\r\n]*-->[ \t]*(?=\r?$)", re.MULTILINE)

#: Metadata at the start of a card, as the Hub finds it.
METADATA = re.compile(r"\ufeff?\s*---[ \t]*(?:\r\n|\r|\n)(?:([\S\s]*?)(?:\r\n|\r|\n))?---[ \t]*(?:\r\n|\r|\n|$)")

END_OF_YAML = re.compile(r"^\.\.\.", re.MULTILINE)

#: Maximum length of metadata in characters, about twice the longest on the Hub (results on hundreds of data sets).
MAX_METADATA = 1 << 20


def updated(existing: str | None, metadata: Mapping[str, Any], section: str) -> str:
    """Return a whole card: the existing one with new `metadata` and m2v's new `section`.

    Args:
        existing: The existing card; `None` or "" if there is none.
        metadata: Plain values by key.
        section: m2v's text, without markers.

    Raises:
        InvalidInputError: The metadata of the existing card cannot be read, or its markers are not a pair.

    Example:
        >>> from m2v_hub.card.merge import updated
        >>> print(updated("# mine", {"license": "mit"}, "a text"), end="")
        ---
        license: mit
        ---
        # mine
    """
    if marker := MARKER.search(section):
        raise InvalidInputError(f"A template should hold no marker lines, which m2v adds; found {marker[0]}.")
    expect(isinstance(existing, str | None), "existing", "the text of a card, or None", existing)
    old = existing or ""
    found = METADATA.match(old)
    text, body = (found[1] or "", old[found.end() :]) if found else ("", old.removeprefix("\ufeff"))
    new = f"---\n{updated_metadata(text, metadata)}---\n"
    block = f"{BEGIN}\n\n{section.strip()}\n\n{END}"
    if not body.strip():
        body = f"\n{block}\n"
    elif (span := _marked(body)) is not None:
        body = body[: span[0]] + _with_line_endings_of(body, block) + body[span[1] :]
    return _with_line_endings_of(old[: found.end()] if found else body, new) + body


def _with_line_endings_of(old: str, new: str) -> str:
    return re.sub(r"\r?\n", "\r\n", new) if "\r\n" in old else new


def _marked(body: str) -> tuple[int, int] | None:
    """Start and end of m2v's text in a card, markers included; `None` if there are no markers."""
    markers = list(MARKER.finditer(body))
    if not markers:
        return None
    if [marker[1] for marker in markers] != ["begin", "end"]:
        lines = [f"{marker[1]} in line {body.count(chr(10), 0, marker.start()) + 1}" for marker in markers]
        raise InvalidInputError(
            f"The card should have one line <!-- m2v:begin --> and, after it, one line <!-- m2v:end -->; found "
            f"{', '.join(lines)} of its text. Correct them by hand, or remove all of them to keep the text as it is."
        )
    return markers[0].start(), markers[1].end()


def updated_metadata(text: str, metadata: Mapping[str, Any]) -> str:
    r"""Set the keys of `metadata` in the YAML of `text`; other keys and comments stay byte for byte.

    New tags are added to the existing ones. A key that has the same value already is not changed.

    Args:
        text: YAML in block style.
        metadata: Plain values by key.

    Returns:
        YAML that ends with a line break, or "".

    Raises:
        InvalidInputError: `text` is not YAML of plain keys, uses aliases (which can expand to a document of any size),
            or is too long.

    Example:
        >>> from m2v_hub.card.merge import updated_metadata
        >>> print(updated_metadata("license: mit # mine\nwidget: []\n", {"language": "en", "license": "mit"}), end="")
        license: mit # mine
        widget: []
        language: en
    """
    _check_length(text)
    if text and not text.endswith(("\n", "\r")):
        text += "\n"
    entries = _entries(text, metadata)
    ends = [*(entry.start for entry in entries[1:]), len(text)]
    pieces = [text[: entries[0].start] if entries else text]
    pending = dict(metadata)
    for entry, end in zip(entries, ends, strict=False):
        piece = text[entry.start : end]
        if entry.key in pending:
            new = pending.pop(entry.key)
            if entry.key == "tags":
                new = _with_tags(entry.value, new)
            if new != entry.value:
                piece = _dump({entry.key: new}) + "".join(_trailing_lines(piece))
        elif entry.key in metadata:  # a duplicate key
            piece = ""
        pieces.append(piece)
    return "".join(pieces) + (_dump(pending) if pending else "")


def metadata_in(card: str) -> dict[str, Any]:
    r"""The metadata of a card by key, as plain values; empty if it has none.

    Raises:
        InvalidInputError: As `updated_metadata`.

    Example:
        >>> from m2v_hub.card.merge import metadata_in
        >>> metadata_in("---\nlicense: mit\n---\n# mine")
        {'license': 'mit'}
    """
    text = (found[1] or "") if (found := METADATA.match(card)) else ""
    _check_length(text)
    return {entry.key: entry.value for entry in _entries(text, None)}


def _check_length(metadata: str) -> None:
    if len(metadata) > MAX_METADATA:
        raise InvalidInputError(
            f"A card's metadata should have {MAX_METADATA:,} characters at most; found {len(metadata):,}. Shorten it."
        )


class _Dumper(yaml.SafeDumper):
    """Plain values; strings of several lines are written with escapes.

    PyYAML writes the line separators of Unicode as they are, and reads them back as spaces.
    """

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = '"' if len(f"{text}|".splitlines()) > 1 else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


def _dump(metadata: Mapping[str, Any]) -> str:
    return yaml.dump(dict(metadata), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _with_tags(old: object, new: list[str]) -> list[str]:
    listed = [str(tag) for tag in old] if isinstance(old, list) else [old] if isinstance(old, str) else []
    return [*listed, *(tag for tag in new if tag not in listed)]


def _trailing_lines(piece: str) -> list[str]:
    """The empty lines and comments after a key and its value."""
    lines = piece.splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if i == 0 or (line.strip() and not line.lstrip().startswith("#")))
    return lines[last + 1 :]


class _Loader(yaml.SafeLoader):
    """Plain values without aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call] # as the stubs have it
            raise _found("an alias (*name)", mark)
        return super().compose_node(parent, index)


def _found(problem: str, mark: yaml.Mark | None = None) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


class _Entry(NamedTuple):
    """A key at the top level of YAML.

    Attributes:
        key: Its name.
        start: Offset of its line in the text.
        value: Its plain value, if it was asked for; else `None`.
    """

    key: str
    start: int
    value: Any


def _entries(text: str, wanted: Container[str] | None) -> list[_Entry]:
    """The keys of YAML in their order, with the values of those that are wanted, or of all."""
    entries = []
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if END_OF_YAML.search(text):
            raise _found("an end (...) inside")
        if node is not None and (not isinstance(node, yaml.MappingNode) or node.flow_style):
            raise _found("something else", node.start_mark)
        for key, value in node.value if node is not None else ():
            if not isinstance(key, yaml.ScalarNode) or key.start_mark.column:
                raise _found("another key", key.start_mark)
            plain = loader.construct_object(value, deep=True) if wanted is None or key.value in wanted else None
            entries.append(_Entry(key.value, key.start_mark.index, plain))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
        reason = problem or str(error).partition("\n")[0]
        raise InvalidInputError(
            f"The metadata of the card, between its two lines of ---, should be YAML in lines of `key: value` without "
            f"aliases; found {reason}{f' in line {mark.line + 1} of it' if mark else ''}. Correct it by hand."
        ) from None
    return entries
