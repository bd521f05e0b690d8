"""Odd values of the options of m2v-hub."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from conftest import make_model
from m2v_core import InvalidInputError
from m2v_hub import card_for, download, push_to_hub
from m2v_hub.card.options import CardOptions
from odd_values import ODD, outcomes, taking


def test_odd_values_of_all_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No option lets a call reach the Hub: all but a dry run needs the network, which is an `OSError` here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = make_model()
    model.save_pretrained("m")
    load = partial(download, repo_id="org/name", local_files_only=True)
    for name, call, function in (("CardOptions", CardOptions, CardOptions), ("download", load, download)):
        _, refused, wrong = outcomes(name, call, function)
        assert wrong == []
        assert refused > 50
    card = partial(card_for, folder="m")
    for option in ("folder", "repo_id", "subfolder", "template", "existing"):
        _, refused, wrong = outcomes("card_for", card, taking(option))
        assert wrong == []
        assert refused > len(ODD) - 9, option
    push = partial(push_to_hub, model=model, repo_id="org/name", dry_run=True)
    for option in ("model", "repo_id", "token", "revision", "subfolder", "variants"):
        _, refused, wrong = outcomes("push_to_hub", push, taking(option))
        assert wrong == []
        assert refused > len(ODD) - 9, option


@pytest.mark.parametrize("kind", [kind for kind, value in ODD.items() if not isinstance(value, str | None)])
def test_a_token_of_another_kind_is_not_shown(kind: str) -> None:
    token = ODD[kind]
    with pytest.raises(InvalidInputError, match=r"A Hub token is a text \(str\), or None; found \w+\.$"):
        download("org/name", token=token)
