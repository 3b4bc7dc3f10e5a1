"""SARIMAX of statsmodels, one series at a time, with whole seasons ago as regressors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
from statsmodels.tsa.statespace.sarimax import SARIMAX

from clepsydra.config import TaskConfig

__all__ = ["SarimaxModel"]


class SarimaxModel:
    r"""Regression on the same step some seasons ago, with ARIMA errors, by Kalman filter.

    .. math:: y_t = c + \sum_j \beta_j\, y_{t - j m} + n_t, \qquad n_t \sim \mathrm{ARIMA}(p, d, q)

    A seasonal ARIMA with season :math:`m` has a state of :math:`m` or more dimensions: at 168
    hours a week one fit takes minutes. Carrying the season in regressors that are known at
    forecast time keeps the state as small as the errors' order. Parameters are estimated when the
    model is fitted; forecasting runs the filter over newer history with the same parameters.

    Source: Durbin and Koopman, Time Series Analysis by State Space Methods, 2nd edition (2012).

    Args:
        task: gives the season length m.
        lead: most steps ahead; only seasons at least as long ago are used.
        order: (p, d, q) of the errors.
        seasons: how many past seasons are regressors.
        maxiter: limit of the optimiser's steps.
    """

    def __init__(
        self,
        task: TaskConfig,
        lead: int,
        order: tuple[int, int, int] = (1, 0, 0),
        seasons: int = 2,
        maxiter: int = 30,
    ):
        nearest = -(-lead // task.season_length)
        self._lags = [task.season_length * (nearest + number) for number in range(seasons)]
        self._order = tuple(order)
        self._maxiter = maxiter
        self.min_history = 2 * self._lags[-1] + 10

    def fit(self, history: pd.DataFrame) -> dict[str, np.ndarray]:
        """Parameters by series; a series it cannot fit is absent."""
        states = {}
        for unique_id, y in _series(history):
            if len(y) < self.min_history:
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    result = self._model(y).fit(disp=False, maxiter=self._maxiter, method="lbfgs")
            except (ValueError, np.linalg.LinAlgError):
                continue
            states[unique_id] = np.asarray(result.params)
        return states

    def predict(
        self, state: dict[str, np.ndarray], history: pd.DataFrame, future: pd.DataFrame
    ) -> pd.DataFrame:
        steps = dict(iter(future.groupby("unique_id")["ds"]))
        frames = []
        for unique_id, y in _series(history):
            if unique_id not in state or unique_id not in steps:
                continue
            ahead = steps[unique_id]
            padded = np.concatenate([y, np.full(len(ahead), np.nan)])
            exog = self._regressors(padded)[-len(ahead) :]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                filtered = self._model(y).filter(state[unique_id])
                y_hat = filtered.forecast(len(ahead), exog=exog)
            frames.append(pd.DataFrame({"unique_id": unique_id, "ds": ahead, "y_hat": y_hat}))
        if not frames:
            return pd.DataFrame({"unique_id": [], "ds": pd.to_datetime([]), "y_hat": []})
        return pd.concat(frames, ignore_index=True)

    def _model(self, y: np.ndarray) -> SARIMAX:
        skip = self._lags[-1]
        return SARIMAX(
            y[skip:],
            exog=self._regressors(y)[skip:],
            order=self._order,
            trend="c" if self._order[1] == 0 else None,
            enforce_stationarity=True,
        )

    def _regressors(self, y: np.ndarray) -> np.ndarray:
        return np.column_stack([np.concatenate([np.full(k, np.nan), y[:-k]]) for k in self._lags])


def _series(history: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    for unique_id, rows in history.groupby("unique_id", sort=True):
        yield unique_id, rows["y"].to_numpy(dtype=float)
