"""Download the files of a static model from the Hub, or find them in the cache."""

from __future__ import annotations

import glob
import logging
import os
import shutil
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import constants, snapshot_download
from huggingface_hub.utils.tqdm import are_progress_bars_disabled
from tqdm.auto import tqdm

from m2v_core import checks
from m2v_core.errors import ModelFormatError, ModelNotFoundError, TransferError
from m2v_core.storage.foreign import NESTED, SENTENCE_TRANSFORMERS_CONFIG
from m2v_core.storage.format import (
    CONFIG_FILE,
    HEAD_FILE,
    LEGACY_HEAD_FILE,
    MODULES_FILE,
    TENSOR_FILE,
    TOKENIZER_FILE,
    VOCABULARY_FILE,
)
from m2v_hub.cache import cached_file, cached_model, remove, write_ref
from m2v_hub.client import PAUSES, Client, DamagedFileError
from m2v_hub.names import COMMIT, checked_repo_id, checked_revision, checked_subfolder, path_in
from m2v_hub.remote import Remote, RemoteFile, read_remote

README_FILE = "README.md"

#: Files of a static model, in any layout that m2v-core reads.
MODEL_FILES = (
    CONFIG_FILE,
    TENSOR_FILE,
    TOKENIZER_FILE,
    MODULES_FILE,
    HEAD_FILE,
    LEGACY_HEAD_FILE,
    VOCABULARY_FILE,
    README_FILE,
    SENTENCE_TRANSFORMERS_CONFIG,
    f"{NESTED}/{TENSOR_FILE}",
    f"{NESTED}/{TOKENIZER_FILE}",
)

#: Maximum sizes in bytes of files that are read completely before they are checked, and of all others but the table.
LIMITS = dict.fromkeys((TOKENIZER_FILE, HEAD_FILE, LEGACY_HEAD_FILE, VOCABULARY_FILE), 1 << 30)
SMALL = 10 << 20

log = logging.getLogger(__name__)


class _TerminalBar(tqdm):  # type: ignore[type-arg] # generic in the stubs only
    """A progress bar that is shown on a terminal only."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["disable"] = options.get("disable") or are_progress_bars_disabled() or not sys.stderr.isatty()
        options.pop("name", None)  # known to huggingface_hub's own classes only
        super().__init__(*args, **options)


def download(
    repo_id: str,
    *,
    revision: str | None = None,
    subfolder: str | None = None,
    token: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Path:
    """Download a static model's files, and no others, into the Hub's cache.

    Every file is compared with its checksum on the Hub. A branch or tag in the cache refers to a commit only after all
    files of the commit have arrived: after an interruption the cache holds the earlier model, and the next call fetches
    what is missing. Broken connections and transient errors (429, 5xx) are retried.

    Args:
        repo_id: Repository id, `org/name`.
        revision: Branch, tag or commit. Default: the main branch. A whole commit hash that is cached needs no request.
        subfolder: Path of the model inside the repository.
        token: Hub token. Default: `HF_TOKEN`, or the one that `hf auth login` stored.
        cache_dir: Folder of the cache. Default: huggingface_hub's.
        local_files_only: Make no request, and use what is cached.
        force_download: Fetch files again even if they are cached.

    Returns:
        The folder of the revision in the cache, of which a subfolder is a part.

    Raises:
        ModelNotFoundError: The Hub has no such repository or revision, or denies access to it; it holds no static
            model; or nothing is cached and the Hub must not be asked.
        ModelFormatError: A file is too large for its kind.
        TransferError: The Hub cannot be reached and nothing is cached; files arrive damaged; or the disk is full.
        InvalidInputError: A name is malformed.
    """
    inner = checked_subfolder(subfolder)
    cache = None if cache_dir is None else checks.path("cache_dir", cache_dir).expanduser().resolve()
    client = Client.of(checked_repo_id(repo_id), checked_revision(revision), token)
    cached = cached_model(client.repo_id, client.revision, inner, cache)
    if checks.truth("local_files_only", local_files_only) or constants.HF_HUB_OFFLINE:
        if cached is None:
            raise ModelNotFoundError(
                f"{client.at} is not in the cache, and no request to the Hub is allowed. Connect once to download it, "
                f"with HF_HUB_OFFLINE not set."
            )
        return cached
    if cached is not None and COMMIT.fullmatch(client.revision) and not force_download:
        return cached
    doing = f"Fetching {client.at}"
    try:
        remote = client.ask(lambda: read_remote(client), doing=doing, pauses=PAUSES if cached is None else ())
    except (TransferError, ModelNotFoundError) as error:
        if cached is None or force_download:
            raise
        log.warning("%s The cached files of %s are used.", error, client.at)
        return cached
    files = _wanted(client, remote, inner)
    fetch = partial(_fetch, client, str(remote.commit), cache=cache, force=force_download)
    for last in (False, True):  # the table last: where it exists, the other files do
        part = {path: file for path, file in files.items() if (_name(path) == TENSOR_FILE) == last}
        if part:
            snapshot = client.ask(partial(fetch, part), doing=doing)
    write_ref(snapshot, client.revision)
    return snapshot


def _wanted(client: Client, remote: Remote, subfolder: str) -> dict[str, RemoteFile]:
    """The files of the model in `subfolder`, by their paths in the repository."""
    paths = [path_in(subfolder, name) for name in MODEL_FILES]
    files = {path: remote.files[path] for path in paths if path in remote.files}
    if not any(_name(path) == TENSOR_FILE for path in files):
        raise ModelNotFoundError(
            f"{client.at} holds no static model{f' in {subfolder}' if subfolder else ''}: expected {TENSOR_FILE}, "
            f"{TOKENIZER_FILE} and {CONFIG_FILE}; found {len(files)} of its files, and {len(remote.files)} in all."
        )
    for path, file in files.items():
        limit = LIMITS.get(_name(path), SMALL)
        if _name(path) != TENSOR_FILE and (file.size or 0) > limit:
            raise ModelFormatError(
                f"{client.at}: expected {path} to have at most {limit:,} bytes; found {file.size:,}. Nothing was "
                f"fetched."
            )
    return files


def _fetch(client: Client, commit: str, files: Mapping[str, RemoteFile], *, cache: Path | None, force: bool) -> Path:
    """Fetch files of a commit that are not cached, verify their checksums, and return the snapshot."""
    there = {path: None if force else cached_file(client.repo_id, commit, path, cache) for path in files}
    new = [path for path, found in there.items() if found is None]
    if not new:
        path, found = next(iter(there.items()))
        return Path(str(found)).parents[path.count("/")]
    _check_space(sum(files[path].size or 0 for path in new), cache or Path(constants.HF_HUB_CACHE))
    snapshot = Path(
        snapshot_download(
            client.repo_id,
            revision=commit,
            token=client.token,
            cache_dir=cache,
            force_download=force,
            allow_patterns=[glob.escape(path) for path in new],
            tqdm_class=_TerminalBar,
        )
    )
    for path in new:
        if not (snapshot / path).is_file():
            raise DamagedFileError(f"{path} did not arrive.")
        if not files[path].is_same(snapshot / path):
            remove(snapshot / path)
            raise DamagedFileError(f"{path} arrived with another size or checksum than it has on the Hub.")
    return snapshot


def _check_space(needed: int, cache: Path) -> None:
    existing = next(folder for folder in (cache.absolute(), *cache.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise TransferError(
            f"{needed:,} bytes are needed in {cache}; found {free:,} free. Free some space, or set HF_HOME to another "
            f"disk."
        )


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]
