"""One regression over all series and times, of steps relative to the level they start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from clepsydra.config import TaskConfig
from clepsydra.models.anchored import LONG_SEASON, Anchored, Layout, moved
from clepsydra.models.base import History, Model
from clepsydra.models.basis import Basis
from clepsydra.models.estimators import regressor
from clepsydra.models.multitask import MultitaskRidge
from clepsydra.models.parts import Kind, Scale, parts_frame
from clepsydra.models.pooled import PooledRegressor
from clepsydra.models.window_contributions import window_parts

__all__ = ["WindowRegressionModel"]

_SHARE_OF_NEWER = 0.2
_MOST_CENTRED = 2000
# How far beyond all that was seen a forecast may go, in units of the range of what was.
_MARGIN = 1.0
# How much further than most a series may move for the others to learn from it.
_WILD = 3.0


@dataclass(frozen=True)
class _Fitted:
    """What was learnt: the regression, and what columns were made of.

    `last` is the step that the newest series ended with: steps have their place in the season.
    """

    regression: MultitaskRidge | PooledRegressor
    basis: Basis
    last: pd.Timestamp


class WindowRegressionModel(Model):
    """A ridge regression for each step ahead, that share what they have in common.

    Every origin in the history of every series is a row: what was known at it, relative to the
    level at it, explains the steps that followed. Series above zero are seen as logarithms, others
    in units of their root mean square. No weight is learnt from
    series that move far further than most.

    Sources: see `models.anchored` and `models.multitask`; Montero-Manso and Hyndman, Principles and
    algorithms for forecasting groups of time series: locality and globality (2021), for why one
    linear regression over many series does as well as many.

    Args:
        task: gives the season lengths.
        lead: most steps ahead.
        estimator: import path of a regressor with the interface of scikit-learn, that learns from
            the rows of all steps together, instead of the ridge regressions.
        params: its arguments.
        known_columns: whether columns known in advance are used.
        log: whether series above zero are seen as logarithms.
        max_origins: of one series, the newest.
    """

    scope = "panel"
    cost = 0.02

    def __init__(
        self,
        task: TaskConfig,
        lead: int,
        estimator: str | None = None,
        params: dict[str, Any] | None = None,
        known_columns: bool = True,
        log: bool = True,
        max_origins: int = 2000,
    ):
        if params and estimator is None:
            raise ValueError("'params' are of an 'estimator', and there is none")
        self._regressor = None if estimator is None else regressor(estimator, params or {})
        self._seasons = sorted(task.season_lengths)
        self._lead, self._log, self._max_origins = lead, log, max_origins
        # Origins at the same place in a long season, so that each step has one of its own.
        self._stride = self._seasons[0] if self._seasons[0] >= LONG_SEASON else 1
        self.uses = frozenset(["known"] if known_columns else [])
        self.min_history = 2

    def fit(self, history: History) -> _Fitted:
        rows = history.rows
        layout, _ = self._layout(history, rows.iloc[:0])
        anchored = Anchored(layout, self._seasons)
        series, origin, weight, newer = self._origins(layout)
        if len(origin) < 10:
            raise ValueError(
                f"{len(origin)} origins to learn from: series need {self._lead} steps ahead of "
                f"each, and a season before it"
            )
        basis = Basis.of(layout, self._seasons, bent=self._regressor is None)
        level = anchored.level(series, origin)
        features_of = _Features(anchored, basis, series, origin)
        steps = range(1, self._lead + 1)
        targets = np.stack([layout.value[origin + step] - level for step in steps])
        if self._regressor is None:
            weight = weight * _tame(targets, series)
            learnt: MultitaskRidge | PooledRegressor = MultitaskRidge.of(
                map(features_of.step, steps), targets, weight, newer
            )
        else:
            learnt = PooledRegressor(clone(self._regressor), map(features_of.step, steps), targets)
        return _Fitted(learnt, basis, pd.Timestamp(rows["ds"].max()))

    def predict(
        self, state: _Fitted, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        if horizon > self._lead:
            raise ValueError(f"a horizon of {horizon}: it learnt {self._lead} steps")
        state = self._in_place(state, history)
        layout, scale = self._layout(history, future)
        anchored = Anchored(layout, self._seasons)
        series, origin = np.arange(len(layout.ids)), layout.end - 1
        level = anchored.level(series, origin)
        features_of = _Features(anchored, state.basis, series, origin)
        values = np.column_stack(
            [
                level + state.regression.predict(step - 1, features_of.step(step))
                for step in range(1, horizon + 1)
            ]
        )
        out = future[["unique_id", "ds"]].sort_values(["unique_id", "ds"], ignore_index=True)
        return out.assign(y_hat=scale.back(_bounded(values, layout)).ravel())

    def explain(
        self, state: _Fitted, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        """SHAP values of groups of features, see `models.window_contributions`.

        Raises:
            ValueError: see `models.contributions.contributions`.
        """
        state = self._in_place(state, history)
        layout, scale = self._layout(history.only(pd.Index(future["unique_id"].unique())), future)
        anchored = Anchored(layout, self._seasons)
        series, origin = np.arange(len(layout.ids)), layout.end - 1
        level = anchored.level(series, origin)
        features_of = _Features(anchored, state.basis, series, origin)
        rows = [features_of.step(step) for step in range(1, horizon + 1)]
        groups = [features_of.groups(step, history.known) for step in range(1, horizon + 1)]
        base, parts = window_parts(
            state.regression, rows, groups, partial(self._centre, state, history, horizon)
        )
        level = level[:, None] + np.zeros_like(base)
        values = level + base + sum(parts.values(), np.zeros_like(base))
        limit = _bounded(values, layout) - values
        names = future.sort_values(["unique_id", "ds"], ignore_index=True)
        named: dict[Kind, dict[str, np.ndarray]] = {
            "base": {"level": np.where(np.isnan(base), np.nan, level), "base": base},
            "feature": parts,
            "component": {"limit": np.where(limit == 0, np.nan, limit)},
        }
        return scale.parts(names, named)

    def _in_place(self, state: _Fitted, history: History) -> _Fitted:
        """Learnt anew, if steps ahead have other places in the season than those learnt from."""
        is_moved = self._stride > 1 and moved(state.last, history.rows["ds"], self._stride)
        return self.fit(history) if is_moved else state

    def _centre(self, state: _Fitted, history: History, horizon: int) -> list[np.ndarray]:
        """Means of each step's features over some of the origins to learn from; `[P]` each."""
        layout, _ = self._layout(history, history.rows.iloc[:0])
        series, origin, *_ = self._origins(layout)
        some = slice(None, None, -(-len(origin) // _MOST_CENTRED))
        features_of = _Features(
            Anchored(layout, self._seasons), state.basis, series[some], origin[some]
        )
        return [features_of.step(step).mean(axis=0) for step in range(1, horizon + 1)]

    def _layout(self, history: History, future: pd.DataFrame) -> tuple[Layout, _Scale]:
        rows = history.rows
        y = rows["y"].to_numpy(dtype=float)
        scale = _Scale.of(y, rows["unique_id"].to_numpy(), self._log)
        values = scale.there(y, rows["unique_id"].to_numpy())
        return Layout.of(rows, values, future, list(history.known)), scale

    def _origins(self, layout: Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Series, place and weight of the origins to learn from, and which are the newer ones."""
        parts = []
        for number, (start, end) in enumerate(zip(layout.start, layout.end, strict=True)):
            first = start + min(self._seasons[0], max((end - start - self._lead) // 2, 1))
            # As many whole strides before the origin that forecasts will start from.
            newest = end - 1 + -self._lead // self._stride * self._stride
            places = np.arange(newest, first - 1, -self._stride)
            places = places[: self._max_origins]
            newer = np.arange(len(places)) < np.ceil(_SHARE_OF_NEWER * len(places))
            weight = np.full(len(places), 1 / np.sqrt(max(len(places), 1)))
            parts.append((np.full(len(places), number), places, weight, newer))
        series, origin, weight, newer = map(np.concatenate, zip(*parts, strict=True))
        return series, origin, weight, newer


class _Features:
    """The features of some origins, for one step ahead after the other."""

    def __init__(
        self, anchored: Anchored, basis: Basis, series: np.ndarray, origin: np.ndarray
    ) -> None:
        self._anchored, self._series, self._origin = anchored, series, origin
        self._basis = basis
        self._of_origin = anchored.of_origin(series, origin)
        self._now, self._lagged = basis.expand(anchored.layout)

    def step(self, step: int) -> np.ndarray:
        """`[R, P]`."""
        place = self._origin + step
        start = self._anchored.layout.start[self._series]
        lagged = [
            self._lagged[np.maximum(place - lag, start)]
            for lag in self._anchored.lags_of_known(step)
            if self._lagged.shape[1]
        ]
        own = self._anchored.of_step(self._series, self._origin, step)
        return np.column_stack([self._of_origin, own, self._now[place], *lagged])

    def groups(self, step: int, known: tuple[str, ...]) -> list[str]:
        """What each of the features of a step is of; `[P]`."""
        own = self._anchored.of_step(self._series[:1], self._origin[:1], step)
        now, lagged = self._basis.sources()
        lags = self._anchored.lags_of_known(step) if lagged else []
        return [
            *["recent values"] * self._of_origin.shape[1],
            *["earlier seasons"] * own.shape[1],
            *(known[number] for number in now),
            *(known[number] for _ in lags for number in lagged),
        ]


@dataclass(frozen=True)
class _Scale:
    """How each series is seen: as logarithms, or in units of its root mean square."""

    ids: np.ndarray
    log: np.ndarray
    unit: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray, names: np.ndarray, log: bool) -> _Scale:
        """From values and the series that each is of."""
        ids, code = np.unique(names, return_inverse=True)
        lowest = np.full(len(ids), np.inf)
        np.minimum.at(lowest, code, y)
        size = np.sqrt(np.bincount(code, y**2) / np.bincount(code))
        return cls(ids, (lowest > 0) & log, np.where(size > 0, size, 1.0))

    def there(self, y: np.ndarray, names: np.ndarray) -> np.ndarray:
        """`[N]` values as they are seen."""
        code = np.searchsorted(self.ids, names)
        relative = y / self.unit[code]
        return np.where(self.log[code], np.log(np.where(relative > 0, relative, 1.0)), relative)

    def back(self, values: np.ndarray) -> np.ndarray:
        """`[S, H]` in units of the series."""
        seen = np.where(self.log[:, None], np.exp(np.minimum(values, 700.0)), values)
        return seen * self.unit[:, None]

    def parts(
        self, steps: pd.DataFrame, parts: Mapping[Kind, Mapping[str, np.ndarray]]
    ) -> pd.DataFrame:
        """`[S, H]` parts of what is seen as those of values, or of their logarithms.

        Args:
            steps: `unique_id`, `ds`: the steps of each series in order.
            parts: as for `models.parts.parts_frame`.
        """
        frames = []
        chosen: tuple[tuple[Scale, np.ndarray], ...] = (("log", self.log), ("value", ~self.log))
        for scale, its in chosen:
            factor = 1.0 if scale == "log" else self.unit[its, None]
            named = {
                kind: {name: (values[its] * factor).ravel() for name, values in group.items()}
                for kind, group in parts.items()
            }
            horizon = next(iter(parts["base"].values())).shape[1]
            if scale == "log":
                named["base"]["level"] += np.repeat(np.log(self.unit[its]), horizon)
            rows = steps[np.repeat(its, horizon)]
            frames.append(parts_frame(rows["unique_id"].tolist(), rows["ds"], named, scale))
        return pd.concat(frames, ignore_index=True)


def _tame(targets: np.ndarray, series: np.ndarray) -> np.ndarray:
    """Whether each origin is of a series that moves about as far as most; `[R]`."""
    number = np.bincount(series)
    moves = np.bincount(series, (targets**2).mean(axis=0)) / np.maximum(number, 1)
    return moves[series] <= _WILD**2 * np.median(moves[number > 0])


def _bounded(values: np.ndarray, layout: Layout) -> np.ndarray:
    """None much beyond what a series has been; `[S, H]`."""
    out = values.copy()
    for number, (start, end) in enumerate(zip(layout.start, layout.end, strict=True)):
        seen = layout.value[start:end]
        margin = _MARGIN * np.ptp(seen)
        out[number] = np.clip(out[number], seen.min() - margin, seen.max() + margin)
    return out
