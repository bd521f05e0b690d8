"""Xet: hf_xet keeps large files in a folder, by `local://`; the Hub only knows their hashes."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hub.loopback.storage import File

_ENTRY = 48  # bytes of each part of a shard
_VERIFIED, _DESCRIBED = 1 << 31, 1 << 30


def token(call: Any, kind: str, revision: str) -> None:
    """Where the client finds the storage, and what it shows there."""
    if kind == "write" and not call.may_write(call.repo_id.split("/")[0]):
        call.refuse(403, "", "Forbidden: you need write access")
    until = str(int(time.time()) + 3600)
    url, word = f"local://{call.hub.xet_store}", "xet"
    headers = {"X-Xet-Cas-Url": url, "X-Xet-Access-Token": word, "X-Xet-Token-Expiration": until}
    call.answer(200, {"casUrl": url, "accessToken": word, "exp": int(until)}, **headers)


def stored(store: Path, sha256: str, size: int) -> File | None:
    """A file that a client put there."""
    found = (xet for shard in store.rglob("*.mdb") for known, xet in _files(shard.read_bytes()) if known == sha256)
    xet_hash = next(found, None)
    return None if xet_hash is None else File(None, True, size, sha256, xet_hash)


def _files(shard: bytes) -> Iterator[tuple[str, str]]:
    """SHA-256 and Xet hash of the files that a shard lists after its header."""
    at = _ENTRY
    while at + _ENTRY <= len(shard) and shard[at : at + 32] != b"\xff" * 32:
        flags, count = struct.unpack("<II", shard[at + 32 : at + 40])
        xet_hash = _hex(shard[at : at + 32])
        at += _ENTRY * (1 + count * (2 if flags & _VERIFIED else 1))
        if flags & _DESCRIBED:
            yield _hex(shard[at : at + 32]), xet_hash
            at += _ENTRY


def _hex(value: bytes) -> str:
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", value))
