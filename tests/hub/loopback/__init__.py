"""A Hub on loopback: what huggingface_hub's client speaks with, over real HTTP, with storage that keeps every byte.

`running(Hub(repos={...}))` serves it. Repositories have commits, branches and tags; files are git's or LFS's (or Xet's,
where hf_xet stores in a folder); writing needs a token. `Fault`s break what is asked.
"""

from hub.loopback.faults import Fault
from hub.loopback.server import running
from hub.loopback.storage import Hub, Repo

__all__ = ["Fault", "Hub", "Repo", "running"]
