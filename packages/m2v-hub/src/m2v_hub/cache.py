"""huggingface_hub's cache: which model is in it, whole, and what a branch's name stands for.

Its layout is documented: `refs/<branch or tag>` holds a commit, `snapshots/<commit>/` its files, as links to `blobs/`.
huggingface_hub writes a ref before it fetches files, so that a ref may lead to half a model. Here a ref is written
when all files are there and checked, and the table of a model is the last of them: where it is, the others are.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from huggingface_hub import try_to_load_from_cache

from m2v_core.storage.foreign import NESTED, SENTENCE_TRANSFORMERS_CONFIG
from m2v_core.storage.format import CONFIG_FILE, MODULES_FILE, TENSOR_FILE, TOKENIZER_FILE
from m2v_hub.names import joined


def cached_model(repo_id: str, revision: str, subfolder: str, cache_dir: Path | None) -> Path | None:
    """The folder of a revision in the cache if a whole model lies in it, or in its `subfolder`; makes no request."""
    for place in (subfolder, joined(subfolder, NESTED)):
        table = cached_file(repo_id, revision, joined(place, TENSOR_FILE), cache_dir)
        if table is not None:
            folder = table.parents[joined(place, TENSOR_FILE).count("/")]
            if _is_whole(folder / subfolder, table.parent):
                return folder
    return None


def cached_file(repo_id: str, revision: str, path: str, cache_dir: Path | None) -> Path | None:
    """A file of a revision in the cache."""
    found = try_to_load_from_cache(repo_id, path, cache_dir=cache_dir, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _is_whole(folder: Path, place: Path) -> bool:
    described = any((folder / name).is_file() for name in (CONFIG_FILE, MODULES_FILE, SENTENCE_TRANSFORMERS_CONFIG))
    return (place / TOKENIZER_FILE).is_file() and (described or place != folder)


def write_ref(snapshot: Path, revision: str) -> None:
    """Let a branch or tag stand for the commit of `snapshot`, in one step; a cache that is read-only stays as it is."""
    ref = snapshot.parents[1] / "refs" / revision
    if revision == snapshot.name or (ref.is_file() and ref.read_text(encoding="utf-8") == snapshot.name):
        return
    partial = ref.with_name(f"{ref.name}.{uuid4().hex}.tmp")
    with suppress(OSError):
        ref.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(snapshot.name, encoding="utf-8")
        partial.replace(ref)


def remove(path: Path) -> None:
    """Remove a file of a snapshot together with the blob that it links to."""
    while path.is_symlink():
        target = path.parent / path.readlink()
        path.unlink()
        path = target
    path.unlink(missing_ok=True)
