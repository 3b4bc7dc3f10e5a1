"""Per-series statistical models of statsforecast."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import pandas as pd
import statsforecast.models as library
from statsforecast import StatsForecast

from clepsydra.config import TaskConfig
from clepsydra.models.base import LEVELS, History, Model, quantile_columns
from clepsydra.models.parts import no_parts, parts_frame
from clepsydra.models.statistical_components import components

__all__ = ["StatsforecastModel"]

# What takes no fit takes a constant series too; the others estimate a variance or a correlation.
_SIMPLE = {
    *("Naive", "SeasonalNaive", "RandomWalkWithDrift", "HistoricAverage", "WindowAverage"),
    *("SeasonalWindowAverage", "ConformalSeasonalPool", "ZeroModel", "ConstantModel"),
    *("SimpleExponentialSmoothing", "SeasonalExponentialSmoothing"),
    *("CrostonClassic", "CrostonOptimized", "CrostonSBA", "TSB", "ADIDA", "IMAPA"),
}
_WITHOUT_QUANTILES = {
    *("SimpleExponentialSmoothing", "SimpleExponentialSmoothingOptimized", "MFLES", "AutoMFLES"),
    *("SeasonalExponentialSmoothing", "SeasonalExponentialSmoothingOptimized", "WindowAverage"),
    *("SeasonalWindowAverage", "CrostonClassic", "CrostonOptimized", "CrostonSBA", "TSB"),
    *("ADIDA", "IMAPA"),
}
_ALL_SEASONS = {"MSTL", "MFLES", "AutoMFLES", "TBATS", "AutoTBATS"}
_COSTS = {"AutoARIMA": 5.0, "AutoTBATS": 10.0, "TBATS": 0.5, "AutoETS": 0.5, "MFLES": 0.4}


class StatsforecastModel(Model):
    """Any model of `statsforecast.models`, named by its class.

    Nothing is kept of a fit: for one series forecasting again costs less than reading a fit back.
    Quantiles are those of the class's own prediction intervals; the class says what they assume.

    Args:
        task: gives the frequency, and `season_length` where the class takes one: the longest, or
            all of them where it takes several.
        lead: unused; these models forecast any number of steps.
        model: class name, e.g. `SeasonalNaive`, `AutoETS`, `Theta`.
        trend_forecaster: of `MSTL`: the class name of the model that follows the trend, which has
            no season.
        known_columns: regress on the columns known in advance; `AutoARIMA`, `ARIMA`,
            `AutoRegressive`, `MFLES` and `UCM` can.
        **options: the class's own arguments.

    Raises:
        AttributeError: no such class.
        TypeError: an argument that the class does not take.
        ValueError: no class is named, or known columns are asked of one that takes none.

    Examples:
        >>> from clepsydra.config import TaskConfig
        >>> task = TaskConfig(freq="D", season_lengths=[7], horizon=2)
        >>> days = pd.date_range("2024-01-01", periods=16)
        >>> rows = pd.DataFrame({"unique_id": "a", "ds": days, "y": [*range(7), *range(7), 0, 1]})
        >>> model = StatsforecastModel(task, 2, "SeasonalNaive")
        >>> model.predict(None, History.of(rows.iloc[:14]), rows.iloc[14:], 2)["y_hat"].tolist()
        [0.0, 1.0]
    """

    def __init__(
        self,
        task: TaskConfig,
        lead: int,
        model: str = "",
        trend_forecaster: str | None = None,
        known_columns: bool = False,
        **options: Any,
    ):
        if not model:
            raise ValueError("name a 'model', a class of statsforecast.models such as AutoETS")
        cls = _class(model)
        takes_season = "season_length" in inspect.signature(cls).parameters
        if takes_season:
            seasons = task.season_lengths if model in _ALL_SEASONS else task.season_length
            options.setdefault("season_length", seasons)
        if trend_forecaster is not None:
            seasonless = {"model": "ZZN"} if trend_forecaster == "AutoETS" else {}
            options["trend_forecaster"] = _class(trend_forecaster)(**seasonless)
        self._model = cls(**options)
        if known_columns and not self._model.uses_exog:
            raise ValueError(f"'{model}' takes no columns: 'known_columns' must be false")
        if known_columns:
            self.uses = frozenset({"known"})
        self._freq = task.freq
        self.own_quantiles = model not in _WITHOUT_QUANTILES
        self.accepts_constant = model in _SIMPLE
        self.cost = 0.002 if model in _SIMPLE else _COSTS.get(model, 0.05)
        longest = options["season_length"] if takes_season else 1
        self.min_history = 2 * (max(longest) if isinstance(longest, list) else longest)

    def fit(self, history: History) -> None:
        return None

    def predict(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        levels = [round(100 * (1 - 2 * level)) for level in LEVELS if level < 0.5]
        known = list(history.known)
        with warnings.catch_warnings():
            # The libraries' optimisers meet infinities on their way, and say so.
            warnings.simplefilter("ignore")
            found = StatsForecast(models=[self._model], freq=self._freq, n_jobs=1).forecast(
                df=history.rows[["unique_id", "ds", "y", *known]],
                h=horizon,
                X_df=future[["unique_id", "ds", *known]] if known else None,
                level=levels if self.own_quantiles else None,
            )
        found = pd.DataFrame(found)
        name = found.columns[2]
        forecast = found[["unique_id", "ds"]].assign(y_hat=found[name])
        if not self.own_quantiles:
            return forecast
        lower = {level: found[f"{name}-lo-{level}"] for level in levels}
        upper = {level: found[f"{name}-hi-{level}"] for level in reversed(levels)}
        values = [*lower.values(), found[name], *upper.values()]
        return forecast.assign(**dict(zip(quantile_columns(), values, strict=True)))

    def explain(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame | None:
        """The components of every forecast, see `models.statistical_components`; of a regression
        on known columns there are none."""
        if history.known:
            return None
        frames = []
        ahead = dict(iter(future.groupby("unique_id", sort=False)["ds"]))
        for unique_id, y in history.rows.groupby("unique_id", sort=True)["y"]:
            if unique_id not in ahead:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = components(self._model, y.to_numpy(dtype=float), horizon)
            if found is None:
                return None
            frames.append(parts_frame(unique_id, ahead[unique_id], {"component": found}))
        return pd.concat([no_parts(), *frames], ignore_index=True)


def _class(name: str) -> type:
    cls = getattr(library, name, None)
    if not inspect.isclass(cls):
        raise AttributeError(f"statsforecast has no model '{name}'")
    return cls
