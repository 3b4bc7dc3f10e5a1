"""Combinations of models, and the actuals and intervals that make forecasts a backtest."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from clepsydra.config import Combination, TaskConfig
from clepsydra.models.base import quantile_columns
from clepsydra.models.forecasting import finalize
from clepsydra.models.intervals import rolling_quantiles
from clepsydra.models.weights import NOW

__all__ = ["assemble", "combine"]


def assemble(
    points: pd.DataFrame,
    panel: pd.DataFrame,
    windows: pd.DataFrame,
    combinations: Mapping[str, Combination],
    weights: pd.DataFrame,
    task: TaskConfig,
) -> pd.DataFrame:
    """Backtests from forecasts: with combinations, actuals and the quantiles of every model.

    Args:
        points: `unique_id`, `cutoff`, `ds`, `model`, `y_hat` and quantiles, where there are any.
        panel: `unique_id`, `ds`, `y`, `is_imputed`.
        windows: `cutoff`, `target_end`, oldest first.
        combinations: models that combine others.
        weights: of their members at every cutoff, from `models.weights.weigh`.
        task: what values are possible.

    Returns:
        `unique_id`, `cutoff`, `ds`, `model`, `y` (missing where the panel's value was imputed:
        there is nothing to compare with), `y_hat` and the quantile columns: the model's own, or
        from the errors of windows that had ended by a window's cutoff, so that the first windows
        have none.
    """
    actuals = panel.loc[~panel["is_imputed"], ["unique_id", "ds", "y"]]
    rows = combine(points, combinations, weights, task).merge(
        actuals, on=["unique_id", "ds"], how="left"
    )
    rows = rolling_quantiles(rows, windows, task)
    columns = ["unique_id", "cutoff", "ds", "model", "y", "y_hat", *quantile_columns()]
    return rows[columns].sort_values(columns[:4], ignore_index=True)


def combine(
    points: pd.DataFrame,
    combinations: Mapping[str, Combination],
    weights: pd.DataFrame,
    task: TaskConfig,
) -> pd.DataFrame:
    """Add the rows of the models that combine others; they have no quantiles of their own.

    Args:
        points: `unique_id`, `ds`, `model`, `y_hat`, and `cutoff` in backtests.
        combinations: of which those are made that have a member in `points`.
        weights: at every cutoff, and `NOW` for points without one.
        task: what values are possible.
    """
    keys = [key for key in ("unique_id", "cutoff", "ds") if key in points.columns]
    at = points["cutoff"] if "cutoff" in points.columns else pd.Series(NOW, index=points.index)
    frames = [points]
    for name, combination in combinations.items():
        chosen = points["model"].isin(combination.of)
        rows = points[chosen]
        if combination.method == "median":
            found = rows.groupby(keys, sort=True)["y_hat"].median()
        else:
            its = weights[weights["combination"] == name].set_index(["cutoff", "model"])["weight"]
            weight = its.reindex(pd.MultiIndex.from_arrays([at[chosen], rows["model"]])).to_numpy()
            weighted = rows.assign(weight=weight, product=weight * rows["y_hat"])
            total = weighted.groupby(keys, sort=True)[["product", "weight"]].sum()
            found = total["product"] / total["weight"]
        table = found.rename("y_hat").reset_index()
        frames.append(table.assign(model=name, y_hat=finalize(table["y_hat"], task)))
    return pd.concat(frames, ignore_index=True)
