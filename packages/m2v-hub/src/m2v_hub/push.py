"""Publish a model on the Hub: gathered in a folder, loaded once, described by a card, in one commit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, hf_hub_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from m2v_core.errors import InvalidInputError, ModelFormatError, ModelNotFoundError, TransferError
from m2v_core.storage.format import OWNED_FILES
from m2v_hub.__about__ import __version__
from m2v_hub.client import Client
from m2v_hub.download import README_FILE, SMALL
from m2v_hub.names import MAIN, checked_repo_id, checked_revision, checked_subfolder, joined
from m2v_hub.remote import Remote, read_remote
from m2v_hub.staging import Saves, Variants, files_of, parsed_variants, stage

if TYPE_CHECKING:
    from m2v_hub.card.metadata import Results


@dataclass(frozen=True)
class Publication:
    """What was published, or would be; prints as its address.

    Attributes:
        url: The address of the repository, of another branch than main in it, or of the pull request.
        commit: The hash of the commit; `None` after a dry run.
        files: Path in the repository -> bytes; those that the Hub has already are not sent again.
        deleted: Files of an earlier model that have no place in this one.
        card: The text of the model card.
    """

    url: str
    commit: str | None
    files: Mapping[str, int]
    deleted: tuple[str, ...]
    card: str = field(repr=False)

    def __str__(self) -> str:
        return self.url


def push_to_hub(
    model: Saves | str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    subfolder: str | None = None,
    commit_message: str | None = None,
    create_pr: bool = False,
    license: str | None = None,
    language: str | Sequence[str] | None = None,
    datasets: str | Sequence[str] | None = None,
    metrics: Results | None = None,
    template: str | os.PathLike[str] | None = None,
    variants: Variants | None = None,
    dry_run: bool = False,
) -> Publication:
    """Publish a model with its card, in one commit: all of it, or nothing.

    The repository and the branch are made if they are not there. Files of an earlier model that this one lacks are
    deleted by the same commit. If another commit comes between, or the answer is lost, the repository is looked at
    again before another try, so that nothing is published twice or over something unseen. What was uploaded before an
    interruption is not sent again.

    Args:
        model: A model or pipeline, or a folder that holds one. Files and folders whose names start with a dot stay.
        repo_id: `org/name`.
        private: Whether a new repository is private; default: as its owner has set. True also refuses to publish
            in one that is public.
        token: A Hub token with the right to write; default: `HF_TOKEN`, or the one that `hf auth login` stored.
        revision: The branch to publish on, or to open a pull request for; default: the main branch.
        subfolder: The model's place inside the repository.
        commit_message: Its first line.
        create_pr: Open a pull request; this is never tried twice.
        license: For the card, as `language`, `datasets`, `metrics` and `template`: see `m2v_hub.card.card.card_for`.
        language: Codes of languages.
        datasets: Ids on the Hub.
        metrics: Measured results.
        template: A file to make the card of.
        variants: Smaller models to publish in subfolders beside it: names like "int8", "128d" or "128d-int8", or a
            mapping of names to keywords of `StaticModel.from_pretrained` (`quantize_to`, `dimensionality`,
            `vocabulary_quantization`). `from_pretrained(repo_id, subfolder="int8")` loads one.
        dry_run: Publish nothing: tell what would be. Needs no token, and the Hub only to tell what would be deleted.

    Raises:
        ModelNotFoundError: There is no such folder, or a file of a model is missing in it; or the token may not see
            the repository.
        ModelFormatError: The model does not load.
        InvalidInputError: An option is of another form than it should be; there is no token; the repository is
            public and should not be.
        TransferError: The Hub cannot be reached, or refuses.
    """
    from m2v_hub.card.card import card_for  # jinja2 takes a tenth of the time that loading a model by its name takes

    place = checked_subfolder(subfolder)
    client = Client.of(checked_repo_id(repo_id), checked_revision(revision), token, required=not dry_run)
    places = (place, *(joined(place, name) for name in parsed_variants(variants)))
    doing = f"Publishing {client.at}"
    with TemporaryDirectory(prefix="m2v-push-") as temporary:
        folder = Path(temporary) / "repository"
        stage(model, folder / place, variants)
        describe = partial(
            card_for,
            folder / place,
            repo_id=repo_id,
            subfolder=place or None,
            license=license,
            language=language,
            datasets=datasets,
            metrics=metrics,
            template=template,
        )
        staged = _Staged(folder, places, describe, _text(folder / place / README_FILE))
        if dry_run:
            return _plan(client, staged, _seen(client, doing))
        message = commit_message or f"Upload a static model with m2v-hub {__version__}"
        plan = partial(_planned, client, staged, private=private, create_pr=create_pr)
        commit = partial(_commit, client, folder, message=message, create_pr=create_pr)
        if create_pr:
            ready = client.ask(plan, doing=doing)
            unsure = "The pull request may be there all the same: look before you try again."
            return client.ask(lambda: commit(*ready), doing=doing, pauses=(), unsure=unsure)
        unsure = "Nothing was published, unless the Hub's last answer was lost. To push again does no harm."
        return client.ask(lambda: commit(*plan()), doing=doing, unsure=unsure)


@dataclass(frozen=True)
class _Staged:
    """Attributes:
    folder: What the repository will hold.
    places: Where models lie in it: the model itself, then its variants.
    describe: Makes the card, from what is there of one.
    readme: The card that came with the model.
    """

    folder: Path
    places: tuple[str, ...]
    describe: Callable[..., str]
    readme: str | None


def _seen(client: Client, doing: str) -> Remote | None:
    """The repository as far as it can be seen."""
    try:
        return client.ask(lambda: read_remote(client), doing=doing, pauses=())
    except (ModelNotFoundError, TransferError):
        return None


def _prepared(client: Client, *, private: bool | None, create_pr: bool) -> Remote:
    """The repository and its branch as they are, made if they were not there."""
    for _ in range(2):
        try:
            remote = read_remote(client)
            break
        except RevisionNotFoundError:
            if create_pr:
                raise
            client.api.create_branch(client.repo_id, branch=client.revision, exist_ok=True)
        except RepositoryNotFoundError as error:
            if isinstance(error, GatedRepoError):
                raise
            client.api.create_repo(client.repo_id, private=private, exist_ok=True)
    else:
        remote = read_remote(client)
    if private and not remote.private:
        raise InvalidInputError(
            f"{client.repo_id} is public, and the model should be private: make the repository private in its "
            f"settings first, or choose another."
        )
    return remote


def _plan(client: Client, staged: _Staged, remote: Remote | None) -> Publication:
    """What a commit on top of `remote` has to do; the card is written for it."""
    readme = joined(staged.places[0], README_FILE)
    there = staged.readme
    if there is None and remote is not None and readme in remote.files:
        there = _remote_text(client, remote, readme)
    card = staged.describe(existing=there)
    (staged.folder / readme).write_bytes(card.encode("utf-8"))
    files = {path: file.stat().st_size for path, file in files_of(staged.folder).items()}
    for path, size in files.items():
        if size <= SMALL and client.token and client.token.encode() in (staged.folder / path).read_bytes():
            raise InvalidInputError(f"{path} holds the token itself: nothing is published. Remove it there.")
    owned = [joined(place, name) for place in staged.places for name in sorted(OWNED_FILES)]
    deleted = tuple(path for path in owned if remote is not None and path in remote.files and path not in files)
    url = f"{client.api.endpoint}/{client.repo_id}"
    return Publication(url if client.revision == MAIN else f"{url}/tree/{client.revision}", None, files, deleted, card)


def _planned(
    client: Client, staged: _Staged, *, private: bool | None, create_pr: bool
) -> tuple[Publication, str | None]:
    """What to do, and on top of which commit."""
    remote = _prepared(client, private=private, create_pr=create_pr)
    return _plan(client, staged, remote), remote.commit


def _commit(
    client: Client, folder: Path, plan: Publication, parent: str | None, *, message: str, create_pr: bool
) -> Publication:
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationDelete(path, is_folder=False) for path in plan.deleted),
        *(CommitOperationAdd(path, folder / path) for path in plan.files),
    ]
    done = client.api.create_commit(
        client.repo_id,
        operations,
        commit_message=message,
        revision=client.revision,
        create_pr=create_pr,
        parent_commit=parent,
    )
    return replace(plan, url=done.pr_url or plan.url, commit=done.oid)


def _remote_text(client: Client, remote: Remote, path: str) -> str | None:
    if (remote.files[path].size or 0) > SMALL:
        raise ModelFormatError(f"{client.at}: expected {path} to be a text; found {remote.files[path].size:,} bytes.")
    with TemporaryDirectory(prefix="m2v-card-") as cache:
        found = hf_hub_download(client.repo_id, path, revision=remote.commit, token=client.token, cache_dir=Path(cache))
        return _text(Path(found))


def _text(path: Path) -> str | None:
    """The text of a file with its line ends as they are; `None` if there is none."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ModelFormatError(
            f"{path.name}: expected UTF-8 text; found other bytes at offset {error.start}."
        ) from None
