"""Per-series statistical models of statsforecast."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import pandas as pd
import statsforecast.models as library
from statsforecast import StatsForecast

from clepsydra.config import TaskConfig

__all__ = ["StatsforecastModel"]


class StatsforecastModel:
    """Any model of `statsforecast.models`, named by its class.

    Nothing is kept of a fit: for one series forecasting again costs less than reading a fit back.

    Args:
        task: gives the frequency, and `season_length` where the class takes one.
        lead: unused; these models forecast any number of steps.
        model: class name, e.g. `SeasonalNaive`, `AutoETS`, `Theta`.
        **options: the class's own arguments.

    Raises:
        AttributeError: no such class.
        TypeError: an argument that the class does not take.
    """

    def __init__(self, task: TaskConfig, lead: int, model: str, **options: Any):
        cls = getattr(library, model, None)
        if not inspect.isclass(cls):
            raise AttributeError(f"statsforecast has no model '{model}'")
        takes_season = "season_length" in inspect.signature(cls).parameters
        if takes_season:
            options.setdefault("season_length", task.season_length)
        self._model = cls(**options)
        self._freq = task.freq
        self.min_history = 2 * options["season_length"] if takes_season else 2

    def fit(self, history: pd.DataFrame) -> None:
        return None

    def predict(self, state: None, history: pd.DataFrame, future: pd.DataFrame) -> pd.DataFrame:
        horizon = future.groupby("unique_id").size().max()
        engine = StatsForecast(models=[self._model], freq=self._freq, n_jobs=1)
        with warnings.catch_warnings():
            # Of a constant series Theta asks statsmodels for an autocorrelation that is 0 / 0.
            warnings.filterwarnings("ignore", "invalid value encountered", RuntimeWarning)
            forecast = engine.forecast(df=history[["unique_id", "ds", "y"]], h=int(horizon))
        return pd.DataFrame(forecast).set_axis(["unique_id", "ds", "y_hat"], axis=1)
