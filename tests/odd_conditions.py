"""Every command of `m2v` under conditions that it seldom meets: folders, streams, users, limits and names."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from conftest import GOLDEN, make_model
from forks import Forks
from m2v_core.search import Index
from teacher_files import write_tokenizer
from tokenizer_files import wordpiece

ENCODINGS = tuple(f"encodings.{name}" for name in ("utf_8_sig", "utf_32_le", "idna", "ascii", "unicode_escape"))

#: What commands import late: a process that may not read the packages has it already.
IMPORTED = (
    *(
        "m2v_core.cli.main",
        "m2v_core.embed.run",
        "m2v_core.search.index",
        "m2v_core.serve.server",
        "m2v_core.serve.app",
    ),
    *("m2v_core.sentence_transformers", "m2v_core.web.export", "m2v_core.onnx.export", "m2v_core.verification"),
    *("m2v_hub.push", "m2v_hub.fetch", "m2v_hub.card.card", "huggingface_hub.repocard", "concurrent.futures.thread"),
    *(*ENCODINGS, "bm25s"),  # the last starts JAX where that is installed, which no fork may then use
)

#: The same for commands that start JAX.
IMPORTED_JAX = (
    *("m2v_core.cli.main", "m2v_distill.pipeline", "m2v_distill.corpus.featurize", "m2v_distill.collection.pipeline"),
    *("m2v_train.classification", "m2v_train.engine.fitting", "sklearn.decomposition", "huggingface_hub.repocard"),
    *("transformers.models.auto.tokenization_auto", "transformers.models.auto.configuration_auto", *ENCODINGS),
)

#: Commands, of files in the folder that `prepare` fills; `out` is another for each.
COMMANDS: dict[str, tuple[str, ...]] = {
    "encode": ("encode", "m", "a.txt", "--out", "out.npy"),
    "encode stdin": ("encode", "m"),
    "info": ("info", "m"),
    "predict": ("predict", "h", "a.txt"),
    "evaluate": ("evaluate", "h", "t.csv", "--save", "--dataset", "org/data"),
    "search": ("search", "good", "a.txt", "--lines", "--model", "m", "--save", "out"),
    "search an index": ("search", "good", "--index", "i", "--json"),
    "embed": ("embed", "m", "a.txt", "--out", "out"),
    "serve": ("serve", "m", "--port", "0"),
    "quantize": ("quantize", "m", "out", "--quantize-to", "int8"),
    "compile": ("compile", "m"),
    "export onnx": ("export", "onnx", "m", "out"),
    "export sentence-transformers": ("export", "sentence-transformers", "m", "out"),
    "export web": ("export", "web", "m", "out"),
    "completion": ("completion", "bash"),
    "versions": ("--version",),
    "help": ("--help",),
    "card": ("card", "m"),
    "push": ("push", "m", "org/name", "--dry-run"),
    "pull": ("pull", "org/name", "--out", "out"),
    "evaluate-mteb": ("evaluate-mteb", "m", "--tasks", "STS12"),
    "no such model": ("info", "none"),
}

#: Those that start processes of their own.
CHECKS: dict[str, tuple[str, ...]] = {"verify": ("verify", "m"), "doctor": ("doctor",)}

#: Those that start JAX.
SLOW: dict[str, tuple[str, ...]] = {
    "train": ("train", "classify", "m", "t.csv", "out", "--label-column", "label", "--max-epochs", "1", "--n-layers=0"),
    "distill": ("distill", "teacher", "out", "--method", "token"),
    "featurize": ("featurize", "teacher", "out", "--corpus", "a.txt"),
    "index": ("index", "teacher", "a.txt", "--out", "out", "--no-words"),
}

#: Code that makes a condition, in the folder of the work.
CONDITIONS: dict[str, str] = {
    "as it is": "",
    "names that are not UTF-8": "",
    "the working folder is gone": "import tempfile\nos.chdir(tempfile.mkdtemp())\nos.rmdir(os.getcwd())\n",
    "nothing is where the working folder was": "import tempfile\nos.chdir(tempfile.mkdtemp())\nos.rmdir(os.getcwd())\n",
    "the working folder is read-only": "os.chmod('.', 0o555)\nleave_root()\n",
    "another user": "os.chmod('.', 0o711)\n[os.chmod(each, 0o700) for each in os.listdir()]\nleave_root()\n",
    "no stdin": "os.close(0)\nsys.stdin = None\n",
    "no stdout": "os.close(1)\nsys.stdout = None\n",
    "no stderr": "os.close(2)\nsys.stderr = None\n",
    "no streams": "os.closerange(0, 3)\nsys.stdin = sys.stdout = sys.stderr = None\n",
    "stdout on a full disk": "os.dup2(os.open('/dev/full', os.O_WRONLY), 1)\n",
    "nobody reads stderr": "ends = os.pipe()\nos.close(ends[0])\nos.dup2(ends[1], 2)\n",
    "stderr on a full disk": "os.dup2(os.open('/dev/full', os.O_WRONLY), 2)\n",
    "stdin is a folder": "os.dup2(os.open('.', os.O_RDONLY), 0)\n",
    "streams of ASCII": "sys.stdout, sys.stderr = (open(n, 'w', encoding='ascii', errors='strict') for n in (1, 2))\n",
    "a file at a time": "few_files(1)\n",
    "six files at a time": "few_files(6)\n",
    "no home": "os.environ.pop('HOME')\n",
    "a home that is a file": "os.environ['HOME'] = '/dev/null'\n",
    "no folder for temporary files": "import tempfile\ntempfile.tempdir = '/nowhere'\nos.environ['TMPDIR'] = '/nowhere'\n",
}

_CODE = """
import json, os, sys, tempfile, traceback
from m2v_core.cli.main import main
condition, commands = sys.argv[1], json.loads(sys.argv[2])
report, errors = os.open('report.json', os.O_WRONLY | os.O_CREAT), os.open('errors', os.O_RDWR | os.O_CREAT)
os.dup2(errors, 2)

def leave_root():
    os.setgroups([])
    os.setgid(65_534)
    os.setuid(65_534)

def few_files(more):
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir('/proc/self/fd'))) + more, 4096))

if 'serve' in {words[0] for words in commands}:  # it stops when it has started
    from m2v_core.serve import server
    started = server._Server.startup
    async def startup(self, sockets=None):
        await started(self, sockets)
        self.should_exit = True
    server._Server.startup = startup

def called(words):
    try:
        return main(words)
    except SystemExit as error:  # of argparse
        return error.code or 0
    except BaseException:
        try:
            traceback.print_exc()
        finally:
            return 99

found = []
for words in commands:
    if not found or 'dup2' in condition:  # a command puts another in the place of a stream that takes nothing
        exec(condition)
    before = os.fstat(errors).st_size
    code = called(words)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            code = 120  # as Python itself
    said = os.pread(errors, 1 << 20, before)
    found.append([code, said.decode()])
os.write(report, json.dumps(found).encode())
os._exit(0)  # what else was forked has no good end
"""


class Ended(NamedTuple):
    """What came of a command: its exit code, and what it wrote to stderr."""

    code: int
    errors: str


def prepare(folder: Path) -> None:
    """What the commands read."""
    make_model().save_pretrained(folder / "m")
    shutil.copytree(GOLDEN / "heads/softmax", folder / "h")
    (folder / "a.txt").write_text("good day\nday\nbad\n" * 10)
    rows = "".join(f"good day,{name}\n" for name in ("calm", "schön", "日 本") * 20)
    (folder / "t.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    index = Index(make_model())
    index.add(["good day", "bad"])
    index.save(folder / "i")
    shutil.copytree(GOLDEN / "teachers/bert", folder / "teacher")
    write_tokenizer(folder / "teacher", wordpiece(), "bert")


def called(forks: Forks, commands: Sequence[tuple[str, ...]], condition: str, folder: Path) -> list[Ended]:
    """Run commands one after the other in a process, under a condition."""
    files = {path.name for path in folder.iterdir()}

    def name_of(word: str, number: int) -> str:
        """A word of a command; each has an output of its own."""
        if word not in files and not word.startswith("out"):
            return word
        stem, dot, ending = word.partition(".")
        name = (
            (stem if word in files else f"{stem}{number}") + ("\udcff" if "UTF-8" in condition else "") + dot + ending
        )
        return str(folder / name) if condition == "the working folder is gone" else name

    for name in files:
        (folder / name).rename(folder / name_of(name, 0))
    words = [[name_of(word, number) for word in command] for number, command in enumerate(commands)]
    env: Mapping[str, str] = {**os.environ, "JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1"}
    done = forks.run(_CODE, CONDITIONS[condition], json.dumps(words), env=env, cwd=folder)
    folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    return [Ended(*each) for each in json.loads((folder / "report.json").read_text())]
