"""A regression of a season of steps ahead on what is known of them and of the newest steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from clepsydra.config import TaskConfig
from clepsydra.models.anchored import moved
from clepsydra.models.base import History, Model
from clepsydra.models.multitask import MultitaskRidge
from clepsydra.models.parts import Kind, Scale, no_parts, parts_frame
from clepsydra.models.season_columns import SeasonColumns
from clepsydra.models.season_rows import SeasonRows
from clepsydra.models.window_contributions import window_parts

__all__ = ["SeasonRegressionModel"]

# Parts of the history that choices are validated on, each by a fit to the others.
_FOLDS = 5
_SHARED = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
_OWN = (0.03, 0.1, 0.3)
_FEWEST_ORIGINS = 20
# How far beyond all that was seen a forecast may go, in units of the range of what was.
_MARGIN = 0.5
# Seasons that forecasts look back: the slowest of the smoothings has forgotten what was before.
_LOOKS_BACK = 150


@dataclass(frozen=True)
class _Fitted:
    """What was learnt of one series: the regression, and what columns were made of.

    `last` is the step that it ended with: steps have their place in the season.
    """

    regression: MultitaskRidge
    columns: SeasonColumns
    last: pd.Timestamp


class SeasonRegressionModel(Model):
    """Each series' own regression of the steps ahead, from origins a season apart.

    For series that a calendar and the weather drive, such as the load of a grid. Values are seen as
    logarithms, where they are above zero, and relative to the level at the origin; lags are the
    newest ones that are known for each step.

    There is a linear regression for each step, that shares what it has in common with the others.

    Sources: see `models.season_columns` and `models.multitask`; Ramanathan, Engle, Granger,
    Vahid-Araghi and Brace, Short-run forecasts of electricity loads and peaks (1997), for a
    regression for each hour with the newest lags that are known.

    Args:
        task: gives the season lengths.
        lead: most steps ahead.
        averages: to a new column, the weights of the known columns it replaces, e.g. the
            temperature where people live.
        lasting: known columns whose effect lasts for days, such as temperature.
        products: pairs of known columns, of which one changes the effect of the other.
        max_origins: the newest.
    """

    cost = 3.0

    def __init__(
        self,
        task: TaskConfig,
        lead: int,
        averages: dict[str, dict[str, float]] | None = None,
        lasting: list[str] | None = None,
        products: list[list[str]] | None = None,
        max_origins: int = 1500,
    ):
        if wrong := [pair for pair in products or [] if len(pair) != 2]:
            raise ValueError(f"'products' has {wrong[0]}: it is a list of pairs of columns")
        self._seasons, self._lead = sorted(task.season_lengths), lead
        self._short = self._seasons[0]
        self._max_origins = max_origins
        self._averages, self._lasting = averages or {}, lasting or []
        self._products = [(first, second) for first, second in products or []]
        self.uses = frozenset(["known"])
        self._before = SeasonRows.needs(self._seasons)
        # In whole seasons, so that every origin has its place in the season.
        self._reach = -(-lead // self._short) * self._short
        self.min_history = self._before + self._reach + _FEWEST_ORIGINS * self._short

    def fit(self, history: History) -> dict[str, Any]:
        learnt: dict[str, Any] = {}
        for unique_id, rows in history.rows.groupby("unique_id", sort=True):
            try:
                learnt[str(unique_id)] = self._fit_one(rows, list(history.known))
            except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
                learnt[str(unique_id)] = error
        return learnt

    def predict(
        self, state: dict[str, _Fitted], history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        if horizon > self._lead:
            raise ValueError(f"a horizon of {horizon}: it learnt {self._lead} steps")
        known = list(history.known)
        ahead = dict(iter(future.sort_values("ds").groupby("unique_id")))
        frames = []
        for unique_id, rows in history.rows.groupby("unique_id", sort=True):
            its = state[str(unique_id)]
            if moved(its.last, rows["ds"], self._short):
                its = self._fit_one(rows, known)
            steps = ahead[unique_id]
            y_hat = self._predict_one(its, rows, steps, known)
            frames.append(steps[["unique_id", "ds"]].assign(y_hat=y_hat))
        return pd.concat(frames, ignore_index=True)

    def _fit_one(self, rows: pd.DataFrame, known: list[str]) -> _Fitted:
        value = _seen(rows["y"].to_numpy(dtype=float))[0]
        columns = SeasonColumns.of(
            rows[known], self._short, self._averages, self._lasting, self._products
        )
        newest = len(rows) - 1 - self._reach
        origin = np.arange(newest, self._before - 1, -self._short)[: self._max_origins]
        origin = self._complete(origin, rows[known])
        if len(origin) < _FEWEST_ORIGINS:
            raise ValueError(
                f"{len(origin)} origins to learn from: it takes {_FEWEST_ORIGINS}, with "
                f"{self._before} steps before each and {self._reach} after it"
            )
        made = SeasonRows(value, columns.expand(rows[known]), self._seasons, origin, self._lead)
        steps = range(1, self._lead + 1)
        targets = np.stack([value[origin + step] - made.level for step in steps])
        fold = np.arange(len(origin)) * _FOLDS // len(origin)
        regression = MultitaskRidge.of_folds(map(made.step, steps), targets, fold, _SHARED, _OWN)
        return _Fitted(regression, columns, pd.Timestamp(rows["ds"].iloc[-1]))

    def explain(
        self, state: dict[str, _Fitted], history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        """SHAP values of recent values, earlier seasons and each known column."""
        known = list(history.known)
        ahead = dict(iter(future.sort_values("ds").groupby("unique_id")))
        found = [no_parts()]
        for unique_id, rows in history.only(pd.Index(list(ahead))).rows.groupby("unique_id"):
            its = state[str(unique_id)]
            if moved(its.last, rows["ds"], self._short):
                its = self._fit_one(rows, known)
            found.append(self._explain_one(its, rows, ahead[unique_id], known))
        return pd.concat(found, ignore_index=True)

    def _explain_one(
        self, its: _Fitted, rows: pd.DataFrame, steps: pd.DataFrame, known: list[str]
    ) -> pd.DataFrame:
        value, is_log = _seen(rows["y"].to_numpy(dtype=float))
        made = self._rows(its, value, rows, steps, known)
        places = range(1, len(steps) + 1)
        base, parts = window_parts(
            its.regression,
            [made.step(step) for step in places],
            [made.groups(step) for step in places],
            lambda: list(its.regression.means),
        )
        level = np.full(len(steps), made.level[0])
        total = level + base[0] + np.sum([part[0] for part in parts.values()], axis=0)
        limit = np.clip(total, *_limits(value)) - total
        named: dict[Kind, dict[str, np.ndarray]] = {
            "base": {"level": level, "base": base[0]},
            "feature": {name: part[0] for name, part in parts.items()},
            "component": {"limit": np.where(limit == 0, np.nan, limit)},
        }
        scale: Scale = "log" if is_log else "value"
        return parts_frame(str(rows["unique_id"].iloc[0]), steps["ds"], named, scale)

    def _predict_one(
        self, its: _Fitted, rows: pd.DataFrame, steps: pd.DataFrame, known: list[str]
    ) -> np.ndarray:
        value, is_log = _seen(rows["y"].to_numpy(dtype=float))
        made = self._rows(its, value, rows, steps, known)
        found = [
            its.regression.predict(step - 1, made.step(step)) for step in range(1, len(steps) + 1)
        ]
        forecast = np.clip(made.level[0] + np.concatenate(found), *_limits(value))
        return np.exp(forecast) if is_log else forecast

    def _rows(
        self,
        its: _Fitted,
        value: np.ndarray,
        rows: pd.DataFrame,
        steps: pd.DataFrame,
        known: list[str],
    ) -> SeasonRows:
        """What the steps ahead are forecast from; there is one origin."""
        kept = max(self._before, _LOOKS_BACK * self._short) + 1
        value, both = value[-kept:], pd.concat([rows[known].iloc[-kept:], steps[known]])
        # Of steps that are not asked for nothing is known, and nothing is used but a season's mean.
        missing = self._lead - len(steps)
        both = pd.concat([both, *[both.iloc[-1:]] * missing], ignore_index=True)
        origin = np.array([len(value) - 1])
        return SeasonRows(value, its.columns.expand(both), self._seasons, origin, self._lead)

    def _complete(self, origin: np.ndarray, known: pd.DataFrame) -> np.ndarray:
        """Those of the origins that have all columns, if they are most."""
        there = known.loc[:, known.notna().any()].notna().all(axis=1).to_numpy()
        lacking = np.concatenate([[0], np.cumsum(~there)])
        first = np.maximum(origin + 1 - self._seasons[-1], 0)
        complete = lacking[origin + self._lead + 1] == lacking[first]
        return origin[complete] if complete.mean() > 0.5 else origin


def _limits(value: np.ndarray) -> tuple[float, float]:
    """The least and the largest forecast."""
    margin = _MARGIN * np.ptp(value)
    return value.min() - margin, value.max() + margin


def _seen(y: np.ndarray) -> tuple[np.ndarray, bool]:
    """Logarithms of values above zero, others as they are; and which of the two."""
    is_log = bool(y.min() > 0)
    return (np.log(y) if is_log else y), is_log
