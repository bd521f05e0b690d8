"""`m2v pull` and `m2v push`. The Hub's token comes from HF_TOKEN or `hf auth login`, never from the command line."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from m2v_hub.cli.card import add_options, card_options

if TYPE_CHECKING:
    from m2v_core.cli.parser import Subcommands

PULL_EPILOG = """\
examples:
  m2v pull org/name                                  into the Hub's cache; its folder is printed
  m2v pull org/name --revision v1 --out my-model     a folder of its own
"""
PUSH_EPILOG = """\
examples:
  m2v push my-model org/name --dry-run
  m2v push my-model org/name --private --license mit --language en
  m2v push my-model org/name --variant int8 --variant 128d       smaller ones in subfolders, in the same commit

In CI, put a token with the right to write into HF_TOKEN.
"""


def register_pull(commands: Subcommands) -> None:
    """Add `m2v pull`."""
    parser = commands.add_parser(
        "pull",
        help="fetch a model from the Hub",
        description="Fetch a static model's files, and no others, from the Hugging Face Hub.",
        epilog=PULL_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="org/name")
    _add_place(parser, "a branch, tag or commit (default: main)")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="write the model to a folder (default: the cache)")
    parser.add_argument("--cached", action="store_true", help="make no request: take what is cached")
    parser.add_argument("--force", action="store_true", help="fetch files again even if they are cached")
    parser.set_defaults(run=_pull)


def register_push(commands: Subcommands) -> None:
    """Add `m2v push`."""
    parser = commands.add_parser(
        "push",
        help="publish a model on the Hub",
        description="Publish a model on the Hugging Face Hub, with a card, in one commit.",
        epilog=PUSH_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a model's folder; what starts with a dot stays")
    parser.add_argument("model", metavar="MODEL", help="org/name; made if it is not there")
    _add_place(parser, "the branch (default: main)")
    parser.add_argument("--private", action="store_true", default=None, help="a private repository, or none")
    parser.add_argument("--message", metavar="TEXT", help="the commit's first line")
    parser.add_argument("--create-pr", action="store_true", help="open a pull request")
    parser.add_argument(
        "--variant",
        dest="variants",
        action="append",
        metavar="NAME",
        help="publish a smaller model in a subfolder too: a dtype (int8), dimensions (128d), or both (128d-int8); "
        "may be repeated",
    )
    add_options(parser.add_argument_group("for the model card"))
    parser.add_argument("--dry-run", action="store_true", help="publish nothing: print what would be")
    parser.set_defaults(run=_push)


def _add_place(parser: argparse.ArgumentParser, revision: str) -> None:
    parser.add_argument("--revision", metavar="R", help=revision)
    parser.add_argument("--subfolder", metavar="PATH", help="the model's place inside the repository")


def _pull(options: argparse.Namespace) -> int:
    from m2v_hub.download import MODEL_FILES, download

    folder = download(
        options.model,
        revision=options.revision,
        subfolder=options.subfolder,
        local_files_only=options.cached,
        force_download=options.force,
    )
    model = folder / (options.subfolder or ".")
    if options.out is None:
        print(model)
    else:
        _copy(model, options.out, MODEL_FILES)
        print(options.out)
    return 0


def _copy(source: Path, target: Path, names: Sequence[str]) -> None:
    """Copy those of the files that are there, so that `target` becomes the model in one step; its other files stay."""
    from m2v_core.storage.atomic import replaced_folder
    from m2v_core.storage.format import CONFIG_FILE, MODULES_FILE

    there = [name for name in names if (source / name).is_file()]
    last = CONFIG_FILE if CONFIG_FILE in there else MODULES_FILE
    with replaced_folder(target, owned={name.split("/")[0] for name in names}, last=last) as staging:
        for name in there:
            (staging / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, staging / name)


def _push(options: argparse.Namespace) -> int:
    from huggingface_hub.utils.tqdm import disable_progress_bars

    from m2v_hub.push import push_to_hub

    if not sys.stderr.isatty():
        disable_progress_bars()
    done = push_to_hub(
        options.folder,
        options.model,
        private=options.private,
        revision=options.revision,
        subfolder=options.subfolder,
        commit_message=options.message,
        create_pr=options.create_pr,
        **card_options(options),
        variants=options.variants,
        dry_run=options.dry_run,
    )
    if options.dry_run:
        for path, size in done.files.items():
            print(f"upload  {size:>13,}  {path}")
        for path in done.deleted:
            print(f"delete  {'':>13}  {path}")
        print(f"nothing was published at {done}", file=sys.stderr)
    else:
        print(done)
    return 0
