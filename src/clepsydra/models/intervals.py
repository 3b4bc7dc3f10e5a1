"""Quantiles from backtest residuals, per series and model, by level of the forecast.

They are the empirical quantiles of signed residuals, so that intervals need not be symmetric.
Residuals of one series and model are grouped by the size of the forecast they belong to, so that
the certain zeros of the night do not narrow the intervals of the rush hour. This is split conformal
prediction in its Mondrian form (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World,
2005, section 4.5), without its correction for few residuals: where a series has few of its own, the
model's residuals on all series are used instead, in proportion to the series' level.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from clepsydra.config import TaskConfig
from clepsydra.models.base import LEVELS, quantile_columns
from clepsydra.timegrid import add_span

__all__ = ["LEVELS", "add_quantiles", "calibrate", "quantile_columns", "rolling_quantiles"]

_MAX_BINS = 4
_FEWEST_RESIDUALS = 20
_LOWEST_LEVEL = 0.02


def calibrate(residuals: pd.DataFrame) -> pd.DataFrame:
    """Quantiles of residuals by series, model and level of the forecast.

    Args:
        residuals: `unique_id`, `model`, `y_hat`, `y`, of past windows.

    Returns:
        `unique_id`, `model`, `lower` (least forecast the row is for), `floor` and the quantile
        columns. A series and model with residuals enough has one row at `lower` = -inf and up to
        three more, in units of the series. Each model also has a row with an empty `unique_id`,
        pooled over its series, in units of a series' level (the mean size of its forecasts, at
        least `floor`).
    """
    known = residuals.dropna(subset=["y", "y_hat"])
    rows: list[tuple[Any, ...]] = []
    for (unique_id, model), group in known.groupby(["unique_id", "model"], sort=True):
        y_hat = group["y_hat"].to_numpy()
        residual = group["y"].to_numpy() - y_hat
        if len(residual) < _FEWEST_RESIDUALS:
            continue
        for lower, inside in _bins(y_hat):
            values = np.quantile(residual[inside], LEVELS)
            rows.append((unique_id, model, lower, np.nan, *values))
    for model, group in known.groupby("model", sort=True):
        size = float(group[["y", "y_hat"]].abs().max(axis=1).mean())
        floor = _LOWEST_LEVEL * size or 1.0
        level = group["y_hat"].abs().groupby(group["unique_id"]).transform("mean")
        relative = (group["y"] - group["y_hat"]) / level.clip(lower=floor)
        rows.append(("", model, -np.inf, floor, *np.quantile(relative, LEVELS)))
    return pd.DataFrame(rows, columns=["unique_id", "model", "lower", "floor", *quantile_columns()])


def add_quantiles(
    forecasts: pd.DataFrame, calibration: pd.DataFrame, task: TaskConfig
) -> pd.DataFrame:
    """Add the calibrated quantiles to point forecasts: sorted, and clipped to what is possible.

    Rows that have all quantiles of their own model keep them.

    Args:
        forecasts: `unique_id`, `model`, `y_hat` and any other columns.
        calibration: from `calibrate`.
        task: its `minimum` bounds the quantiles.

    Returns:
        The same rows and columns, and the quantile columns; they are missing where the model has
        no residual at all.
    """
    columns = quantile_columns()
    out = forecasts.reset_index(drop=True)
    found = np.full((len(out), len(columns)), np.nan)
    tables = dict(iter(calibration.groupby(["unique_id", "model"])))
    for (unique_id, model), index in out.groupby(["unique_id", "model"]).indices.items():
        y_hat = out["y_hat"].to_numpy()[index]
        own, pooled = tables.get((unique_id, model)), tables.get(("", model))
        if own is not None:
            place = np.searchsorted(own["lower"].to_numpy(), y_hat, "right")
            found[index] = own[columns].to_numpy()[np.maximum(place - 1, 0)]
        elif pooled is not None:
            level = max(float(np.abs(y_hat).mean()), float(pooled["floor"].iloc[0]))
            found[index] = level * pooled[columns].to_numpy()
    values = np.sort(out[["y_hat"]].to_numpy() + found, axis=1)
    if task.minimum is not None:
        values = np.maximum(values, task.minimum)
    own_values = out.reindex(columns=columns).to_numpy(dtype=float)
    has_own = np.isfinite(own_values).all(axis=1, keepdims=True)
    out[columns] = np.where(has_own, own_values, values)
    return out


def rolling_quantiles(
    backtests: pd.DataFrame, windows: pd.DataFrame, task: TaskConfig
) -> pd.DataFrame:
    """Quantiles of each window from the residuals of windows that had ended by its cutoff.

    Args:
        backtests: `unique_id`, `cutoff`, `model`, `y`, `y_hat`.
        windows: `cutoff`, `target_end`, oldest first.
        task: passed on.

    Returns:
        The rows with quantile columns, missing in the first windows, which have nothing before
        them to learn from.
    """
    ended = backtests["cutoff"].map(windows.set_index("cutoff")["target_end"])
    frames = []
    for window in windows.itertuples():
        rows = backtests[backtests["cutoff"] == window.cutoff]
        origin = add_span(window.cutoff, 1, task.freq, task.timezone)
        known = backtests[ended <= origin]
        frames.append(add_quantiles(rows, calibrate(known), task))
    return pd.concat(frames, ignore_index=True)


def _bins(y_hat: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Lower edges and members of up to four groups of similar forecasts, each large enough."""
    edges = np.unique(np.quantile(y_hat, np.linspace(0, 1, _MAX_BINS + 1)[1:-1], method="higher"))
    edges = edges[edges > y_hat.min()]
    while len(edges):
        place = np.searchsorted(edges, y_hat, side="right")
        sizes = np.bincount(place, minlength=len(edges) + 1)
        smallest = int(sizes.argmin())
        if sizes[smallest] >= _FEWEST_RESIDUALS:
            break
        edges = np.delete(edges, max(smallest - 1, 0))
    place = np.searchsorted(edges, y_hat, side="right")
    lowers = [-np.inf, *edges]
    return [(lower, place == number) for number, lower in enumerate(lowers)]
