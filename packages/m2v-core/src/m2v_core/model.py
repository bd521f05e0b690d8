"""`StaticModel`: a table of token vectors that embeds text."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from m2v_core import checks
from m2v_core.aliases import aliased, aliased_arrays
from m2v_core.cache_budget import DEFAULT_CACHE_BYTES, cache_budget
from m2v_core.data.sources import as_texts
from m2v_core.encode.batches import Batching
from m2v_core.encode.encoder import Encoder
from m2v_core.encode.rows import Rows, with_zero_rows
from m2v_core.errors import InvalidInputError
from m2v_core.prompts import DOCUMENT, QUERY, prepended, resolved
from m2v_core.storage import foreign, format
from m2v_core.storage.files import read_consistently, read_user_text
from m2v_core.storage.format import Config, StoredModel
from m2v_core.storage.resolve import publish, resolve
from m2v_core.tokenize.tokens import TextTokenizer
from m2v_core.vectors import as_array

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from m2v_core.encode.output import Output
    from m2v_core.head import MLPHead


class Unset:
    """The type of `UNSET`."""

    def __repr__(self) -> str:
        return "UNSET"


#: Default of `max_length`: the model's own setting, unlike `None`, which means no limit.
UNSET = Unset()

_UNNAMED = ("tokenizer", "vectors")  # names in errors for the parts of a model that was not read from a folder

Model = TypeVar("Model", bound="StaticModel")


class StaticModel:
    """A static embedding model: a text's vector is the mean of its tokens' vectors.

    A model may be shared between threads. It never changes the arrays or the tokenizer that it is given.

    Args:
        vectors: [V, D] float16, float32, float64 or int8. Row i is that of token id i; with `token_mapping` [R, D].
        tokenizer: A `tokenizers.Tokenizer`, the path of a `tokenizer.json` (`pathlib.Path`), or its text.
        config: A `Config`, or the content of a `config.json`.
        normalize: Whether vectors are scaled to unit length. Default: the setting of `config`, else False.
        base_model_name: Name of the teacher. Default: the one in `config`.
        language: Languages of the model. Default: those in `config`.
        weights: [V] factor of each token.
        token_mapping: [V] row of each token, for a clustered vocabulary.
        max_length: Number of tokens at which a text is truncated, `None` for no limit. Default: the setting of
            `config`, else 512.
        cache_bytes: Approximate limit of the memory for caches of token ids and float32 rows; 0 for no cache. Caches
            make `encode` faster and change nothing else.

    Raises:
        ModelFormatError: The arrays and the tokenizer do not fit each other.
        InvalidInputError: An argument is of the wrong kind or out of range.

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
        max_length: int | Unset | None = UNSET,
        *,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        is_config = config is None or isinstance(config, Config | Mapping)
        checks.expect(is_config, "config", "a Config, a mapping or None", config)
        base = config if isinstance(config, Config) else Config.from_json(config or {}, "config")
        languages: Any = (language,) if isinstance(language, str) else language
        if isinstance(languages, Iterable) and not isinstance(languages, Mapping):
            languages = tuple(languages)
        stated = {"normalize": normalize, "base_model": base_model_name, "language": languages}
        changes: dict[str, Any] = {key: value for key, value in stated.items() if value is not None}
        if not isinstance(max_length, Unset):
            changes["max_length"] = max_length
        stored = StoredModel(
            embeddings=as_array("vectors", vectors),
            tokenizer=_json_of(tokenizer),
            config=replace(base, **changes),
            weights=_storable("weights", weights, format.WEIGHT_DTYPES, np.float64),
            mapping=_storable("token_mapping", token_mapping, format.MAPPING_DTYPES, np.int64),
        )
        self._setup(stored, None, cache_bytes)

    def _setup(self, stored: StoredModel, folder: Path | None, cache_bytes: int) -> None:
        """Check the parts and make the encoder; errors name the files of `folder`."""
        checks.whole("cache_bytes", cache_bytes)
        name, table_name = (folder / format.TOKENIZER_FILE, folder / format.TENSOR_FILE) if folder else _UNNAMED
        tokenizer = TextTokenizer(stored.tokenizer, str(name), cache_bytes)
        if tokenizer.ordinary_unknown is not None:
            import logging  # few need it

            logging.getLogger("m2v_core").warning(
                "%s: the unknown token is %r, which looks like an ordinary piece; it is left out of every text. The "
                "tool that wrote the file probably removed tokens and kept unk_id. Distil the model again to mend it.",
                name,
                tokenizer.ordinary_unknown,
            )
        n_tokens, where = tokenizer.n_tokens, str(table_name)
        format.check_arrays(stored.embeddings, stored.weights, stored.mapping, n_tokens, where, stored.ranges)
        if stored.mapping is None:
            stored = replace(stored, embeddings=with_zero_rows(stored.embeddings, tokenizer.unused_ids))
        self._hold(stored, tokenizer)

    def _hold(self, stored: StoredModel, tokenizer: TextTokenizer) -> None:
        self._stored = stored
        rows = Rows(
            stored.embeddings,
            stored.weights,
            stored.mapping,
            n_tokens=tokenizer.n_tokens,
            max_bytes=cache_budget(tokenizer.cache_bytes).rows,
        )
        self._encoder = Encoder(tokenizer, rows)

    def __getstate__(self) -> dict[str, Any]:
        return {"stored": self._stored, "tokenizer": self._tokenizer}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._hold(state["stored"], state["tokenizer"])

    @classmethod
    def from_stored(
        cls, stored: StoredModel, folder: Path | None = None, *, cache_bytes: int = DEFAULT_CACHE_BYTES
    ) -> Self:
        """A model made of a stored one; errors name the files of `folder`, from which it was read."""
        model = cls.__new__(cls)
        model._setup(stored, folder, cache_bytes)
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
        max_length: int | Unset | None = UNSET,
        force_download: bool = True,
        revision: str | None = None,
        memory_map: bool = False,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> Self:
        """Load a model from a folder, or `org/name` from the Hugging Face Hub (with m2v-hub installed).

        The folder may be one of m2v, model2vec or sentence-transformers (StaticEmbedding).

        Args:
            path: A folder, or a repository id.
            token: Hub token, for private repositories.
            normalize: Whether vectors are scaled to unit length. Default: the stored setting.
            subfolder: Path of the model inside the folder or repository.
            quantize_to: dtype of the table: float16, float32, float64 or int8; see `quantize_model`.
            dimensionality: Number of dimensions to keep, the first ones.
            vocabulary_quantization: Number of clusters of the vocabulary; see `quantize_model`.
            max_length: Number of tokens at which a text is truncated, `None` for no limit. Default: the stored setting.
            force_download: Whether to ask the Hub for the newest version; if False, a cached model is used as it is.
            revision: Branch, tag or commit on the Hub.
            memory_map: Whether to leave the table in its file, and read rows when they are used. The file must then
                not be overwritten: other numbers give other vectors, and reading what was cut off ends the process
                (SIGBUS). A save by m2v replaces the file instead. (A compiled vocabulary always stays in its file.)
            cache_bytes: See `StaticModel`.

        Raises:
            ModelNotFoundError: There is no model of this name.
            ModelFormatError: A file is damaged; the message names it.
            MissingPackageError: The name needs m2v-hub, or `vocabulary_quantization` needs scikit-learn.
            InvalidInputError: `dimensionality`, `quantize_to` or `vocabulary_quantization` is out of range.

        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     tiny_model().save_pretrained(folder)
            ...     StaticModel.from_pretrained(folder, quantize_to="int8").embedding_dtype
            'int8'
        """
        checks.flag("normalize", normalize, or_none=True)
        folder = resolve(path, subfolder=subfolder, token=token, revision=revision, force_download=force_download)
        stored = read_consistently(folder, partial(foreign.read_any, memory_map=memory_map), last=format.LAST_FILES)
        changes: dict[str, Any] = {} if normalize is None else {"normalize": normalize}
        if not isinstance(max_length, Unset):
            changes["max_length"] = max_length
        model = cls.from_stored(_with_config(stored, **changes), folder, cache_bytes=cache_bytes)
        if quantize_to is None and dimensionality is None and vocabulary_quantization is None:
            return model
        return quantize_model(
            model,
            vocabulary_quantization=vocabulary_quantization,
            quantize_to=quantize_to,
            dimensionality=dimensionality,
        )

    def save_pretrained(
        self,
        path: str | os.PathLike[str],
        *,
        subfolder: str | None = None,
        model_name: str | None = None,
        compiled: bool = False,
    ) -> None:
        """Save the model as a folder that m2v, model2vec and, where possible, sentence-transformers load.

        The folder changes in one step: a reader gets the whole old model or the whole new one. Files that are not
        part of a model are kept. An existing head is removed, with a warning.

        Args:
            path: The folder.
            subfolder: Path of the model inside the folder.
            model_name: Accepted for compatibility with model2vec, which writes this name into a model card. This
                method writes no card: `push_to_hub` and `m2v card` do.
            compiled: Whether to write the compiled vocabulary too, which makes the model start faster and in less
                memory; see `m2v compile`. Other libraries ignore the file.

        Raises:
            OSError: The folder cannot be written.
            InvalidInputError: The vocabulary cannot be compiled.
        """
        if model_name is not None:
            import logging  # few need it

            message = "model_name=%r is for a card, which push_to_hub and `m2v card` write; save_pretrained writes none"
            logging.getLogger("m2v_core").info(message, model_name)
        save(self, path, subfolder, compiled=compiled)

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
            repo_id: Repository id, `org/name`.
            private: Whether a new repository is private. Default: the owner's setting on the Hub.
            token: Hub token with the right to write. Default: the stored one.
            subfolder: Path of the model inside the repository.
            options: Other options of `m2v_hub.push_to_hub`, such as `variants`, `license` and `dry_run`.

        Returns:
            URL of the model.

        Raises:
            MissingPackageError: m2v-hub is not installed.
        """
        return publish(self, repo_id, private=private, token=token, subfolder=subfolder, **options)

    # --- properties ---------------------------------------------------------------------------------------------

    @property
    def stored(self) -> StoredModel:
        """The model as one record, which `from_stored` accepts."""
        return self._stored

    @property
    def embedding(self) -> NDArray[Any]:
        """The table: [V, D], or [clusters, D] with a mapping."""
        return self._stored.embeddings

    @property
    def weights(self) -> NDArray[Any] | None:
        """[V] factor of each token, or `None`."""
        return self._stored.weights

    @property
    def token_mapping(self) -> NDArray[Any] | None:
        """[V] row of each token, or `None` if token i has row i."""
        return self._stored.mapping

    @property
    def ranges(self) -> NDArray[np.float32] | None:
        """[2, D], the ranges of int8 and uint8 vectors, least and greatest values, or `None`; see `calibrate`."""
        return self._stored.ranges

    @property
    def _tokenizer(self) -> TextTokenizer:
        return self._encoder.tokenizer

    @property
    def tokenizer(self) -> Any:
        """The `tokenizers.Tokenizer`, without truncation and padding. It is shared: do not change it."""
        return self._tokenizer.backend

    @property
    def tokens(self) -> tuple[str, ...]:
        """The vocabulary, in the order of the ids; an empty string for an unused id."""
        return self._tokenizer.vocabulary.tokens

    @property
    def n_tokens(self) -> int:
        """V, the number of token ids."""
        return self._tokenizer.n_tokens

    @property
    def unk_token_id(self) -> int | None:
        """Id of the unknown token, which is removed from every text; `None` if there is none."""
        return self._tokenizer.unk_id

    @property
    def unknown_is_ordinary(self) -> bool:
        """Whether the unknown token looks like an ordinary piece, as some tools leave it; a log line says so too."""
        return self._tokenizer.ordinary_unknown is not None

    @property
    def dim(self) -> int:
        """D, the number of dimensions."""
        return int(self.embedding.shape[1])

    @property
    def embedding_dtype(self) -> str:
        """The dtype of the table; vectors are float32 for any dtype."""
        return self.embedding.dtype.name

    @property
    def vocabulary_quantization(self) -> int | None:
        """The number of clusters of the vocabulary; `None` if it is not clustered."""
        return None if self.token_mapping is None else int(self.embedding.shape[0])

    @property
    def config(self) -> Config:
        """The model's settings and origin, as `config.json` holds them."""
        return self._stored.config

    @property
    def base_model_name(self) -> str | None:
        """Name of the teacher."""
        return self.config.base_model

    @property
    def language(self) -> list[str] | None:
        """Languages of the teacher."""
        return None if self.config.language is None else list(self.config.language)

    @property
    def normalize(self) -> bool:
        """Whether `encode` scales vectors to unit length by default. Can be set."""
        return self.config.normalize

    @normalize.setter
    def normalize(self, value: bool) -> None:
        self._stored = _with_config(self._stored, normalize=bool(value))

    @property
    def max_length(self) -> int | None:
        """Number of tokens at which `encode` truncates a text by default; `None` for no limit. Can be set."""
        return self.config.max_length

    @max_length.setter
    def max_length(self, value: int | None) -> None:
        self._stored = _with_config(self._stored, max_length=value)

    @property
    def prompts(self) -> dict[str, str]:
        """Texts that `encode_query` and `encode_document` put before a text, by name. Can be set; `{}` for none."""
        return dict(self.config.prompts or {})

    @prompts.setter
    def prompts(self, value: Mapping[str, str] | None) -> None:
        self._stored = _with_config(self._stored, prompts=value or None)

    @property
    def similarity_fn_name(self) -> str:
        """What `similarity` computes: cosine, dot, euclidean or manhattan. Can be set."""
        return self.config.similarity_fn_name or "cosine"

    @similarity_fn_name.setter
    def similarity_fn_name(self, value: str | None) -> None:
        self._stored = _with_config(self._stored, similarity_fn_name=value)

    def __repr__(self) -> str:
        base = f", base_model={self.base_model_name!r}" if self.base_model_name else ""
        return f"{type(self).__name__}(tokens={self.n_tokens}, dim={self.dim}, dtype={self.embedding_dtype}{base})"

    # --- texts to vectors ---------------------------------------------------------------------------------------

    def _settings(self, max_length: int | Unset | None, normalize: bool | None = None) -> tuple[int | None, bool]:
        """`max_length` and `normalize` of a call; what it leaves out is the model's setting."""
        config = self._stored.config
        limit = config.max_length if isinstance(max_length, Unset) else max_length
        return limit, config.normalize if normalize is None else checks.truth("normalize", normalize)

    @aliased_arrays
    def encode(
        self,
        sentences: str | Iterable[str],
        *,
        show_progress_bar: bool = False,
        max_length: int | Unset | None = UNSET,
        normalize: bool | None = None,
        batch_size: int = 1024,
        use_multiprocessing: bool = True,
        multiprocessing_threshold: int = 10_000,
        threads: int | None = None,
        truncate_dim: int | None = None,
        precision: str = "float32",
        ranges: ArrayLike | None = None,
    ) -> NDArray[Any]:
        """Embed one text or many.

        A text's vector does not depend on `batch_size`, on the other texts or on threads. A text without any known
        token gets the vector of zeros.

        Args:
            sentences: A text, or any iterable of texts.
            show_progress_bar: Whether to show progress on stderr.
            max_length: Number of tokens at which each text is truncated, `None` for no limit. Default: the model's
                setting.
            normalize: Whether to scale vectors to unit length. Default: the model's setting.
            batch_size: Number of texts in a batch. Each thread works on three batches at a time, but on not much more
                than a megabyte of text.
            use_multiprocessing: Whether to use threads (not processes) for many texts.
            multiprocessing_threshold: Number of texts above which threads are used. A long text counts for more, one
                for each 100 characters.
            threads: Number of threads for many texts. Default: one for each CPU that this process may use (a limit
                of its container counts), at most four while threads share the interpreter's lock.
            truncate_dim: Number of dimensions to keep, the first ones, which `normalize` scales to unit length.
            precision: Numbers of the vectors: "float32"; "float16"; "int8" or "uint8", one of 256 steps from the least
                to the greatest value of a dimension; "binary" or "ubinary", a bit for each dimension, eight to a byte.
                They are those of sentence-transformers' `quantize_embeddings`.
            ranges: [2, dimensions], the least and the greatest values, for int8 and uint8. Default: those of
                `calibrate`.

        Returns:
            [D] float32 for one text, [n, D] for n texts, also for n = 0. With `truncate_dim` fewer columns, and with
            `precision` another dtype: int8 for binary, uint8 for ubinary, both with an eighth of the columns.

        Raises:
            InvalidInputError: An element is not a text, or an option is out of range.

        Example:
            >>> model = tiny_model()
            >>> model.encode("good day").shape, model.encode(["good day"]).shape, model.encode([]).shape
            ((2,), (1, 2), (0, 2))
            >>> model.encode(["good day", "day"], precision="ubinary")
            array([[192],
                   [ 64]], dtype=uint8)
        """
        limit, unit = self._settings(max_length, normalize)
        output = None
        if truncate_dim is not None or ranges is not None or type(precision) is not str or precision != "float32":
            unit, output = self._output(unit, truncate_dim, precision, ranges)
        if isinstance(sentences, str):
            vector = self._encoder.vector(sentences, limit, unit)
            return vector if output is None else output(vector[None])[0]
        batching = Batching(
            size=batch_size,
            threads=threads if checks.truth("use_multiprocessing", use_multiprocessing) else 1,
            threshold=multiprocessing_threshold,
            progress=show_progress_bar,
        )
        return self._encoder.vectors(as_texts(sentences), limit, unit, batching, output)

    def _output(
        self, unit: bool, truncate_dim: int | None, precision: str, ranges: ArrayLike | None
    ) -> tuple[bool, Output]:
        """Whether means are scaled to unit length before they are brought into the form of a call, and that form."""
        from m2v_core.encode.output import PRECISIONS, SCALED, Output, checked_ranges  # few need it

        checks.whole("truncate_dim", truncate_dim, 1, self.dim, or_none=True)
        dim, whole = truncate_dim or self.dim, truncate_dim is None
        checks.one_of("precision", precision, PRECISIONS)
        if ranges is None and precision in SCALED and whole and unit == self.normalize:
            ranges = self.ranges
        limits = None if ranges is None else checked_ranges(ranges, dim)
        return unit and whole, Output(dim=dim, normalize=unit and not whole, precision=precision, ranges=limits)

    def encode_query(
        self,
        sentences: str | Iterable[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        **options: Any,
    ) -> NDArray[np.float32]:
        """Embed queries: `encode` of the texts with the model's prompt before each, if it has one.

        The prompt is that of the name "query" in `prompts`. Its tokens count for `max_length`, and in the mean.

        Args:
            sentences: A text, or any iterable of texts.
            prompt_name: Name of another prompt of the model.
            prompt: Text of the prompt, "" for none.
            options: Options of `encode`.

        Raises:
            InvalidInputError: The model has no prompt of this name; or as `encode`.

        Example:
            >>> model = tiny_model()
            >>> model.prompts = {"query": "good "}
            >>> model.encode_query("day"), model.encode_document("day")
            (array([0.5, 0.5], dtype=float32), array([0., 1.], dtype=float32))
        """
        return self.encode(self._prompted(sentences, QUERY, prompt_name, prompt), **options)

    def encode_document(
        self,
        sentences: str | Iterable[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        **options: Any,
    ) -> NDArray[np.float32]:
        """Embed documents, as `encode_query` does queries.

        The prompt is that of the first of these names in `prompts`: "document", "passage", "corpus".
        """
        return self.encode(self._prompted(sentences, DOCUMENT, prompt_name, prompt), **options)

    def _prompted(
        self, sentences: str | Iterable[str], names: Sequence[str], prompt_name: str | None, prompt: str | None
    ) -> str | Iterable[str]:
        """The texts with the prompt of a call before each."""
        prefix = resolved(self.config.prompts or {}, names, prompt_name=prompt_name, prompt=prompt)
        if not prefix:
            return sentences
        return prefix + sentences if isinstance(sentences, str) else prepended(prefix, as_texts(sentences))

    @aliased_arrays
    def encode_stream(
        self,
        sentences: Iterable[str],
        *,
        max_length: int | Unset | None = UNSET,
        normalize: bool | None = None,
        batch_size: int = 16_384,
        use_multiprocessing: bool = True,
        threads: int | None = None,
        truncate_dim: int | None = None,
        precision: str = "float32",
        ranges: ArrayLike | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
    ) -> Iterator[NDArray[Any]]:
        """Embed texts as they come, from a generator or a file, with at most one batch of them in memory.

        Args:
            sentences: Any iterable of texts; it may be endless.
            max_length: See `encode`.
            normalize: See `encode`.
            batch_size: Number of texts that are read, embedded and returned at a time.
            use_multiprocessing: Whether to use threads within a batch.
            threads: See `encode`.
            truncate_dim: See `encode`.
            precision: See `encode`.
            ranges: See `encode`.
            prompt_name: Name of a prompt of the model, to put before each text. Default: none, as in `encode`.
            prompt: Text of a prompt, in place of a name.

        Yields:
            [batch_size, D], the last array shorter; the rows are those that `encode` would give.

        Raises:
            InvalidInputError: As `encode` and `encode_query`; or `sentences` is one text.

        Example:
            >>> texts = (word for word in ["good", "day", "good day"])
            >>> [vectors.shape for vectors in tiny_model().encode_stream(texts, batch_size=2)]
            [(2, 2), (1, 2)]
        """
        if isinstance(sentences, str):
            raise InvalidInputError("Expected an iterable of texts; found one text (str). Use encode, or a list of it.")
        checks.iterable("sentences", sentences)
        checks.whole("batch_size", batch_size, 1)
        limit, unit = self._settings(max_length, normalize)
        unit, output = self._output(unit, truncate_dim, precision, ranges)
        prefix = resolved(self.config.prompts or {}, (), prompt_name=prompt_name, prompt=prompt)
        texts = chain.from_iterable(prepended(prefix, (text,)) for text in sentences) if prefix else sentences
        batching = Batching(threads=threads if checks.truth("use_multiprocessing", use_multiprocessing) else 1)
        yield from self._encoder.stream(texts, batch_size, limit, unit, batching, output)

    def calibrate(self, texts: Iterable[str]) -> Self:
        """A copy of the model that knows the ranges of its vectors, for `precision="int8"` and `"uint8"`.

        All dimensions get one range, up to the largest magnitude in the vectors of the texts, so that angles stay.
        Larger values are clipped. `save_pretrained` stores the ranges. They are lost where vectors change: with other
        dimensions, clusters, another `normalize`, and training.

        Args:
            texts: Texts like those that will be embedded, hundreds or more.

        Raises:
            InvalidInputError: No text has a known token, or an element is not a text.

        Example:
            >>> model = tiny_model().calibrate(["good", "day", "good day"])
            >>> model.ranges
            array([[-1., -1.],
                   [ 1.,  1.]], dtype=float32)
            >>> model.encode("good day", precision="int8")
            array([63, 63], dtype=int8)
        """
        from m2v_core.encode.output import ranges_of  # few need it

        calibrated = copy.copy(self)  # both share the tokenizer
        ranges = ranges_of(self.encode_stream(texts), self.dim)
        calibrated._hold(replace(self._stored, ranges=ranges), self._tokenizer)
        return calibrated

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
        threads: int | None = None,
    ) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        """The vectors of a text's tokens, one row each, instead of their mean.

        Unlike `encode`, this ignores the model's own `max_length`: a text is truncated only at a `max_length` given
        here.

        Returns:
            [tokens, D] float32 for one text, a list of such arrays for many; [0, D] for a text without known tokens.

        Example:
            >>> tiny_model().encode_as_sequence("good day")
            array([[1., 0.],
                   [0., 1.]], dtype=float32)
        """
        batching = Batching(
            size=batch_size,
            threads=threads if checks.truth("use_multiprocessing", use_multiprocessing) else 1,
            threshold=multiprocessing_threshold,
            progress=show_progress_bar,
        )
        sequences = self._encoder.sequences(as_texts(sentences), max_length, batching)
        return sequences[0] if isinstance(sentences, str) else sequences

    # --- vectors and vectors ------------------------------------------------------------------------------------

    def similarity(self, first: ArrayLike, second: ArrayLike) -> NDArray[np.float32]:
        """The similarity of each vector to each of the others; see `similarity_fn_name`.

        Args:
            first: [n, D] vectors, or one [D].
            second: [m, D] vectors, or one [D].

        Returns:
            [n, m] float32; the higher, the more similar. The cosine of a vector of zeros is 0.

        Raises:
            InvalidInputError: The arrays do not have these shapes.

        Example:
            >>> model = tiny_model()
            >>> model.similarity(model.encode("day"), model.encode(["good", "day", ""]))
            array([[0., 1., 0.]], dtype=float32)
        """
        from m2v_core.similarity import similarity  # few need it

        return similarity(first, second, self.similarity_fn_name)

    def similarity_pairwise(self, first: ArrayLike, second: ArrayLike) -> NDArray[np.float32] | np.float32:
        """The similarity of each vector to that in the same row of the other array.

        Args:
            first: [n, D] vectors, or one [D].
            second: The same shape.

        Returns:
            [n] float32; a number for one pair.

        Raises:
            InvalidInputError: The arrays do not have these shapes.

        Example:
            >>> model = tiny_model()
            >>> model.similarity_pairwise(model.encode(["good", "day"]), model.encode(["good", "good"]))
            array([1., 0.], dtype=float32)
        """
        from m2v_core.similarity import similarity_pairwise  # few need it

        return similarity_pairwise(first, second, self.similarity_fn_name)

    # --- texts to tokens ----------------------------------------------------------------------------------------

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
        rows = self._encoder.token_ids(as_texts(sentences), self.max_length, Batching())
        lists = [row.tolist() for row in rows]
        return lists[0] if isinstance(sentences, str) else lists

    def token_ids(
        self,
        sentences: str | Iterable[str],
        *,
        max_length: int | Unset | None = UNSET,
        use_multiprocessing: bool = True,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The ids of `tokenize` as two flat arrays, without a Python object for each id.

        Args:
            sentences: Any iterable of texts; one text counts as a list of one.
            max_length: See `encode`.
            use_multiprocessing: Whether to use threads for many texts.

        Returns:
            ids [total] and offsets [n + 1], both int64: text i has `ids[offsets[i]:offsets[i + 1]]`.

        Raises:
            InvalidInputError: As `encode`.

        Example:
            >>> tiny_model().token_ids(["good grey day", "", "day"])
            (array([1, 2, 2]), array([0, 2, 2, 3]))
        """
        limit, _ = self._settings(max_length)
        batching = Batching(threads=None if checks.truth("use_multiprocessing", use_multiprocessing) else 1)
        rows = self._encoder.token_ids(as_texts(sentences), limit, batching)
        return rows.values, rows.offsets


def save(
    model: StaticModel,
    path: str | os.PathLike[str],
    subfolder: str | None = None,
    head: MLPHead | None = None,
    *,
    compiled: bool = False,
) -> None:
    """Save a model, and its head if it has one, as one folder; see `StaticModel.save_pretrained`."""
    checks.expect(isinstance(subfolder, str | None), "subfolder", "a path in the model, or None", subfolder)
    folder = checks.path("path", path)
    folder = checks.path("subfolder", folder / subfolder) if subfolder else folder
    has_unused = len(model._tokenizer.unused_ids) > 0
    unk_id = model.unk_token_id
    format.write(model.stored, folder, unk_id=unk_id, has_unused=has_unused, head=head, compiled=compiled)


def _with_config(stored: StoredModel, **changes: Any) -> StoredModel:
    """The model with other settings. Ranges are lost where vectors change."""
    config = replace(stored.config, **changes)
    return replace(stored, config=config, ranges=stored.ranges if config.normalize == stored.config.normalize else None)


def _storable(name: str, array: Any, dtypes: Mapping[str, str], integers_as: type) -> NDArray[Any] | None:
    """The array; integers of a dtype that the format does not have are converted to `integers_as`."""
    if array is None:
        return None
    array = as_array(name, array)
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
    """A smaller copy of a model; the model itself does not change.

    Args:
        model: The model.
        vocabulary_quantization: Number of rows to keep, each the direction of a cluster of tokens; a token's weight
            is its length. Needs `m2v-core[quantization]`.
        quantize_to: dtype of the table: float16, float32, float64, or int8 (one scale per row, kept in the weights).
        dimensionality: Number of dimensions to keep, the first ones; a distilled model has them in order of variance.

    Raises:
        InvalidInputError: The dtype is unknown, the model has fewer dimensions or not more tokens than asked for, or
            its vocabulary is clustered already.
        MissingPackageError: Clusters need scikit-learn.

    Example:
        >>> quantize_model(tiny_model(), quantize_to="float16", dimensionality=1)
        StaticModel(tokens=3, dim=1, dtype=float16)
        >>> quantize_model(tiny_model(), vocabulary_quantization=2).embedding.shape
        (2, 2)
    """
    from m2v_core.quantize import quantized  # few need it

    checks.expect(isinstance(model, StaticModel), "model", "a StaticModel", model)
    smaller = copy.copy(model)  # both share the tokenizer
    stored = quantized(
        model.stored,
        vocabulary_quantization=vocabulary_quantization,
        quantize_to=quantize_to,
        dimensionality=dimensionality,
    )
    smaller._hold(stored, model._tokenizer)
    return smaller


def _json_of(tokenizer: Tokenizer | str | Path) -> str:
    """The text of `tokenizer.json`; the library is imported for its own objects alone."""
    if isinstance(tokenizer, str | Path):
        return tokenizer if isinstance(tokenizer, str) else read_user_text(tokenizer)
    from m2v_core.tokenize.backend import json_of

    return json_of(tokenizer)
