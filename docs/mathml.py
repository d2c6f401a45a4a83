"""Formulas as MathML, which browsers draw by themselves: no script, no network."""

from typing import Any

from latex2mathml.converter import convert


def _inline(self: Any, node: Any) -> None:
    self.body.append(convert(node.astext(), display="inline"))
    _skip()


def _block(self: Any, node: Any) -> None:
    formula = node.astext()
    if r"\\" in formula and r"\begin" not in formula:  # several lines, aligned at &, as Sphinx does it for MathJax
        formula = rf"\begin{{split}}{formula}\end{{split}}"
    self.body.append(f'<div class="math">{convert(formula, display="block")}</div>')
    _skip()


def _skip() -> None:
    from docutils.nodes import SkipNode

    raise SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer under the name ``mathml``."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    return {"parallel_read_safe": True}
