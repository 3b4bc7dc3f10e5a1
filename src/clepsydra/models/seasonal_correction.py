"""One regressor over all series, that learns when the seasonal naive forecast is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from clepsydra.config import TaskConfig
from clepsydra.models.anchored import LONG_SEASON, Layout, moved
from clepsydra.models.base import History, Model
from clepsydra.models.changes import Changes, Targets
from clepsydra.models.contributions import contributions
from clepsydra.models.estimators import regressor
from clepsydra.models.parts import Kind, parts_frame
from clepsydra.timegrid import steps_of_span

__all__ = ["SeasonalCorrectionModel"]

_FEWEST_ROWS = 50
# No series weighs more than one that changes so much of what the others do.
_LEAST_CHANGE = 0.15
_LIGHTGBM = "lightgbm.LGBMRegressor"
_DEFAULTS: dict[str, Any] = {
    "n_estimators": 100,
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_child_samples": 40,
    "subsample": 0.7,
    "subsample_freq": 1,
    "colsample_bytree": 0.5,
    "random_state": 0,
}


@dataclass(frozen=True)
class _Fitted:
    """What was learnt, and the step that the newest series ended with."""

    regressors: list[RegressorMixin]
    last: pd.Timestamp


class SeasonalCorrectionModel(Model):
    """What to add to the value of a season before, learnt from all series and all their past.

    Every step of the past is a row: what was known at an origin before it, relative to the seasonal
    naive forecast (see `models.changes`), explains by how much that was wrong. It suits series that
    repeat themselves until something changes, such as timetables; window regressions relative to
    the level suit those whose level moves. Steps whose earlier values are all zero are forecast
    zero.

    Sources: Friedman, Greedy function approximation: a gradient boosting machine (2001), which may
    start from any forecast; Januschowski and others, Forecasting with trees (2022); Montero-Manso
    and Hyndman, Principles and algorithms for forecasting groups of time series: locality and
    globality (2021).

    Args:
        task: gives the season lengths and the horizon. Of steps before the horizon, in the gap, the
            seasonal naive forecast is given.
        lead: most steps ahead.
        estimator: import path of a regressor with the interface of scikit-learn.
        params: its arguments; those of LightGBM are added to defaults. Counts that seldom change
            gain from a loss between the absolute and the squared one:
            `{objective: huber, alpha: 0.5}`.
        seeds: regressors whose forecasts are averaged, each with a `random_state` of its own.
        scaled: whether values are seen in units of the mean absolute seasonal difference of each
            series. If not, in their own, which suits counts, and is so for them if it is not said:
            then a series weighs by the inverse of that unit, so that the loss is that of scaled
            errors all the same.
        known_columns: whether columns known in advance are used.
        max_rows: of all series together, from the newest origins.
    """

    scope = "panel"
    cost = 0.05

    def __init__(
        self,
        task: TaskConfig,
        lead: int,
        estimator: str = _LIGHTGBM,
        params: dict[str, Any] | None = None,
        seeds: int = 1,
        scaled: bool | None = None,
        known_columns: bool = True,
        max_rows: int = 400_000,
    ):
        params = params or {}
        scaled = not task.integer if scaled is None else scaled
        defaults = _DEFAULTS if estimator == _LIGHTGBM else {}
        self._regressor = regressor(estimator, {**defaults, **params})
        if seeds < 1:
            raise ValueError(f"'seeds' is {seeds}: at least 1")
        if not scaled and not has_fit_parameter(self._regressor, "sample_weight"):
            raise ValueError(f"'scaled: false' weighs series, and {estimator} takes no weights")
        if seeds > 1 and "random_state" not in self._regressor.get_params():
            raise ValueError(f"'seeds' is {seeds}, and {estimator} has no 'random_state'")
        self._seeds, self._scaled, self._max_rows = seeds, scaled, max_rows
        self._seasons = sorted(task.season_lengths)
        self._lead = lead
        self._first = max(lead - steps_of_span(task.horizon, task.freq), 0) + 1
        # Origins at the same place in a long season, so that each step has one of its own.
        self._stride = self._seasons[0] if self._seasons[0] >= LONG_SEASON else 1
        self.uses = frozenset(["known"] if known_columns else [])
        self.min_history = self._seasons[-1] + 1
        self._takes_missing = get_tags(self._regressor).input_tags.allow_nan

    def fit(self, history: History) -> _Fitted:
        rows = history.rows
        layout, unit = self._layout(history, rows.iloc[:0])
        changes = Changes(layout, self._seasons)
        targets = self._targets(layout)
        targets = targets[np.isfinite(changes.base(targets)) & ~changes.blank(targets)]
        if len(targets.step) < _FEWEST_ROWS:
            raise ValueError(
                f"{len(targets.step)} steps to learn from, of at least {_FEWEST_ROWS}: series need "
                f"{self._seasons[-1] + self._lead} steps and more, that are not all zero"
            )
        wrong = layout.value[targets.place] - changes.base(targets)
        features = self._features(changes, targets)
        weights = {} if self._scaled else {"sample_weight": _weight(unit)[targets.series]}
        learnt = [one.fit(features, wrong, **weights) for one in self._regressors()]
        return _Fitted(learnt, pd.Timestamp(rows["ds"].max()))

    def predict(
        self, state: _Fitted, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        if horizon > self._lead:
            raise ValueError(f"a horizon of {horizon}: it learnt {self._lead} steps")
        state = self._in_place(state, history)
        changes, targets, unit = self._ahead(history, future, horizon)
        values = changes.base(targets)
        learnt = np.isfinite(values) & (targets.step >= self._first) & ~changes.blank(targets)
        if learnt.any():
            features = self._features(changes, targets[learnt]).astype(float)
            values[learnt] += np.mean([one.predict(features) for one in state.regressors], axis=0)
        out = future[["unique_id", "ds"]].sort_values(["unique_id", "ds"], ignore_index=True)
        return out.assign(y_hat=values * unit)

    def explain(
        self, state: _Fitted, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        """The seasonal naive forecast, and SHAP values of groups of features that correct it.

        Raises:
            ValueError: see `models.contributions.contributions`.
        """
        state = self._in_place(state, history)
        asked = history.only(pd.Index(future["unique_id"].unique()))
        changes, targets, unit = self._ahead(asked, future, horizon)
        naive = changes.base(targets)
        corrected = np.flatnonzero(targets.step >= self._first)
        names, parts = self._parts(state, history, changes, targets[corrected])
        whole = np.zeros((len(naive), len(names)))
        whole[corrected] = parts
        whole[changes.blank(targets)] = 0.0
        whole = np.where(np.isnan(naive)[:, None], np.nan, whole) * unit[:, None]
        ahead = future[["unique_id", "ds"]].sort_values(["unique_id", "ds"], ignore_index=True)
        named: dict[Kind, dict[str, np.ndarray]] = {
            "base": {
                f"{self._seasons[-1]} steps before": np.where(
                    np.isnan(whole).any(axis=1), np.nan, naive * unit
                ),
                "base": whole[:, 0],
            },
            "feature": dict(zip(names[1:], whole[:, 1:].T, strict=True)),
        }
        return parts_frame(ahead["unique_id"].tolist(), ahead["ds"], named)

    def _in_place(self, state: _Fitted, history: History) -> _Fitted:
        """Learnt anew, if steps ahead have other places in the season than those learnt from."""
        is_moved = self._stride > 1 and moved(state.last, history.rows["ds"], self._stride)
        return self.fit(history) if is_moved else state

    def _ahead(
        self, history: History, future: pd.DataFrame, horizon: int
    ) -> tuple[Changes, Targets, np.ndarray]:
        """The steps ahead, and `[R]` the unit that each is forecast in."""
        layout, unit = self._layout(history, future)
        number = np.arange(len(layout.ids))
        targets = _each(number, layout.end - 1, np.arange(1, horizon + 1))
        scale = unit[targets.series] if self._scaled else np.ones(len(targets.series))
        return Changes(layout, self._seasons), targets, scale

    def _parts(
        self, state: _Fitted, history: History, changes: Changes, targets: Targets
    ) -> tuple[list[str], np.ndarray]:
        """Names, and `[R, names]` parts of the corrections, what is expected first."""
        rows = self._features(changes, targets).astype(float)
        each = int((targets.series == 0).sum())
        found = [
            contributions(one, rows, one.predict(rows), lambda: self._centre(history), each)
            for one in state.regressors
        ]
        if any(its.log for its in found):
            raise ValueError("its loss takes logarithms of what corrects another forecast")
        of_columns = np.mean([its.of_features for its in found], axis=0)
        groups = np.array(changes.groups(history.known))
        names = list(dict.fromkeys(groups.tolist()))
        summed = [of_columns[:, groups == name].sum(axis=1) for name in names]
        return ["base", *names], np.column_stack([np.mean([its.base for its in found], 0), *summed])

    def _centre(self, history: History) -> np.ndarray:
        """Means of the features that were learnt from."""
        layout, _ = self._layout(history, history.rows.iloc[:0])
        return self._features(Changes(layout, self._seasons), self._targets(layout)).mean(axis=0)

    def _regressors(self) -> list[RegressorMixin]:
        if self._seeds == 1:
            return [clone(self._regressor)]
        return [clone(self._regressor).set_params(random_state=seed) for seed in range(self._seeds)]

    def _features(self, changes: Changes, targets: Targets) -> np.ndarray:
        features = changes.columns(targets)
        return features if self._takes_missing else np.nan_to_num(features)

    def _layout(self, history: History, future: pd.DataFrame) -> tuple[Layout, np.ndarray]:
        """The series, and `[S]` the mean absolute seasonal difference of each."""
        y = history.rows["y"].to_numpy(dtype=float)
        layout = Layout.of(history.rows, y, future, list(history.known))
        unit = np.array(
            [
                _usual_change(layout.value[start:end], self._seasons[-1])
                for start, end in zip(layout.start, layout.end, strict=True)
            ]
        )
        if self._scaled:
            room = np.diff([*layout.start, len(layout.value)])
            layout = replace(layout, value=layout.value / np.repeat(unit, room))
        return layout, unit

    def _targets(self, layout: Layout) -> Targets:
        """The steps to learn from: each once for every origin, as many strides before the end."""
        steps = np.arange(self._first, self._lead + 1)
        most = max(self._max_rows // (len(steps) * len(layout.ids)), 1)
        series, origin = [], []
        for number, (start, end) in enumerate(zip(layout.start, layout.end, strict=True)):
            newest = end - 1 + -self._lead // self._stride * self._stride
            places = np.arange(newest, start + self._seasons[-1] - 1, -self._stride)[:most]
            series.append(np.full(len(places), number))
            origin.append(places)
        return _each(np.concatenate(series), np.concatenate(origin), steps)


def _each(series: np.ndarray, origin: np.ndarray, steps: np.ndarray) -> Targets:
    """All steps ahead of each origin."""
    return Targets(
        np.repeat(series, len(steps)), np.repeat(origin, len(steps)), np.tile(steps, len(series))
    )


def _usual_change(y: np.ndarray, season: int) -> float:
    """The mean absolute seasonal difference, or what else is above zero."""
    for size in (np.abs(y[season:] - y[:-season]), np.abs(y)):
        if len(size) and size.mean() > 0:
            return float(size.mean())
    return 1.0


def _weight(unit: np.ndarray) -> np.ndarray:
    return 1.0 / np.maximum(unit, _LEAST_CHANGE * unit.mean())
