"""Our JavaScript in Node: modules of the exported page, called with JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

STATIC = Path(str(files("m2v_core.web") / "static"))

#: Skips tests where there is no Node.
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


def node(script: str, value: object, folder: Path = STATIC) -> Any:
    """What a script prints as JSON. It finds the parsed value as `input`, and a function that imports our modules."""
    # The value goes through stdin, which has no limit.
    setup = f"""
        import {{ readFileSync }} from "node:fs";
        const input = JSON.parse(readFileSync(0, "utf8"));
        const load = (name) => import({json.dumps(folder.as_uri() + "/")} + name);
        const print = (value) => process.stdout.write(JSON.stringify(value));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", setup + script],
        input=json.dumps(value),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ids_in_node(tokenizers: list[tuple[dict[str, Any], list[str]]]) -> list[list[list[int]]]:
    """The ids of texts by each tokenizer, a content of vocabulary.json, the unknown token's included."""
    script = """
        const { Tokenizer } = await load("tokenizer.js");
        print(input.map(([data, texts]) => {
          const tokenizer = new Tokenizer(data);
          return texts.map((text) => tokenizer.withUnknown(text));
        }));
    """
    return node(script, tokenizers)
