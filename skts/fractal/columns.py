"""What the slots hold: categories, ordinals and bins become codes, real numbers are standardised; and back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from skts.errors import InputError, ParameterError
from skts.fractal.bins import bin_codes, bin_log_density, bin_values, make_bins
from skts.fractal.curves import bend, make_curve, unbend

__all__ = ["LEAVES", "Columns"]

LEAVES = ("auto", "categorical", "ordinal", "mix", "bins")
_WIDEST = 256  # values of an ordinal; beyond, a column of whole numbers counts as continuous
_TIED = 0.05  # part of a continuous column that one value may hold before it gets a probability of its own


@dataclass(frozen=True)
class Columns:
    """How D slots become codes and standardised numbers.

    Parameters
    ----------
    kinds : tuple of str
        Length D: "categorical", "ordinal", "mix" or "bins".
    table_of : tuple of int
        Length D: which table a slot uses; -1 for a "mix" that is standardised alone.
    tables : tuple of numpy.ndarray
        Values (V,) of categories and ordinals, bins (K, 3) of continuous columns, curves (M, 3) of "mix" columns.
    loc, scale : numpy.ndarray of shape (D,)
        Mean and standard deviation of "mix" columns; 0 and 1 of the others.
    """

    kinds: tuple[str, ...]
    table_of: tuple[int, ...]
    tables: tuple[np.ndarray, ...]
    loc: np.ndarray
    scale: np.ndarray

    @classmethod
    def learn(cls, rows: np.ndarray, leaf: str | Sequence[str], n_bins: int, repeats: int) -> Self:
        """From rows (n, D), NaN where missing.

        Parameters
        ----------
        rows : numpy.ndarray of shape (n, D)
            In the tree's order.
        leaf : str or sequence of str
            One kind for all, or one for each slot; "auto" looks at the values.
        n_bins : int
            Bins of a "bins" column.
        repeats : int
            Slots that are ``repeats`` apart are of one kind and share a vocabulary (pixels of an image, a channel at
            all times): a value that one of them has never had is still possible there.

        Raises
        ------
        ParameterError
            If a leaf does not fit its column.
        """
        D = rows.shape[1]
        kinds, table_of, tables = [""] * D, [-1] * D, []
        loc, scale = np.zeros(D), np.ones(D)
        for group in _groups(D, repeats):
            asked = leaf if isinstance(leaf, str) else leaf[group[0]]
            values = rows[:, group]
            values = values[np.isfinite(values)]
            kind = _kind_of(values) if asked == "auto" else asked
            _check_kind(kind, values, group[0])
            if kind == "mix":
                # Every slot has its own place and width; the group only shares what kind of thing it is.
                loc[group], scale[group] = _moments(rows[:, group])
            else:
                tables.append(_table(kind, values, n_bins))
            for slot in group:
                kinds[slot] = kind
                table_of[slot] = -1 if kind == "mix" else len(tables) - 1
        return cls(tuple(kinds), tuple(table_of), tuple(tables), loc, scale)

    @property
    def real(self) -> np.ndarray:
        """Whether a slot is a real number (D,); the others are codes."""
        return np.array([kind == "mix" for kind in self.kinds])

    @property
    def n_values(self) -> list[int]:
        """Number of codes of each slot, 0 for real numbers."""
        return [0 if real else len(self.tables[t]) for real, t in zip(self.real, self.table_of, strict=True)]

    @property
    def discrete(self) -> bool:
        """Whether every slot has probabilities, not densities."""
        return all(kind in ("categorical", "ordinal") for kind in self.kinds)

    def bent(self, rows: np.ndarray, repeats: int) -> Self:
        """The same, but for a curve that makes each "mix" column of ``rows`` (n, D) look normal; see `learn`."""
        standard, table_of, tables = (rows - self.loc) / self.scale, list(self.table_of), list(self.tables)
        for group in _groups(rows.shape[1], repeats):
            if self.kinds[group[0]] == "mix":
                values = standard[:, group]
                tables.append(make_curve(values[np.isfinite(values)]))
                for slot in group:
                    table_of[slot] = len(tables) - 1
        return replace(self, table_of=tuple(table_of), tables=tuple(tables))

    def encode(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes and standardised numbers (n, D) in float32, and what they leave out of the log-density (n, D), nats.

        Raises
        ------
        InputError
            If a category was not seen in fit.
        """
        codes = (rows - self.loc) / self.scale
        left_out = np.tile(-np.log(self.scale), (len(rows), 1))
        for slot, t in enumerate(self.table_of):
            if t < 0:
                continue
            if self.kinds[slot] == "mix":
                codes[:, slot], log_slope = bend(self.tables[t], codes[:, slot])
                left_out[:, slot] += log_slope
                continue
            seen = np.isfinite(rows[:, slot])
            column = rows[seen, slot]
            if self.kinds[slot] == "bins":
                found = bin_codes(self.tables[t], column)
                left_out[seen, slot] = bin_log_density(self.tables[t], found, column)
            else:
                found = np.minimum(np.searchsorted(self.tables[t], column), len(self.tables[t]) - 1)
                _check_known(self.tables[t], found, column, slot)
            codes[seen, slot] = found
        left_out[np.isnan(rows)] = 0.0
        return codes.astype(np.float32), left_out

    def decode(self, codes: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Rows (n, D) in float64 from codes; ``uniforms`` (n, D) choose the place within a bin."""
        rows = codes.astype(np.float64)
        for slot, t in enumerate(self.table_of):
            if t < 0:
                continue
            table, kind = self.tables[t], self.kinds[slot]
            if kind == "mix":
                rows[:, slot] = unbend(table, rows[:, slot])
                continue
            found = codes[:, slot].astype(np.int64)
            rows[:, slot] = bin_values(table, found, uniforms[:, slot]) if kind == "bins" else table[found]
        return rows * self.scale + self.loc


def _groups(D: int, repeats: int) -> list[np.ndarray]:
    """Slots that are ``repeats`` apart."""
    return [np.arange(g, D, repeats) for g in range(min(repeats, D))]


def _kind_of(values: np.ndarray) -> str:
    if not len(values):
        return "mix"
    whole = np.array_equal(values, np.round(values))
    distinct, counts = np.unique(values, return_counts=True)
    if whole and distinct[-1] - distinct[0] < _WIDEST:
        return "ordinal"
    if whole and len(distinct) <= _WIDEST and len(values) >= 10 * len(distinct):
        return "categorical"
    return "bins" if counts.max() > max(2, _TIED * len(values)) else "mix"


def _check_kind(kind: str, values: np.ndarray, slot: int) -> None:
    if kind not in LEAVES:
        raise ParameterError(f"leaves among {list(LEAVES)}", repr(kind), "Change leaf.")
    if kind == "ordinal" and len(values):
        wide = values.max() - values.min() >= 2**16
        if wide or not np.array_equal(values, np.round(values)):
            what = f"values from {values.min():g} to {values.max():g} in slot {slot}"
            raise ParameterError(
                "whole numbers of a range below 65,536 for leaf='ordinal'", what, "Use 'mix' or 'bins'."
            )


def _table(kind: str, values: np.ndarray, n_bins: int) -> np.ndarray:
    if kind == "bins":
        return make_bins(values, n_bins)
    if kind == "categorical" or not len(values):
        return np.unique(values) if len(values) else np.zeros(1)
    return np.arange(values.min(), values.max() + 1.0)


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    seen = np.isfinite(rows)
    n = np.maximum(seen.sum(0), 1)
    filled = np.where(seen, rows, 0.0)
    loc = filled.sum(0) / n
    scale = np.sqrt((np.where(seen, rows - loc, 0.0) ** 2).sum(0) / n)
    return loc, np.where(scale > 1e-8 * (1 + np.abs(loc)), scale, 1.0)


def _check_known(table: np.ndarray, found: np.ndarray, column: np.ndarray, slot: int) -> None:
    unknown = table[found] != column
    if unknown.any():
        shown = ", ".join(f"{v:g}" for v in np.unique(column[unknown])[:5])
        raise InputError(
            f"values that fit has seen: {len(table)} from {table[0]:g} to {table[-1]:g}",
            f"{shown} in slot {slot}",
            "Fit with data that hold these values, map them to known ones, or pass NaN for a value that is unknown.",
        )


def as_plain(columns: Columns) -> dict[str, Any]:
    """What a file can hold; ``Columns(**plain)`` is its inverse."""
    return {name: getattr(columns, name) for name in Columns.__dataclass_fields__}
