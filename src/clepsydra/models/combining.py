"""Combinations of models, and the actuals and intervals that make forecasts a backtest."""

from __future__ import annotations

import pandas as pd

from clepsydra.config import TaskConfig
from clepsydra.models.base import quantile_columns
from clepsydra.models.forecasting import finalize
from clepsydra.models.intervals import rolling_quantiles

__all__ = ["assemble", "combine"]


def assemble(
    points: pd.DataFrame,
    panel: pd.DataFrame,
    windows: pd.DataFrame,
    members: dict[str, list[str]],
    task: TaskConfig,
) -> pd.DataFrame:
    """Backtests from forecasts: with combinations, actuals and the quantiles of every model.

    Args:
        points: `unique_id`, `cutoff`, `ds`, `model`, `y_hat` and quantiles, where there are any.
        panel: `unique_id`, `ds`, `y`, `is_imputed`.
        windows: `cutoff`, `target_end`, oldest first.
        members: combination to its models.
        task: what values are possible.

    Returns:
        `unique_id`, `cutoff`, `ds`, `model`, `y` (missing where the panel's value was imputed:
        there is nothing to compare with), `y_hat` and the quantile columns: the model's own, or
        from the errors of windows that had ended by a window's cutoff, so that the first windows
        have none.
    """
    actuals = panel.loc[~panel["is_imputed"], ["unique_id", "ds", "y"]]
    rows = combine(points, members, task).merge(actuals, on=["unique_id", "ds"], how="left")
    rows = rolling_quantiles(rows, windows, task)
    columns = ["unique_id", "cutoff", "ds", "model", "y", "y_hat", *quantile_columns()]
    return rows[columns].sort_values(columns[:4], ignore_index=True)


def combine(points: pd.DataFrame, members: dict[str, list[str]], task: TaskConfig) -> pd.DataFrame:
    """Add the rows of the models that are the median of others; they have no quantiles."""
    keys = [key for key in ("unique_id", "cutoff", "ds") if key in points.columns]
    frames = [points]
    for name, models in members.items():
        chosen = points[points["model"].isin(models)]
        median = chosen.groupby(keys, sort=True)["y_hat"].median().reset_index()
        frames.append(median.assign(model=name, y_hat=finalize(median["y_hat"], task)))
    return pd.concat(frames, ignore_index=True)
