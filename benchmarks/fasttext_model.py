"""Train fastText by gensim on the shared texts: `fasttext_model.py DATA FILE`, by an environment with gensim.

The texts are those of the corpus of `quality.py`'s table: tweets, and sentences of STS-B's training split. The settings
are fastText's own for skip-grams, but for 256 dimensions, as the students have, and fewer buckets for the small corpus.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

DIM, BUCKETS = 256, 100_000


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall(r"\w+", text.lower())


def main(data: Path, file: Path) -> None:
    """Train, and save the vectors."""
    from gensim.models import FastText
    from texts import corpus

    class Sentences:
        def __iter__(self) -> Iterator[list[str]]:
            return map(words, corpus(data))

    model = FastText(vector_size=DIM, sg=1, window=5, min_count=5, epochs=5, bucket=BUCKETS, workers=2, seed=0)
    model.build_vocab(corpus_iterable=Sentences())
    model.train(corpus_iterable=Sentences(), total_examples=model.corpus_count, epochs=model.epochs)
    model.wv.save(str(file))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
