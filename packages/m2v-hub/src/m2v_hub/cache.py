"""huggingface_hub's cache: which complete models it holds, and which commit a branch refers to.

Its layout is documented: `refs/<branch or tag>` holds a commit, `snapshots/<commit>/` its files, as links to `blobs/`.
huggingface_hub writes a ref before it fetches the files, so a ref may lead to an incomplete model. m2v writes a ref
after all files have arrived and were verified, and fetches the model's table last: where it exists, the others do.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from huggingface_hub import try_to_load_from_cache

from m2v_core.storage.foreign import NESTED, SENTENCE_TRANSFORMERS_CONFIG
from m2v_core.storage.format import CONFIG_FILE, MODULES_FILE, TENSOR_FILE, TOKENIZER_FILE
from m2v_hub.names import path_in


def cached_model(repo_id: str, revision: str, subfolder: str, cache_dir: Path | None) -> Path | None:
    """The snapshot of a revision in the cache, if `subfolder` of it holds a complete model; makes no request."""
    for inner in (subfolder, path_in(subfolder, NESTED)):
        table = cached_file(repo_id, revision, path_in(inner, TENSOR_FILE), cache_dir)
        if table is not None:
            folder = table.parents[path_in(inner, TENSOR_FILE).count("/")]
            if _is_complete(folder / subfolder, table.parent):
                return folder
    return None


def cached_file(repo_id: str, revision: str, path: str, cache_dir: Path | None) -> Path | None:
    """The path of a revision's file in the cache; `None` if it is not there."""
    found = try_to_load_from_cache(repo_id, path, cache_dir=cache_dir, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _is_complete(folder: Path, table_folder: Path) -> bool:
    described = any((folder / name).is_file() for name in (CONFIG_FILE, MODULES_FILE, SENTENCE_TRANSFORMERS_CONFIG))
    return (table_folder / TOKENIZER_FILE).is_file() and (described or table_folder != folder)


def write_ref(snapshot: Path, revision: str) -> None:
    """Point a branch or tag to the commit of `snapshot`, in one step; a read-only cache is left as it is."""
    ref = snapshot.parents[1] / "refs" / revision
    if revision == snapshot.name or (ref.is_file() and ref.read_text(encoding="utf-8") == snapshot.name):
        return
    partial = ref.with_name(f"{ref.name}.{uuid4().hex}.tmp")
    with suppress(OSError):
        ref.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(snapshot.name, encoding="utf-8")
        partial.replace(ref)


def remove(path: Path) -> None:
    """Remove a file of a snapshot and the blob that it links to."""
    while path.is_symlink():
        target = path.parent / path.readlink()
        path.unlink()
        path = target
    path.unlink(missing_ok=True)
