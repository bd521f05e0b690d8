"""`m2v doctor`: whether all that is installed is in order."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from m2v_core.cli.parser import Subcommands, add_json, set_run


def register(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="check the installation",
        description="Check the installation: versions, devices, the cache, environment variables, extras, and a "
        "self-test that embeds, saves, loads and predicts with a tiny model. Makes no request. Keys, tokens and "
        "passwords are not shown. The exit code is 1 if anything is broken.",
    )
    add_json(parser)
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    from m2v_core.cli.diagnosis import diagnose
    from m2v_core.cli.outputs import json_line

    found = diagnose()
    print(json_line(found, sys.stdout) if options.json else "\n".join(_lines(found)))
    return 0 if found["ok"] else 1


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    from m2v_core.redact import printable

    bold, red, green, plain = _colours()
    for title, rows in _sections(found).items():
        yield f"{bold}{title}{plain}"
        width = max(len(name) for name, _ in rows)
        for name, text in rows:
            yield f"  {name:<{width}}  {printable(text)}"
        yield ""
    yield f"{bold}Checks{plain}"
    for check in found["checks"]:
        mark = f"{green}ok    {plain}" if check["ok"] else f"{red}BROKEN{plain}"
        detail = f": {printable(check['detail'])}" if check["detail"] else ""
        yield f"  {mark}  {printable(check['name'])}{detail}"
    for note in found["notes"]:
        yield f"  note    {printable(note)}"
    broken = sum(not check["ok"] for check in found["checks"])
    yield ""
    yield f"{red}{broken} of {len(found['checks'])} checks failed.{plain}" if broken else "All is in order."


def _sections(found: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    python, system, cache, devices = (found[name] for name in ("python", "system", "cache", "devices"))
    size = "" if cache["free_bytes"] is None else f", {cache['free_bytes'] / 1e9:.1f} GB free"
    state = ("writable" if cache["writable"] else "read-only") if cache["exists"] else "not there yet"
    extras = {
        name: "installed" if extra["installed"] else f"missing: {', '.join(extra['missing'])}"
        for name, extra in found["extras"].items()
    }
    return {
        "System": [
            ("Python", f"{python['version']} ({python['implementation']}), {python['executable']}"),
            ("platform", f"{system['platform']}, {system['machine']}"),
            ("CPUs", str(system["cpus"])),
            ("devices of JAX", ", ".join(devices) or "none, or no JAX: m2v-core computes on CPUs"),
            ("cache", f"{cache['folder']}: {state}, {cache['models']} models{size}"),
        ],
        "Packages": [(name, version or "not installed") for name, version in found["packages"].items()],
        "Extras": list(extras.items()) or [("none", "")],
        "Variables": list(found["variables"].items()) or [("none", "")],
    }


def _colours() -> tuple[str, str, str, str]:
    """Escape sequences for bold, red, green and back; empty unless stdout is a terminal that wants them."""
    from m2v_core.cli.colours import wants_colours

    return ("\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[0m") if wants_colours(sys.stdout) else ("", "", "", "")
