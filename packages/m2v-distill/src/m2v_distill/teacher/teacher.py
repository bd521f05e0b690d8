"""`Teacher`: a sentence transformer, loaded and ready to run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float32
from numpy import ndarray

from m2v_core.aliases import aliased_arrays
from m2v_core.errors import InvalidInputError
from m2v_distill.teacher.engine.forward import Network, embed_sequences
from m2v_distill.teacher.engine.placement import Placement
from m2v_distill.teacher.engine.resume import ChunkStore
from m2v_distill.teacher.interface import Backend, Device, Encoder, PoolingName, Precision
from m2v_distill.teacher.loading import EncoderOptions, encoder_of_folder, encoder_of_model
from m2v_distill.teacher.modules_json import SentenceSettings, pooled_encoder, read_sentence_settings
from m2v_distill.teacher.pooling import SentencePooling
from m2v_distill.teacher.source import TeacherSource, find_teacher, source_of_model
from m2v_distill.teacher.tokenizer import TeacherTokenizer, read_tokenizer, warn_if_ids_differ


@dataclass(frozen=True)
class Teacher:
    """A sentence transformer: an encoder with its weights, the modules after it, and a tokenizer.

    Attributes:
        encoder: The encoder: a Flax module, or a PyTorch model behind the same interface.
        settings: Settings of the sentence transformer: pooling, dense layers, prompts, longest text.
        source: Its files, name, language and licence.
        placement: Devices and precision.
        load_tokenizer: Function that returns its tokenizer, which is read when it is first needed, and once.

    Example:
        >>> teacher = Teacher.from_pretrained(teacher_folder())
        >>> teacher.hidden_size, teacher.max_length
        (24, 40)
        >>> teacher.encode(["a text", "another"]).shape
        (2, 24)
    """

    encoder: Encoder
    settings: SentenceSettings
    source: TeacherSource
    placement: Placement
    load_tokenizer: Callable[[], TeacherTokenizer] = field(repr=False)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        token: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        pooling: PoolingName | None = None,
        device: Device = None,
        precision: Precision = "float32",
        model_parallel: int = 1,
        backend: Backend = "auto",
        compute_as: str | None = None,
    ) -> Teacher:
        """Load a teacher from a folder or the Hugging Face Hub.

        Weights are read from safetensors, or from `pytorch_model.bin` where there is nothing else: that needs
        m2v-distill[torch]. The modules after the encoder are read from `modules.json`, as in sentence-transformers;
        without that file, the pooling is the mean of the hidden states.

        Args:
            name_or_path: A folder, or `org/name` on the Hub.
            token: A Hub token, for private teachers.
            revision: A branch, tag or commit.
            trust_remote_code: Whether Python code of the repository may be run: for the tokenizer, and in PyTorch for
                the model.
            pooling: A pooling in place of `modules.json`; see `DistillConfig.pooling`.
            device: See `DistillConfig.device`.
            precision: See `DistillConfig.precision`.
            model_parallel: See `DistillConfig.model_parallel`.
            backend: See `DistillConfig.backend`.
            compute_as: See `DistillConfig.compute_as`.

        Raises:
            ModelNotFoundError: There is no such teacher, or it has no weights.
            ModelFormatError: Its architecture, its class or one of its modules is unknown, or its weights do not fit.
            MissingPackageError: PyTorch is needed and not installed.
        """
        source = find_teacher(name_or_path, token=token, revision=revision)
        placement = Placement.of(
            device=device, precision=precision, model_parallel=model_parallel, beside_torch=backend != "flax"
        )
        options = EncoderOptions(
            placement=placement,
            device=device,
            backend=backend,
            compute_as=compute_as,
            trust_remote_code=trust_remote_code,
        )
        settings = read_sentence_settings(source.folder, pooling=pooling, place=placement.weight)
        encoder = encoder_of_folder(settings.encoder_folder, options)
        tokenizer = _tokenizer_of(settings, encoder, trust_remote_code=trust_remote_code)
        return _checked(cls(encoder, settings, source, placement, tokenizer))

    @classmethod
    def from_transformers(
        cls,
        model: Any,
        *,
        pooling: PoolingName | None = None,
        device: Device = None,
        precision: Precision = "float32",
        model_parallel: int = 1,
        backend: Backend = "auto",
        compute_as: str | None = None,
    ) -> Teacher:
        """Make a teacher of a loaded PyTorch model of transformers.

        Its weights are copied into Flax. With `backend="torch"`, or if m2v-distill lacks its architecture or does not
        know its class, a copy of it runs in PyTorch. The model is not changed. The arguments are those of
        `from_pretrained`; the default pooling is the mean.

        Raises:
            InvalidInputError: It is not such a model.
            ModelFormatError: Its weights do not fit its architecture, or its class is unknown to `backend="flax"`.
        """
        if not (hasattr(model, "state_dict") and hasattr(model, "config")):
            raise InvalidInputError(
                f"Expected a Teacher, or a model of transformers (with config and state_dict); "
                f"found {type(model).__name__}."
            )
        source = source_of_model(model)
        placement = Placement.of(
            device=device, precision=precision, model_parallel=model_parallel, beside_torch=backend != "flax"
        )
        options = EncoderOptions(placement=placement, device=device, backend=backend, compute_as=compute_as)
        settings = pooled_encoder(source.folder, pooling or "mean")
        encoder = encoder_of_model(model, options)
        return _checked(cls(encoder, settings, source, placement, _tokenizer_of(settings, encoder)))

    @property
    def name(self) -> str:
        """The Hub id, or the folder's name."""
        return self.source.name

    @property
    def hidden_size(self) -> int:
        """The size of the hidden states, H."""
        return self.encoder.config.hidden_size

    @property
    def vocab_size(self) -> int:
        """The number of token ids."""
        return self.encoder.config.vocab_size

    @property
    def max_length(self) -> int | None:
        """The longest sequence of ids; `None` for no limit."""
        return self.encoder.config.max_length

    @property
    def has_pooler(self) -> bool:
        """Whether the checkpoint has a pooler."""
        return self.encoder.config.pooler

    @property
    def pooling(self) -> str:
        """The names of its poolings, joined by "+"."""
        return "+".join(self.settings.pooling.poolings)

    @property
    def token_embeddings(self) -> Float32[ndarray, "V E"]:
        """The input embeddings of all token ids."""
        return self.placement.fetched(self.encoder.token_embeddings()).astype(np.float32)

    @property
    def tokenizer(self) -> TeacherTokenizer:
        """Its tokenizer: the one that was passed with it, or that of its folder.

        Raises:
            InvalidInputError: The teacher was made of a model in memory, without a tokenizer.
        """
        return self.load_tokenizer()

    def with_tokenizer(self, tokenizer: Any) -> Teacher:
        """A teacher with another tokenizer, for the vocabulary and for texts.

        It warns if the ids differ from those of the folder's `tokenizer.json`.

        Args:
            tokenizer: A fast tokenizer of transformers, a `tokenizers.Tokenizer`, or a `TeacherTokenizer`.

        Raises:
            InvalidInputError: It is none of these.
        """
        passed = TeacherTokenizer.of(tokenizer).prepared(self.settings.texts, self.max_length)
        folder = self.settings.encoder_folder
        if (folder / "tokenizer.json").is_file():
            warn_if_ids_differ(passed, self.tokenizer, folder)
        return replace(self, load_tokenizer=lambda: passed)

    def pooled(self, pooling: PoolingName | None) -> Teacher:
        """A teacher with another pooling instead of all modules after the encoder; `None` changes nothing.

        Raises:
            InvalidInputError: The pooling is "pooler", and there is none.
        """
        if pooling is None:
            return self
        return _checked(replace(self, settings=replace(self.settings, pooling=SentencePooling([pooling]))))

    def placed(self, placement: Placement) -> Teacher:
        """The teacher on other devices or in another precision; one that runs in PyTorch is not changed."""
        if placement == self.placement or not self.encoder.compiles:
            return self

        def moved(module: Any) -> Any:
            graph, state = nnx.split(module)
            flat = [
                (path, variable.replace(placement.weight(".".join(map(str, path)), variable[...])))
                for path, variable in nnx.to_flat_state(state)
            ]
            return nnx.merge(graph, nnx.from_flat_state(flat))

        settings = replace(self.settings, pooling=moved(self.settings.pooling))
        return replace(self, encoder=moved(self.encoder), settings=settings, placement=placement)

    def network(self, *, normalize: bool = True) -> Network:
        """The network from token ids to vectors.

        Args:
            normalize: Whether a final `Normalize` is computed.
        """
        pooling = self.settings.pooling
        return Network(self.encoder, pooling if normalize else pooling.unnormalized(), self.placement)

    def encode_ids(
        self,
        sequences: Sequence[Sequence[int]],
        *,
        normalize: bool = True,
        pad_id: int = 0,
        prompt_length: int = 0,
        batch_tokens: int | None = None,
        chunks: ChunkStore | None = None,
        show_progress_bar: bool | None = False,
    ) -> Float32[ndarray, "N D"]:
        """Embed sequences of token ids; see `m2v_distill.teacher.engine.forward.embed_sequences`."""
        return embed_sequences(
            self.network(normalize=normalize),
            sequences,
            pad_id=pad_id,
            prompt_length=prompt_length,
            batch_tokens=batch_tokens,
            chunks=chunks,
            show_progress_bar=show_progress_bar,
        )

    @aliased_arrays
    def encode(
        self,
        texts: str | Sequence[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        chunks: ChunkStore | None = None,
        show_progress_bar: bool | None = False,
    ) -> Float32[ndarray, ...]:
        """Embed texts with the teacher itself, as sentence-transformers does.

        Args:
            texts: N texts, or one.
            prompt_name: Name of a prompt of the teacher that is put before each text. Default: the teacher's default.
            prompt: The text of the prompt; "" for none.
            chunks: Store of finished vectors, from which an interrupted run is resumed.
            show_progress_bar: Whether to show progress on stderr; `None` shows it on a terminal only.

        Returns:
            A vector for each text [N, D]; for one text, its vector [D].

        Raises:
            InvalidInputError: The prompt is unknown, or a text is not a string.
        """
        listed = [texts] if isinstance(texts, str) else texts
        wrong = {type(text).__name__ for text in listed} - {"str"}
        if wrong:
            raise InvalidInputError(f"Expected texts (str); found {', '.join(sorted(wrong))}.")
        tokenizer, network = self.tokenizer, self.network()
        prefix = tokenizer.prompt(prompt_name=prompt_name, prompt=prompt)
        sequences = tokenizer.text_ids(listed, prefix)
        vectors: ndarray = np.empty((len(listed), network.dim), np.float32)
        empty = np.array([not ids for ids in sequences], bool)
        if empty.any():  # a tokenizer without special tokens gives no ids for an empty text
            states = jnp.zeros((1, 1, self.hidden_size))
            vectors[empty] = network.pooling(states, jnp.zeros((1, 1), bool), states[:, 0], jnp.int32(0))
        vectors[~empty] = embed_sequences(
            network,
            [ids for ids in sequences if ids],
            prompt_length=tokenizer.prompt_length(prefix),
            pad_id=tokenizer.pad_id,
            chunks=chunks,
            show_progress_bar=show_progress_bar,
        )
        return vectors[0] if isinstance(texts, str) else vectors


def _tokenizer_of(
    settings: SentenceSettings, encoder: Encoder, *, trust_remote_code: bool = False
) -> Callable[[], TeacherTokenizer]:
    """A function that reads the tokenizer of a folder when it is first called, and once."""

    def read() -> TeacherTokenizer:
        folder = settings.encoder_folder
        if not folder.is_dir():
            raise InvalidInputError(
                f"{folder} is a model in memory, without a tokenizer. To encode texts, save both to a folder and load "
                f"it with Teacher.from_pretrained."
            )
        limit = encoder.config.max_length
        return read_tokenizer(folder, settings.texts, encoder_limit=limit, trust_remote_code=trust_remote_code)

    return cache(read)


def _checked(teacher: Teacher) -> Teacher:
    teacher.settings.pooling.output_size(teacher.hidden_size)
    if "pooler" in teacher.settings.pooling.poolings and not teacher.has_pooler:
        raise InvalidInputError(
            f"{teacher.name} has no pooler (a dense layer on the first position); use pooling='mean' or 'first'."
        )
    return teacher
