"""`m2v search`: the passages of files that fit a query."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m2v_core.cli.documents import Document, read_documents
from m2v_core.cli.outputs import json_line
from m2v_core.cli.parser import MODEL, Subcommands, add_json, add_quiet, set_run, whole
from m2v_core.errors import InvalidInputError
from m2v_core.redact import printable
from m2v_core.storage.atomic import check_output

if TYPE_CHECKING:
    from m2v_core.model import StaticModel
    from m2v_core.search import Hit, Index

#: What `m2v_core.search` has, which is not imported to show the help.
MODES = ("dense", "lexical", "hybrid")
DTYPES = ("float32", "float16", "int8", "binary")

#: Characters of a passage that are shown, but for `--json`.
_SHOWN = 200


def register(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "search",
        help="find passages of files",
        description="Find the passages of files that fit a query best, by their meaning and their words: the score, "
        "the file and line, and the passage. A text file is cut where its subject changes; of a table, each row is a "
        "passage.",
    )
    parser.add_argument("query", metavar="QUERY", help="what to look for")
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        type=Path,
        help="UTF-8 texts with any ending; or tables: .csv, .tsv, .jsonl or .ndjson, also with .gz, or .parquet",
    )
    parser.add_argument("--model", metavar="MODEL", help=f"{MODEL}; with --index, in place of its own")
    parser.add_argument("--index", metavar="FOLDER", type=Path, help="an index, to which the files are added")
    parser.add_argument("--save", metavar="FOLDER", type=Path, help="save the index of the files")
    parser.add_argument("-k", "--hits", dest="k", type=whole(1), default=10, metavar="N", help="hits (default: 10)")
    parser.add_argument(
        "--mode",
        choices=MODES,
        help="by vectors, words or both (default: both where bm25s is installed or the index has words)",
    )
    parser.add_argument("--lines", action="store_true", help="each line of a text file is a passage")
    parser.add_argument(
        "--max-chars", type=whole(1), metavar="N", help="characters of a passage at most (default: 800)"
    )
    parser.add_argument("--text-column", metavar="NAME", help="column, or key, of the texts of a table (default: text)")
    parser.add_argument("--dtype", choices=DTYPES, help="numbers of the vectors of a new index (default: float32)")
    parser.add_argument("--threads", type=whole(1), metavar="N", help="threads of a search (default: one for each CPU)")
    add_json(parser)
    add_quiet(parser)
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    _check(options)
    documents = [
        document
        for path in options.files
        for document in read_documents(path, text_column=options.text_column, lines=options.lines)
    ]
    from m2v_core.search import Index

    if options.index is not None:
        index = Index.load(options.index, options.model)
    else:
        index = Index(options.model, dtype=options.dtype or "float32", lexical=_with_words(options))
    if documents and index.model is None:
        raise InvalidInputError(f"{options.index} has no model to embed the files. Name one with --model.")
    if index.model is not None:
        _add(index, index.model, documents, options)
    hits = index.search(options.query, k=options.k, mode=options.mode, threads=options.threads)
    if options.save is not None:
        index.save(options.save)
        if not options.quiet:
            print(f"{options.save}: {len(index)} passages", file=sys.stderr)
    if options.json:
        found = {"query": options.query, "passages": len(index), "hits": [_as_object(hit) for hit in hits]}
        print(json_line(found, sys.stdout))
        return 0
    for hit in hits:
        print(_as_line(hit))
    if not hits and not options.quiet:
        print(f"No passage of {len(index)} has a word or a token of the query.", file=sys.stderr)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raise unless the options fit each other and the output can be written."""
    if options.index is None and options.model is None:
        raise InvalidInputError("Expected a model for the files, or an index; found neither. Use --model or --index.")
    if options.index is None and not options.files:
        raise InvalidInputError("Expected files to search, or an index; found neither. Name files, or use --index.")
    if options.index is not None and options.dtype is not None:
        raise InvalidInputError("--dtype is for a new index; found --index, which has its own numbers. Leave one out.")
    if options.lines and options.max_chars is not None:
        raise InvalidInputError("--max-chars is for passages; found --lines, which are not cut. Leave one out.")
    if options.save is not None:
        check_output(options.save, folder=True)
    if options.index is not None:
        from m2v_core.search.files import read

        read(options.index)
    if options.mode in ("lexical", "hybrid"):
        from m2v_core.search.lexical import needs_bm25s

        needs_bm25s()


def _with_words(options: argparse.Namespace) -> bool:
    from importlib.util import find_spec

    return options.mode != "dense" and find_spec("bm25s") is not None


def _add(index: Index, model: StaticModel, documents: list[Document], options: argparse.Namespace) -> None:
    """Add the passages of documents."""
    from m2v_core.search import passages

    about = []
    limit = {} if options.max_chars is None else {"max_chars": options.max_chars}
    for document in documents:
        if document.line:
            found = [(document.line, document.text.strip())]
        else:
            found = [(passage.line, passage.text) for passage in passages(document.text, model, **limit)]
        about += [{"file": document.file, "line": line, "text": text} for line, text in found]
    index.add([str(each["text"]) for each in about], metadata=about)


def _as_object(hit: Hit) -> dict[str, Any]:
    about = hit.metadata if _is_ours(hit.metadata) else {"metadata": hit.metadata}
    return {"score": hit.score, "id": hit.id, **about}


def _as_line(hit: Hit) -> str:
    if not _is_ours(hit.metadata):
        return f"{hit.score:.3f}  {printable(str(hit.id))}  {printable(json_line(hit.metadata, sys.stdout))}"
    text = " ".join(hit.metadata["text"].split())
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    file, place = hit.metadata["file"], f"{hit.metadata['file']}:{hit.metadata['line']}"
    document = hit.metadata.get("document", file)
    return f"{hit.score:.3f}  {printable(place if document == file else str(document))}  {printable(shown)}"


def _is_ours(about: Any) -> bool:
    """Whether metadata is that of this command, or of `m2v index`: an index may be another's."""
    kinds = {"file": str, "line": int, "text": str}
    if not isinstance(about, dict) or not isinstance(about.get("document", ""), str | int):
        return False
    return {name: type(value) for name, value in about.items() if name != "document"} == kinds
