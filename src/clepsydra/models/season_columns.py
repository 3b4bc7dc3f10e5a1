"""Columns known in advance, as regressions with a season of steps ahead want them.

Effects of weather bend, last and interact: a building is heated below one temperature and cooled
above another, and keeps for days what it has taken up. See Hong, Short term electric load
forecasting (2010), for interactions and lags of temperature, and Pierrot and Goude, Short-term
electricity load forecasting with generalized additive models (2011), for its smoothings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import lfilter

__all__ = ["Expanded", "SeasonColumns"]

_MOST_CATEGORIES = 31
_KNOTS = 9
_OUTERMOST = (0.01, 0.99)
# Where a variable begins to be low, and high.
_EDGES = (0.5, 0.8)
_RARE = (0.1, 0.9)
# Half-lives in seasons, of what a column has been lately.
_LASTING = (0.25, 1.0, 3.0, 10.0)
_BRIEF = (0.125, 1.0)


@dataclass(frozen=True)
class Expanded:
    """Columns of each step.

    Attributes:
        now: `[N, B]`, what counts at the step itself.
        season: `[N, D]`, of the season that ends with the step.
        echo: `[N, C]`, what counts at earlier steps, too.
        of_now: `[B]` names of what they were made of; and likewise
        of_season: `[D]`,
        of_echo: `[C]`.
    """

    now: np.ndarray
    season: np.ndarray
    echo: np.ndarray
    of_now: list[str]
    of_season: list[str]
    of_echo: list[str]


@dataclass(frozen=True)
class _Column:
    """One column.

    It has `categories`, or it is continuous and has `knots`, and `edges` outside of which it is
    low or high; `rare` are those of the season's least and largest value.
    """

    name: str
    lasting: bool
    mean: float
    categories: np.ndarray
    knots: np.ndarray
    edges: tuple[float, float]
    rare: tuple[float, float]

    @property
    def is_flag(self) -> bool:
        return np.array_equal(self.categories, [0.0, 1.0])

    def brief(self, values: np.ndarray) -> np.ndarray:
        """A few columns for products with others."""
        if self.is_flag:
            return values[:, None]
        if len(self.categories):
            return _indicators(values, self.categories)
        return _outside(values, self.edges) if self.lasting else (values - self.mean)[:, None]


@dataclass(frozen=True)
class SeasonColumns:
    """What was learnt of the known columns, to expand them alike later.

    Columns of few whole numbers are categories, those of zeros and ones flags, whose past counts,
    too. Others are continuous: piecewise linear, and so are their exponentially weighted means.

    Attributes:
        columns: by name, averages first.
        averages: to a new column, the weights of those it is the mean of.
        products: pairs of columns that interact.
        season: steps.
    """

    columns: Mapping[str, _Column]
    averages: Mapping[str, Mapping[str, float]]
    products: Sequence[tuple[str, str]]
    season: int

    @classmethod
    def of(
        cls,
        known: pd.DataFrame,
        season: int,
        averages: Mapping[str, Mapping[str, float]],
        lasting: Sequence[str],
        products: Sequence[tuple[str, str]],
    ) -> SeasonColumns:
        """From the history.

        Args:
            known: the columns, a row a step.
            season: steps.
            averages: to a new column, the weights of those it replaces.
            lasting: continuous columns whose effect lasts for days.
            products: pairs of columns that interact.

        Raises:
            ValueError: names a column that there is not.
        """
        named = {name for weights in averages.values() for name in weights}
        if unknown := sorted(named - set(known)):
            raise ValueError(f"'averages' of {unknown}: there are the columns {list(known)}")
        table = _averaged(known, averages)
        named = {*lasting, *(name for pair in products for name in pair)}
        if unknown := sorted(named - set(table)):
            raise ValueError(
                f"'lasting' or 'products' name {unknown}: there are the columns {list(table)}"
            )
        columns = {}
        for name in table:
            values = table[name].to_numpy(dtype=float)
            values = values[np.isfinite(values)]
            if len(values):
                columns[name] = _learnt(name, values, name in lasting, season)
        pairs = [pair for pair in products if set(pair) <= set(columns)]
        return cls(columns, averages, pairs, season)

    def expand(self, known: pd.DataFrame) -> Expanded:
        """Every step's columns; what is missing is the mean, or no category."""
        table = _averaged(known, self.averages)
        now, season, echo = _Parts(len(known)), _Parts(len(known)), _Parts(len(known))
        values = {name: table[name].to_numpy(dtype=float, na_value=np.nan) for name in self.columns}
        for name, column in self.columns.items():
            if len(column.categories):
                part = column.brief(values[name])
                values[name] = np.nan_to_num(values[name]) if column.is_flag else values[name]
                now.add(name, np.nan_to_num(part))
                echo.add(name, *[np.nan_to_num(part)] if column.is_flag else [])
                continue
            x = values[name] = _filled(values[name], column.mean)
            mean = _trailing(x, self.season)
            if not column.lasting:
                smooth = [_smoothed(x, share * self.season) for share in _BRIEF]
                now.add(name, x, _outside(x, column.edges), *smooth)
                season.add(name, mean)
                continue
            smooth = [_smoothed(x, share * self.season) for share in _LASTING]
            now.add(name, *(_bent(one, column.knots) for one in (x, *smooth)))
            least, most = -_highest(-x, self.season), _highest(x, self.season)
            season.add(name, _bent(mean, column.knots), least, most)
            season.add(name, _outside(least, column.rare), _outside(most, column.rare))
            for one in (x, *smooth[1:3]):
                echo.add(name, one, _outside(one, column.edges))
        for first, second in self.products:
            one, other = (self.columns[name].brief(values[name]) for name in (first, second))
            both = np.nan_to_num(one[:, :, None] * other[:, None, :]).reshape(len(known), -1)
            now.add(f"{first} and {second}", both)
        return Expanded(
            now.values(), season.values(), echo.values(), now.names, season.names, echo.names
        )


class _Parts:
    """Columns side by side, and what each was made of."""

    def __init__(self, rows: int) -> None:
        self._columns = [np.empty((rows, 0))]
        self.names: list[str] = []

    def add(self, name: str, *values: np.ndarray) -> None:
        for one in values:
            column = one[:, None] if one.ndim == 1 else one
            self._columns.append(column)
            self.names += [name] * column.shape[1]

    def values(self) -> np.ndarray:
        return np.column_stack(self._columns)


def _learnt(name: str, values: np.ndarray, lasting: bool, season: int) -> _Column:
    seen = np.unique(values)
    few = len(seen) <= _MOST_CATEGORIES and np.array_equal(seen, np.round(seen))
    edges, rare = np.quantile(values, _EDGES), np.quantile(values, _RARE)
    first, last = np.quantile(values, _OUTERMOST)
    return _Column(
        name,
        lasting,
        float(values.mean()),
        seen if few else seen[:0],
        np.linspace(first, last, _KNOTS),
        (float(edges[0]), float(edges[1])),
        (float(rare[0]), float(rare[1])),
    )


def _averaged(known: pd.DataFrame, averages: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """The columns, with weighted means of those that are there instead of their parts."""
    parts = {name for weights in averages.values() for name in weights}
    made = {}
    for name, weights in averages.items():
        values = known[list(weights)].to_numpy(dtype=float, na_value=np.nan)
        weight = np.where(np.isfinite(values), list(weights.values()), 0.0)
        total = weight.sum(axis=1)
        mean = (np.nan_to_num(values) * weight).sum(axis=1) / np.where(total > 0, total, 1.0)
        made[name] = np.where(total > 0, mean, np.nan)
    rest = {name: known[name].to_numpy() for name in known if name not in parts}
    return pd.DataFrame({**made, **rest}, index=known.index)


def _filled(x: np.ndarray, mean: float) -> np.ndarray:
    return np.where(np.isfinite(x), x, mean)


def _indicators(values: np.ndarray, categories: np.ndarray) -> np.ndarray:
    return (values[:, None] == categories).astype(float)


def _bent(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    return np.column_stack([x, np.maximum(x[:, None] - knots, 0.0)])


def _outside(x: np.ndarray, edges: tuple[float, float]) -> np.ndarray:
    """How far below the one edge, and above the other; `[N, 2]`."""
    return np.maximum(np.column_stack([edges[0] - x, x - edges[1]]), 0.0)


def _smoothed(x: np.ndarray, half_life: float) -> np.ndarray:
    """The exponentially weighted mean up to each step."""
    kept = 0.5 ** (1 / max(half_life, 1e-3))
    return lfilter([1 - kept], [1, -kept], x, zi=kept * x[:1])[0] if len(x) else x


def _trailing(x: np.ndarray, season: int) -> np.ndarray:
    """The mean of the season up to each step."""
    return uniform_filter1d(x, season, mode="nearest", origin=(season - 1) // 2)


def _highest(x: np.ndarray, season: int) -> np.ndarray:
    """The largest value of the season up to each step."""
    return maximum_filter1d(x, season, mode="nearest", origin=(season - 1) // 2)
