"""`m2v completion`: a script that completes the command in a shell."""

from __future__ import annotations

import argparse
import sys

from m2v_core.cli.parser import Subcommands, set_run

#: The shells for which there is a script.
SHELLS = ("bash", "zsh", "fish")

EPILOG = """\
for the shell that is open, and for all later ones:
  bash   source <(m2v completion bash)
         m2v completion bash > ~/.local/share/bash-completion/completions/m2v
  zsh    source <(m2v completion zsh)              after compinit
         m2v completion zsh > FOLDER/_m2v          a folder of $fpath
  fish   m2v completion fish | source
         m2v completion fish > ~/.config/fish/completions/m2v.fish

A file holds the commands of the packages that were installed when it was written.
"""


def register(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "completion",
        help="print a script for completion in a shell",
        description="Print a script that completes commands, options, their values and names of files in a shell.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
    set_run(parser, _run)


def _run(options: argparse.Namespace) -> int:
    from m2v_core.cli.completion_scripts import SCRIPTS
    from m2v_core.cli.completion_tree import levels_of

    sys.stdout.write(SCRIPTS[options.shell](levels_of(options.build_parser())))
    return 0
