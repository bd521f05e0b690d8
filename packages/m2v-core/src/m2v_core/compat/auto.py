"""`import m2v_core.compat.auto` calls `m2v_core.compat.enable()`."""

from m2v_core.compat import enable

enable()
