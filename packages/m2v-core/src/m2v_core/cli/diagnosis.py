"""What `m2v doctor` finds out: facts about the installation, and checks of it, as plain values."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from m2v_core.cli.packages import OURS, our_versions, requirements_of, version_of
from m2v_core.redact import redacted

#: Variables that change how m2v works, or the libraries that it uses.
VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"),
    *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "M2V_API_KEY", "HF_HUB_DISABLE_XET"),
    *("JAX_PLATFORMS", "XLA_FLAGS", "CUDA_VISIBLE_DEVICES", "JAX_COMPILATION_CACHE_DIR"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM", "NO_COLOR", "PYTHONPATH"),
)

#: Variables of which only this is said: that they are set.
SECRETS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "M2V_API_KEY"})

#: What core runs without, and what is missing then.
DISPENSABLE = {"tokenizers": "some tokenizers, and texts in some scripts, are errors", "tqdm": "no progress is shown"}

#: Packages whose versions are of interest in a report of a fault.
OTHERS = (
    *("numpy", "safetensors", "tokenizers", "tqdm", "huggingface_hub", "jax", "jaxlib", "flax", "optax"),
    *("transformers", "scikit-learn", "torch", "pyarrow"),
)

_DEVICES = "import jax, json; print(json.dumps([f'{d.platform}:{d.id} {d.device_kind}' for d in jax.devices()]))"

#: What a package's own process imports: its public names, and with them the libraries that it needs.
IMPORTS = {
    "m2v-distill": f"from m2v_distill import *; {_DEVICES}",
    "m2v-train": f"from m2v_train import *; {_DEVICES}",
    "m2v-hub": "from m2v_hub import *",
}
_SECONDS = 120


def diagnose() -> dict[str, Any]:
    """Facts about the installation, and checks of it. No request is made, and only a temporary folder is written."""
    from m2v_core.cli.selftest import self_test

    versions = our_versions()
    running = {name: _started(code) for name, code in IMPORTS.items() if versions[name]}
    checks = [*_requirement_checks(versions), *self_test()]
    devices: list[str] = []
    for name, process in running.items():
        check, found = _ended(name, process)
        checks.append(check)
        devices = found or devices
    cache = hub_cache(os.environ)
    return {
        "ok": all(check["ok"] for check in checks),
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "executable": sys.executable,
            "virtual_environment": sys.prefix != sys.base_prefix,
        },
        "system": {"platform": platform.platform(), "machine": platform.machine(), "cpus": _cpus()},
        "packages": {**versions, **{name: version_of(name) for name in OTHERS}},
        "devices": devices,
        "cache": cache,
        "variables": shown_variables(os.environ),
        "extras": _extras(versions),
        "checks": checks,
        "notes": list(_notes(versions, cache)),
    }


def _cpus() -> int:
    from m2v_core.threads import available_cpus

    return available_cpus()


def _check(name: str, problem: str | None) -> dict[str, Any]:
    return {"name": name, "ok": problem is None, "detail": problem or ""}


def _requirement_checks(versions: Mapping[str, str | None]) -> Iterator[dict[str, Any]]:
    """One check for each package of ours that is installed: what it always needs is there, in a version that fits."""
    for name, version in versions.items():
        if version is not None:
            needs = [each for each in requirements_of(name) if each.extra is None]
            problems = [each.problem for each in needs if each.problem and each.name not in _dispensed()]
            yield _check(f"what {name} needs", "; ".join(problems) or None)


def _dispensed() -> list[str]:
    return [name for name in DISPENSABLE if version_of(name) is None]


def _started(code: str) -> subprocess.Popen[str]:
    """A process that imports a package: a fault in it, or memory that it takes of a device, ends with the process."""
    return subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="backslashreplace",
        env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "HF_HUB_OFFLINE": "1"},
    )


def _ended(name: str, process: subprocess.Popen[str]) -> tuple[dict[str, Any], list[str]]:
    """The check of a package's import, and the names of the devices that it found."""
    try:
        out, err = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return _check(f"import of {name}", f"not done after {_SECONDS} s"), []
    if process.returncode:
        last = err.strip().splitlines()[-1:] or [f"the process ended with {process.returncode}"]
        return _check(f"import of {name}", redacted(last[0])), []
    found = [line for line in out.splitlines() if line.startswith("[")]
    return _check(f"import of {name}", None), [str(device) for device in json.loads(found[-1])] if found else []


def hub_cache(environment: Mapping[str, str]) -> dict[str, Any]:
    """The folder in which huggingface_hub keeps models, by its own rule, without importing it.

    Example:
        >>> hub_cache({"HF_HOME": "/nowhere"})["exists"]
        False
    """
    home = environment.get("XDG_CACHE_HOME") or "~/.cache"
    hub = environment.get("HF_HOME") or f"{home}/huggingface"
    folder = Path(os.path.expanduser(environment.get("HF_HUB_CACHE") or f"{hub}/hub"))  # noqa: PTH111 - no home: as it is
    there = next((each for each in (folder, *folder.parents) if each.is_dir()), None)
    try:
        models = sum(path.name.startswith("models--") for path in folder.iterdir()) if folder.is_dir() else 0
        free = None if there is None else shutil.disk_usage(there).free
    except OSError:
        models, free = 0, None
    return {
        "folder": str(folder),
        "exists": folder.is_dir(),
        "writable": there is not None and os.access(there, os.W_OK | os.X_OK),
        "models": models,
        "free_bytes": free,
    }


def shown_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of `VARIABLES` that are set, in any case of letters, without keys, tokens and passwords.

    Example:
        >>> shown_variables({"https_proxy": "http://me:secret@proxy:3128", "HF_TOKEN": "hf_abc", "HOME": "/root"})
        {'https_proxy': 'http://***@proxy:3128', 'HF_TOKEN': 'set'}
    """
    shown = {}
    for name in (spelling for known in VARIABLES for spelling in (known, known.lower())):
        if value := environment.get(name):
            secret = name.upper() in SECRETS
            shown[name] = "set" if secret else redacted(re.sub(r"(?<=//)[^/@\s]*(?:@[^/@\s]*)*@", "***@", value))
    return shown


def _extras(versions: Mapping[str, str | None]) -> dict[str, dict[str, Any]]:
    """The extras of the packages that are installed, and what is missing of each."""
    found: dict[str, dict[str, Any]] = {}
    for name in OURS:
        for each in requirements_of(name) if versions[name] else ():
            if each.extra is not None:
                missing = found.setdefault(f"{name}[{each.extra}]", {"installed": True, "missing": []})["missing"]
                missing += [each.name] if each.problem else []
    return {name: {**extra, "installed": not extra["missing"]} for name, extra in found.items()}


def _notes(versions: Mapping[str, str | None], cache: Mapping[str, Any]) -> Iterator[str]:
    for name in _dispensed():
        yield f"{name} is not installed: {DISPENSABLE[name]}"
    if versions["m2v-hub"] and not cache["writable"]:
        yield f"{cache['folder']} cannot be written: models of the Hub are read from it, but not downloaded"
    if versions["m2v-hub"] is None:
        yield "m2v-hub is not installed: models are local folders (org/name needs pip install m2v-hub)"
