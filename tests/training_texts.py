"""Texts to train on whose labels follow from their words."""

from __future__ import annotations

import numpy as np

WORDS = ("good", "day", "bad", "days", "unable", "sun", "sunny")


def sentences(n: int, seed: int = 0) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, size=draw.integers(1, 6))) for _ in range(n)]


def label_of(text: str) -> str:
    words = text.split()
    return "sunny" if "sun" in words or "sunny" in words else "bad" if "bad" in words else "plain"


TEXTS = sentences(300)
LABELS = [label_of(text) for text in TEXTS]
FAST = {"hidden_dim": 16, "learning_rate": 0.02, "max_epochs": 30, "token_dropout": 0.0, "show_progress_bar": False}
