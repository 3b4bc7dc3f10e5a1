"""Features of a forecast's origin and of its steps, all relative to the level at the origin.

Values far apart in time or size become alike when each is seen from the level it was forecast from,
so that one regression serves all series and all times, and a new level is followed at once. This is
the window normalisation of Bandara, Bergmeir and Smyl, Forecasting across time series databases
using recurrent neural networks on groups of similar series (2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = ["LONG_SEASON", "Anchored", "Layout", "moved"]

# From so many steps on a season is not laid out step by step.
LONG_SEASON = 24
_NEWEST_OF_LONG = (0, 1, 2, 3, 5, 8, 11, 17, 23)
_SEASONS_BACK = 7
_LONG_SEASONS_BACK = 2


@dataclass(frozen=True)
class Layout:
    """Series one after another in one array, each with room for the steps ahead.

    Attributes:
        ids: of the series.
        start: `[S]` place of each series' first step.
        end: `[S]` place after its last known step.
        value: `[N]` what is regressed on; missing in the steps ahead.
        known: `[N, K]` columns that are known ahead, too.
    """

    ids: np.ndarray
    start: np.ndarray
    end: np.ndarray
    value: np.ndarray
    known: np.ndarray

    @classmethod
    def of(
        cls, past: pd.DataFrame, values: np.ndarray, future: pd.DataFrame, known: list[str]
    ) -> Layout:
        """From rows sorted by series and time.

        Args:
            past: `unique_id` and the known columns.
            values: of the past rows.
            future: `unique_id` and the known columns of the steps ahead.
            known: which columns.
        """
        both = pd.concat([past[["unique_id", *known]], future[["unique_id", *known]]])
        names = both["unique_id"].to_numpy()
        ids, code = np.unique(names, return_inverse=True)
        order = np.argsort(code, kind="stable")
        value = np.concatenate([values, np.full(len(future), np.nan)])[order]
        start = np.searchsorted(code[order], np.arange(len(ids)))
        length = np.bincount(code[: len(past)], minlength=len(ids))
        columns = both[known].to_numpy(dtype=float)[order]
        return cls(ids, start, start + length, value, columns)


class Anchored:
    """Features of origins and of the steps after them.

    Args:
        layout: the series.
        seasons: season lengths, in steps.
    """

    def __init__(self, layout: Layout, seasons: list[int]) -> None:
        self.layout = layout
        self.short, self.long = min(seasons), max(seasons)
        value = np.nan_to_num(layout.value)
        self._sum = np.concatenate([[0.0], np.cumsum(value)])
        # The first step of a series has no step before it.
        change = np.abs(np.diff(value, prepend=value[:1]))
        change[layout.start[layout.start < len(change)]] = 0.0
        self._change = np.concatenate([[0.0], np.cumsum(change)])

    def level(self, series: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """The mean over the longest season up to each origin, or over all there is; `[R]`."""
        return self._mean(self._sum, series, origin - self.long + 1, origin)

    def of_origin(self, series: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """What is the same for all steps of an origin; `[R, P]`, zero where nothing is known."""
        level = self.level(series, origin)
        if self.short < LONG_SEASON:
            newest = list(range(2 * self.short + 5))
        else:
            newest = [lag for lag in _NEWEST_OF_LONG if lag < self.short]
        columns = [self._at(series, origin, -lag, level) for lag in newest]
        blocks = _SEASONS_BACK if self.short >= LONG_SEASON else 2
        for block in range(blocks):
            last = origin - block * self.short
            mean = self._mean(self._sum, series, last - self.short + 1, last)
            columns.append(np.where(last >= self.layout.start[series], mean - level, 0.0))
        columns.append(self._mean(self._change, series, origin - 4 * self.short + 1, origin))
        held = origin + 1.0 - self.layout.start[series]
        columns.append(np.log(np.minimum(held, max(8 * self.long, 64))))
        return np.column_stack(columns)

    def of_step(self, series: np.ndarray, origin: np.ndarray, step: int) -> np.ndarray:
        """Values at the same place in earlier seasons; `[R, P]`, zero where nothing is known."""
        level = self.level(series, origin)
        lags = []
        if self.short >= LONG_SEASON:
            lags += self._seasons_back(self.short, step, _SEASONS_BACK)
        if self.long > self.short:
            lags += self._seasons_back(self.long, step, _LONG_SEASONS_BACK)
        columns = [self._at(series, origin, step - lag, level) for lag in dict.fromkeys(lags)]
        return np.column_stack([np.empty((len(origin), 0)), *columns])

    def lags_of_known(self, step: int) -> list[int]:
        """Steps from a step back to the newest ones at its place in each season."""
        return [self._seasons_back(length, step, 1)[0] for length in (self.short, self.long)]

    @staticmethod
    def _seasons_back(length: int, step: int, number: int) -> list[int]:
        """The newest lags of whole seasons that are known at the origin."""
        first = -(-step // length)
        return [length * (first + back) for back in range(number)]

    def _at(
        self, series: np.ndarray, origin: np.ndarray, offset: int, level: np.ndarray
    ) -> np.ndarray:
        """Values so far from the origin; before the first, those of as few seasons later."""
        start, place = self.layout.start[series], origin + offset
        if self.short > 1:
            place = place - -np.maximum(start - place, 0) // self.short * self.short
        there = (start <= place) & (place <= origin)
        return np.where(there, self.layout.value[np.where(there, place, 0)] - level, 0.0)

    def _mean(
        self, sums: np.ndarray, series: np.ndarray, first: np.ndarray, last: np.ndarray
    ) -> np.ndarray:
        first = np.maximum(first, self.layout.start[series])
        last = np.maximum(last, first)
        return (sums[last + 1] - sums[first]) / (last + 1 - first)


def moved(last: pd.Timestamp, ds: pd.Series, stride: int) -> bool:
    """Whether a history ends at another place in the season than one that ended with `last`."""
    step = ds.diff().mode().iloc[0]
    return bool((ds.max() - last) // step % stride != 0)
