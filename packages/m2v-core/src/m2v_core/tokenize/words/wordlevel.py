"""WordLevel: each word is a token, or unknown."""

from __future__ import annotations

from dataclasses import dataclass

from m2v_core.ragged import Ragged
from m2v_core.tokenize.words.trie import Trie


@dataclass(frozen=True)
class WordLevel:
    """A WordLevel model.

    Attributes:
        trie: All tokens.
        unk_id: Id of the unknown token.
    """

    trie: Trie
    unk_id: int

    def ids_of(self, words: list[str]) -> Ragged:
        """The id of each word."""
        return Ragged.of([self.ids_of_one(word) for word in words])

    def ids_of_one(self, word: str) -> list[int]:
        """The id of one word; none for an empty one."""
        if not word:
            return []
        node = self.trie.node_of(word.encode())
        token = int(self.trie.ids[node]) if node > 0 else -1
        return [token if token >= 0 else self.unk_id]
