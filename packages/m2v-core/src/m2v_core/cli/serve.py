"""`m2v serve`: models over HTTP."""

from __future__ import annotations

import argparse
import os
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from m2v_core.cli.parser import Subcommands, set_run
from m2v_core.errors import InvalidInputError, spelt
from m2v_core.options import add_options, chosen
from m2v_core.serve.config import ServeConfig

if TYPE_CHECKING:
    import socket

    from m2v_core.model import StaticModel
    from m2v_core.search import Index

#: Where the key may be, besides a file: an argument would show in the list of processes.
KEY_VARIABLE = "M2V_API_KEY"


def register(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "serve",
        help="answer requests over HTTP, as OpenAI's API (pip install m2v-core[serve])",
        description="Serve models over HTTP: OpenAI's /v1/embeddings and /v1/models, /embed, /info and /predict of "
        "text-embeddings-inference, /search of an index, /healthz, /readyz, /metrics for Prometheus, and /docs, which "
        "describes them. SIGTERM and Ctrl-C stop it once all requests are answered.",
    )
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="+",
        help="a model folder, or org/name (pip install m2v-hub); NAME=MODEL serves it under another name than the "
        "folder's. The first one is for requests that name none",
    )
    parser.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help=f"file with the key that clients must send (default: the environment variable {KEY_VARIABLE}, or no key)",
    )
    parser.add_argument(
        "--index",
        metavar="FOLDER",
        help="answer POST /search with this index (see m2v search); one without a model gets the first MODEL",
    )
    add_options(parser, ServeConfig)
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on stderr but warnings and errors")
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    from m2v_core.serve import check_installed
    from m2v_core.storage.resolve import resolve

    config = ServeConfig(**chosen(options, ServeConfig))
    references = named(options.models)
    check_installed()
    key = _key(options.api_key_file)
    from m2v_core.serve.server import bound_socket, run

    with bound_socket(config.host, config.port) as bound:
        folders = {name: resolve(reference) for name, reference in references.items()}
        from m2v_core.pipeline import StaticModelPipeline, load
        from m2v_core.serve.app import create_app

        index = None if options.index is None else _index(options.index)
        models = {name: load(folder) for name, folder in folders.items()}
        if index is not None and index.model is None:
            first = next(iter(models.values()))
            index = _index(options.index, first.model if isinstance(first, StaticModelPipeline) else first)
        app = create_app(models, config, index=index, api_key=key)
        _log(config)
        if key is None and not is_loopback(bound):
            print(
                f"m2v: warning: anybody who reaches {config.host} can use this server. Set a key with --api-key-file "
                f"or {KEY_VARIABLE}.",
                file=sys.stderr,
            )

        def started() -> None:
            if not options.quiet:
                print(f"Serving {', '.join(models)} at {_address(bound)} (see {_address(bound)}/docs)", file=sys.stderr)

        state = run(app, bound, config, started)
    if not options.quiet:
        print(f"Stopped: {state.answered} of {state.accepted} requests answered", file=sys.stderr)
    return int(state.answered != state.accepted)


def named(references: list[str]) -> dict[str, str]:
    """Models by name: that before `=`, that of a folder, or that on the Hub.

    Raises:
        InvalidInputError: A name is empty, or stands for two models.

    Example:
        >>> named(["some/folder/small", "text-embedding-3-small=org/name"])
        {'some/folder/small': 'some/folder/small', 'text-embedding-3-small': 'org/name'}
    """
    found: dict[str, str] = {}
    for reference in references:
        if Path(reference).is_dir():
            name, model = Path(reference).resolve().name, reference
        else:
            name, separator, model = reference.partition("=")
            model = model if separator else name
        name = spelt(name)  # answers are JSON, of Unicode
        if not name or not model:
            raise InvalidInputError(f"Expected a model, or NAME=MODEL; found {reference!r}.")
        if name in found:
            raise InvalidInputError(
                f"Expected a name of its own for each model; found {name!r} twice. Name one of them: NAME={model}"
            )
        found[name] = model
    return found


def _index(folder: str, model: StaticModel | None = None) -> Index:
    from m2v_core.search import Index

    return Index.load(folder, model)


def _key(file: Path | None) -> str | None:
    from m2v_core.serve.app import check_key

    variable = os.environ.get(KEY_VARIABLE)
    if file is None:
        if variable is not None:
            check_key(variable, KEY_VARIABLE)
        return variable
    if variable is not None:
        raise InvalidInputError(f"Expected one key; found --api-key-file and {KEY_VARIABLE}. Take one away.")
    try:
        key = file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        key = "\0"
    check_key(key, str(file))
    return key


def _log(config: ServeConfig) -> None:
    import logging

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    if config.log_requests:
        logging.getLogger("m2v_core.serve").setLevel(logging.INFO)


def is_loopback(bound: socket.socket) -> bool:
    """Whether a socket can be reached from this machine alone."""
    return ip_address(bound.getsockname()[0]).is_loopback


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
