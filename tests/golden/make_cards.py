"""Write `cards/<case>.md`: the card of each kind of model, to be read by people before a change of templates lands.

Run it where m2v-hub and the test requirements are installed, from anywhere:

    python tests/golden/make_cards.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from cards import CASES, write_case
from m2v_hub import card_for

HERE = Path(__file__).parent / "cards"


def main() -> None:
    """Write all cases."""
    HERE.mkdir(exist_ok=True)
    with TemporaryDirectory() as scratch:
        for case in CASES:
            options = write_case(case, Path(scratch) / case)
            card = card_for(Path(scratch) / case, repo_id=f"org/{case}", **options)
            (HERE / f"{case}.md").write_text(card, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
