"""Global models: mlforecast's lag features with a scikit-learn regressor."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import pandas as pd
from mlforecast import MLForecast
from mlforecast.lag_transforms import RollingMean
from mlforecast.target_transforms import Differences

from clepsydra.config import TaskConfig

__all__ = ["MlforecastModel", "default_lags", "default_rolling_means"]

_LOWEST_LEVEL = 0.02


class MlforecastModel:
    """One regressor over all series, on lags, rolling means and the columns known in advance.

    Lags shorter than the lead are filled with the model's own forecasts (recursive); with lags at
    least as long as the lead it is a direct model, trained on what it will really see.

    Args:
        task: gives frequency and season length.
        lead: most steps ahead.
        estimator: import path of a scikit-learn regressor.
        params: its arguments.
        lags: steps back; see `default_lags`.
        rolling_means: lag to window lengths, e.g. `{48: [24, 168]}`; see `default_rolling_means`.
        difference_season: learn the difference from a season ago instead of the value.
        balance: weigh every series by the inverse of its mean level, so that a squared error
            does not let the large ones decide alone; MASE counts all alike.
        known_columns: whether columns known in advance are features.

    Raises:
        ImportError, AttributeError, TypeError: the estimator or its arguments do not exist.
    """

    def __init__(
        self,
        task: TaskConfig,
        lead: int,
        estimator: str,
        params: dict[str, Any] | None = None,
        lags: list[int] | None = None,
        rolling_means: dict[int, list[int]] | None = None,
        difference_season: bool = False,
        balance: bool = False,
        known_columns: bool = True,
    ):
        module, _, cls = estimator.rpartition(".")
        self._estimator = getattr(importlib.import_module(module), cls)(**(params or {}))
        self._freq = task.freq
        self._lags = lags or default_lags(task.season_lengths, lead)
        if rolling_means is None:
            rolling_means = default_rolling_means(task.season_lengths, lead)
        self._rolling_means = {int(lag): list(sizes) for lag, sizes in rolling_means.items()}
        self._differences = [task.season_length] if difference_season else []
        self._balance = balance
        self._known_columns = known_columns
        self.min_history = max(self._lags) + sum(self._differences) + 1

    def fit(self, history: pd.DataFrame) -> MLForecast:
        model = MLForecast(
            models={"y_hat": self._estimator},
            freq=self._freq,
            lags=self._lags,
            lag_transforms={
                lag: [RollingMean(window, min_samples=1) for window in windows]
                for lag, windows in self._rolling_means.items()
            },
            target_transforms=[Differences(self._differences)] if self._differences else None,
            num_threads=1,
        )
        sizes = history.groupby("unique_id")["y"].transform("size")
        long_enough = history[sizes >= self.min_history]
        if long_enough.empty:
            raise ValueError(f"no series has the {self.min_history} steps this model needs")
        features = self._features(long_enough)
        if not self._balance:
            return model.fit(features, static_features=[])
        return model.fit(
            features.assign(_weight=_inverse_level(features)),
            static_features=[],
            weight_col="_weight",
        )

    def predict(
        self, state: MLForecast, history: pd.DataFrame, future: pd.DataFrame
    ) -> pd.DataFrame:
        horizon = int(future.groupby("unique_id").size().max())
        known = self._features(future)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            forecast = state.predict(
                horizon,
                new_df=self._features(history),
                X_df=known if known.shape[1] > 2 else None,
            )
        return forecast[["unique_id", "ds", "y_hat"]]

    def _features(self, frame: pd.DataFrame) -> pd.DataFrame:
        if self._known_columns:
            return frame
        return frame[[column for column in ("unique_id", "ds", "y") if column in frame]]


def default_lags(season_lengths: list[int], lead: int) -> list[int]:
    """Lags of a direct model: none is shorter than the lead, so none has to be forecast first.

    Every shortest season from the lead to a little over the longest season, two and three longest
    seasons, and the newest steps where a season is longer than the lead.

    Examples:
        >>> default_lags([24, 168], lead=48)
        [48, 72, 96, 120, 144, 168, 192, 216, 336, 504]
        >>> default_lags([52], lead=8)
        [8, 9, 10, 52, 104, 156]
    """
    short, long = min(season_lengths), max(season_lengths)
    last = max(long, lead) + 2 * short
    lags = {lag for lag in range(short, last + 1, short) if lag >= lead}
    lags |= {long * number for number in (2, 3) if long * number >= lead}
    if lead < short:
        lags |= {lead, lead + 1, lead + 2}
    return sorted(lags)


def default_rolling_means(season_lengths: list[int], lead: int) -> dict[int, list[int]]:
    """Means over each season at the lead, and over the shortest one or two longest seasons ago.

    Examples:
        >>> default_rolling_means([24, 168], lead=48)
        {48: [24, 168], 168: [24], 336: [24]}
    """
    short, long = min(season_lengths), max(season_lengths)
    means = {lead: sorted(set(season_lengths))}
    for lag in (long, 2 * long):
        if lag > lead:
            means[lag] = [short]
    return {lag: [size for size in sizes if size > 1] for lag, sizes in means.items()}


def _inverse_level(frame: pd.DataFrame) -> pd.Series:
    """`1 / level` of each row's series, where no level is under 2 % of the mean one."""
    size = frame["y"].abs()
    level = size.groupby(frame["unique_id"]).transform("mean")
    lowest = _LOWEST_LEVEL * size.mean()
    return 1.0 / level.clip(lower=lowest) if lowest > 0 else pd.Series(1.0, index=frame.index)
