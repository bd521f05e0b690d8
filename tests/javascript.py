"""Our JavaScript in Node: modules of the exported page, called with JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

#: Contents of vocabulary.json, each with texts.
Tokenizers = list[tuple[dict[str, Any], list[str]]]

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


def ids_in(run: Callable[[str, object], Any], tokenizers: Tokenizers) -> list[list[list[int]]]:
    """The ids of texts by each tokenizer, the unknown token's included, by a function that runs scripts."""
    script = """
        const { Tokenizer } = await load("tokenizer.js");
        print(input.map(([data, texts]) => {
          const tokenizer = new Tokenizer(data);
          return texts.map((text) => tokenizer.withUnknown(text));
        }));
    """
    found: list[list[list[int]]] = run(script, tokenizers)
    return found


def ids_in_node(tokenizers: Tokenizers) -> list[list[list[int]]]:
    """The same, in Node."""
    return ids_in(node, tokenizers)
