"""Programs in JavaScript, run by node with transformers.js, on models of a folder."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path


def run_node(code: str, folder: Path, node_modules: Path) -> str:
    """What a program prints that finds its models in `folder / "models"`, and no others."""
    local = (
        'import { env as settings } from "@huggingface/transformers";\n'
        f"settings.localModelPath = {json.dumps(str(folder / 'models'))};\nsettings.allowRemoteModels = false;\n"
    )
    (folder / "program.mjs").write_text(local + code, encoding="utf-8")
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(node_modules)
    done = subprocess.run(["node", "program.mjs"], cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
