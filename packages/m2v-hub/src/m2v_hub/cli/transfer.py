"""`m2v pull` and `m2v push`. The Hub token comes from HF_TOKEN or `hf auth login`, never from the command line."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from m2v_core.cli.outputs import json_line
from m2v_core.cli.parser import Subcommands, add_json, add_quiet, set_run
from m2v_core.options import add_options
from m2v_hub.card.options import CardOptions
from m2v_hub.cli.options import card_options

PULL_EPILOG = """\
examples:
  m2v pull org/name                                  into the Hub's cache; the folder is printed
  m2v pull org/name --revision v1 --out my-model     into a folder of its own
"""
PUSH_EPILOG = """\
examples:
  m2v push my-model org/name --dry-run
  m2v push my-model org/name --private --license mit --language en
  m2v push my-model org/name --variant int8 --variant 128d       smaller models in subfolders, in the same commit

The Hub token comes from `hf auth login` or, in CI, from HF_TOKEN. It needs the right to write.
"""


def register_pull(commands: Subcommands) -> None:
    """Add `m2v pull`."""
    parser = commands.add_parser(
        "pull",
        help="download a model from the Hub",
        description="Download a static model's files, and no others, from the Hugging Face Hub.",
        epilog=PULL_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="repository id, org/name")
    _add_location(parser, "branch, tag or commit (default: main)")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="write the model to a folder (default: the cache)")
    parser.add_argument("--cached", action="store_true", help="make no request, and use what is cached")
    parser.add_argument("--force", action="store_true", help="download files again even if they are cached")
    add_json(parser)
    add_quiet(parser)
    set_run(parser, _pull)


def register_push(commands: Subcommands) -> None:
    """Add `m2v push`."""
    parser = commands.add_parser(
        "push",
        help="publish a model on the Hub",
        description="Publish a model on the Hugging Face Hub, with a card, in one commit.",
        epilog=PUSH_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a model folder; hidden files are not published")
    parser.add_argument("model", metavar="MODEL", help="repository id, org/name; created if it does not exist")
    _add_location(parser, "branch (default: main)")
    parser.add_argument(
        "--private", action="store_true", default=None, help="create a private repository; refuse a public one"
    )
    parser.add_argument("--message", metavar="TEXT", help="first line of the commit's message")
    parser.add_argument("--create-pr", action="store_true", help="open a pull request")
    parser.add_argument(
        "--variant",
        dest="variants",
        action="append",
        metavar="NAME",
        help="also publish a smaller model in a subfolder: a dtype (int8), dimensions (128d), or both (128d-int8); "
        "may be repeated",
    )
    parser.add_argument(
        "--compiled", action="store_true", help="also publish the compiled vocabulary, for a quick start"
    )
    parser.add_argument(
        "--onnx",
        action="store_true",
        help="also publish onnx/model.onnx, for transformers.js and others (pip install m2v-core[onnx])",
    )
    add_options(parser.add_argument_group("options of the model card"), CardOptions)
    parser.add_argument("--dry-run", action="store_true", help="publish nothing, and print what would be published")
    add_json(parser)
    add_quiet(parser)
    set_run(parser, _push)


def _add_location(parser: argparse.ArgumentParser, revision: str) -> None:
    parser.add_argument("--revision", metavar="R", help=revision)
    parser.add_argument("--subfolder", metavar="PATH", help="path of the model inside the repository")


def _pull(arguments: argparse.Namespace) -> int:
    from m2v_core.storage.atomic import check_output
    from m2v_hub.fetch import MODEL_FILES, download

    if arguments.out is not None:
        check_output(arguments.out, folder=True)
    _limit_progress(arguments)
    snapshot = download(
        arguments.model,
        revision=arguments.revision,
        subfolder=arguments.subfolder,
        local_files_only=arguments.cached,
        force_download=arguments.force,
    )
    folder = snapshot / (arguments.subfolder or ".")
    if arguments.out is not None:
        _copy(folder, arguments.out, MODEL_FILES)
        folder = arguments.out
    if arguments.json:
        result = {"model": arguments.model, "commit": snapshot.name, "folder": str(folder)}
        print(json_line(result, sys.stdout))
    else:
        print(folder)
    return 0


def _copy(source: Path, target: Path, names: Sequence[str]) -> None:
    """Make `target` a copy of the model in one step; its other files stay."""
    from m2v_core.storage.atomic import replaced_folder
    from m2v_core.storage.format import CONFIG_FILE, MODULES_FILE

    present = [name for name in names if (source / name).is_file()]
    last = CONFIG_FILE if CONFIG_FILE in present else MODULES_FILE
    with replaced_folder(target, owned={name.split("/")[0] for name in names}, last=last) as staging:
        for name in present:
            (staging / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, staging / name)


def _push(arguments: argparse.Namespace) -> int:
    from m2v_hub.push import push_to_hub

    options = card_options(arguments)
    _limit_progress(arguments)
    done = push_to_hub(
        arguments.folder,
        arguments.model,
        private=arguments.private,
        revision=arguments.revision,
        subfolder=arguments.subfolder,
        commit_message=arguments.message,
        create_pr=arguments.create_pr,
        **options,
        variants=arguments.variants,
        compiled=arguments.compiled,
        onnx=arguments.onnx,
        dry_run=arguments.dry_run,
    )
    if arguments.json:
        result = {"url": done.url, "commit": done.commit, "files": dict(done.files), "deleted": list(done.deleted)}
        print(json_line(result, sys.stdout))
    elif arguments.dry_run:
        for path, size in done.files.items():
            print(f"upload  {size:>13,}  {path}")
        for path in done.deleted:
            print(f"delete  {'':>13}  {path}")
    else:
        print(done)
    if arguments.dry_run and not arguments.quiet:
        print(f"nothing was published at {done}", file=sys.stderr)
    return 0


def _limit_progress(arguments: argparse.Namespace) -> None:
    """Turn huggingface_hub's progress bars off where nobody wants or sees them."""
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if arguments.quiet or not sys.stderr.isatty():
        disable_progress_bars()
