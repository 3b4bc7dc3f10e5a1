"""State space models of statsmodels, one series at a time.

Parameters are estimated when a model is fitted; forecasting runs the filter over newer history with
the same parameters, which is a hundred times cheaper than estimating them.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import norm
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.statespace.sarimax import SARIMAX
from statsmodels.tsa.statespace.structural import UnobservedComponents

from clepsydra.config import TaskConfig
from clepsydra.models.base import LEVELS, History, Model, quantile_columns
from clepsydra.models.parts import Kind, no_parts, parts_frame
from clepsydra.models.state_space_components import regression_weights, smoothing, unobserved

__all__ = ["ExponentialSmoothingModel", "SarimaxModel", "UnobservedComponentsModel"]

_Z = norm.ppf(LEVELS)


class _StateSpaceModel(Model):
    """Estimates each series' parameters, and filters with them; quantiles are normal."""

    own_quantiles = True

    def fit(self, history: History) -> dict[str, np.ndarray | Exception]:
        """Parameters by series, or why there are none."""
        states: dict[str, np.ndarray | Exception] = {}
        for unique_id, y, known in _series(history.rows, history.known):
            if len(y) < self.min_history:
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    states[unique_id] = np.asarray(self._estimate(y, known))
            except (ValueError, np.linalg.LinAlgError) as error:
                states[unique_id] = error
        return states

    def predict(
        self, state: dict[str, np.ndarray], history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        frames = []
        for unique_id, y, known, rows, known_ahead in _ahead(state, history, future):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                mean, error = self._forecast(state[unique_id], y, known, known_ahead, len(rows))
            quantiles = mean[:, None] + error[:, None] * _Z
            frames.append(
                pd.DataFrame({"unique_id": unique_id, "ds": rows["ds"], "y_hat": mean}).join(
                    pd.DataFrame(quantiles, columns=quantile_columns(), index=rows.index)
                )
            )
        if not frames:
            empty = {"unique_id": [], "ds": pd.to_datetime([]), "y_hat": []}
            return pd.DataFrame({**empty, **{name: [] for name in quantile_columns()}})
        return pd.concat(frames, ignore_index=True)

    def explain(
        self, state: dict[str, np.ndarray], history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        """The components of every forecast, see `models.state_space_components`."""
        frames = []
        for unique_id, y, known, rows, known_ahead in _ahead(state, history, future):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found, weighted = self._components(
                    state[unique_id], y, known, known_ahead, len(rows)
                )
            named: dict[Kind, dict[str, np.ndarray]] = {
                "component": found,
                "feature": dict(zip(history.known, weighted.T, strict=True)),
            }
            frames.append(parts_frame(unique_id, rows["ds"], named))
        return pd.concat([no_parts(), *frames], ignore_index=True)

    @abstractmethod
    def _estimate(self, y: np.ndarray, known: np.ndarray) -> np.ndarray:
        """The parameters of a series `[N]` with known columns `[N, K]`."""

    @abstractmethod
    def _forecast(
        self,
        params: np.ndarray,
        y: np.ndarray,
        known: np.ndarray,
        known_ahead: np.ndarray,
        steps: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard errors `[H]` of the steps ahead, with known columns `[H, K]`."""

    @abstractmethod
    def _components(
        self,
        params: np.ndarray,
        y: np.ndarray,
        known: np.ndarray,
        known_ahead: np.ndarray,
        steps: int,
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Components by name `[H]` and parts of the known columns `[H, K]`: their sum is the mean.

        A known column's part is its weight times how far it is from its mean up to the cutoff.
        """


class SarimaxModel(_StateSpaceModel):
    r"""Regression on the same step some seasons ago, with ARIMA errors, by Kalman filter.

    .. math:: y_t = c + \sum_j \beta_j\, y_{t - j m} + \gamma' x_t + n_t,
              \qquad n_t \sim \mathrm{ARIMA}(p, d, q)(P, D, Q)_s

    A seasonal ARIMA with season :math:`m` has a state of :math:`m` or more dimensions: at 168
    hours a week one fit takes minutes. Carrying the season in regressors that are known at
    forecast time keeps the state as small as the errors' order.

    Source: Durbin and Koopman, Time Series Analysis by State Space Methods, 2nd edition (2012).

    Args:
        task: gives the season length m.
        lead: most steps ahead; only seasons at least as long ago are used.
        order: (p, d, q) of the errors.
        seasonal_order: (P, D, Q, s) of the errors, for a short season s; `seasons` may then be 0.
        seasons: how many past seasons are regressors.
        known_columns: whether columns known in advance are regressors x.
        maxiter: limit of the optimiser's steps.
    """

    cost = 1.0

    def __init__(
        self,
        task: TaskConfig,
        lead: int,
        order: tuple[int, int, int] = (1, 0, 0),
        seasonal_order: tuple[int, int, int, int] = (0, 0, 0, 0),
        seasons: int = 2,
        known_columns: bool = False,
        maxiter: int = 30,
    ):
        nearest = -(-lead // task.season_length)
        self._lags = [task.season_length * (nearest + number) for number in range(seasons)]
        self._order, self._seasonal_order = tuple(order), tuple(seasonal_order)
        self._maxiter = maxiter
        longest = max(self._lags, default=0)
        self.min_history = max(2 * longest, 2 * self._seasonal_order[3]) + 10
        if known_columns:
            self.uses = frozenset({"known"})

    def _estimate(self, y: np.ndarray, known: np.ndarray) -> np.ndarray:
        return self._model(y, known).fit(disp=False, maxiter=self._maxiter, method="lbfgs").params

    def _forecast(
        self,
        params: np.ndarray,
        y: np.ndarray,
        known: np.ndarray,
        known_ahead: np.ndarray,
        steps: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        padded = np.concatenate([y, np.full(steps, np.nan)])
        # Scaled by what is known up to the cutoff, as it was for the fit.
        ahead = self._regressors(padded, _scaled(known, known_ahead), steps)
        filtered = self._model(y, known).filter(params)
        found = filtered.get_forecast(steps, exog=ahead if ahead.shape[1] else None)
        return np.asarray(found.predicted_mean), np.asarray(found.se_mean)

    def _components(
        self,
        params: np.ndarray,
        y: np.ndarray,
        known: np.ndarray,
        known_ahead: np.ndarray,
        steps: int,
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        mean, _ = self._forecast(params, y, known, known_ahead, steps)
        padded = np.concatenate([y, np.full(steps, np.nan)])
        ahead = self._regressors(padded, _scaled(known, known_ahead), steps)
        weights = regression_weights(self._model(y, known), params)
        parts = ahead * weights
        seasons = {f"{lag} steps before": parts[:, n] for n, lag in enumerate(self._lags)}
        errors = mean - parts.sum(axis=1)
        return {"errors": errors, **seasons}, parts[:, len(self._lags) :]

    def _model(self, y: np.ndarray, known: np.ndarray) -> SARIMAX:
        skip = max(self._lags, default=0)
        exog = self._regressors(y, _scaled(known, known), len(y) - skip)
        differenced = self._order[1] + self._seasonal_order[1]
        return SARIMAX(
            y[skip:],
            exog=exog if exog.shape[1] else None,
            order=self._order,
            seasonal_order=self._seasonal_order,
            trend="c" if differenced == 0 else None,
            enforce_stationarity=True,
        )

    def _regressors(self, y: np.ndarray, known: np.ndarray, steps: int) -> np.ndarray:
        """Of the last steps the values some seasons before, and the known columns."""
        seasons = [y[len(y) - steps - lag : len(y) - lag] for lag in self._lags]
        return np.column_stack([np.empty((steps, 0)), *seasons, known[-steps:]])


class UnobservedComponentsModel(_StateSpaceModel):
    r"""Trend, seasons and irregular, each with its own variance.

    .. math:: y_t = \mu_t + \sum_j \gamma^{(j)}_t + \beta' x_t + \varepsilon_t

    The trend :math:`\mu_t` is as `level` says, and each season of the task is a sum of
    trigonometric terms, so that a week of hours needs a dozen states rather than 168.

    Source: Harvey, Forecasting, Structural Time Series Models and the Kalman Filter (1989).

    Args:
        task: gives the seasons.
        lead: unused; it forecasts any number of steps.
        level: the trend's name in `statsmodels`, e.g. `local level`, `local linear trend`,
            `smooth trend`, `random walk`.
        harmonics: most trigonometric terms a season.
        stochastic_seasonal: whether the seasons change with time, which is a variance more each.
        autoregressive: order of an autoregressive component, 0 for none.
        known_columns: whether columns known in advance are regressors x.
        maxiter: limit of the optimiser's steps.
    """

    cost = 2.0

    def __init__(
        self,
        task: TaskConfig,
        lead: int,
        level: str = "local level",
        harmonics: int = 6,
        stochastic_seasonal: bool = False,
        autoregressive: int = 0,
        known_columns: bool = False,
        maxiter: int = 30,
    ):
        seasons = [length for length in task.season_lengths if length > 1]
        self._options = {
            "level": level,
            "freq_seasonal": [
                {"period": length, "harmonics": min(harmonics, length // 2)} for length in seasons
            ],
            "stochastic_freq_seasonal": [stochastic_seasonal] * len(seasons),
            "autoregressive": autoregressive or None,
        }
        self._maxiter = maxiter
        self.min_history = 2 * task.season_length + 10
        if known_columns:
            self.uses = frozenset({"known"})

    def _estimate(self, y: np.ndarray, known: np.ndarray) -> np.ndarray:
        return self._model(y, known).fit(disp=False, maxiter=self._maxiter, method="lbfgs").params

    def _forecast(
        self,
        params: np.ndarray,
        y: np.ndarray,
        known: np.ndarray,
        known_ahead: np.ndarray,
        steps: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        ahead = _scaled(known, known_ahead)
        filtered = self._model(y, known).filter(params)
        found = filtered.get_forecast(steps, exog=ahead if ahead.shape[1] else None)
        return np.asarray(found.predicted_mean), np.asarray(found.se_mean)

    def _components(
        self,
        params: np.ndarray,
        y: np.ndarray,
        known: np.ndarray,
        known_ahead: np.ndarray,
        steps: int,
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        model = self._model(y, known)
        weights = regression_weights(model, params)
        return unobserved(model.filter(params), steps), _scaled(known, known_ahead) * weights

    def _model(self, y: np.ndarray, known: np.ndarray) -> UnobservedComponents:
        exog = _scaled(known, known)
        return UnobservedComponents(y, exog=exog if exog.shape[1] else None, **self._options)


class ExponentialSmoothingModel(_StateSpaceModel):
    """Exponential smoothing in its state space form, ETS(error, trend, season).

    Source: Hyndman, Koehler, Ord and Snyder, Forecasting with Exponential Smoothing (2008).

    Args:
        task: gives the season length.
        lead: unused; it forecasts any number of steps.
        error: `add` or `mul`.
        trend: `add`, `mul` or nothing.
        damped_trend: whether the trend fades.
        seasonal: `add`, `mul` or nothing.
        season_length: the task's longest if not given.
        maxiter: limit of the optimiser's steps.
    """

    cost = 0.5

    def __init__(
        self,
        task: TaskConfig,
        lead: int,
        error: Literal["add", "mul"] = "add",
        trend: Literal["add", "mul"] | None = None,
        damped_trend: bool = False,
        seasonal: Literal["add", "mul"] | None = "add",
        season_length: int | None = None,
        maxiter: int = 100,
    ):
        season = season_length or task.season_length
        self._options = {
            "error": error,
            "trend": trend,
            "damped_trend": damped_trend,
            "seasonal": seasonal if season > 1 else None,
            "seasonal_periods": season if season > 1 else None,
            # Estimated, the season's first values would be a parameter each.
            "initialization_method": "heuristic",
        }
        self._maxiter = maxiter
        self.min_history = max(2 * season, 10)

    def _estimate(self, y: np.ndarray, known: np.ndarray) -> np.ndarray:
        return self._model(y).fit(disp=False, maxiter=self._maxiter).params

    def _forecast(
        self,
        params: np.ndarray,
        y: np.ndarray,
        known: np.ndarray,
        known_ahead: np.ndarray,
        steps: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        smoothed = self._model(y).smooth(params)
        end = len(y) + steps - 1
        # Variances are simulated where there is no formula, always with the same numbers.
        found = smoothed.get_prediction(len(y), end, rng=np.random.default_rng(0))
        return np.asarray(found.predicted_mean), np.sqrt(np.asarray(found.forecast_variance))

    def _components(
        self,
        params: np.ndarray,
        y: np.ndarray,
        known: np.ndarray,
        known_ahead: np.ndarray,
        steps: int,
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        mean, _ = self._forecast(params, y, known, known_ahead, steps)
        smoothed = self._model(y).smooth(params)
        found = smoothing(smoothed, mean)
        return found, np.empty((steps, 0))

    def _model(self, y: np.ndarray) -> ETSModel:
        return ETSModel(pd.Series(y), **self._options)


def _scaled(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Columns `[N, K]` in units of how the known ones vary; one that does not vary is zero."""
    spread = known.std(axis=0)
    return (values - known.mean(axis=0)) / np.where(spread > 0, spread, np.inf)


def _series(
    rows: pd.DataFrame, known: tuple[str, ...]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for unique_id, its in rows.groupby("unique_id", sort=True):
        yield unique_id, its["y"].to_numpy(dtype=float), its[list(known)].to_numpy(dtype=float)


def _ahead(
    state: dict[str, np.ndarray], history: History, future: pd.DataFrame
) -> Iterator[tuple[str, np.ndarray, np.ndarray, pd.DataFrame, np.ndarray]]:
    """Of the series that were learnt: history, the steps ahead and the columns known of both."""
    ahead = dict(iter(future.groupby("unique_id", sort=False)))
    for unique_id, y, known in _series(history.rows, history.known):
        if unique_id in state and unique_id in ahead:
            rows = ahead[unique_id]
            yield unique_id, y, known, rows, rows[list(history.known)].to_numpy(dtype=float)
