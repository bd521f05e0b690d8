"""Files of a static model from the Hub, or from its cache."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm.auto import tqdm

from m2v_core.errors import InvalidInputError, ModelNotFoundError
from m2v_core.foreign import NESTED, SENTENCE_TRANSFORMERS_CONFIG
from m2v_core.format import CONFIG_FILE, HEAD_FILE, MODULES_FILE, TENSOR_FILE, TOKENIZER_FILE

#: The files of a static model, in any layout that m2v-core reads.
MODEL_FILES = (
    CONFIG_FILE,
    TENSOR_FILE,
    TOKENIZER_FILE,
    MODULES_FILE,
    HEAD_FILE,
    "README.md",
    SENTENCE_TRANSFORMERS_CONFIG,
    f"{NESTED}/{TENSOR_FILE}",
    f"{NESTED}/{TOKENIZER_FILE}",
)


class _TerminalBar(tqdm):  # type: ignore[type-arg] # generic in the stubs only
    """A progress bar that is off where nobody watches."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["disable"] = options.get("disable") or not sys.stderr.isatty()
        options.pop("name", None)  # huggingface_hub's own classes know it
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
    """Fetch a static model's files, and no others, into the Hub cache.

    Args:
        repo_id: `org/name`.
        revision: A branch, tag or commit; default: the main branch.
        subfolder: The model's place inside the repository.
        token: A Hub token; default: the one that `hf auth login` stored, or `HF_TOKEN`.
        cache_dir: Default: huggingface_hub's cache.
        local_files_only: Make no request; take what is cached.
        force_download: Fetch files again even if they are cached.

    Returns:
        The folder of the revision in the cache; a subfolder lies inside it.

    Raises:
        ModelNotFoundError: The Hub has no such repository or revision, or will not show it without another token; or
            it cannot be reached and nothing is cached.
        InvalidInputError: `repo_id` is not of the form `org/name`.
    """
    prefix = f"{subfolder.strip('/')}/" if subfolder else ""
    with _plain_errors(repo_id, revision):
        return Path(
            snapshot_download(
                repo_id,
                revision=revision,
                token=token,
                cache_dir=None if cache_dir is None else Path(cache_dir),
                local_files_only=local_files_only,
                force_download=force_download,
                allow_patterns=[prefix + name for name in MODEL_FILES],
                tqdm_class=_TerminalBar,
            )
        )


@contextmanager
def _plain_errors(repo_id: str, revision: str | None) -> Iterator[None]:
    """huggingface_hub's errors as ours, which never show a token."""
    at = f"{repo_id} at {revision}" if revision else repo_id
    try:
        yield
    except GatedRepoError:
        raise ModelNotFoundError(
            f"{at} is gated: accept its terms on the Hub, and log in (hf auth login) or pass token=."
        ) from None
    except RevisionNotFoundError:
        raise ModelNotFoundError(f"{repo_id} has no revision {revision!r}; check the branch, tag or commit.") from None
    except RepositoryNotFoundError:
        raise ModelNotFoundError(
            f"The Hub has no model {repo_id}, or it is private: check the spelling, and log in (hf auth login) or "
            f"pass token=."
        ) from None
    except LocalEntryNotFoundError:
        raise ModelNotFoundError(
            f"{at} is not in the cache, and the Hub cannot be reached (or was not to be asked). "
            f"Connect once to download it, or unset HF_HUB_OFFLINE."
        ) from None
    except HFValidationError:
        raise InvalidInputError(f"A repository id looks like 'org/name'; found {repo_id!r}.") from None
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "no")
        raise ModelNotFoundError(
            f"The Hub answered with status {status} when asked for {at}. Try again later."
        ) from None
