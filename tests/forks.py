"""Python code in processes of their own, forked from one that has imported what is slow to import.

Most of the second that a process of the tests takes goes into importing numpy, an HTTP library and the like. What reads
its settings when it is imported, as huggingface_hub does, is left to the forks.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

#: Forks for each line of JSON, and answers with the fork's exit code and output; after the loop is the fork.
_SERVER = """
import importlib, json, os, select, sys, warnings

for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:  # a package that another version of a client needs
        pass
while line := sys.stdin.readline():
    pipes = [os.pipe() for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads: OpenBLAS survives a fork, and JAX has none yet
        process = os.fork()
    if not process:
        break
    output = {}
    for end, other in pipes:
        os.close(other)
        output[end] = b""
    open_ends = set(output)
    while open_ends:
        for end in select.select(open_ends, (), ())[0]:
            output[end] += (part := os.read(end, 1 << 16))
            if not part:
                open_ends.remove(end)
                os.close(end)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    print(json.dumps([code, *(text.decode() for text in output.values())]), flush=True)
else:
    sys.exit()
request = json.loads(line)
for stream, number in ((os.open(os.devnull, os.O_RDONLY), 0), (pipes[0][1], 1), (pipes[1][1], 2)):
    os.dup2(stream, number)
    os.close(stream)
for end, _ in pipes:
    os.close(end)
sys.stdin = open(0, closefd=False)
os.environ.clear()
os.environ.update(request["env"])
os.chdir(request["cwd"])
sys.path[:0] = filter(None, request["env"].get("PYTHONPATH", "").split(os.pathsep))
sys.argv = ["-c", *request["arguments"]]
exec(compile(request["code"], "<string>", "exec"), {"__name__": "__main__"})
"""


def limit_files(size: int) -> None:
    """In a fork: let no file grow beyond so many bytes, as on a disk that is full.

    Python would cut off its compiled modules too, and other processes then read them: they are not written any more.
    """
    import resource  # Unix alone

    sys.dont_write_bytecode = True
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def fork() -> int:
    """`os.fork` of the tests' own process. Its child must not use JAX, which another test may have started."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads
        return os.fork()


class Forks:
    """Runs code as `python -P -c` does, in forks of one process that the first run starts.

    As in the command `m2v`, nothing is imported from the working folder: Python 3.13.0 fails to import anything when a
    part of `sys.path` stands for a working folder that is gone.
    """

    def __init__(self, *imported: str) -> None:
        self._imported = imported
        self._server: subprocess.Popen[str] | None = None

    def run(self, code: str, *arguments: object, env: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` with its output captured."""
        words = list(map(str, arguments))
        request = {"code": code, "arguments": words, "env": dict(env), "cwd": os.fspath(cwd)}
        server = self._started()
        assert server.stdin is not None
        assert server.stdout is not None
        print(json.dumps(request), file=server.stdin, flush=True)
        return subprocess.CompletedProcess(["-c", *words], *json.loads(server.stdout.readline()))

    def _started(self) -> subprocess.Popen[str]:
        if self._server is None:
            command, pipe = [sys.executable, "-P", "-c", _SERVER, *self._imported], subprocess.PIPE
            self._server = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        return self._server

    def close(self) -> None:
        """End the process; the next run starts another."""
        if self._server is not None:
            self._server.communicate()
            self._server = None
