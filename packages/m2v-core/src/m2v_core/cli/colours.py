"""Whether a stream takes colours: on a terminal only, and by the variables that users know from other programs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


def wants_colours(stream: Any, environment: Mapping[str, str] | None = None) -> bool:
    """Whether to write colours: NO_COLOR (not empty) never, FORCE_COLOR always, else on a terminal that has them.

    Example:
        >>> import sys
        >>> wants_colours(sys.stdout, {"NO_COLOR": "1"}), wants_colours(None, {"FORCE_COLOR": "1"})
        (False, True)
    """
    variables = os.environ if environment is None else environment
    if variables.get("NO_COLOR"):
        return False
    if variables.get("FORCE_COLOR"):
        return True
    return stream is not None and stream.isatty() and variables.get("TERM") != "dumb"
