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
        points: `unique_id`, `cutoff`, `ds`, `model`, `y_hat`, `is_fallback` and quantiles, where
            there are any.
        panel: `unique_id`, `ds`, `y`, `is_imputed`.
        windows: `cutoff`, `target_end`, oldest first.
        combinations: models that combine others.
        weights: of their members at every cutoff, from `models.weights.weigh`.
        task: what values are possible.

    Returns:
        `unique_id`, `cutoff`, `ds`, `model`, `y` (missing where the panel's value was imputed:
        there is nothing to compare with), `y_hat`, the quantile columns (the model's own, or from
        the errors of windows that had ended by a window's cutoff, so that the first windows have
        none) and `is_fallback`.
    """
    actuals = panel.loc[~panel["is_imputed"], ["unique_id", "ds", "y"]]
    rows = combine(points, combinations, weights, task).merge(
        actuals, on=["unique_id", "ds"], how="left"
    )
    rows = rolling_quantiles(rows, windows, task)
    keys = ["unique_id", "cutoff", "ds", "model"]
    columns = [*keys, "y", "y_hat", *quantile_columns(), "is_fallback"]
    return rows[columns].sort_values(keys, ignore_index=True)


def combine(
    points: pd.DataFrame,
    combinations: Mapping[str, Combination],
    weights: pd.DataFrame,
    task: TaskConfig,
) -> pd.DataFrame:
    """Add the rows of the models that combine others; they have no quantiles of their own.

    A member that failed, and has another model's forecasts, is passed over, if any did not fail.
    If all did, so did the combination (`is_fallback`).

    Args:
        points: `unique_id`, `ds`, `model`, `y_hat`, `is_fallback`, and `cutoff` in backtests.
        combinations: of which those are made that have a member in `points`.
        weights: at every cutoff, and `NOW` for points without one.
        task: what values are possible.
    """
    points = points.reset_index(drop=True)
    keys = [key for key in ("unique_id", "cutoff", "ds") if key in points.columns]
    at = points["cutoff"] if "cutoff" in points.columns else pd.Series(NOW, index=points.index)
    frames = [points]
    for name, combination in combinations.items():
        chosen = points["model"].isin(combination.of)
        rows = _own(points[chosen], keys)
        if combination.method == "median":
            found = rows.groupby(keys, sort=True)["y_hat"].median()
        else:
            its = weights[weights["combination"] == name].set_index(["cutoff", "model"])["weight"]
            places = pd.MultiIndex.from_arrays([at[rows.index], rows["model"]])
            weight = its.reindex(places).to_numpy()
            weighted = rows.assign(weight=weight, product=weight * rows["y_hat"])
            groups = weighted.groupby(keys, sort=True)
            total = groups[["product", "weight"]].sum()
            found = total["product"] / total["weight"]
            # Where only members are left that weigh nothing.
            found = found.where(total["weight"] > 0, groups["y_hat"].mean())
        table = found.rename("y_hat").reset_index()
        y_hat = finalize(table["y_hat"], task)
        failed = rows.groupby(keys, sort=True)["is_fallback"].all().to_numpy()
        frames.append(table.assign(model=name, y_hat=y_hat, is_fallback=failed))
    return pd.concat(frames, ignore_index=True)


def _own(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Without members that failed, where there are others."""
    own = ~rows["is_fallback"].astype(bool)
    if own.all():
        return rows
    return rows[own | ~own.groupby([rows[key] for key in keys]).transform("any")]
