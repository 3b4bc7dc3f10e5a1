"""The components that a model of statsforecast sees in its forecast of one series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Components", "components", "season_apart"]

Components = dict[str, np.ndarray]
"""By name, `[H]`; missing where it is no part of a step."""


def components(model: Any, y: np.ndarray, horizon: int) -> Components | None:
    """The components of a forecast of one series, whose sum it is.

    - a naive forecast: the value it repeats, named by how many steps ago it was;
    - a mean or an exponential smoothing: its level;
    - ETS: the last level, what the trend and the season add to it;
    - Theta: the last level, the drift, the season;
    - MSTL: the trend, as its forecaster continues it, and every season.

    The part of a multiplicative season is what it changes, so that parts can be added.

    Args:
        model: an object of a class of `statsforecast.models`.
        y: the history, shape (steps,).
        horizon: steps ahead.

    Returns:
        Nothing if the class is not one of those.

    Examples:
        >>> from statsforecast.models import SeasonalNaive
        >>> found = components(SeasonalNaive(2), np.array([1.0, 2.0, 3.0, 4.0]), 3)
        >>> {name: values.tolist() for name, values in found.items()}
        {'2 steps before': [3.0, 4.0, nan], '4 steps before': [nan, nan, 3.0]}
    """
    names = [cls.__name__ for cls in type(model).__mro__]
    known = next((name for name in names if name in _KNOWN), None)
    return None if known is None else _KNOWN[known](model.new(), y, horizon)


def _naive(model: Any, y: np.ndarray, horizon: int) -> Components:
    return _repeated(y, 1, horizon)


def _seasonal_naive(model: Any, y: np.ndarray, horizon: int) -> Components:
    return _repeated(y, model.season_length, horizon)


def _repeated(y: np.ndarray, season: int, horizon: int) -> Components:
    """The last season again and again, each time longer ago; the last step, where it is one."""
    value = np.resize(y[-season:], horizon)
    if season == 1:
        return {"last value": value}
    ago = season * (np.arange(horizon) // season + 1)
    return {f"{its} steps before": np.where(ago == its, value, np.nan) for its in np.unique(ago)}


def _drift(model: Any, y: np.ndarray, horizon: int) -> Components:
    level = np.full(horizon, y[-1])
    return {"last value": level, "drift": _mean(model, y, horizon) - level}


def _level(model: Any, y: np.ndarray, horizon: int) -> Components:
    return {"level": _mean(model, y, horizon)}


def _seasonal_level(model: Any, y: np.ndarray, horizon: int) -> Components:
    return {"level at this place in the season": _mean(model, y, horizon)}


def _ets(model: Any, y: np.ndarray, horizon: int) -> Components:
    fitted = model.fit(y=y).model_
    mean, state = np.asarray(model.predict(h=horizon)["mean"]), fitted["states"][-1]
    _, trend, seasonal, _ = fitted["components"]
    # The newest place in the season is the first of the last states.
    ahead = np.resize(state[::-1][: fitted["m"]], horizon)
    return season_apart(
        mean,
        level=state[0],
        has_trend=trend != "N",
        season=None if seasonal == "N" else ahead,
        multiplicative=seasonal == "M",
    )


def _theta(model: Any, y: np.ndarray, horizon: int) -> Components:
    fitted = model.fit(y=y).model_
    mean = np.asarray(model.predict(h=horizon)["mean"])
    season = None
    if fitted.get("decompose"):
        season = np.resize(fitted["seas_forecast"]["mean"], horizon)
    found = season_apart(
        mean,
        level=fitted["states"][-1, 0],
        has_trend=True,
        season=season,
        multiplicative=fitted.get("decomposition_type") == "multiplicative",
    )
    return {"drift" if name == "trend" else name: values for name, values in found.items()}


def _mstl(model: Any, y: np.ndarray, horizon: int) -> Components:
    fitted = model.fit(y=y)
    found = {"trend": np.asarray(fitted.trend_forecaster.predict(h=horizon)["mean"])}
    columns = [name for name in fitted.model_ if name.startswith("seasonal")]
    for name, length in zip(columns, fitted.season_length, strict=True):
        last = fitted.model_[name].to_numpy()[-length:]
        found[f"season of {length}"] = np.resize(last, horizon)
    return found


def season_apart(
    mean: np.ndarray,
    level: float,
    has_trend: bool,
    season: np.ndarray | None,
    multiplicative: bool,
) -> Components:
    """Level, trend and season of an exponential smoothing.

    Args:
        mean: `[H]` forecasts.
        level: the last one.
        has_trend: whether what neither level nor season explain is the trend.
        season: `[H]`, if there is one.
        multiplicative: whether the season is a factor.

    Examples:
        >>> found = season_apart(np.array([12.0, 33.0]), 10.0, True, np.array([1.0, 3.0]), True)
        >>> {name: values.tolist() for name, values in found.items()}
        {'level': [10.0, 10.0], 'trend': [2.0, 1.0], 'season': [0.0, 22.0]}
    """
    found = {"level": np.full(len(mean), float(level))}
    apart = mean
    if season is not None:
        if not has_trend:
            apart = found["level"]
            part = apart * season - apart if multiplicative else season
        else:
            apart = mean / season if multiplicative else mean - season
            part = mean - apart
    if has_trend:
        found["trend"] = apart - found["level"]
    if season is not None:
        found["season"] = part
    return found


def _mean(model: Any, y: np.ndarray, horizon: int) -> np.ndarray:
    return np.asarray(model.forecast(y=y, h=horizon)["mean"], dtype=float)


_KNOWN: dict[str, Callable[[Any, np.ndarray, int], Components]] = {
    "Naive": _naive,
    "SeasonalNaive": _seasonal_naive,
    "RandomWalkWithDrift": _drift,
    **dict.fromkeys(["HistoricAverage", "WindowAverage"], _level),
    **dict.fromkeys(["SimpleExponentialSmoothing", "SimpleExponentialSmoothingOptimized"], _level),
    **dict.fromkeys(
        [
            "SeasonalWindowAverage",
            "SeasonalExponentialSmoothing",
            "SeasonalExponentialSmoothingOptimized",
        ],
        _seasonal_level,
    ),
    "AutoETS": _ets,
    "AutoTheta": _theta,
    "MSTL": _mstl,
}
