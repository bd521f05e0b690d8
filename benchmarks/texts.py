"""The text that several benchmarks read."""

from pathlib import Path


def tweets(data: Path) -> list[str]:
    """45,000 tweets, of the folder of real text; see CONTRIBUTING.md."""
    return (data / "te_emoji_train_text.txt").read_text(encoding="utf-8").split("\n")[:45000]
