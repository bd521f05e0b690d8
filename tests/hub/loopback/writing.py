"""What changes repositories: create, upload large files, commit."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import yaml

from hub.loopback.storage import Commit, File, Repo, is_large
from hub.loopback.xet import stored


def create(call: Any) -> dict[str, str] | None:
    asked = call.json()
    repo_id = f"{asked['organization']}/{asked['name']}"
    if not call.may_write(asked["organization"]):
        call.refuse(403 if call.token else 401, "", f"You don't have the rights to create a model under {repo_id}")
    url = f"{call.hub.url}/{repo_id}"
    if repo_id in call.hub.repos:
        call.answer(409, {"error": "You already created this model repo", "url": url})
        return None
    private = asked.get("private") or asked.get("visibility") == "private"
    repo = Repo({"main": {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}})
    repo.token = call.token if private else None
    repo.xet = call.hub.xet_store is not None
    call.hub.repos[repo_id] = repo
    return {"url": url, "id": repo_id, "name": repo_id}


def validate(call: Any) -> dict[str, Any] | None:
    """Check the metadata of a card."""
    content = call.json()["content"]
    if not content.startswith("---\n"):
        return {"errors": [], "warnings": []}
    try:
        facts = yaml.safe_load(content.split("---\n")[1])
        problem = None if isinstance(facts, dict) else "metadata should be an object"
    except yaml.YAMLError as error:
        problem = str(error)
    if problem is None:
        return {"errors": [], "warnings": []}
    call.answer(400, {"error": problem, "errors": [{"message": problem}], "warnings": []})
    return None


def branch(call: Any, name: str) -> dict[str, str]:
    if name in call.repo.refs:
        call.refuse(409, "", "Reference already exists")
    call.repo.refs[name] = call.repo.commit(call.json().get("startingPoint") or "main")
    return {}


def _head(call: Any, revision: str) -> Commit:
    if revision not in call.repo.refs:
        call.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    return call.repo.commits[call.repo.refs[revision]]


def preupload(call: Any, revision: str) -> dict[str, Any]:
    """Which files go to the store, and what is there of each."""
    files = _head(call, revision).files
    return {
        "files": [
            {
                "path": file["path"],
                "uploadMode": "lfs" if is_large(file["path"], file["size"]) else "regular",
                "shouldIgnore": False,
                "oid": files[file["path"]].etag if file["path"] in files else None,
            }
            for file in call.json()["files"]
        ]
    }


def batch(call: Any) -> dict[str, Any]:
    """How each large file is uploaded: not at all, at once, in parts, or by Xet."""
    asked_for, objects = call.json(), []
    if call.hub.xet_store is not None and "xet" in asked_for["transfers"]:
        return {"transfer": "xet", "objects": asked_for["objects"]}
    for asked in asked_for["objects"]:
        entry, oid, size = {**asked}, asked["oid"], asked["size"]
        if oid not in call.repo.lfs:
            href, header = f"{call.hub.cdn}/store/{call.repo_id}/{oid}", {}
            if call.hub.part_size and size > call.hub.part_size:
                parts = range(1, -(-size // call.hub.part_size) + 1)
                header = {"chunk_size": str(call.hub.part_size), **{str(part): f"{href}/{part}" for part in parts}}
                href += "/complete"
            verify = {"href": f"{call.hub.url}/{call.repo_id}.git/info/lfs/verify"}
            entry["actions"] = {"upload": {"href": href, "header": header}, "verify": verify}
        objects.append(entry)
    return {"transfer": "basic", "objects": objects}


def upload(call: Any, oid: str, part: str | None) -> None:
    """A large file, or a part of it; the store takes only what has the name's checksum."""
    if part is None:
        if hashlib.sha256(call.body).hexdigest() != oid:
            call.refuse(400, "", "checksum mismatch")
        call.repo.lfs[oid] = call.body
    else:
        call.hub.parts[oid, int(part)] = call.body
    call.answer(200, b"", ETag=hashlib.md5(call.body, usedforsecurity=False).hexdigest())


def complete(call: Any, oid: str) -> dict[str, str]:
    call.body = b"".join(call.hub.parts.pop((oid, part["partNumber"])) for part in call.json()["parts"])
    upload(call, oid, None)
    return {}


def verify(call: Any) -> dict[str, str]:
    asked = call.json()
    if len(call.repo.lfs.get(asked["oid"], b"")) != asked["size"]:
        call.refuse(404, "", "no such object")
    return {}


def commit(call: Any, revision: str) -> dict[str, Any]:
    """All changes, or none."""
    lines = [json.loads(line) for line in call.body.splitlines()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    with call.repo.lock:
        head = _head(call, revision)
        pull_request = call.query.get("create_pr") == "1"
        if not pull_request and header.get("parentCommit", head.oid) != head.oid:
            call.refuse(412, "", "A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for line in lines:
            _change(call, files, line["key"], line["value"])
        new = Commit(files, head.oid, header["summary"])
        if pull_request:
            number = sum(name.startswith("refs/pr/") for name in call.repo.refs) + 1
            revision = f"refs/pr/{number}"
        call.repo.refs[revision] = call.repo.add(new)
    url = f"{call.hub.url}/{call.repo_id}"
    request = {"pullRequestUrl": f"{url}/discussions/{number}"} if pull_request else {}
    return {"success": True, "commitOid": new.oid, "commitUrl": f"{url}/commit/{new.oid}", **request}


def _change(call: Any, files: dict[str, File], key: str, value: dict[str, Any]) -> None:
    path = value.get("path")
    if key == "file":
        files[path] = File.of(path, base64.b64decode(value["content"]))
    elif key == "lfsFile":
        data = call.repo.lfs.get(value["oid"])
        if data is None and call.hub.xet_store is not None:
            file = stored(call.hub.xet_store, value["oid"], value["size"])
        else:
            file = None if data is None else File(data, True, len(data), value["oid"])
        if file is None:
            call.refuse(400, "", f"{path} points to a file that was not uploaded")
        files[path] = file
    elif key == "deletedFile" and files.pop(path, None) is None:
        call.refuse(404, "EntryNotFound", "A file with this name doesn't exist")
