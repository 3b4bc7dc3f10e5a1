"""Columns known in advance as a linear regression wants them: categories and bends."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from clepsydra.models.anchored import Layout

__all__ = ["Basis"]

_MOST_CATEGORIES = 31
_KNOTS = 6
# Half-lives of what a column has been lately, in shortest seasons: buildings cool over days.
_HALF_LIVES = (0.25, 1.0, 3.0)


@dataclass(frozen=True)
class _Column:
    """How one column is taken: by its categories, or bent at its knots."""

    number: int
    mean: float
    categories: np.ndarray
    knots: np.ndarray

    @property
    def is_continuous(self) -> bool:
        return not len(self.categories)

    def expand(self, values: np.ndarray) -> np.ndarray:
        """`[N, B]` from `[N]`: a column for each category, or the value beyond each knot."""
        if not self.is_continuous:
            return (values[:, None] == self.categories).astype(float)
        return np.maximum(values[:, None] - self.knots, 0.0)


@dataclass(frozen=True)
class Basis:
    """What was learnt of the known columns, to expand them alike later.

    A column of few whole numbers, such as the day of the week, is one of categories. Others are
    continuous: they become piecewise linear, at knots that are quantiles, and so do their
    exponentially weighted means, since many effects lag behind.
    """

    columns: tuple[_Column, ...]
    half_lives: tuple[float, ...]
    bent: bool

    @classmethod
    def of(cls, layout: Layout, seasons: list[int], bent: bool = True) -> Basis:
        """From the history.

        Args:
            layout: with the known columns.
            seasons: season lengths, in steps.
            bent: whether columns are expanded; trees want them as they are.
        """
        columns = []
        for number in range(layout.known.shape[1]):
            values = layout.known[:, number]
            seen = np.unique(values[np.isfinite(values)])
            if not len(seen):
                continue
            few = len(seen) <= _MOST_CATEGORIES and np.array_equal(seen, np.round(seen))
            mean = float(np.nanmean(values))
            knots = np.unique(np.nanquantile(values, np.linspace(0, 1, _KNOTS + 1)[:-1]))
            columns.append(
                _Column(number, mean, seen if few else seen[:0], knots if not few else knots[:0])
            )
        short = min(seasons)
        half_lives = [share * short for share in _HALF_LIVES if share * short >= 1]
        return cls(tuple(columns), tuple(half_lives), bent)

    def sources(self) -> tuple[list[int], list[int]]:
        """Which known column each column of both that `expand` gives is made of."""
        now: list[int] = []
        lagged: list[int] = []
        for column in self.columns:
            width = max(len(column.categories), len(column.knots)) if self.bent else 1
            copies = 1 + len(self.half_lives) if column.is_continuous else 1
            now += [column.number] * width * copies
            lagged += [column.number] * width * column.is_continuous
        return now, lagged

    def expand(self, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
        """Every step's columns, and those of them that count as lags, too; `[N, B]`, `[N, C]`."""
        now, lagged = [np.empty((len(layout.value), 0))], [np.empty((len(layout.value), 0))]
        for column in self.columns:
            values = np.nan_to_num(layout.known[:, column.number], nan=column.mean)
            expand = column.expand if self.bent else _as_it_is
            block = expand(values)
            now.append(block)
            if not column.is_continuous:
                continue
            lagged.append(block)
            now += [expand(_smoothed(values, layout, half_life)) for half_life in self.half_lives]
        return np.column_stack(now), np.column_stack(lagged)


def _as_it_is(values: np.ndarray) -> np.ndarray:
    return values[:, None]


def _smoothed(values: np.ndarray, layout: Layout, half_life: float) -> np.ndarray:
    """The exponentially weighted mean of each series up to each step, `[N]`."""
    kept = 0.5 ** (1 / half_life)
    out = np.empty_like(values)
    for first, last in itertools.pairwise([*layout.start, len(values)]):
        part = values[first:last]
        out[first:last] = lfilter([1 - kept], [1, -kept], part, zi=[kept * part[:1].sum()])[0]
    return out
