"""Whole outputs (label sets, rankings, classes) as text that fits beside a bar."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["as_text", "name_outputs", "shorten"]

_MOST_LABELS = 4
_LINE = 36


def shorten(name: Any, most: int = 22) -> str:
    """A name of at most ``most`` characters; the middle goes, because long names differ at both ends."""
    text = str(name)
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return text[:head] + "…" + text[len(text) - (most - 1 - head) :]


def as_text(p: float) -> str:
    """A probability that stays short and never reads as 0 where it is not: "12.3 %", "2e-10"."""
    return f"{p:.0e}" if 0 < p < 5e-4 else f"{100 * p:.1f} %"


def name_outputs(outputs: np.ndarray, parts: Sequence[Any], kind: str, apart: np.ndarray | None = None) -> list[str]:
    """One text for each output: "{calm, sad}", "a > b > c", or the class.

    Parameters
    ----------
    outputs : ndarray of shape (m,) or (m, k)
        As the estimator's ``predict`` gives them.
    parts : sequence of length k
        Names of labels or items.
    kind : str
        The estimator's ``output_``.
    apart : ndarray of shape (m,) of bool, optional
        Outputs that the others are not to be told apart from: one that differs in everything would hide the rest.
    """
    if outputs.ndim == 1:
        return [shorten(output, _LINE) for output in outputs]
    if kind == "ranking":
        return [_wrap("\N{NO-BREAK SPACE}> ".join(_name(parts[i]) for i in ranks.argsort())) for ranks in outputs]
    if kind not in ("multilabel", "subset"):
        return [_wrap(f"({', '.join(map(str, output.tolist()))})") for output in outputs]
    # Labels in which these sets differ come first: the others say nothing where a set is shortened.
    alike = outputs if apart is None or apart.all() else outputs[~apart]
    order = np.argsort(alike.min(0) == alike.max(0), kind="stable")
    return [_wrap(_label_set([parts[i] for i in order if labels[i]])) for labels in outputs]


def _label_set(labels: list[Any]) -> str:
    rest = len(labels) - _MOST_LABELS
    shown = [_name(label) for label in labels[:_MOST_LABELS]]
    return "{" + ", ".join([*shown, f"...\N{NO-BREAK SPACE}+{rest}"] if rest > 0 else shown) + "}"


def _name(part: Any) -> str:
    """A short name in which no line is broken."""
    return shorten(part).replace(" ", "\N{NO-BREAK SPACE}")


def _wrap(text: str) -> str:
    return textwrap.fill(text, _LINE, break_on_hyphens=False)
