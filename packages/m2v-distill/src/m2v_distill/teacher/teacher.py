"""`Teacher`: a sentence transformer, loaded and ready to run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from flax import nnx
from jaxtyping import Float32
from numpy import ndarray

from m2v_core.aliases import aliased_arrays
from m2v_core.errors import InvalidInputError
from m2v_distill.config import Backend, Device, Pooling, Precision
from m2v_distill.teacher.encoder import EncoderOptions, encoder_of_folder, encoder_of_model
from m2v_distill.teacher.engine.placement import Placement
from m2v_distill.teacher.modules_json import SentenceSettings, positions_of, read_sentence_settings
from m2v_distill.teacher.pooling import Head
from m2v_distill.teacher.source import TeacherSource, find_teacher
from m2v_distill.teacher.tokenizer import TeacherTokenizer, read_tokenizer, warn_if_ids_differ
from m2v_distill.teacher.torch_encoder import TorchEncoder

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Teacher:
    """A sentence transformer: an encoder with its weights, what follows it, and how texts come in.

    Attributes:
        module: The encoder. A Flax module: called with ids [B, L] and mask [B, L] it gives the last hidden states
            [B, L, H], `hidden_states` gives all of them, and `pool` the pooler's output [B, H]. Or a `TorchEncoder`.
        settings: Of the sentence transformer: poolings, dense layers, prompts, the longest text.
        source: Its files, name, language and licence.
        placement: Where its weights lie and how precisely it computes.
        trust_remote_code: Whether Python code in its folder may be run to load its tokenizer.
        passed_tokenizer: The tokenizer that a caller passed, in place of the folder's.

    Example:
        >>> teacher = Teacher.from_pretrained(teacher_folder())
        >>> teacher.hidden_size, teacher.max_length
        (24, 40)
        >>> teacher.encode(["a text", "another"]).shape
        (2, 24)
    """

    module: Any
    settings: SentenceSettings
    source: TeacherSource
    placement: Placement
    trust_remote_code: bool = False
    passed_tokenizer: TeacherTokenizer | None = None

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        token: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        pooling: Pooling | None = None,
        device: Device = None,
        precision: Precision = "float32",
        model_parallel: int = 1,
        backend: Backend = "auto",
        compute_as: str | None = None,
    ) -> Teacher:
        """Load a teacher from a folder or the Hugging Face Hub.

        Weights are read from safetensors, or from `pytorch_model.bin` where there is nothing else: that takes
        m2v-distill[torch].

        What comes after its encoder is read from `modules.json`, as in sentence-transformers; without that file it is
        the mean of the hidden states.

        Args:
            name_or_path: A folder, or `org/name` on the Hub.
            token: A Hub token, for private teachers.
            revision: A branch, tag or commit.
            trust_remote_code: Let its repository bring Python code for its tokenizer, and with PyTorch its model.
            pooling: In place of what `modules.json` says; see `DistillConfig.pooling`.
            device: See `DistillConfig.device`.
            precision: See `DistillConfig.precision`.
            model_parallel: See `DistillConfig.model_parallel`.
            backend: See `DistillConfig.backend`.
            compute_as: See `DistillConfig.compute_as`.

        Raises:
            ModelNotFoundError: There is no such teacher, or it has no weights.
            ModelFormatError: Its architecture, its class or one of its modules is unknown, or its weights do not fit.
            MissingPackageError: It needs PyTorch, which is not installed.
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
        return _checked(cls(encoder, settings, source, placement, trust_remote_code))

    @classmethod
    def from_transformers(
        cls,
        model: Any,
        *,
        pooling: Pooling | None = None,
        device: Device = None,
        precision: Precision = "float32",
        model_parallel: int = 1,
        backend: Backend = "auto",
        compute_as: str | None = None,
    ) -> Teacher:
        """A teacher of a loaded PyTorch model of transformers.

        Its weights are copied into Flax; with `backend="torch"`, or if m2v-distill lacks its architecture or does not
        know its class, a copy of it runs in PyTorch. The model is left as it is. Arguments are those of
        `from_pretrained`; without `pooling` it is the mean.

        Raises:
            InvalidInputError: It is not such a model.
            ModelFormatError: Its weights do not fit its architecture, or its class is unknown to `backend="flax"`.
        """
        if not (hasattr(model, "state_dict") and hasattr(model, "config")):
            raise InvalidInputError(
                f"Expected a Teacher, or a model of transformers (with config and state_dict); "
                f"found {type(model).__name__}."
            )
        path = str(getattr(model, "name_or_path", "") or "")
        local = bool(path) and Path(path).is_dir()
        name = path or type(model).__name__
        source = find_teacher(path) if local else TeacherSource(Path(name), name)
        settings = SentenceSettings(Head([pooling or "mean"]), source.folder, positions=positions_of(source.folder))
        placement = Placement.of(
            device=device, precision=precision, model_parallel=model_parallel, beside_torch=backend != "flax"
        )
        options = EncoderOptions(placement=placement, device=device, backend=backend, compute_as=compute_as)
        return _checked(cls(encoder_of_model(model, options), settings, source, placement))

    @property
    def name(self) -> str:
        """The Hub id, or the folder's name."""
        return self.source.name

    @property
    def hidden_size(self) -> int:
        """H, the width of the hidden states."""
        return int(self.module.config.width)

    @property
    def vocab_size(self) -> int:
        """The number of ids that it knows."""
        return int(self.module.config.vocab_size)

    @property
    def max_length(self) -> int | None:
        """The longest sequence of ids that it takes; `None` for no limit."""
        limit: int | None = self.module.config.max_length
        return limit

    @property
    def words(self) -> Float32[ndarray, "V E"]:
        """The embeddings of ids that it starts from."""
        if isinstance(self.module, TorchEncoder):
            return self.module.words
        return self.placement.fetched(self.module.words.embedding[...]).astype(np.float32)

    @property
    def has_pooler(self) -> bool:
        """Whether its checkpoint has a pooler."""
        return bool(self.module.config.pooler)

    @property
    def pooling(self) -> str:
        """The names of its poolings."""
        return "+".join(self.settings.head.poolings)

    @cached_property
    def tokenizer(self) -> TeacherTokenizer:
        """The tokenizer that was passed with it, or that of its folder.

        Raises:
            InvalidInputError: It was made of a model in memory, which has no folder.
        """
        if self.passed_tokenizer is not None:
            return self.passed_tokenizer
        folder = self.settings.encoder_folder
        if not folder.is_dir():
            raise InvalidInputError(
                f"{self.name} was made of a model in memory, without a tokenizer: to encode texts, save both to a "
                f"folder and load it by Teacher.from_pretrained."
            )
        return read_tokenizer(folder, trust_remote_code=self.trust_remote_code)

    @cached_property
    def text_tokenizer(self) -> Tokenizer:
        """A copy of its tokenizer that prepares texts: cuts them, and lowers their case if asked."""
        from m2v_distill.teacher.texts import text_tokenizer

        return text_tokenizer(self)

    def with_tokenizer(self, tokenizer: Any) -> Teacher:
        """The same with a tokenizer that a caller passes, for tokens and for texts.

        It warns where its ids differ from those of the folder's `tokenizer.json`.

        Args:
            tokenizer: A fast tokenizer of transformers, a `tokenizers.Tokenizer`, or a `TeacherTokenizer`.

        Raises:
            InvalidInputError: It is none of these.
        """
        passed = TeacherTokenizer.of(tokenizer)
        warn_if_ids_differ(passed, self.settings.encoder_folder)
        return replace(self, passed_tokenizer=passed)

    def pooled(self, pooling: Pooling | None) -> Teacher:
        """The same with another pooling, in place of all that comes after the encoder; `None` changes nothing.

        Raises:
            InvalidInputError: It has no pooler.
        """
        if pooling is None:
            return self
        return _checked(replace(self, settings=replace(self.settings, head=Head([pooling]))))

    def placed(self, placement: Placement) -> Teacher:
        """The same with its weights elsewhere, or in another precision; one that runs in PyTorch stays where it is."""
        if placement == self.placement or isinstance(self.module, TorchEncoder):
            return self

        def moved(module: nnx.Module) -> Any:
            graph, state = nnx.split(module)
            flat = [
                (path, variable.replace(placement.weight(".".join(map(str, path)), variable[...])))
                for path, variable in nnx.to_flat_state(state)
            ]
            return nnx.merge(graph, nnx.from_flat_state(flat))

        settings = replace(self.settings, head=moved(self.settings.head))
        return replace(self, module=moved(self.module), settings=settings, placement=placement)

    @aliased_arrays
    def encode(
        self,
        texts: str | Sequence[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        show_progress_bar: bool | None = False,
    ) -> Float32[ndarray, ...]:
        """Embed whole texts with the teacher itself, as sentence-transformers does.

        Args:
            texts: N texts, or one.
            prompt_name: A prompt of the teacher's to put before each text. Default: the teacher's default, if any.
            prompt: The prompt itself; "" for none.
            show_progress_bar: On stderr; `None` shows it on a terminal only.

        Returns:
            One vector for each text; of one text, its vector.

        Raises:
            InvalidInputError: The prompt is unknown, or a text is no string.
        """
        from m2v_distill.teacher.texts import encode_texts

        listed = [texts] if isinstance(texts, str) else texts
        vectors: ndarray = encode_texts(
            self, listed, prompt_name=prompt_name, prompt=prompt, show_progress_bar=show_progress_bar
        )
        return vectors[0] if isinstance(texts, str) else vectors


def _checked(teacher: Teacher) -> Teacher:
    teacher.settings.head.width(teacher.hidden_size)
    if "pooler" in teacher.settings.head.poolings and not teacher.has_pooler:
        raise InvalidInputError(
            f"{teacher.name} has no pooler (a dense layer on the first position); use pooling='mean' or 'first'."
        )
    return teacher
