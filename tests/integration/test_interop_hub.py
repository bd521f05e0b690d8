"""What we push is what the peers pull, by their own code, from a Hub on this machine; and the other way round."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("model2vec", reason="needs model2vec and sentence-transformers: nox -s interop")
pytest.importorskip("sentence_transformers", reason="needs model2vec and sentence-transformers: nox -s interop")

from conftest import GOLDEN, make_model
from hub.loopback import Hub, running
from hub.processes import WRITER, load, loads, process, push
from m2v_core import StaticModel

pytestmark = pytest.mark.interop

TEXTS = ["good day", "bad"]
PEERS = {
    "model2vec": "from model2vec import StaticModel; model = StaticModel.from_pretrained(sys.argv[1])",
    "sentence-transformers": "from sentence_transformers import SentenceTransformer as S; model = S(sys.argv[1])",
}
ENCODE = "\nprint(json.dumps(model.encode(json.loads(sys.argv[2])).tolist()))"


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_pulls_what_we_push(peer: str, tmp_path: Path) -> None:
    model = make_model("wordlevel", normalize=True)
    table = model.embedding.copy()
    table[model.unk_token_id] = 0  # then sentence-transformers agrees
    model = StaticModel(table, model.stored.tokenizer_json, model.config)
    model.save_pretrained(tmp_path / "model")
    with running(Hub(writers={WRITER: "org"})) as hub:
        python = process(hub, tmp_path / "cache")
        loads(push(python, tmp_path / "model", "org/new"))
        code = f"import json, sys\n{PEERS[peer]}{ENCODE}"
        vectors = loads(python(code, "org/new", json.dumps(TEXTS)))
    np.testing.assert_allclose(vectors, model.encode(TEXTS), atol=1e-6)


def test_we_pull_what_model2vec_pushes(tmp_path: Path) -> None:
    code = """
import json, sys
from model2vec import StaticModel
StaticModel.from_pretrained(sys.argv[1]).push_to_hub("org/new", token=sys.argv[2])
print("{}")
"""
    folder = GOLDEN / "students/model2vec"
    with running(Hub(writers={WRITER: "org"})) as hub:
        python = process(hub, tmp_path / "cache")
        loads(python(code, folder, WRITER))
        vectors = loads(load(python, "org/new"))["vectors"]
        loads(push(python, folder, "org/new"))  # over the peer's
        assert loads(load(python, "org/new"))["vectors"] == vectors
    np.testing.assert_allclose(vectors, StaticModel.from_pretrained(folder).encode(TEXTS), atol=1e-6)
