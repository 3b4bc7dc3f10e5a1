"""Rolling-origin backtests: every window is forecast from what was known at its cutoff."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from clepsydra.cost import Cost
from clepsydra.models.base import quantile_columns
from clepsydra.models.forecasting import Candidate, Learnt, check_attributes, fit, forecast
from clepsydra.models.isolation import Isolation
from clepsydra.models.knowledge import Knowledge

__all__ = ["BacktestResult", "backtest"]

_TIME = "datetime64[ns]"
_POINTS = {"unique_id": object, "cutoff": _TIME, "ds": _TIME, "model": object, "y_hat": float}
_POINTS |= {"is_fallback": bool, **dict.fromkeys(quantile_columns(), float)}
_FAILURES = {"unique_id": object, "cutoff": _TIME, "model": object, "reason": object}
_FAILURES |= {"fallback": object}
_COSTS = {"model": object, "series": int, "windows": int, "fits": int}
_COSTS |= dict.fromkeys(["fit_seconds", "predict_seconds", "memory_mb"], float)


@dataclass
class BacktestResult:
    """What came of running models over windows.

    Attributes:
        forecasts: `unique_id`, `cutoff`, `ds` (naive UTC), `model`, `y_hat`, and the quantile
            columns, missing where the model has none of its own.
        failures: `unique_id`, `cutoff`, `model`, `reason`, `fallback`: forecasts that are another
            model's, and whose.
        costs: `model`, `series`, `windows`, `fits`, `fit_seconds`, `predict_seconds`, `memory_mb`
            (most beyond what was in use before).
        states: model to what it learnt from all the history.
    """

    forecasts: pd.DataFrame
    failures: pd.DataFrame
    costs: pd.DataFrame
    states: dict[str, Learnt] = field(default_factory=dict)


@dataclass
class _Record:
    """What one model has done so far."""

    learnt: Learnt = field(default_factory=Learnt)
    fitting: Cost = field(default_factory=Cost)
    predicting: Cost = field(default_factory=Cost)
    fits: int = 0


def backtest(
    models: list[Candidate],
    knowledge: Knowledge,
    windows: pd.DataFrame,
    refit_every: int,
    final_fit: bool = True,
) -> BacktestResult:
    """Forecast every window from what was known at its cutoff, then fit once on everything.

    A model learns anew every `refit_every` windows and forecasts the others with what it learnt
    before them.

    Args:
        models: from `candidates`.
        knowledge: the panel, and what of it was known when.
        windows: `cutoff`, `target_start`, `target_end` (exclusive), oldest first.
        refit_every: windows between two fits.
        final_fit: whether to fit on everything at the end.

    Raises:
        ConfigError: a model is asked to use an attribute that the series do not have.
    """
    if knowledge.panel.empty:
        return BacktestResult(_table([], _POINTS), _table([], _FAILURES), _table([], _COSTS))
    check_attributes(models, list(knowledge.static.columns.drop("unique_id")))
    records = {candidate.name: _Record() for candidate in models}
    forecasts, failures = [], []
    with Isolation() as isolation:
        for number, window in enumerate(windows.itertuples()):
            origin = knowledge.at(window.cutoff)
            for candidate in models:
                record = records[candidate.name]
                if number % refit_every == 0:
                    record.learnt = fit(candidate, origin, isolation, record.fitting)
                    record.fits += 1
                rows, failed = forecast(
                    candidate,
                    record.learnt,
                    origin,
                    window.target_end,
                    isolation,
                    record.predicting,
                )
                rows = rows[rows["ds"] >= window.target_start]
                forecasts.append(rows.assign(cutoff=window.cutoff, model=candidate.name))
                failures.append(failed.assign(cutoff=window.cutoff, model=candidate.name))
        origin = knowledge.at(knowledge.panel["ds"].max())
        for candidate in models if final_fit else []:
            record = records[candidate.name]
            record.learnt = fit(candidate, origin, isolation, record.fitting)
            record.fits += 1
    series = knowledge.panel["unique_id"].nunique()
    costs = [
        {
            "model": name,
            "series": series,
            "windows": len(windows),
            "fits": record.fits,
            "fit_seconds": record.fitting.seconds,
            "predict_seconds": record.predicting.seconds,
            "memory_mb": max(record.fitting.memory_mb, record.predicting.memory_mb),
        }
        for name, record in records.items()
    ]
    return BacktestResult(
        _table(forecasts, _POINTS),
        _table(failures, _FAILURES),
        _table([pd.DataFrame(costs)], _COSTS),
        {name: record.learnt for name, record in records.items()},
    )


def _table(frames: list[pd.DataFrame], columns: dict[str, Any]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in columns.items()})
    return pd.concat(filled, ignore_index=True)[list(columns)]
