"""Rolling-origin backtests and forecasts, by the same code, with a fallback for every failure."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from utilsforecast.preprocessing import fill_gaps

from clepsydra.config import ModelsConfig, ModelSpec, TaskConfig
from clepsydra.models.base import Model
from clepsydra.timegrid import shorter_than_a_day, to_wall

__all__ = [
    "BacktestResult",
    "backtest",
    "finalize",
    "forecast",
    "history_length",
    "to_wall_frame",
    "until",
    "without_hindsight",
]

_NOT_FEATURES = {"is_imputed", "is_outlier"}
_ONE_HOUR = pd.Timedelta(1, "h")
_TIME = "datetime64[ns]"
_POINTS = {"unique_id": object, "cutoff": _TIME, "ds": _TIME, "model": object, "y_hat": float}
_FAILURES = {"unique_id": object, "cutoff": _TIME, "model": object, "reason": object}
_COSTS = ["model", "fit_seconds", "predict_seconds", "windows", "series"]


@dataclass
class BacktestResult:
    """What came of running models over windows.

    Attributes:
        forecasts: `unique_id`, `cutoff`, `ds` (naive UTC), `model`, `y_hat`.
        failures: `unique_id`, `cutoff`, `model`, `reason`: forecasts that are the fallback's.
        costs: `model`, `fit_seconds`, `predict_seconds`, `windows`, `series`.
        states: model to what it learnt from all the history, and why it learnt nothing if so.
    """

    forecasts: pd.DataFrame
    failures: pd.DataFrame
    costs: pd.DataFrame
    states: dict[str, tuple[Any, str | None]] = field(default_factory=dict)


def backtest(
    models: dict[str, Model],
    specs: ModelsConfig,
    panel: pd.DataFrame,
    future: pd.DataFrame,
    windows: pd.DataFrame,
    task: TaskConfig,
    refit_every: int,
) -> BacktestResult:
    """Forecast every window from what was known at its cutoff, then fit once on everything.

    At each cutoff a model is given a copy of the history that ends there. It learns anew every
    `refit_every` windows and forecasts the others with what it learnt before them.

    Args:
        models: name to model.
        specs: their descriptions; `max_history` is read here.
        panel: `unique_id`, `ds`, `y`, `is_imputed`, then columns known in advance; no past-only
            column.
        future: the same columns without `y`, for the steps after the panel.
        windows: `cutoff`, `target_start`, `target_end` (exclusive), oldest first.
        task: grid, season and clock.
        refit_every: windows between two fits.
    """
    if panel.empty:
        return BacktestResult(
            _concat([], _POINTS), _concat([], _FAILURES), pd.DataFrame(columns=_COSTS)
        )
    known = [c for c in panel.columns if c not in {"unique_id", "ds", "y", *_NOT_FEATURES}]
    panel = without_hindsight(panel)[["unique_id", "ds", "y", *known]]
    everything = pd.concat([panel, future[["unique_id", "ds", *known]]], ignore_index=True)
    everything = everything.sort_values(["unique_id", "ds"], ignore_index=True)
    forecasts, failures, costs, states = [], [], [], {}
    for name, model in models.items():
        longest = history_length(model, specs.root[name])
        fit_seconds = predict_seconds = 0.0
        state, problem = None, None
        for number, window in enumerate(windows.itertuples()):
            history = to_wall_frame(until(panel, window.cutoff, longest), task)
            if number % refit_every == 0:
                state, problem, seconds = _fit(model, history)
                fit_seconds += seconds
            ahead = everything[
                (everything["ds"] > window.cutoff) & (everything["ds"] < window.target_end)
            ]
            ahead = ahead.drop(columns="y")
            ahead = ahead[ahead["unique_id"].isin(history["unique_id"].unique())]
            started = time.perf_counter()
            rows, reasons = forecast(name, model, state, problem, history, ahead, task)
            predict_seconds += time.perf_counter() - started
            rows = rows[rows["ds"] >= window.target_start]
            forecasts.append(rows.assign(cutoff=window.cutoff, model=name))
            failures.append(reasons.assign(cutoff=window.cutoff, model=name))
        last = to_wall_frame(until(panel, panel["ds"].max(), longest), task)
        state, problem, seconds = _fit(model, last)
        states[name] = (state, problem)
        fit_seconds += seconds
        costs.append(
            (name, fit_seconds, predict_seconds, len(windows), panel["unique_id"].nunique())
        )
    return BacktestResult(
        _concat(forecasts, _POINTS),
        _concat(failures, _FAILURES),
        pd.DataFrame(costs, columns=_COSTS),
        states,
    )


def history_length(model: Model, spec: ModelSpec) -> int | None:
    """Last steps a model is shown: `max_history`, but never fewer than it needs."""
    return spec.max_history and max(spec.max_history, model.min_history)


def forecast(
    name: str,
    model: Model,
    state: Any,
    problem: str | None,
    history: pd.DataFrame,
    future: pd.DataFrame,
    task: TaskConfig,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Forecast every series of `future`; those that the model cannot do get the fallback.

    Args:
        name: the model's name, for the reasons.
        model: the model.
        state: what it learnt.
        problem: why there is no state, if there is none.
        history: wall-time frame up to the cutoff.
        future: `unique_id`, `ds` (naive UTC) and the known columns of the steps after it.
        task: grid, season, clock and what values are possible.

    Returns:
        forecasts: `unique_id`, `ds` (naive UTC), `y_hat`, one row for each row of `future`.
        failures: `unique_id`, `reason`.
    """
    sizes = history.groupby("unique_id", sort=True).size()
    reasons = {
        str(uid): f"too short: {size} steps, {name} needs {model.min_history}"
        for uid, size in sizes.items()
        if size < model.min_history
    }
    wall_future = _ahead(to_wall_frame(future, task), history["ds"].max(), task)
    able = sizes.index.difference(list(reasons))
    made = _predict(model, state, problem, history, wall_future, able, reasons)
    # A step whose local time has been before, in the hour that is repeated, takes its value.
    seen = history[["unique_id", "ds", "y"]].rename(columns={"y": "y_hat"})
    again = seen[
        (seen["ds"] >= wall_future["ds"].min() - _ONE_HOUR) & ~seen["unique_id"].isin(reasons)
    ]
    made = pd.concat([frame for frame in (made, again) if len(frame)] or [made])
    wall = future.assign(wall=to_wall(future["ds"], task.wall_clock))
    rows = wall.merge(made.rename(columns={"ds": "wall"}), on=["unique_id", "wall"], how="left")
    rows["y_hat"] = rows["y_hat"].astype(float)
    incomplete = ~np.isfinite(rows["y_hat"])
    for unique_id in rows.loc[incomplete, "unique_id"].unique():
        reasons.setdefault(str(unique_id), f"{name} gave no finite value for every step")
    lost = rows["unique_id"].isin(reasons)
    if lost.any():
        rows.loc[lost, "y_hat"] = _fallback(rows[lost], history, task.season_length)
    failures = pd.DataFrame(
        {"unique_id": list(reasons), "reason": list(reasons.values())}, dtype=object
    )
    rows["y_hat"] = finalize(rows["y_hat"], task)
    return rows[["unique_id", "ds", "y_hat"]], failures


def finalize(y_hat: pd.Series, task: TaskConfig) -> pd.Series:
    """Clip to what is possible and, for counts, round: the median of a count is a whole number.

    Rounding matters for absolute errors: half a departure is wrong every hour.
    """
    if task.minimum is not None:
        y_hat = y_hat.clip(lower=task.minimum)
    return y_hat.round() if task.integer else y_hat


def to_wall_frame(frame: pd.DataFrame, task: TaskConfig) -> pd.DataFrame:
    """Put a frame's `ds` on the local wall clock, regular again.

    Of an hour that the clocks repeat the last value is kept; an hour that they skip takes the
    values of the hour before it.
    """
    if task.wall_clock == "UTC" or frame.empty:
        return frame.reset_index(drop=True)
    wall = frame.assign(ds=to_wall(frame["ds"], task.wall_clock))
    wall = wall.drop_duplicates(["unique_id", "ds"], keep="last")
    steps = wall.groupby("unique_id")["ds"].diff().dropna()
    if steps.nunique() <= 1 or not shorter_than_a_day(task.freq):
        return wall.reset_index(drop=True)
    filled = fill_gaps(wall, freq=task.freq, start="per_serie", end="per_serie")
    values = filled.columns.difference(["unique_id", "ds"])
    filled[values] = filled.groupby("unique_id")[list(values)].ffill()
    return filled.astype(wall.dtypes.to_dict())


def without_hindsight(panel: pd.DataFrame) -> pd.DataFrame:
    """The panel with imputed values that know nothing of what came after them.

    A gap that was interpolated carries the value at its far end, which a forecast made within the
    gap could not know. Here it carries the last value before it.
    """
    if "is_imputed" not in panel or not panel["is_imputed"].any():
        return panel
    observed = panel["y"].where(~panel["is_imputed"])
    return panel.assign(y=observed.groupby(panel["unique_id"]).ffill())


def _ahead(wall_future: pd.DataFrame, last: pd.Timestamp, task: TaskConfig) -> pd.DataFrame:
    """The steps that follow `last` without a break: an hour the clocks skip just then is put in."""
    wall_future = wall_future[wall_future["ds"] > last]
    step = pd.tseries.frequencies.to_offset(task.freq)
    if wall_future.empty or not shorter_than_a_day(task.freq):
        return wall_future
    if wall_future["ds"].min() == last + step:
        return wall_future
    filled = fill_gaps(wall_future, freq=task.freq, start=last + step, end="per_serie")
    values = list(filled.columns.difference(["unique_id", "ds"]))
    filled[values] = filled.groupby("unique_id")[values].bfill()
    return filled.astype(wall_future.dtypes.to_dict())


def until(panel: pd.DataFrame, cutoff: pd.Timestamp, longest: int | None) -> pd.DataFrame:
    """The last `longest` steps of every series up to and including `cutoff`."""
    past = panel[panel["ds"] <= cutoff]
    return past.groupby("unique_id").tail(longest) if longest else past


def _fit(model: Model, history: pd.DataFrame) -> tuple[Any, str | None, float]:
    started = time.perf_counter()
    state, problem = None, None
    try:
        state = model.fit(history)
    except Exception as error:  # any model failure becomes a counted fallback
        problem = f"fit failed: {type(error).__name__}: {error}"
    return state, problem, time.perf_counter() - started


def _predict(
    model: Model,
    state: Any,
    problem: str | None,
    history: pd.DataFrame,
    future: pd.DataFrame,
    able: pd.Index,
    reasons: dict[str, str],
) -> pd.DataFrame:
    """Try all series together, then one by one if that fails; reasons are added in place."""
    nothing = pd.DataFrame(
        {"unique_id": pd.Series(dtype=object), "ds": future["ds"].iloc[:0], "y_hat": 0.0}
    )
    if problem is not None:
        reasons.update({str(uid): problem for uid in able})
        return nothing
    if not len(able):
        return nothing
    past = history[history["unique_id"].isin(able)]
    ahead = future[future["unique_id"].isin(able)]
    try:
        return model.predict(state, past, ahead)
    except Exception as error:  # isolated below, series by series
        if len(able) == 1:
            reasons[str(able[0])] = f"{type(error).__name__}: {error}"
            return nothing
    alone = [
        _predict(model, state, None, past, ahead, able[[position]], reasons)
        for position in range(len(able))
    ]
    return pd.concat(alone, ignore_index=True)


def _fallback(rows: pd.DataFrame, history: pd.DataFrame, season: int) -> pd.Series:
    """The last season again, or the last value of a series that has less than one."""
    values = dict(iter(history.groupby("unique_id")["y"]))
    y_hat = pd.Series(np.nan, index=rows.index)
    for unique_id, steps in rows.groupby("unique_id"):
        y = values[unique_id].to_numpy()
        pattern = y[-season:] if len(y) >= season else y[-1:]
        y_hat.loc[steps.index] = np.resize(pattern, len(steps))
    return y_hat


def _concat(frames: list[pd.DataFrame], columns: dict[str, Any]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in columns.items()})
    return pd.concat(filled, ignore_index=True)[list(columns)]
