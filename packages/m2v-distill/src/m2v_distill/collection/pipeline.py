"""`fit_collection`: documents to their vectors by a teacher, and to a student that embeds queries for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from jaxtyping import Float32
from numpy import ndarray

from m2v_core import StaticModel, quantize_model
from m2v_core.errors import InvalidInputError
from m2v_core.options import picked
from m2v_core.search import Index
from m2v_distill.collection.config import CollectionConfig
from m2v_distill.collection.documents import DocumentPassage, Documents
from m2v_distill.collection.steps import (
    embedded,
    prompts_of,
    student_config,
    student_table,
    teacher_passages,
    token_student,
)
from m2v_distill.teacher.teacher import Teacher

#: What a hit of a passage brings back.
Metadata: TypeAlias = "Callable[[DocumentPassage], Any]"

#: Smallest cosine of two vectors of a text by the same teacher, on any device and in any precision.
SAME = 0.99

#: Entries of an index whose texts tell whether a teacher made their vectors.
PROBES = 8


def about(passage: DocumentPassage) -> dict[str, Any]:
    """The document and the text of a passage: the default metadata."""
    return {"document": passage.document, "text": passage.text}


@dataclass(frozen=True)
class FittedCollection:
    """Documents as a teacher sees them, and a student for their queries.

    Attributes:
        student: A static model in the teacher's space: it embeds queries, and later documents.
        passages: The passages of all documents, in order.
        vectors: [n, D] the teacher's vector of each passage, of unit length; zeros for a blank document.
    """

    student: StaticModel
    passages: tuple[DocumentPassage, ...]
    vectors: Float32[ndarray, "n D"]

    def index(self, metadata: Metadata = about, *, lexical: bool = False, dtype: str = "float32") -> Index:
        """An index of the teacher's vectors, whose queries the student embeds.

        Args:
            metadata: Function of a passage: what its hits bring back. Default: its document and its text.
            lexical: Whether to search by words too; needs `m2v-core[search]`.
            dtype: Numbers of the vectors; see `m2v_core.search.Index`.

        Example:
            >>> teacher = Teacher.from_pretrained(teacher_folder())
            >>> index = fit_collection(teacher, [("a", "Good day. Bad day."), ("b", "Sunny.")]).index()
            >>> len(index), index.search("sunny", k=1)[0].metadata["document"]
            (2, 'b')
        """
        index = Index(self.student, lexical=lexical, dtype=dtype)
        _add(index, self.passages, self.vectors, metadata)
        return index


def fit_collection(
    teacher: Teacher,
    documents: Documents,
    *,
    student: StaticModel | str | os.PathLike[str] | None = None,
    prompt: str | None = None,
    prompt_name: str | None = None,
    query_prompt: str | None = None,
    sentences: bool = True,
    sample: int | None = None,
    seed: int = 0,
    strength: float = 3e-3,
    quantize_to: str = "float16",
    checkpoint_dir: str | os.PathLike[str] | None = None,
    resume: bool = True,
    show_progress_bar: bool | None = False,
) -> FittedCollection:
    """Embed documents with the teacher, and fit a student that embeds queries in the same space.

    The student is the static model that is closest to the teacher on the documents and their sentences, in closed form.
    No query and no judgement is needed. A document that is longer than the teacher's limit is cut into passages.

    Args:
        teacher: The teacher.
        documents: Texts, or pairs of an id (a text or a whole number) and a text. Default ids: 0, 1, 2, ...
        student: A static model with the vocabulary and the knowledge of words that the documents lack: a model, its
            folder or its name. Default: the teacher's own vocabulary, and its vectors of each token alone.
        prompt: This and all other options are described in `CollectionConfig`.

    Raises:
        InvalidInputError: An option is out of range, there is no document with a word, or one is no text.

    Example:
        >>> teacher = Teacher.from_pretrained(teacher_folder())
        >>> fitted = fit_collection(teacher, ["Good day. Bad day.", "Sunny."])
        >>> fitted.vectors.shape, fitted.student.dim, fitted.passages[1].text
        ((2, 24), 24, 'Sunny.')
    """
    return fitted(teacher, documents, picked(CollectionConfig, locals()), student=student)


def fitted(
    teacher: Teacher,
    documents: Documents,
    config: CollectionConfig,
    *,
    student: StaticModel | str | os.PathLike[str] | None = None,
) -> FittedCollection:
    """Fit a student to documents with the options of a record; see `fit_collection`."""
    prior = StaticModel.from_pretrained(student) if isinstance(student, str | os.PathLike) else student
    prompt, query_prompt = prompts_of(teacher, config)
    passages = teacher_passages(teacher, documents, prompt)
    vectors = embedded(teacher, passages, config, prompt)
    prior = token_student(teacher, config) if prior is None else prior
    table = student_table(teacher, passages, vectors, prior, config, query_prompt)
    if prior.unk_token_id is not None:
        table[prior.unk_token_id] = 0  # so that it does not count in programs that average all ids either
    made = StaticModel(table, prior.stored.tokenizer_json, config=student_config(teacher, config))
    return FittedCollection(quantize_model(made, quantize_to=config.quantize_to), passages, vectors)


def add_documents(
    index: Index,
    teacher: Teacher,
    documents: Documents,
    metadata: Metadata = about,
    *,
    config: CollectionConfig | None = None,
) -> tuple[DocumentPassage, ...]:
    """Add documents to the index of a collection, by the teacher that made it; the student stays as it is.

    Without the teacher, `index.add(texts)` has the student embed them.

    Args:
        index: The index.
        teacher: The teacher whose vectors the index has. Where the metadata of its first entries have texts, the
            teacher embeds these again, to show that it is the same.
        documents: As in `fit_collection`. Their ids must be new ones.
        metadata: Function of a passage: what its hits bring back. Default: its document and its text.
        config: Options; those of the student have no effect.

    Returns:
        The passages.

    Raises:
        InvalidInputError: The index has vectors of another teacher, or an id is taken.

    Example:
        >>> teacher = Teacher.from_pretrained(teacher_folder())
        >>> index = fit_collection(teacher, [("a", "Good day. Bad day."), ("b", "Sunny.")]).index()
        >>> [passage.id for passage in add_documents(index, teacher, [("c", "Good.")])], list(index)
        (['c'], ['a', 'b', 'c'])
    """
    config = config or CollectionConfig()
    prompt, _ = prompts_of(teacher, config)
    passages = teacher_passages(teacher, documents, prompt)
    if taken := next((passage.id for passage in passages if passage.id in index), None):
        raise InvalidInputError(f"Each document should have a new id; found {taken!r:.100}, which the index has.")
    _check_teacher(index, teacher, prompt)
    _add(index, passages, embedded(teacher, passages, config, prompt), metadata)
    return passages


def _add(
    index: Index, passages: tuple[DocumentPassage, ...], vectors: Float32[ndarray, "n D"], metadata: Metadata
) -> None:
    texts, ids = [passage.text for passage in passages], [passage.id for passage in passages]
    index.add(texts, vectors=vectors, ids=ids, metadata=[metadata(passage) for passage in passages])


def _check_teacher(index: Index, teacher: Teacher, prompt: str) -> None:
    """Raise if the first texts of an index are not found by this teacher's vectors of them."""
    found = (index.metadata(name) for name in islice(index, PROBES))
    texts = [each["text"] for each in found if isinstance(each, dict) and isinstance(each.get("text"), str)]
    vectors = teacher.encode([text for text in texts if text] or ["a"], prompt=prompt)
    known = index.dim in (None, vectors.shape[1])
    if known and texts:
        known = bool((index.search_arrays(vectors=vectors, k=1).scores > SAME).any())
    if not known:
        raise InvalidInputError(
            f"Expected the teacher, and the prompt, that made the vectors of the index; found {teacher.name}, which "
            f"gives its texts other vectors. Name that teacher, or make the index again."
        )
