"""Naive2: the seasonally adjusted naive forecast that the M4 competition measures others by.

Sources: Makridakis, Spiliotis and Assimakopoulos, The M4 competition: 100,000 time series and 61
forecasting methods (2020), and the benchmarks published with it; the test of seasonality and the
adjustment are those of Assimakopoulos and Nikolopoulos, The theta model: a decomposition approach
to forecasting (2000).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from clepsydra.config import TaskConfig
from clepsydra.models.base import History, Model
from clepsydra.models.parts import no_parts, parts_frame

__all__ = ["Naive2Model", "is_seasonal", "naive2"]

_QUANTILE = 1.645  # of the normal distribution: a two-sided test at 90 %


class Naive2Model(Model):
    """`naive2` as an engine.

    Args:
        task: gives the season length.
        lead: unused; it forecasts any number of steps.
        season_length: the task's shortest if not given, as in the M4 competition.
    """

    cost = 0.002
    accepts_constant = True
    min_history = 1

    def __init__(self, task: TaskConfig, lead: int, season_length: int | None = None):
        self._season = season_length or min(task.season_lengths)

    def fit(self, history: History) -> None:
        return None

    def predict(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        ahead = dict(iter(future.groupby("unique_id", sort=False)["ds"]))
        frames = [
            pd.DataFrame(
                {
                    "unique_id": unique_id,
                    "ds": ahead[unique_id],
                    "y_hat": naive2(y.to_numpy(dtype=float), horizon, self._season),
                }
            )
            for unique_id, y in history.rows.groupby("unique_id", sort=True)["y"]
        ]
        return pd.concat(frames, ignore_index=True)

    def explain(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        """The last value, adjusted for the season, and what the season changes."""
        ahead = dict(iter(future.groupby("unique_id", sort=False)["ds"]))
        frames = []
        for unique_id, values in history.rows.groupby("unique_id", sort=True)["y"]:
            if unique_id not in ahead:
                continue
            y = values.to_numpy(dtype=float)
            last, season = _adjusted(y, horizon, self._season)
            level = np.full(horizon, last)
            parts = {"last value": level}
            if season is not None:
                parts = {"last value, adjusted": level, "season": last * season - level}
            frames.append(parts_frame(str(unique_id), ahead[unique_id], {"component": parts}))
        return pd.concat([no_parts(), *frames], ignore_index=True)


def naive2(y: np.ndarray, horizon: int, season_length: int) -> np.ndarray:
    """Forecast the last value, adjusted for the season where the history is seasonal.

    A seasonal history is divided by the seasonal figure of a classical multiplicative
    decomposition, its last value is repeated, and multiplied by the figure of each step ahead. A
    history with values of zero or less has no such figure: it is taken as not seasonal.

    Args:
        y: the history, shape (steps,), oldest first, without missing values.
        horizon: steps ahead.
        season_length: steps of a season; 1 for none.

    Returns:
        The forecasts, shape (horizon,), in units of `y`.

    Raises:
        ValueError: `y` is empty, has missing values or is no vector, or a length is less than 1.

    Examples:
        >>> naive2(np.array([1.0, 4.0, 3.0]), horizon=2, season_length=1)
        array([3., 3.])
        >>> naive2(np.tile([1.0, 3.0], 6), horizon=3, season_length=2)
        array([1., 3., 1.])
    """
    if horizon < 1:
        raise ValueError(f"horizon is {horizon}: forecast at least 1 step")
    last, season = _adjusted(y, horizon, season_length)
    return np.full(horizon, last) if season is None else last * season


def _adjusted(y: np.ndarray, horizon: int, season_length: int) -> tuple[float, np.ndarray | None]:
    """The last value, adjusted for the season, and the season's factors ahead, if it has one."""
    from statsmodels.tsa.seasonal import seasonal_decompose

    if not is_seasonal(y, season_length) or np.min(y) <= 0:
        return float(y[-1]), None
    parts = seasonal_decompose(y, model="multiplicative", period=season_length)
    ahead = np.resize(parts.seasonal[-season_length:], horizon)
    return y[-1] / parts.seasonal[-1], ahead


def is_seasonal(y: np.ndarray, season_length: int) -> bool:
    """Whether the autocorrelation at the lag of a season differs from zero, tested at 90 %.

    Its variance is Bartlett's, from the autocorrelations at the shorter lags. A history of less
    than three seasons, and one that never changes, is not seasonal.

    Args:
        y: the history, shape (steps,), oldest first, without missing values.
        season_length: steps of a season; with 1 there is no season.

    Raises:
        ValueError: `y` is empty, has missing values or is no vector, or `season_length` is less
            than 1.

    Examples:
        >>> is_seasonal(np.tile([1.0, 3.0, 2.0], 10), season_length=3)
        True
        >>> is_seasonal(np.arange(30.0) % 2, season_length=1)
        False
    """
    from statsmodels.tsa.stattools import acf

    if season_length < 1:
        raise ValueError(f"season_length is {season_length}: a season has at least 1 step")
    if y.ndim != 1 or not len(y) or np.isnan(y).any():
        raise ValueError(f"y has the shape {y.shape}: give a vector of values, none missing")
    if season_length == 1 or len(y) < 3 * season_length or np.ptp(y) == 0:
        return False
    lags = acf(y, nlags=season_length, fft=True)[1:]
    deviation = np.sqrt((1 + 2 * np.sum(lags[:-1] ** 2)) / len(y))
    return bool(abs(lags[-1]) > _QUANTILE * deviation)
