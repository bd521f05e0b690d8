"""`StaticModel`: a table of token vectors that embeds text."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from m2v_core import checks
from m2v_core.aliases import aliased, aliased_arrays
from m2v_core.encode import pool
from m2v_core.encode.batches import as_texts, in_batches
from m2v_core.encode.rows import Rows, with_zero_rows
from m2v_core.errors import BadTextError, InvalidInputError
from m2v_core.quantize import quantized
from m2v_core.storage import foreign, format
from m2v_core.storage.files import read_consistently
from m2v_core.storage.format import Config, StoredModel
from m2v_core.storage.resolve import publish, resolve
from m2v_core.tokenize.backend import json_of
from m2v_core.tokenize.tokens import TextTokenizer
from m2v_core.tokenize.word_cache import DEFAULT_CACHE_BYTES, shares


class _Unset:
    """Told apart from `None`, which means "no limit"."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = _Unset()

_UNNAMED = ("tokenizer", "vectors")  # what errors call the parts of a model that comes from no folder

Model = TypeVar("Model", bound="StaticModel")


class StaticModel:
    """A static embedding model: a text's vector is the mean of its tokens' vectors.

    A model may be shared between threads. It never changes the arrays or the tokenizer that it is given.

    Args:
        vectors: [V, D] float16, float32, float64 or int8, row i for token id i (or for `token_mapping`'s rows).
        tokenizer: A `tokenizers.Tokenizer`, the path of a `tokenizer.json`, or its text.
        config: A `Config`, or the content of a `config.json`.
        normalize: Whether vectors are scaled to unit length. Default: the config's, else False.
        base_model_name: The teacher's name. Default: the config's.
        language: Languages of the model. Default: the config's.
        weights: [V] a factor for each token.
        token_mapping: [V] the row of each token, for a vocabulary that was clustered.
        max_length: Tokens of a text that count, `None` for all. Default: the config's, else 512.
        cache_bytes: About how much memory the model may use to remember the ids of words and float32 rows; 0 for
            none. It makes `encode` faster and changes nothing else.

    Raises:
        ModelFormatError: Arrays and tokenizer do not fit each other.
        InvalidInputError: `tokenizer` is none of the above.

    Example:
        >>> import json
        >>> vocab = {"[UNK]": 0, "good": 1, "day": 2}
        >>> tokenizer = json.dumps({
        ...     "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        ...     "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        ...     "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
        ... })
        >>> model = StaticModel(np.array([[0, 0], [1, 0], [0, 1]], dtype="float32"), tokenizer)
        >>> model.encode("good day")
        array([0.5, 0.5], dtype=float32)
        >>> model.encode(["day", "never seen"])
        array([[0., 1.],
               [0., 0.]], dtype=float32)
    """

    def __init__(
        self,
        vectors: NDArray[Any],
        tokenizer: Tokenizer | str | Path,
        config: Config | Mapping[str, Any] | None = None,
        normalize: bool | None = None,
        base_model_name: str | None = None,
        language: str | Sequence[str] | None = None,
        weights: NDArray[Any] | None = None,
        token_mapping: NDArray[Any] | None = None,
        max_length: int | _Unset | None = UNSET,
        *,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        base = config if isinstance(config, Config) else Config.from_json(config or {}, "config")
        languages = (language,) if isinstance(language, str) else None if language is None else tuple(language)
        stated = {"normalize": normalize, "base_model": base_model_name, "language": languages}
        changes: dict[str, Any] = {key: value for key, value in stated.items() if value is not None}
        if not isinstance(max_length, _Unset):
            changes["max_length"] = max_length
        self._setup(
            StoredModel(
                embeddings=np.asarray(vectors),
                tokenizer_json=json_of(tokenizer),
                config=replace(base, **changes),
                weights=_storable(weights, format.WEIGHT_DTYPES, np.float64),
                mapping=_storable(token_mapping, format.MAPPING_DTYPES, np.int64),
            ),
            cache_bytes=cache_bytes,
        )

    def _setup(self, stored: StoredModel, folder: Path | None = None, *, cache_bytes: int) -> None:
        checks.whole("cache_bytes", cache_bytes)
        tokenizer, table = (folder / format.TOKENIZER_FILE, folder / format.TENSOR_FILE) if folder else _UNNAMED
        self._tokenizer = TextTokenizer(stored.tokenizer_json, str(tokenizer), cache_bytes)
        if self._tokenizer.odd_unknown is not None:
            import logging  # few need it

            logging.getLogger("m2v_core").warning(
                "%s: the unknown token is %r, which looks like an ordinary piece; it is left out of every text. The "
                "tool that wrote the file probably removed tokens and kept unk_id. Distil the model again to mend it.",
                tokenizer,
                self._tokenizer.odd_unknown,
            )
        format.check_arrays(stored.embeddings, stored.weights, stored.mapping, self.n_tokens, str(table))
        if stored.mapping is None:
            stored = replace(stored, embeddings=with_zero_rows(stored.embeddings, self._tokenizer.unused))
        self._hold(stored)

    def _hold(self, stored: StoredModel) -> None:
        self._stored = stored
        self._rows = Rows(
            stored.embeddings,
            stored.weights,
            stored.mapping,
            n_tokens=self.n_tokens,
            max_bytes=shares(self._tokenizer.cache_bytes)[-1],
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"stored": self._stored, "tokenizer": self._tokenizer}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._tokenizer = state["tokenizer"]
        self._hold(state["stored"])

    @classmethod
    def from_stored(
        cls, stored: StoredModel, folder: Path | None = None, *, cache_bytes: int = DEFAULT_CACHE_BYTES
    ) -> Self:
        """A model of what `m2v_core.storage.format` read; errors name the files of `folder`, where it came from."""
        model = cls.__new__(cls)
        model._setup(stored, folder, cache_bytes=cache_bytes)
        return model

    @classmethod
    @aliased
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        token: str | None = None,
        normalize: bool | None = None,
        subfolder: str | None = None,
        quantize_to: str | None = None,
        dimensionality: int | None = None,
        vocabulary_quantization: int | None = None,
        max_length: int | _Unset | None = UNSET,
        force_download: bool = True,
        revision: str | None = None,
        memory_map: bool = False,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> Self:
        """Load a model from a folder, or `org/name` from the Hugging Face Hub (with m2v-hub installed).

        Reads the folders of m2v, model2vec and sentence-transformers (StaticEmbedding).

        Args:
            path: A folder, or a repository id.
            token: A Hub token, for private repositories.
            normalize: Overrules the stored setting.
            subfolder: The model's place inside the folder or repository.
            quantize_to: float16, float32, float64 or int8; see `quantize_model`.
            dimensionality: Keep this many dimensions, the first ones.
            vocabulary_quantization: Keep this many rows; see `quantize_model`.
            max_length: Overrules the stored setting; `None` for no limit.
            force_download: Ask the Hub for the newest state; if False, a cached model is used as it is.
            revision: A branch, tag or commit on the Hub.
            memory_map: Leave the table in its file and read rows when they are used. The file must not be written
                over; a save by m2v does not do that.
            cache_bytes: See `StaticModel`.

        Raises:
            ModelNotFoundError: There is no model of this name.
            ModelFormatError: A file is damaged; the message names it.
            MissingPackageError: The name needs m2v-hub, or `vocabulary_quantization` scikit-learn.
            InvalidInputError: `dimensionality`, `quantize_to` or `vocabulary_quantization` does not fit.

        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     tiny_model().save_pretrained(folder)
            ...     StaticModel.from_pretrained(folder, quantize_to="int8").embedding_dtype
            'int8'
        """
        folder = resolve(path, subfolder=subfolder, token=token, revision=revision, force_download=force_download)
        stored = read_consistently(folder, partial(foreign.read_any, memory_map=memory_map))
        changes: dict[str, Any] = {} if normalize is None else {"normalize": normalize}
        if not isinstance(max_length, _Unset):
            changes["max_length"] = max_length
        model = cls.from_stored(
            replace(stored, config=replace(stored.config, **changes)), folder, cache_bytes=cache_bytes
        )
        return quantize_model(
            model,
            vocabulary_quantization=vocabulary_quantization,
            quantize_to=quantize_to,
            dimensionality=dimensionality,
        )

    def save_pretrained(
        self, path: str | os.PathLike[str], *, subfolder: str | None = None, model_name: str | None = None
    ) -> None:
        """Save the model as a folder that m2v, model2vec and (where it agrees) sentence-transformers load.

        The folder changes in one step: whoever reads it meanwhile gets the whole old model or the whole new one.
        Files in it that are no part of a model stay; a head that was trained on another model goes, with a warning.

        Args:
            path: The folder.
            subfolder: A folder inside it, for the model.
            model_name: Taken as by model2vec, which names the model so in its card. No card is written here:
                `push_to_hub` and `m2v card` write one.

        Raises:
            OSError: The folder cannot be written.
        """
        if model_name is not None:
            import logging  # few need it

            message = "model_name=%r is for a card, which push_to_hub and `m2v card` write; save_pretrained writes none"
            logging.getLogger("m2v_core").info(message, model_name)
        folder = Path(path) / subfolder if subfolder else Path(path)
        format.write(self._stored, folder, unk_id=self.unk_token_id, has_unused=self._has_unused)

    def push_to_hub(
        self,
        repo_id: str,
        private: bool | None = None,
        token: str | None = None,
        subfolder: str | None = None,
        **options: Any,
    ) -> str:
        """Publish the model on the Hugging Face Hub (with m2v-hub installed).

        Args:
            repo_id: `org/name`.
            private: Whether a new repository is private; default: as its owner has set.
            token: A Hub token with the right to write; default: the stored one.
            subfolder: The model's place inside the repository.
            options: Others of `m2v_hub.push_to_hub`: `variants=`, `license=`, `dry_run=`, ...

        Returns:
            Where it lies now.

        Raises:
            MissingPackageError: m2v-hub is not installed.
        """
        return publish(self, repo_id, private=private, token=token, subfolder=subfolder, **options)

    @property
    def stored(self) -> StoredModel:
        """The model as one record: what `from_stored` takes."""
        return self._stored

    @property
    def _has_unused(self) -> bool:
        """Whether there are ids that no token has."""
        return len(self._tokenizer.unused) > 0

    # --- what it is ---------------------------------------------------------------------------------------------

    @property
    def embedding(self) -> NDArray[Any]:
        """The table: [V, D], or [clusters, D] with a mapping."""
        return self._stored.embeddings

    @property
    def weights(self) -> NDArray[Any] | None:
        """[V] the factor of each token, or `None`."""
        return self._stored.weights

    @property
    def token_mapping(self) -> NDArray[Any] | None:
        """[V] the row of each token, or `None` if token i has row i."""
        return self._stored.mapping

    @property
    def tokenizer(self) -> Any:
        """The `tokenizers.Tokenizer`, without truncation and padding. It is shared: do not change it."""
        return self._tokenizer.backend

    @property
    def tokens(self) -> tuple[str, ...]:
        """The vocabulary, in the order of the ids; an empty string for an id that no token has."""
        return self._tokenizer.vocabulary.tokens

    @property
    def n_tokens(self) -> int:
        """V, the number of token ids."""
        return self._tokenizer.n_tokens

    @property
    def unk_token_id(self) -> int | None:
        """The id that stands for what the vocabulary cannot spell; it never counts."""
        return self._tokenizer.unk_id

    @property
    def unknown_is_ordinary(self) -> bool:
        """Whether the unknown token looks like an ordinary piece, as some tools leave it; see the log at loading."""
        return self._tokenizer.odd_unknown is not None

    @property
    def dim(self) -> int:
        """D, the number of dimensions."""
        return int(self.embedding.shape[1])

    @property
    def embedding_dtype(self) -> str:
        """The dtype of the table; vectors come back as float32 whatever it is."""
        return self.embedding.dtype.name

    @property
    def vocabulary_quantization(self) -> int | None:
        """The number of clusters if the vocabulary was clustered, else `None`."""
        return None if self.token_mapping is None else int(self.embedding.shape[0])

    @property
    def config(self) -> Config:
        """What the model knows of itself."""
        return self._stored.config

    @property
    def base_model_name(self) -> str | None:
        """The teacher's name."""
        return self.config.base_model

    @property
    def language(self) -> list[str] | None:
        """Languages of the teacher."""
        return None if self.config.language is None else list(self.config.language)

    @property
    def normalize(self) -> bool:
        """Whether `encode` scales vectors to unit length if not told otherwise. Can be set."""
        return self.config.normalize

    @normalize.setter
    def normalize(self, value: bool) -> None:
        self._stored = replace(self._stored, config=replace(self.config, normalize=bool(value)))

    @property
    def max_length(self) -> int | None:
        """How many tokens of a text count if `encode` is not told otherwise. Can be set."""
        return self.config.max_length

    @max_length.setter
    def max_length(self, value: int | None) -> None:
        self._stored = replace(self._stored, config=replace(self.config, max_length=value))

    def __repr__(self) -> str:
        base = f", base_model={self.base_model_name!r}" if self.base_model_name else ""
        return f"{type(self).__name__}(tokens={self.n_tokens}, dim={self.dim}, dtype={self.embedding_dtype}{base})"

    # --- what it does -------------------------------------------------------------------------------------------

    @aliased_arrays
    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        show_progress_bar: bool = False,
        max_length: int | _Unset | None = UNSET,
        normalize: bool | None = None,
        batch_size: int = 1024,
        use_multiprocessing: bool = True,
        multiprocessing_threshold: int = 10_000,
    ) -> NDArray[np.float32]:
        """Embed one text or many.

        A text's vector does not depend on `batch_size`, on its neighbours or on threads. A text without any known
        token gets zeros.

        Args:
            sentences: A text, or any iterable of texts.
            show_progress_bar: Show progress on stderr.
            max_length: Tokens of each text that count; `None` for all. Default: the model's.
            normalize: Scale to unit length. Default: the model's setting.
            batch_size: Texts in a batch; three batches, but not much more than a megabyte of text, are worked on
                at a time by each thread.
            use_multiprocessing: Work in threads (not processes) when there are many texts.
            multiprocessing_threshold: How many texts are many; a long text counts for more, one for each 100
                characters.

        Returns:
            [D] float32 for one text, [n, D] for n texts, also for n = 0.

        Raises:
            InvalidInputError: An element is not a text, or an option is out of range.

        Example:
            >>> model = tiny_model()
            >>> model.encode("good day").shape, model.encode(["good day"]).shape, model.encode([]).shape
            ((2,), (1, 2), (0, 2))
        """
        config, rows = self.config, self._rows
        limit = config.max_length if isinstance(max_length, _Unset) else max_length
        unit = config.normalize if normalize is None else normalize
        if isinstance(sentences, str):
            checks.whole("max_length", limit, 1, or_none=True)
            return pool.embed_one(rows.take(self._tokenizer.one(sentences, limit)), normalize=unit)
        texts = as_texts(sentences)
        vectors = np.empty((len(texts), self.dim), np.float32)

        def embed(span: slice) -> None:
            ids, offsets = self._tokenizer(texts[span], limit)
            pool.embed(*rows.of(ids), offsets, normalize=unit, out=vectors[span])

        in_batches(
            embed,
            texts,
            batch_size=batch_size,
            max_length=limit,
            threads=use_multiprocessing,
            threshold=multiprocessing_threshold,
            progress=show_progress_bar,
            bad_text=self._tokenizer.bad_text,
        )
        return vectors

    @aliased_arrays
    def encode_stream(
        self,
        sentences: Iterable[str],
        *,
        max_length: int | _Unset | None = UNSET,
        normalize: bool | None = None,
        batch_size: int = 16_384,
        use_multiprocessing: bool = True,
    ) -> Iterator[NDArray[np.float32]]:
        """Embed texts as they come, from a generator or a file, and never hold more than a batch of them.

        Args:
            sentences: Any iterable of texts; it may be endless.
            max_length: See `encode`.
            normalize: See `encode`.
            batch_size: Texts that are read, embedded and given back at a time.
            use_multiprocessing: Work on a batch in threads.

        Yields:
            [batch_size, D] float32, the last array shorter; the rows are those that `encode` would give.

        Raises:
            InvalidInputError: As `encode`; and for one text instead of many.

        Example:
            >>> texts = (word for word in ["good", "day", "good day"])
            >>> [vectors.shape for vectors in tiny_model().encode_stream(texts, batch_size=2)]
            [(2, 2), (1, 2)]
        """
        if isinstance(sentences, str):
            raise InvalidInputError("Expected an iterable of texts; found one text (str). Use encode, or a list of it.")
        checks.whole("batch_size", batch_size, 1)
        texts, before = iter(sentences), 0
        while batch := list(islice(texts, batch_size)):
            try:
                vectors = self.encode(
                    batch, max_length=max_length, normalize=normalize, use_multiprocessing=use_multiprocessing
                )
            except BadTextError as error:
                raise error.moved(before) from None
            yield vectors
            before += len(batch)

    @aliased_arrays
    def encode_as_sequence(
        self,
        sentences: str | Iterable[str],
        *,
        max_length: int | None = None,
        batch_size: int = 1024,
        show_progress_bar: bool = False,
        use_multiprocessing: bool = True,
        multiprocessing_threshold: int = 10_000,
    ) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        """The vectors of a text's tokens, one row each, instead of their mean.

        Unlike `encode` this knows no limit of its own: a text is cut only to a `max_length` given here.

        Returns:
            [tokens, D] float32 for one text, a list of such for many; [0, D] where no token is known.

        Example:
            >>> tiny_model().encode_as_sequence("good day")
            array([[1., 0.],
                   [0., 1.]], dtype=float32)
        """
        texts, rows = as_texts(sentences), self._rows

        def embed(span: slice) -> list[NDArray[np.float32]]:
            ids, offsets = self._tokenizer(texts[span], max_length)
            return pool.sequences(*rows.of(ids), offsets)

        parts = in_batches(
            embed,
            texts,
            batch_size=batch_size,
            max_length=max_length,
            threads=use_multiprocessing,
            threshold=multiprocessing_threshold,
            progress=show_progress_bar,
            bad_text=self._tokenizer.bad_text,
        )
        sequences = list(chain.from_iterable(parts))
        return sequences[0] if isinstance(sentences, str) else sequences

    @overload
    def tokenize(self, sentences: str) -> list[int]: ...  # type: ignore[overload-overlap]

    @overload
    def tokenize(self, sentences: Iterable[str]) -> list[list[int]]: ...

    def tokenize(self, sentences: str | Iterable[str]) -> list[int] | list[list[int]]:
        """The token ids that `encode` averages: no special tokens, no unknown ones, at most `max_length`.

        Example:
            >>> tiny_model().tokenize(["good grey day", ""])
            [[1, 2], []]
        """
        ids, offsets = self.token_ids(sentences)
        lists = [ids[start:stop].tolist() for start, stop in pairwise(offsets)]
        return lists[0] if isinstance(sentences, str) else lists

    def token_ids(
        self,
        sentences: str | Iterable[str],
        *,
        max_length: int | _Unset | None = UNSET,
        use_multiprocessing: bool = True,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The ids of `tokenize` as two flat arrays, without a Python object for each.

        Args:
            sentences: Any iterable of texts; one text is a list of it.
            max_length: See `encode`.
            use_multiprocessing: Work in threads where there are many texts.

        Returns:
            ids [total] and offsets [n + 1], both int64: text i has `ids[offsets[i]:offsets[i + 1]]`.

        Raises:
            InvalidInputError: As `encode`.

        Example:
            >>> tiny_model().token_ids(["good grey day", "", "day"])
            (array([1, 2, 2]), array([0, 2, 2, 3]))
        """
        texts = as_texts(sentences)
        limit = self.max_length if isinstance(max_length, _Unset) else max_length
        parts = in_batches(
            lambda span: self._tokenizer(texts[span], limit),
            texts,
            batch_size=1024,
            max_length=limit,
            threads=use_multiprocessing,
            threshold=10_000,
            progress=False,
            bad_text=self._tokenizer.bad_text,
        )
        none = np.zeros(0, np.int64)
        lengths = np.concatenate([none, *(np.diff(offsets) for _, offsets in parts)])
        return np.concatenate([none, *(ids for ids, _ in parts)]), np.concatenate([[0], np.cumsum(lengths)])


def _storable(array: Any, dtypes: Mapping[str, str], integers_as: type) -> NDArray[Any] | None:
    """The array, with integers of a dtype that the format does not have as one that it has."""
    if array is None:
        return None
    array = np.asarray(array)
    foreign_integers = array.dtype.kind in "iu" and array.dtype.name not in dtypes.values()
    converted: NDArray[Any] = array.astype(integers_as) if foreign_integers else array
    return converted


def quantize_model(
    model: Model,
    *,
    vocabulary_quantization: int | None = None,
    quantize_to: str | None = None,
    dimensionality: int | None = None,
) -> Model:
    """A smaller copy of a model; the given one stays as it is.

    Args:
        model: The model.
        vocabulary_quantization: Keep so many rows, each for a cluster of tokens that point the same way; a token's
            weight is its length. Needs `m2v-core[quantization]`.
        quantize_to: float16, float32, float64, or int8 (one scale per row, kept in the weights).
        dimensionality: Keep the first so many dimensions; a distilled model has them in order of variance.

    Raises:
        InvalidInputError: An unknown dtype, more dimensions than there are, as many clusters as tokens, or a model
            that has clusters already.
        MissingPackageError: Clusters need scikit-learn.

    Example:
        >>> quantize_model(tiny_model(), quantize_to="float16", dimensionality=1)
        StaticModel(tokens=3, dim=1, dtype=float16)
        >>> quantize_model(tiny_model(), vocabulary_quantization=2).embedding.shape
        (2, 2)
    """
    smaller = copy.copy(model)  # both share the tokenizer
    smaller._hold(
        quantized(
            model._stored,
            vocabulary_quantization=vocabulary_quantization,
            quantize_to=quantize_to,
            dimensionality=dimensionality,
        )
    )
    return smaller
