"""Changes to the files of a folder, as chance or malice would make them.

All that is random comes from the generator that is passed, so that a number makes the same damage again.
"""

from __future__ import annotations

import io
import json
import math
import os
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Values that stand where others are expected. Some are no JSON by the letter, but Python's `json` reads them.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 255, 65_536, 2**31 - 1, 2**31, 2**32, 2**53, 2**63, -(2**63), 2**64, 10**30),
    *(0.0, -0.0, 0.5, -1.5, 1e-300, 1e30, 1e300, -1e300, math.nan, math.inf, -math.inf, 3.0),
    *(
        "",
        " ",
        "\0",
        "a",
        "[UNK]",
        "\ud800",
        "\udc00x",
        "../..",
        "/",
        "/etc/passwd",
        "a/../../b",
        "\x1b[2J",
        "é",
        "\u202e",
    ),
    *("NaN", "float32", "F64", "model2vec", "x" * 5_000, "9" * 5_000, "(a+)+$", "[", "日本"),
    *([], [None], [0], [-1], [[]], [1, "a"], {}, {"": None}, {"a": 0}, {"type": "Replace"}, [{}] * 3),
)

#: Names of dtypes in the header of a safetensors file, and some that are none.
DTYPES = (
    "F64",
    "F32",
    "F16",
    "BF16",
    "F8_E4M3",
    "F8_E5M2",
    "I64",
    "I32",
    "I16",
    "I8",
    "U8",
    "U64",
    "BOOL",
    "F4",
    "X",
    "",
)

NUMBERS = (0, 1, -1, 2, 3, 7, 8, 255, 2**16, 2**31, 2**32, 2**40, 2**62, 2**63, 2**64 - 1, 2**64, 10**30)


def change_folder(folder: Path, rng: random.Random, names: tuple[str, ...] = ("*",)) -> str:
    """Change one or two files of a folder, chosen among those that fit a pattern, and say which and how."""
    done = [_change_one(folder, rng, names) for _ in range(1 if rng.random() < 0.85 else 2)]
    return "; ".join(done)


def _change_one(folder: Path, rng: random.Random, names: tuple[str, ...]) -> str:
    found = sorted({path for name in names for path in folder.rglob(name) if path.is_file() and not path.is_symlink()})
    if not found:
        return "nothing"
    path = rng.choice(found)
    kind = rng.random()
    if kind < 0.05:
        return _change_place(folder, path, rng)
    content = path.read_bytes()
    structured = _STRUCTURED.get(path.suffix)
    if structured is None or kind < 0.3:
        how, content = change_bytes(content, rng)
    else:
        try:
            how, content = structured(content, rng)
        except Exception:  # it was changed before
            how, content = change_bytes(content, rng)
    path.write_bytes(content)
    return f"{path.relative_to(folder)}: {how}"


def _change_place(folder: Path, path: Path, rng: random.Random) -> str:
    """A file that is missing, another one, a folder, or a link to nothing or to itself."""
    others = sorted(other for other in folder.rglob("*") if other.is_file() and other != path)
    how = rng.choice(
        ["missing", "swapped", "a copy of", "a folder", "a link in a circle", "a link to nothing", "empty"]
    )
    if how in ("swapped", "a copy of") and others:
        other = rng.choice(others)
        mine, theirs = path.read_bytes(), other.read_bytes()
        path.write_bytes(theirs)
        if how == "swapped":
            other.write_bytes(mine)
        return f"{path.relative_to(folder)}: {how} {other.relative_to(folder)}"
    path.unlink()
    if how == "a folder":
        path.mkdir()
    elif how == "a link in a circle":
        path.symlink_to(path.name)
    elif how == "a link to nothing":
        path.symlink_to("nowhere")
    elif how == "empty":
        path.touch()
    return f"{path.relative_to(folder)}: {how}"


# --- bytes ----------------------------------------------------------------------------------------------------------


def change_bytes(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Flip bits, cut, lengthen, repeat, or write over a part."""
    data, size = bytearray(content), len(content)
    how = rng.choice(["flip", "flip", "flip", "cut", "cut", "longer", "repeat", "zeros", "noise", "insert", "delete"])
    at = rng.randrange(size) if size else 0
    # Headers stand at the start and at the end of files.
    if size > 200 and rng.random() < 0.5:
        at = rng.randrange(100) if rng.random() < 0.7 else size - 1 - rng.randrange(100)
    length = min(size - at, 1 << rng.randrange(8))
    if how == "flip" and size:
        for place in [at, *(rng.randrange(size) for _ in range(rng.choice([0, 0, 1, 7])))]:
            data[place] ^= 1 << rng.randrange(8)
    elif how == "cut":
        del data[at:]
    elif how == "longer":
        data += rng.randbytes(1 << rng.randrange(10))
    elif how == "repeat":
        data[at:at] = data[at : at + length] * rng.choice([1, 2, 100])
    elif how == "zeros":
        data[at : at + length] = bytes(length)
    elif how == "noise":
        data[at : at + length] = rng.randbytes(length)
    elif how == "insert":
        data[at:at] = rng.choice(
            [b"\0", b"\xff", b"\xed\xa0\x80", b"\r\n", b"[" * 10_000, b"9" * 5_000, b"\xef\xbb\xbf"]
        )
    elif how == "delete":
        del data[at : at + length]
    return f"{how} at {at}", bytes(data)


# --- JSON -----------------------------------------------------------------------------------------------------------


def change_json(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Change the value of JSON at a random place."""
    how, value = change_value(json.loads(content), rng)
    return how, _dumped(value)


def change_lines(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Change one line of JSON lines, or the lines."""
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    how = rng.choice(["change", "change", "change", "drop", "double", "swap"])
    if how == "change" and lines[at]:
        how, lines[at] = change_json(lines[at], rng)
    elif how == "drop":
        del lines[at]
    elif how == "double":
        lines.insert(at, lines[at])
    elif how == "swap":
        other = rng.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    return f"line {at}: {how}", b"\n".join(lines)


def change_value(value: Any, rng: random.Random) -> tuple[str, Any]:
    """The value with one place of it changed, and where and how."""
    places = list(_places(value))
    if len(places) > 40 and rng.random() < 0.6:  # settings, rather than one of many tokens
        places = [place for place in places if len(place) < 3] or places
    place = rng.choice(places)
    if not place:
        return "all", _other(value, rng)
    parent = value
    for key in place[:-1]:
        parent = parent[key]
    key, how = place[-1], rng.choice(["other", "other", "other", "other", "remove", "rename", "nest", "add"])
    if how == "remove":
        del parent[key]
    elif how == "rename" and isinstance(parent, dict):
        parent[rng.choice(["", "\ud800", "type", str(key) + "x", "__metadata__", "vocab"])] = parent.pop(key)
    elif how == "nest":
        for _ in range(rng.choice([1, 2, 50, 300, 3_000])):
            parent[key] = [parent[key]] if rng.random() < 0.5 else {"type": "Sequence", "normalizers": parent[key]}
    elif how == "add" and isinstance(parent[key], list):
        parent[key].append(_other(parent[key][-1] if parent[key] else None, rng))
    else:
        how, parent[key] = "other", _other(parent[key], rng)
    return f"{'.'.join(str(part)[:30] for part in place)}: {how}", value


def _places(value: Any, place: tuple[Any, ...] = ()) -> Any:
    yield place
    if isinstance(value, dict | list) and len(place) < 12:
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from _places(value[key], (*place, key))


def _other(value: Any, rng: random.Random) -> Any:
    if type(value) is int and rng.random() < 0.6:
        return rng.choice(
            [value + 1, value - 1, -value, value * 2, value * 1_000, value << 32, float(value), rng.choice(NUMBERS)]
        )
    if type(value) is float and rng.random() < 0.5:
        return rng.choice(
            [-value, value * 1e30, value * 1e300, value / 1e30, int(value) if math.isfinite(value) else 0]
        )
    if isinstance(value, str) and rng.random() < 0.4:
        return rng.choice(
            [
                value + "\0",
                value * 2,
                value[1:],
                value.upper(),
                value + "\ud800",
                value[::-1],
                f"../{value}",
                value * 3_000,
            ]
        )
    if isinstance(value, list) and value and rng.random() < 0.6:
        how = rng.choice(["reverse", "double", "half", "many", "shuffle"])
        if how == "many":
            return value * min(1_000, max(2, 20_000 // len(value)))
        return {
            "reverse": value[::-1],
            "double": value * 2,
            "half": value[: len(value) // 2],
            "shuffle": rng.sample(value, len(value)),
        }[how]
    return json.loads(json.dumps(rng.choice(VALUES)))  # a copy


def _dumped(value: Any) -> bytes:
    """Lone surrogates as escapes, deep nesting too."""
    return _deep(value).encode() if _depth(value) > 400 else json.dumps(value).encode()


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth, level = (
            depth + 1,
            [
                child
                for each in level
                if isinstance(each, dict | list)
                for child in (each.values() if isinstance(each, dict) else each)
            ],
        )
    return depth


def _deep(value: Any) -> str:
    """JSON without recursion."""
    parts: list[str] = []
    stack: list[Any] = [("value", value)]
    while stack:
        kind, each = stack.pop()
        if kind == "text":
            parts.append(each)
        elif isinstance(each, dict):
            stack.append(("text", "}"))
            for place, (key, child) in reversed(list(enumerate(each.items()))):
                stack += [("value", child), ("text", f"{', ' if place else ''}{json.dumps(key)}: ")]
            stack.append(("text", "{"))
        elif isinstance(each, list):
            stack.append(("text", "]"))
            for place, child in reversed(list(enumerate(each))):
                stack += [("value", child), ("text", ", " if place else "")]
            stack.append(("text", "["))
        else:
            parts.append(json.dumps(each))
    return "".join(parts)


# --- safetensors ----------------------------------------------------------------------------------------------------


def change_tensors(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Change the header of a safetensors file by its structure, or numbers of its tensors."""
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), bytearray(content[8 + size :])
    names = [name for name in header if name != "__metadata__"]
    name = rng.choice(names)
    entry = header[name]
    how = rng.choice(
        ["numbers"] * 4 + ["dtype", "shape", "offsets", "header", "metadata", "rename", "drop", "twin", "length"]
    )
    if how == "numbers":
        return f"{name}: {_change_numbers(entry, data, rng)}", content[: 8 + size] + bytes(data)
    if how == "dtype":
        entry["dtype"] = rng.choice(DTYPES)
        if rng.random() < 0.5:  # of the same size in all
            entry["shape"] = [rng.choice([1, 2, 4]) * n if i == 0 else n for i, n in enumerate(entry["shape"])]
    elif how == "shape":
        entry["shape"] = _shape(entry["shape"], rng)
    elif how == "offsets":
        entry["data_offsets"][rng.randrange(2)] = rng.choice([*NUMBERS, entry["data_offsets"][1] + 4, len(data)])
    elif how == "header":
        how, header = change_value(header, rng)
    elif how == "metadata":
        found = header.setdefault("__metadata__", {"format": "pt"})
        found[rng.choice([*found, "save_id", "sha256"]) if found else "format"] = rng.choice(VALUES)
    elif how == "rename":
        header[rng.choice(["weights", "mapping", "embeddings", "", "\ud800", "x" * 300])] = header.pop(name)
    elif how == "drop":
        del header[name]
    elif how == "twin":
        header[rng.choice(["weights", "mapping", "ranges", "a twin"])] = entry
    text = _dumped(header)
    length = len(text) if how != "length" else rng.choice([0, 1, len(text) - 1, len(text) + 1, 2**31, 2**63, 2**64 - 1])
    return f"{name}: {how}", struct.pack("<Q", length) + text + bytes(data)


def _shape(shape: list[int], rng: random.Random) -> Any:
    how = rng.choice(["number", "reverse", "flat", "one more", "none", "split", "many"])
    if how == "number" and shape:
        return [*shape[:-1], rng.choice(NUMBERS)]
    if how == "flat":
        return [math.prod(shape)]
    if how == "one more":
        return [*shape, rng.choice([0, 1, 2, 2**62])]
    if how == "split" and shape:
        return [shape[0] // 2, 2, *shape[1:]]
    return {"reverse": shape[::-1], "many": [*shape, *[1] * rng.choice([40, 100, 5_000])]}.get(how, [])


_SPECIAL = {
    "F64": ("<d", (math.nan, math.inf, -math.inf, 1e308, 1e300, -1e39, 1e-310, 0.0, -0.0)),
    "F32": ("<f", (math.nan, math.inf, -math.inf, 3e38, -3e38, 1e-40, 0.0, -0.0)),
    "F16": ("<e", (math.nan, math.inf, -math.inf, 65_504.0, 1e-7, 0.0)),
    "I64": ("<q", (-1, 2**63 - 1, -(2**63), 2**32, 2**31, 10**6, 0)),
    "I32": ("<i", (-1, 2**31 - 1, -(2**31), 65_536, 10**6, 0)),
    "U32": ("<I", (2**32 - 1, 2**31, 65_536, 10**6, 0)),
    "I16": ("<h", (-1, 2**15 - 1, -(2**15), 0)),
    "U16": ("<H", (2**16 - 1, 2**15, 0)),
    "I8": ("<b", (-128, 127, 0)),
    "U8": ("<B", (255, 128, 0)),
}


def _change_numbers(entry: dict[str, Any], data: bytearray, rng: random.Random) -> str:
    code, values = _SPECIAL.get(str(entry["dtype"]), ("<B", (255, 128, 0)))
    size, (start, end) = struct.calcsize(code), entry["data_offsets"]
    count = (min(end, len(data)) - start) // size
    if count < 1:
        return "no numbers"
    value, many = rng.choice(values), rng.choice([1, 1, 3, count])
    for place in range(count) if many == count else (rng.randrange(count) for _ in range(many)):
        struct.pack_into(code, data, start + place * size, value)
    return f"{many} numbers are {value}"


# --- zips -----------------------------------------------------------------------------------------------------------


def change_zip(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Change one file in a zip, or which files it has; sizes and checksums are right again."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice([*files, *(["schema.json"] * len(files))])
    how = rng.choice(["change"] * 8 + ["missing", "renamed", "a copy", "header"])
    if how == "change" and name.endswith(".json"):
        how, files[name] = change_json(files[name], rng)
    elif how == "change":
        how, files[name] = change_bytes(files[name], rng)
    elif how == "missing":
        del files[name]
    elif how == "renamed":
        files[rng.choice(["schema.json", "../x", "é.npy", name.upper()])] = files.pop(name)
    elif how == "a copy":
        files[name] = files[rng.choice(list(files))]
    elif how == "header":  # of an array of numpy
        shape, kind = (
            rng.choice(["(3,)", "(2**40,)", "()", "(0, 9)", "(9" * 40 + ",)"]),
            rng.choice(["<f4", "<f8", "|O", "<U9", "<c8"]),
        )
        head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
        head += " " * (-(11 + len(head)) % 64) + "\n"
        arrays = [other for other in files if other.endswith(".npy")]
        files[rng.choice(arrays or [name])] = (
            b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head.encode() + bytes(64)
        )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for each, data in files.items():
            archive.writestr(each, data)
    return f"{name}: {how}", out.getvalue()


# --- heads of requests ----------------------------------------------------------------------------------------------

_FIRST_LINES = (
    *("OPTIONS * HTTP/1.1", "HEAD /embed HTTP/1.1", "POST //embed HTTP/1.1", "GET /v1/models/%00%ff%2e%2e/x HTTP/1.1"),
    *(
        "POST /embed?a=%zz&b HTTP/1.1",
        "POST http://other/embed HTTP/1.1",
        "BREW /embed HTTP/1.1",
        "POST /embed/ HTTP/1.1",
    ),
    *(
        "GET /v1/models/org/plain/ HTTP/1.1",
        "GET /v1/models// HTTP/1.1",
        "POST",
        "",
        "GET  HTTP/1.1",
        "PUT /docs HTTP/9",
    ),
)
_HEADERS = (
    *("Content-Length: " + length for length in ("-1", "+5", "5, 5", "9" * 30, "1e3", "0", "", "\u00b2", "999999999")),
    *(
        "Content-Type: " + kind
        for kind in ("text/plain", "application/json;", "APPLICATION/JSON", "a" * 9_000, ";", "")
    ),
    *(
        "Authorization: " + key
        for key in ("Bearer", "Bearer  ", "bearer \u00ff", "Basic eDp5", "Bearer " + "x" * 9_000)
    ),
    *(
        "Expect: 100-continue",
        "Expect: x",
        "Transfer-Encoding: chunked",
        "Content-Encoding: gzip",
        "Host: ",
        ": x",
        "x:",
    ),
    *(
        "Upgrade: websocket",
        "Connection: close",
        "Range: bytes=0-1",
        "Accept: \u00ff",
        "If-None-Match: *",
        "Origin: null",
    ),
)


def change_head(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Put another first line or an odd header before the body of a request, or drop or repeat one."""
    lines = content.split(b"\r\n")
    how = rng.choice(["insert", "insert", "insert", "first", "drop", "double", "bytes"])
    at = rng.randrange(1, len(lines)) if len(lines) > 1 else 0
    if how == "insert":
        lines.insert(max(at, 1), rng.choice(_HEADERS).encode("latin-1"))
    elif how == "first":
        lines[0] = rng.choice(_FIRST_LINES).encode()
    elif how == "drop":
        del lines[at]
    elif how == "double":
        lines.insert(at, lines[at])
    else:
        lines[at] = change_bytes(lines[at], rng)[1]
    return f"{how} line {at}", b"\r\n".join(lines)


# --- cards ----------------------------------------------------------------------------------------------------------

_YAML = (
    *(
        "license: \n",
        "license: [",
        "a: &a [*a]\n",
        "a: &a {b: *a}\n",
        "? [1]\n: 2\n",
        "- x\n",
        "tags: {a: b}\n",
        "tags: 3\n",
    ),
    *("? {}\n", "license: !!python/object/apply:os.getcwd []\n", "a: 2026-99-99\n", "a: 0x" + "f" * 5_000 + "\n"),
    *("a: 1e999999\n", "license: mit\nlicense: mit\n", "\t- a\n", "a: |\n  x\n", "%YAML 9.9\n", "---\n", "...\n"),
    *("<<: 3\n", "a: " + "[" * 2_000 + "\n", "a: 190:20:30.15\n", "a: .nan\n", "? !!binary =\n: 1\n", '"\\ud800": 1\n'),
    *(
        "language: \x1b[2J\n",
        "<!-- m2v -->\n",
        "<!-- /m2v -->\n",
        "model-index:\n- 3\n",
        "a: 9999-12-31T23:59:59+23:59\n",
    ),
    *(
        "x: &x [a,a,a,a,a,a,a,a]\ny: &y [*x,*x,*x,*x,*x,*x]\nz: &z [*y,*y,*y,*y,*y,*y,*y]\nw: [*z,*z,*z,*z,*z,*z,*z,*z]\n",
    ),
)


def change_card(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Put a line of odd YAML into a card, or drop or repeat a line of it."""
    lines = content.splitlines(keepends=True)
    at, how = (
        rng.randrange(min(len(lines), 25) or 1),
        rng.choice(["insert", "insert", "insert", "drop", "double", "swap"]),
    )
    if how == "insert":
        lines.insert(at, rng.choice(_YAML).encode())
    elif lines:
        other = rng.randrange(len(lines))
        if how == "drop":
            del lines[at]
        elif how == "double":
            lines.insert(other, lines[at])
        else:
            lines[at], lines[other] = lines[other], lines[at]
    return f"{how} line {at}", b"".join(lines)


_STRUCTURED: dict[str, Callable[[bytes, random.Random], tuple[str, bytes]]] = {
    ".json": change_json,
    ".jsonl": change_lines,
    ".safetensors": change_tensors,
    ".md": change_card,
    ".skops": change_zip,
    ".http": change_head,
}


def copied(seed: Path, folder: Path) -> None:
    """A fresh copy of a folder, in place of what is there."""
    if os.path.lexists(folder):
        shutil.rmtree(folder)
    shutil.copytree(seed, folder)
