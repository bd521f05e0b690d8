"""Publish a model on the Hub in one commit: collected in a folder, loaded once, described by a card."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, hf_hub_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from m2v_core.aliases import aliased
from m2v_core.checks import expect, truth
from m2v_core.errors import InvalidInputError, ModelFormatError, ModelNotFoundError, TransferError
from m2v_core.options import picked
from m2v_core.storage.format import OWNED_FILES
from m2v_hub.__about__ import __version__
from m2v_hub.card.card import Card, make_card, read_card
from m2v_hub.card.options import CardOptions, Results
from m2v_hub.client import Client
from m2v_hub.fetch import README_FILE, SMALL
from m2v_hub.names import MAIN, checked_repo_id, checked_revision, checked_subfolder, path_in
from m2v_hub.remote import Remote, read_remote
from m2v_hub.staging import Saves, Variants, files_of, parsed_variants, stage


@dataclass(frozen=True)
class Publication:
    """What a push published, or would publish; its `str` is the URL.

    Attributes:
        url: URL of the repository, of the branch if it is not main, or of the pull request.
        commit: Hash of the commit; `None` after a dry run.
        files: Path in the repository -> size in bytes; files that the Hub already has are not sent again.
        deleted: Files of an earlier model that this one lacks.
        card: Text of the model card.
    """

    url: str
    commit: str | None
    files: Mapping[str, int]
    deleted: tuple[str, ...]
    card: str = field(repr=False)

    def __str__(self) -> str:
        return self.url


@aliased
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
    base_model: str | None = None,
    style: str = "m2v",
    template: str | os.PathLike[str] | None = None,
    variants: Variants | None = None,
    compiled: bool = False,
    onnx: bool = False,
    dry_run: bool = False,
) -> Publication:
    """Publish a model and its card in one commit: all of it, or nothing.

    The repository and the branch are created if they do not exist. The commit also deletes files of an earlier model
    that this one lacks. If another commit comes between, or the answer is lost, the repository is read again before
    the next attempt, so nothing is published twice or over a state that was not read. After an interruption, files
    that were uploaded already are not sent again.

    Args:
        model: A model or pipeline, or the folder of one. Hidden files and folders (names with a leading dot) are not
            published.
        repo_id: Repository id, `org/name`.
        private: Whether a new repository is private. Default: the owner's setting. True also refuses to publish in a
            public repository.
        token: Hub token with the right to write. Default: `HF_TOKEN`, or the one that `hf auth login` stored.
        revision: Branch to publish on, or to open a pull request for. Default: the main branch.
        subfolder: Path of the model inside the repository.
        commit_message: First line of the commit's message.
        create_pr: Open a pull request; this is not retried.
        license: Licence in the card, by its identifier on the Hub. Default: the teacher's; if that is unknown, none.
        language: Language code in the card, or several. Default: the teacher's.
        datasets: Hub ids of data sets that the model was fitted to or trained on.
        metrics: Measured results: `Result`, a mapping with its fields, or several of them.
        base_model: Hub id of the teacher. Default: the id in the model's config, if it holds one.
        style: Manner of the card: "m2v", or "sentence-transformers" for a model that SentenceTransformer loads.
        template: File with a jinja2 template for m2v's part of the card. Default: the one for this kind of model.
        variants: Smaller models to publish in subfolders: names such as "int8", "128d" or "128d-int8", or a mapping
            from names to keywords of `StaticModel.from_pretrained` (`quantize_to`, `dimensionality`,
            `vocabulary_quantization`). `from_pretrained(repo_id, subfolder="int8")` loads one.
        compiled: Publish the compiled vocabulary too, so that the model starts faster and in less memory; see
            `m2v compile`.
        onnx: Publish `onnx/model.onnx` too, for transformers.js and others; see `m2v_core.onnx.add_onnx`. Needs
            m2v-core[onnx].
        dry_run: Publish nothing and return what would be published. Needs no token, and asks the Hub only for the
            files that would be deleted.

    Raises:
        ModelNotFoundError: The folder does not exist, a file of the model is missing, or the token has no access to
            the repository.
        ModelFormatError: The model does not load.
        InvalidInputError: An option has an invalid value; there is no token; or the repository is public and
            `private` is set.
        TransferError: The Hub cannot be reached, or refuses.
    """
    options = picked(CardOptions, locals())
    for name, flag in {"dry_run": dry_run, "create_pr": create_pr, "compiled": compiled, "onnx": onnx}.items():
        truth(name, flag)
    expect(isinstance(commit_message, str | None), "commit_message", "a text (str), or None", commit_message)
    inner = checked_subfolder(subfolder)
    client = Client.of(checked_repo_id(repo_id), checked_revision(revision), token, required=not dry_run)
    subfolders = (inner, *(path_in(inner, name) for name in parsed_variants(variants)))
    with TemporaryDirectory(prefix="m2v-push-") as temporary:
        folder = Path(temporary) / "repository"
        stage(model, folder / inner, variants, compiled=compiled, onnx=onnx)
        push = _Push(
            client=client,
            folder=folder,
            subfolders=subfolders,
            card=make_card(folder / inner, options, repo_id=repo_id, subfolder=inner or None),
            private=private,
            create_pr=create_pr,
            message=commit_message or f"Upload a static model with m2v-hub {__version__}",
        )
        return push.preview() if dry_run else push.publish()


@dataclass(frozen=True, kw_only=True)
class _Push:
    """A push of a folder whose files are final, except for the README.

    Attributes:
        client: Client of the repository.
        folder: Content of the repository.
        subfolders: Paths of the model and of its variants inside the folder.
        card: m2v's parts of the card.
        private: Whether a new repository is private.
        create_pr: Whether to open a pull request.
        message: Message of the commit.
    """

    client: Client
    folder: Path
    subfolders: tuple[str, ...]
    card: Card
    private: bool | None
    create_pr: bool
    message: str

    def preview(self) -> Publication:
        """Return what `publish` would do, as far as the repository is visible."""
        try:
            remote = self.client.ask(lambda: read_remote(self.client), doing=self._doing, pauses=())
        except (ModelNotFoundError, TransferError):
            remote = None
        return self.plan(remote)

    def publish(self) -> Publication:
        """Commit, or open a pull request, which is not retried."""
        if self.create_pr:
            remote, plan = self.client.ask(self.prepare, doing=self._doing)
            unsure = "The pull request may exist nevertheless: look before you try again."
            return self.client.ask(lambda: self.commit(remote, plan), doing=self._doing, pauses=(), unsure=unsure)
        unsure = "Nothing was published, unless the Hub's last answer was lost. It is safe to push again."
        return self.client.ask(lambda: self.commit(*self.prepare()), doing=self._doing, unsure=unsure)

    def prepare(self) -> tuple[Remote, Publication]:
        """Read the repository and its branch, creating what does not exist, and plan a commit on top of it."""
        remote = self._read_or_create()
        if self.private and not remote.private:
            raise InvalidInputError(
                f"{self.client.repo_id} is public, and the model should be private: make the repository private in "
                f"its settings first, or choose another."
            )
        return remote, self.plan(remote)

    def plan(self, remote: Remote | None) -> Publication:
        """Plan a commit on top of `remote`: the files to add and to delete, and the card."""
        readme, local = path_in(self.subfolders[0], README_FILE), files_of(self.folder)
        existing = None
        if readme in local:
            existing = read_card(local[readme])
        elif remote is not None and readme in remote.files:
            existing = self._remote_card(remote, readme)
        card = self.card.merged_into(existing)
        sizes = {path: file.stat().st_size for path, file in local.items()} | {readme: len(card.encode("utf-8"))}
        for path, file in local.items():
            if path != readme and sizes[path] <= SMALL:
                self._check_no_token(path, file.read_bytes())
        self._check_no_token(readme, card.encode("utf-8"))
        owned = [path_in(subfolder, name) for subfolder in self.subfolders for name in sorted(OWNED_FILES)]
        deleted = tuple(path for path in owned if remote is not None and path in remote.files and path not in sizes)
        url = f"{self.client.api.endpoint}/{self.client.repo_id}"
        if self.client.revision != MAIN:
            url += f"/tree/{self.client.revision}"
        return Publication(url, None, dict(sorted(sizes.items())), deleted, card)

    def commit(self, remote: Remote, plan: Publication) -> Publication:
        """Carry out a plan."""
        readme = path_in(self.subfolders[0], README_FILE)
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationDelete(path, is_folder=False) for path in plan.deleted),
            *(CommitOperationAdd(path, self.folder / path) for path in plan.files if path != readme),
            CommitOperationAdd(readme, plan.card.encode("utf-8")),
        ]
        done = self.client.api.create_commit(
            self.client.repo_id,
            operations,
            commit_message=self.message,
            revision=self.client.revision,
            create_pr=self.create_pr,
            parent_commit=remote.commit,
        )
        return replace(plan, url=done.pr_url or plan.url, commit=done.oid)

    @property
    def _doing(self) -> str:
        return f"Publishing {self.client.at}"

    def _read_or_create(self) -> Remote:
        client = self.client
        for _ in range(2):
            try:
                return read_remote(client)
            except RevisionNotFoundError:
                if self.create_pr:
                    raise
                client.api.create_branch(client.repo_id, branch=client.revision, exist_ok=True)
            except RepositoryNotFoundError as error:
                if isinstance(error, GatedRepoError):
                    raise
                client.api.create_repo(client.repo_id, private=self.private, exist_ok=True)
        return read_remote(client)

    def _remote_card(self, remote: Remote, path: str) -> str:
        client, size = self.client, remote.files[path].size or 0
        if size > SMALL:
            raise ModelFormatError(f"{client.at}: expected {path} to be a text; found {size:,} bytes.")
        with TemporaryDirectory(prefix="m2v-card-") as cache:
            found = hf_hub_download(
                client.repo_id, path, revision=remote.commit, token=client.token, cache_dir=Path(cache)
            )
            return read_card(Path(found))

    def _check_no_token(self, path: str, content: bytes) -> None:
        if self.client.token and self.client.token.encode() in content:
            raise InvalidInputError(f"{path} holds the token itself: nothing is published. Remove it there.")
