"""A new card over an old one: what people wrote by hand stays, byte for byte.

m2v's text stands between two marker lines, and in the metadata it sets some keys. All else is the user's: text before
and after the markers, other keys, comments. A card without markers is the user's altogether, but for the metadata.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any

import yaml

from m2v_core.errors import InvalidInputError

BEGIN = "<!-- m2v:begin (written by m2v, and again at each push: write before or after it) -->"
END = "<!-- m2v:end -->"

#: A marker line; what comes after the word is for people.
MARKER = re.compile(r"^<!--[ \t]*m2v:(begin|end)\b[^\r\n]*-->[ \t]*(?=\r?$)", re.MULTILINE)

#: Metadata at the start, as the Hub finds it.
METADATA = re.compile(r"\ufeff?\s*---[ \t]*(?:\r\n|\r|\n)(?:([\S\s]*?)(?:\r\n|\r|\n))?---[ \t]*(?:\r\n|\r|\n|$)")

END_OF_YAML = re.compile(r"^\.\.\.", re.MULTILINE)

#: Characters of metadata; the longest on the Hub, with results on hundreds of data sets, are about half as long.
LONGEST = 1 << 20


def updated(existing: str | None, metadata: Mapping[str, Any], section: str) -> str:
    """A whole card: `metadata` and `section` put into what there is.

    Args:
        existing: The old card; `None` or "" if there is none.
        metadata: Plain values by key.
        section: m2v's text, without markers.

    Raises:
        InvalidInputError: The old card's metadata cannot be read, or its markers are no pair.

    Example:
        >>> print(updated("# mine", {"license": "mit"}, "a text"), end="")
        ---
        license: mit
        ---
        # mine
    """
    if marker := MARKER.search(section):
        raise InvalidInputError(f"A template should hold no marker lines: m2v puts them around it. Found {marker[0]}.")
    old = existing or ""
    found = METADATA.match(old)
    text, body = (found[1] or "", old[found.end() :]) if found else ("", old.removeprefix("\ufeff"))
    new = f"---\n{updated_metadata(text, metadata)}---\n"
    block = f"{BEGIN}\n\n{section.strip()}\n\n{END}"
    if not body.strip():
        body = f"\n{block}\n"
    elif (place := _marked(body)) is not None:
        body = body[: place[0]] + _like(body, block) + body[place[1] :]
    return _like(old[: found.end()] if found else body, new) + body


def _like(old: str, new: str) -> str:
    """`new` with the line endings of `old`."""
    return re.sub(r"\r?\n", "\r\n", new) if "\r\n" in old else new


def _marked(body: str) -> tuple[int, int] | None:
    """From where to where m2v's text stands, markers included; `None` if there are no markers."""
    markers = list(MARKER.finditer(body))
    if not markers:
        return None
    if [marker[1] for marker in markers] != ["begin", "end"]:
        lines = [f"{marker[1]} in line {body.count(chr(10), 0, marker.start()) + 1}" for marker in markers]
        raise InvalidInputError(
            f"The card should have one line <!-- m2v:begin -->, and one <!-- m2v:end --> after it; found "
            f"{', '.join(lines)} of its text. Mend them by hand, or remove all of them to keep the text as it is."
        )
    return markers[0].start(), markers[1].end()


def updated_metadata(text: str, metadata: Mapping[str, Any]) -> str:
    r"""YAML of `text` with the keys of `metadata` set, in lines that end; other keys and comments stay as they are.

    Tags are added to those that are there. A key whose value is the same already is not touched.

    Raises:
        InvalidInputError: It is no YAML of plain keys, uses aliases (which can stand for a document of any size), or
            is too long.

    Example:
        >>> print(updated_metadata("license: mit # mine\nwidget: []\n", {"language": "en", "license": "mit"}), end="")
        license: mit # mine
        widget: []
        language: en
    """
    if len(text) > LONGEST:
        raise InvalidInputError(
            f"A card's metadata should have {LONGEST:,} characters at most; found {len(text):,}. Shorten it by hand."
        )
    if text and not text.endswith(("\n", "\r")):
        text += "\n"
    places = _places(text, metadata)
    pieces = [text[: places[0][1]] if places else text]
    pending = dict(metadata)
    for place, (key, start, value) in enumerate(places):
        end = places[place + 1][1] if place + 1 < len(places) else len(text)
        piece = text[start:end]
        if key in pending:
            new = pending.pop(key)
            if key == "tags":
                new = _with_tags(value, new)
            if new != value:
                piece = _dumped({key: new}) + "".join(_after(piece))
        elif key in metadata:  # twice
            piece = ""
        pieces.append(piece)
    return "".join(pieces) + (_dumped(pending) if pending else "")


def _dumped(metadata: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True, width=120)


def _with_tags(old: object, new: list[str]) -> list[str]:
    listed = [str(tag) for tag in old] if isinstance(old, list) else [old] if isinstance(old, str) else []
    return [*listed, *(tag for tag in new if tag not in listed)]


def _after(piece: str) -> list[str]:
    """Empty lines and comments behind a key and its value."""
    lines = piece.splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if i == 0 or (line.strip() and not line.lstrip().startswith("#")))
    return lines[last + 1 :]


class _Loader(yaml.SafeLoader):
    """Plain values; no aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call] # as the stubs have it
            raise _found("an alias (*name)", mark)
        return super().compose_node(parent, index)


def _found(problem: str, mark: yaml.Mark | None = None) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _places(text: str, wanted: Container[str]) -> list[tuple[str, int, Any]]:
    """Keys of YAML, the offsets where they start, and the values of those that are wanted."""
    places = []
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
            plain = loader.construct_object(value, deep=True) if key.value in wanted else None
            places.append((key.value, key.start_mark.index, plain))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
        reason = problem or str(error).partition("\n")[0]
        raise InvalidInputError(
            f"The metadata of the card, between its lines of ---, should be YAML in lines of `key: value`, without "
            f"aliases; found {reason}{f' in line {mark.line + 1} of it' if mark else ''}. Mend it by hand."
        ) from None
    return places
