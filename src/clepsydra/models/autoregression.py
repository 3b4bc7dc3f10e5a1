"""A regression of each series on its own past: quick, and hard to beat where seasons are long."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.linalg import solve

from clepsydra.config import TaskConfig
from clepsydra.models.base import History, Model
from clepsydra.models.lags import autoregressive_lags
from clepsydra.models.parts import Kind, Scale, no_parts, parts_frame

__all__ = ["AutoregressionModel", "autoregression"]

# How far beyond all that was seen a forecast may go, in units of the range of what was.
_MARGIN = 0.3


class AutoregressionModel(Model):
    """`autoregression` as an engine.

    It learns anew from every history, in milliseconds, so `fit` keeps nothing.

    Args:
        task: gives the season lengths; positions are those in the shortest.
        lead: unused; it forecasts any number of steps.
        lags: steps back; `models.lags.autoregressive_lags` if not given.
        log: whether it sees logarithms, of series that are always above zero.
        ridge: penalty on the lags, see `autoregression`.
        seasonal_ridge: penalty on the positions in the seasons.
    """

    cost = 0.005

    def __init__(
        self,
        task: TaskConfig,
        lead: int,
        lags: list[int] | None = None,
        log: bool = True,
        ridge: float = 0.003,
        seasonal_ridge: float = 0.1,
    ):
        self._season = min(task.season_lengths)
        self._lags = sorted(lags) if lags else autoregressive_lags(task.season_lengths)
        self._log = log
        self._ridge, self._seasonal_ridge = ridge, seasonal_ridge
        self.min_history = 3 * self._season + 2
        if self._lags[0] < 1 or ridge < 0 or seasonal_ridge < 0:
            raise ValueError(
                f"lags from {self._lags[0]}, ridge {ridge}, seasonal_ridge {seasonal_ridge}: give "
                f"at least 1, 0 and 0"
            )

    def fit(self, history: History) -> None:
        return None

    def predict(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        ahead = dict(iter(future.groupby("unique_id", sort=False)["ds"]))
        frames = []
        for unique_id, y, log in self._seen(history):
            y_hat = autoregression(y, *self._settings(horizon))
            frames.append(
                pd.DataFrame(
                    {
                        "unique_id": unique_id,
                        "ds": ahead[unique_id],
                        "y_hat": np.exp(y_hat) if log else y_hat,
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)

    def explain(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        """What the lags and the season are of each forecast, and what its limits change."""
        ahead = dict(iter(future.groupby("unique_id", sort=False)["ds"]))
        frames = []
        for unique_id, y, log in self._seen(history):
            if unique_id in ahead:
                _, parts = _regressed(y, *self._settings(horizon))
                base = {"base": parts.pop("base")}
                named: dict[Kind, dict[str, np.ndarray]] = {"base": base, "component": parts}
                scale: Scale = "log" if log else "value"
                frames.append(parts_frame(unique_id, ahead[unique_id], named, scale))
        return pd.concat([no_parts(), *frames], ignore_index=True)

    def _seen(self, history: History) -> Iterator[tuple[str, np.ndarray, bool]]:
        """Each series as it is regressed, and whether that is its logarithm."""
        for unique_id, values in history.rows.groupby("unique_id", sort=True)["y"]:
            y = values.to_numpy(dtype=float)
            log = self._log and y.min() > 0
            yield str(unique_id), np.log(y) if log else y, log

    def _settings(self, horizon: int) -> tuple[int, list[int], int, float, float]:
        return horizon, self._lags, self._season, self._ridge, self._seasonal_ridge


def autoregression(
    y: np.ndarray,
    horizon: int,
    lags: list[int],
    season_length: int,
    ridge: float = 0.003,
    seasonal_ridge: float = 0.1,
) -> np.ndarray:
    """Forecast by a linear regression on earlier values and on the position in each season.

    With z the standardised values, `z[t] = c + sum(phi[l] z[t-l]) + s[t mod season_length]`, by
    least squares with a penalty on the squares of all coefficients but the constant: `ridge` for a
    lag, `seasonal_ridge` for a position in the season, times a hundredth of the rows. Steps ahead
    take the
    forecasts before them as values, and none goes further than three tenths of their range beyond
    the values seen. Lags of half the history and more are left out.

    Sources: Hoerl and Kennard, Ridge regression (1970), for the penalty; Hyndman and
    Athanasopoulos, Forecasting: principles and practice (2021), chapters 7 and 9, for dummies and
    autoregression.

    Args:
        y: the history, shape (steps,), oldest first, without missing values.
        horizon: steps ahead.
        lags: steps back, each at least 1.
        season_length: steps of the season whose positions are told apart; longer ones are
            learnt from lags. 1 for none.
        ridge: penalty on the lags.
        seasonal_ridge: penalty on the positions.

    Returns:
        The forecasts, shape (horizon,), in units of `y`.

    Raises:
        ValueError: `y` is shorter than two steps more than twice the shortest lag.

    Examples:
        >>> y = 10 + np.tile([0.0, 5.0, 1.0, 0.0], 20)
        >>> autoregression(y, 4, lags=[1, 4], season_length=4).round(1).tolist()
        [10.0, 15.0, 11.0, 10.0]
    """
    return _regressed(y, horizon, lags, season_length, ridge, seasonal_ridge)[0]


def _regressed(
    y: np.ndarray,
    horizon: int,
    lags: list[int],
    season_length: int,
    ridge: float,
    seasonal_ridge: float,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The forecasts `[H]` of `autoregression`, and by name the parts `[H]` they are the sum of."""
    usable = np.array([lag for lag in sorted(lags) if lag < len(y) / 2 - 1], dtype=int)
    if not len(usable):
        raise ValueError(f"{len(y)} steps are too few for a lag of {min(lags)}: give it twice that")
    middle, spread = y.mean(), y.std()
    if spread <= np.finfo(float).eps * np.abs(y).max():
        return np.full(horizon, middle), {"base": np.full(horizon, middle)}
    z = np.concatenate([(y - middle) / spread, np.zeros(horizon)])
    steps = np.arange(usable[-1], len(y))
    positions = np.eye(season_length)[np.arange(len(z)) % season_length]
    rows = np.column_stack([np.ones(len(steps)), z[steps[:, None] - usable], positions[steps]])
    penalty = np.repeat([0.0, ridge, seasonal_ridge], [1, len(usable), positions.shape[1]])
    gram = rows.T @ rows + np.diag(penalty * len(steps) / 100 + 1e-9)
    weights = solve(gram, rows.T @ z[steps], assume_a="pos")
    of_lags = weights[1 : 1 + len(usable)]
    seasonal = weights[0] + positions[len(y) :] @ weights[1 + len(usable) :]
    low, high = z[: len(y)].min(), z[: len(y)].max()
    margin = _MARGIN * (high - low)
    lagged, limit = np.empty(horizon), np.full(horizon, np.nan)
    for step in range(len(y), len(z)):
        place = step - len(y)
        lagged[place] = z[step - usable] @ of_lags
        value = lagged[place] + seasonal[place]
        z[step] = min(max(value, low - margin), high + margin)
        if z[step] != value:
            limit[place] = z[step] - value
    parts = {
        "base": np.full(horizon, middle + spread * weights[0]),
        "lags": spread * lagged,
        "season": spread * (seasonal - weights[0]),
        "limit": spread * limit,
    }
    return middle + spread * z[len(y) :], parts
