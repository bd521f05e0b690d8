"""What the Hub tells of repositories, and their files."""

from __future__ import annotations

from typing import Any

from hub.loopback.storage import Commit, File


def _revision(call: Any, revision: str | None) -> tuple[str, Commit]:
    oid = call.repo.commit(revision or "main")
    if oid is None:
        call.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    return oid, call.repo.commits[oid]


def info(call: Any, revision: str | None) -> dict[str, Any]:
    oid, commit = _revision(call, revision)
    detailed = "blobs" in call.query
    siblings = [
        {"rfilename": path, **(_facts(file) if detailed else {})} for path, file in sorted(commit.files.items())
    ]
    private = bool(call.repo.token)
    return {"id": call.repo_id, "modelId": call.repo_id, "sha": oid, "siblings": siblings, "private": private}


def _facts(file: File) -> dict[str, Any]:
    facts: dict[str, Any] = {"size": file.size, "blobId": file.git_oid}
    if file.large:
        facts["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": 130}
    return facts


def tree(call: Any, revision: str, path: str | None) -> None:
    """A page of the listing, and where the next one is."""
    _, commit = _revision(call, revision)
    entries = []
    for name, file in sorted(commit.files.items()):
        if path and not name.startswith(f"{path}/"):
            continue
        entry: dict[str, Any] = {"type": "file", "path": name, "size": file.size, "oid": file.git_oid}
        if file.large:
            entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 130}
            if call.repo.xet and file.xet_hash:
                entry["xetHash"] = file.xet_hash
        entries.append(entry)
    first = int(call.query.get("cursor", 0))
    last = first + call.hub.page_size
    more = {}
    if last < len(entries):
        more["Link"] = f'<{call.hub.url}{call.path.split("?")[0]}?recursive=True&cursor={last}>; rel="next"'
    call.answer(200, entries[first:last], **more)


def resolve(call: Any, revision: str, path: str) -> None:
    """A file; a large one lies at another address."""
    oid, commit = _revision(call, revision)
    file = commit.files.get(path)
    if file is None:
        call.refuse(404, "EntryNotFound", "Entry not found", X_Repo_Commit=oid)
    headers = {"X-Repo-Commit": oid, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
    if not file.large:
        return call.answer(200, file.data, **headers)
    headers |= {"X-Linked-ETag": f'"{file.etag}"', "X-Linked-Size": str(file.size)}
    if call.repo.xet and file.xet_hash:
        headers["X-Xet-Hash"] = file.xet_hash
        headers["X-Xet-Refresh-Route"] = f"{call.hub.url}/api/models/{call.repo_id}/xet-read-token/{oid}"
    location = f"{call.hub.cdn}/store/{call.repo_id}/{file.sha256}"
    return call.answer(302, b"", Location=location, **headers)
