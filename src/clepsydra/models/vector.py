"""Vector autoregression: related series that explain each other."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from scipy.stats import norm
from statsmodels.tsa.vector_ar.var_model import VAR

from clepsydra.config import TaskConfig
from clepsydra.models.base import LEVELS, History, Model, quantile_columns

__all__ = ["VarModel"]

_LEAST_SPREAD = 1e-9


class VarModel(Model):
    r"""Each step of a group of series is a linear function of the steps before it of them all.

    .. math:: z_t = c + \sum_{i=1}^{p} A_i\, z_{t-i} + u_t

    where :math:`z_t` is the vector of the group's seasonal differences, each in units of its own
    spread. A group has a parameter for every pair of series and lag, so it must be small beside its
    history: one with less than two steps a parameter gets the fallback, and so do a series alone
    and one that repeats its season.
    A group is as it is when it is forecast: without a series that cannot be shown just then.

    Source: Lütkepohl, New Introduction to Multiple Time Series Analysis (2005).

    Args:
        task: gives the season length.
        lead: unused; it forecasts any number of steps.
        lags: the order p.
        group_by: the attribute whose values are the groups; without it all series are one.
        difference_season: model the difference from a season ago.
    """

    scope = "panel"
    joint = True
    uses = frozenset({"static"})
    own_quantiles = True
    cost = 0.05

    def __init__(
        self,
        task: TaskConfig,
        lead: int,
        lags: int = 3,
        group_by: str | None = None,
        difference_season: bool = True,
    ):
        self._lags, self._group_by = lags, group_by
        self.attributes = (group_by,) if group_by else ()
        self._season = task.season_length if difference_season else 0
        self.min_history = 2 * self._season + lags + 2

    def fit(self, history: History) -> None:
        """Nothing is kept: least squares are quick, and a group may have changed by then."""

    def predict(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        frames, problem = [], None
        for ids in self._groups(history):
            y = _wide(history, ids)
            z = self._stationary(y)
            # One that repeats its season has no equation.
            ids = ids[(z.std() > _LEAST_SPREAD * y.abs().max()).to_numpy()]
            if len(ids) < 2 or len(z) - self._lags < 2 * (1 + self._lags * len(ids)):
                continue
            ds = future.loc[future["unique_id"] == ids[0], "ds"].to_numpy()
            try:
                level, error = self._forecast(y[ids], z[ids], horizon)
            except np.linalg.LinAlgError as singular:
                problem = singular  # this group has none; the others have
                continue
            for column, unique_id in enumerate(ids):
                quantiles = level[:, [column]] + error[:, [column]] * norm.ppf(LEVELS)
                frames.append(
                    pd.DataFrame(quantiles, columns=quantile_columns()).assign(
                        unique_id=unique_id, ds=ds, y_hat=level[:, column]
                    )
                )
        if problem and not frames:
            raise problem
        if not frames:
            raise ValueError(
                f"no group of two series or more has two steps for each of its parameters: give "
                f"'group_by' an attribute with small groups, or fewer than {self._lags} 'lags'"
            )
        columns = ["unique_id", "ds", "y_hat", *quantile_columns()]
        return pd.concat(frames, ignore_index=True)[columns]

    def _forecast(
        self, y: pd.DataFrame, z: pd.DataFrame, horizon: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard errors `[H, K]` of a group, from its values and their differences."""
        spread = z.std().to_numpy()
        values = z.to_numpy() / spread
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = VAR(values).fit(self._lags, trend="c")
        steps = fitted.forecast(values[-self._lags :], horizon)
        error = np.sqrt(np.diagonal(fitted.forecast_cov(horizon), axis1=1, axis2=2))
        return self._levels(y.to_numpy(), steps * spread, error * spread)

    def _groups(self, history: History) -> list[pd.Index]:
        if self._group_by is None:
            return [history.ids]
        groups = history.static.groupby(self._group_by, sort=True)["unique_id"]
        return [pd.Index(sorted(ids)) for _, ids in groups]

    def _stationary(self, y: pd.DataFrame) -> pd.DataFrame:
        return y.diff(self._season).iloc[self._season :] if self._season else y

    def _levels(
        self, y: np.ndarray, steps: np.ndarray, error: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Forecasts and their errors of the values, from those of the differences `[H, K]`."""
        if not self._season:
            return steps, error
        level, variance = np.empty_like(steps), np.empty_like(steps)
        for step in range(len(steps)):
            before = step - self._season
            level[step] = steps[step] + (level[before] if before >= 0 else y[before])
            variance[step] = error[step] ** 2 + (variance[before] if before >= 0 else 0.0)
        return level, np.sqrt(variance)


def _wide(history: History, ids: pd.Index) -> pd.DataFrame:
    """The steps that all series have, a column each."""
    rows = history.rows[history.rows["unique_id"].isin(ids)]
    return rows.pivot(index="ds", columns="unique_id", values="y")[list(ids)].dropna()
