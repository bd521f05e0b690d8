"""The names of model2vec that m2v-hub answers; m2v-core finds the table by the entry-point group `m2v.compat`."""

from __future__ import annotations

from collections.abc import Mapping

_HOME = "m2v_hub.compat.cards"

#: Module of model2vec -> public name -> the module of ours with that name.
MODULES: Mapping[str, Mapping[str, str]] = {
    "model2vec.modelcards": {"create_model_card": _HOME, "get_metadata_from_readme": _HOME},
}
