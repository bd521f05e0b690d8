"""The command `m2v index`."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m2v_core.cli.documents import Document, read_documents
from m2v_core.cli.outputs import json_line
from m2v_core.cli.parser import TABLES, Subcommands, add_json, add_quiet, set_run
from m2v_core.cli.search import DTYPES
from m2v_core.errors import InvalidInputError
from m2v_core.options import add_options, chosen
from m2v_core.storage.atomic import check_output
from m2v_distill.cli.distill import TEACHER_OPTIONS, add_source_options
from m2v_distill.collection.config import CollectionConfig
from m2v_distill.config import DistillConfig
from m2v_distill.logs import notes_on_stderr
from m2v_distill.teacher.engine.resume import ChunkStore
from m2v_distill.teacher.source import check_reference

if TYPE_CHECKING:
    from m2v_distill.collection.documents import DocumentPassage
    from m2v_distill.teacher.teacher import Teacher

EPILOG = """\
examples:
  m2v index sentence-transformers/all-MiniLM-L6-v2 docs/*.md --out my-index
  m2v index ./my-teacher articles.jsonl --out my-index --text-column body --id-column url
  m2v index ./my-teacher new.jsonl --out my-index --add                add documents, by the same teacher

then: m2v search "what to look for" --index my-index                   needs m2v-core[search] alone
"""

#: Options of the fit, all but the prompts, which are those of the teacher.
FIT_OPTIONS = ("query_prompt", "sentences", "sample", "seed", "strength", "quantize_to", "resume")

#: Parts of the forward pass, each with a store of its own.
PARTS = ("tokens", "passages", "sentences")


def register(commands: Subcommands) -> None:
    """Add the command to `m2v`; JAX is not imported before it runs."""
    parser = commands.add_parser(
        "index",
        help="index documents by a sentence transformer, for queries by a student",
        description="Embed documents with a sentence transformer, fit a static model to them that embeds queries in "
        "the same space, and write both, with the words of the documents, as an index for m2v search.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("teacher", metavar="TEACHER", help="a folder, or org/name on the Hugging Face Hub")
    parser.add_argument(
        "documents", metavar="DOCUMENTS", nargs="+", type=Path, help=f"UTF-8 texts with any ending; or tables: {TABLES}"
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="the folder to write")
    parser.add_argument("--add", action="store_true", help="add the documents to the index in FOLDER")
    add_options(parser, DistillConfig, ("text_column",))
    parser.add_argument("--id-column", metavar="NAME", help="column, or key, of the ids (default: file and line)")
    parser.add_argument("--lines", action="store_true", help="each line of a text file is a document")
    parser.add_argument(
        "--student",
        metavar="MODEL",
        help="a static model that knows the words that the documents lack (default: the teacher's tokens)",
    )
    add_options(parser, CollectionConfig, FIT_OPTIONS, resume=False)
    parser.add_argument("--dtype", choices=DTYPES, help="numbers of the vectors of a new index (default: float32)")
    parser.add_argument("--no-words", action="store_true", help="leave out the words, and so BM25")
    add_options(parser, DistillConfig, TEACHER_OPTIONS)
    add_source_options(parser)
    add_json(parser)
    add_quiet(parser)
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    given = chosen(options, DistillConfig)
    settings = DistillConfig(**{name: given[name] for name in TEACHER_OPTIONS if name in given})
    fit = {name: value for name, value in chosen(options, CollectionConfig).items() if name in FIT_OPTIONS}
    config = CollectionConfig(**{"resume": False, **fit}, prompt=settings.prompt, prompt_name=settings.prompt_name)
    _check(options, set(fit) - {"resume"})
    check_reference(options.teacher)
    documents = [
        document
        for path in options.documents
        for document in read_documents(
            path, text_column=given.get("text_column"), id_column=options.id_column, lines=options.lines
        )
    ]
    if not documents:
        raise InvalidInputError("Expected documents; found none. Are the files empty?")
    with nullcontext() if options.quiet else notes_on_stderr():
        return _index(options, documents, settings, config)


def _check(options: argparse.Namespace, fit: set[str]) -> None:
    """Raise unless the options fit each other and the output can be written."""
    check_output(options.out, folder=True)
    if not options.add:
        return
    from m2v_core.search.files import read

    read(options.out)
    unused = {"student": options.student, "dtype": options.dtype, "no_words": options.no_words or None}
    if found := [*sorted(fit), *(name for name, value in unused.items() if value is not None)]:
        raise InvalidInputError(
            f"--add leaves the student and the form of the index as they are; found "
            f"{', '.join(options.flags.get(name, name) for name in found)}. Leave out one or the other."
        )


def _index(
    options: argparse.Namespace, documents: list[Document], settings: DistillConfig, config: CollectionConfig
) -> int:
    started = time.perf_counter()
    from m2v_core.search import Index
    from m2v_distill.collection.pipeline import add_documents, fitted
    from m2v_distill.pipeline import load_teacher

    out = options.out.resolve()
    folder = out.parent / f"{out.name}.chunks"
    stores = [ChunkStore(folder / part) for part in PARTS]
    if not options.quiet and not config.resume and any(store.found() for store in stores):
        print(f"{folder} holds parts of an interrupted run: --resume continues from them", file=sys.stderr)
    config = replace(config, checkpoint_dir=folder, show_progress_bar=False if options.quiet else None)
    index = Index.load(options.out) if options.add else None
    teacher: Teacher = load_teacher(
        options.teacher, settings, trust_remote_code=options.trust_remote_code, revision=options.revision
    )
    by_id = {document.id: document for document in documents}

    def about(passage: DocumentPassage) -> dict[str, Any]:
        document = by_id[passage.document]
        place = {"file": document.file, "line": document.line or passage.line}
        return {"document": passage.document, **place, "text": passage.text}

    texts = [(document.id, document.text) for document in documents]
    try:
        if index is not None:
            passages = add_documents(index, teacher, texts, about, config=config)
        else:
            words = not options.no_words and find_spec("bm25s") is not None
            collection = fitted(teacher, texts, config, student=options.student)
            index = collection.index(about, lexical=words, dtype=options.dtype or "float32")
            passages = collection.passages
    except KeyboardInterrupt:
        if any(store.found() for store in stores):
            print(f"{folder} holds the finished part: the same command with --resume continues", file=sys.stderr)
        raise
    index.save(options.out)
    for store in stores:
        store.discard()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    seconds = time.perf_counter() - started
    if options.json:
        counts = {
            "documents": len(documents),
            "passages": len(passages),
            "entries": len(index),
            "dimensions": index.dim,
        }
        print(json_line({"out": str(options.out), **counts, "seconds": seconds}, sys.stdout))
    elif not options.quiet:
        result = f"{len(documents)} documents {'added' if options.add else 'indexed'}, {len(passages)} passages"
        print(
            f"{options.out}: {result}; {len(index)} entries x {index.dim}, {seconds:.1f} s\n"
            f"use it: m2v search QUERY --index {options.out}",
            file=sys.stderr,
        )
    return 0
