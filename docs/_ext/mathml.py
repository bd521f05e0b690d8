"""Formulas as MathML, which browsers show without JavaScript, a font or a network.

docutils converts them when the pages are built. What it cannot convert is a warning, and so an error of `nox -s docs`.
"""

from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

_LOGGER = logging.getLogger(__name__)


def _mathml(node: nodes.Element, *, is_block: bool) -> str:
    """The MathML of a formula; its source where there is none."""
    source = node.astext().strip()
    try:
        return tex2mathml(source, as_block=is_block)
    except MathError as error:
        _LOGGER.warning("This formula cannot be converted to MathML: %s: %s", error, source, location=node)
        return f"<code>{escape(source)}</code>"


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(_mathml(node, is_block=False))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math-block">{_mathml(node, is_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer, which `html_math_renderer = "mathml"` chooses."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
