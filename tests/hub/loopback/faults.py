"""What can break between a client and the Hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Fault:
    """Attributes:
    kind: What happens:
        reset: half of the body, then the connection breaks;
        vanish: the request is carried out, but the connection breaks before the answer;
        status: `status` with `headers` and `message`, and nothing is done;
        short: a whole answer whose body is cut;
        cut: the body ends before its length, without a reset;
        corrupt: one byte of the answer is another;
        garble: one byte of what the client sends arrives as another;
        slow: nothing for `seconds`;
        before: `action` happens before the request is carried out.
    match: A regular expression that is found in "METHOD path".
    times: How often it happens.
    """

    kind: str
    match: str
    times: int = 1
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "injected"
    seconds: float = 0.0
    action: Callable[[], Any] = lambda: None

    def fits(self, request: str) -> bool:
        return self.times > 0 and re.search(self.match, request) is not None
