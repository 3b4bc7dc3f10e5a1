"""Forecasts of a hierarchy made coherent: what is forecast of a sum is the sum of what it sums.

Minimum trace reconciliation (MinT) takes, of all coherent forecasts, the ones nearest to those that
were made, where near is measured by the covariance W of the forecasts' errors: with the summing
matrix S and forecasts ŷ of all series it chooses b, the forecasts of the last level, to minimize

    (ŷ - S b)' W⁻¹ (ŷ - S b)

so that b = P ŷ with P = (S' W⁻¹ S)⁻¹ S' W⁻¹. W is the sample covariance shrunk towards its diagonal
(`mint_shrink` of hierarchicalforecast), of errors that forecasts made in the past; residuals of
models on what they learnt from are too small, and not alike in size between models.

Where P ŷ is below the minimum, the same distance is minimized over what is possible. Counts are
rounded on the last level, and what is published of a sum is the sum of that: see `whole_numbers`.

Sources: Wickramasuriya, Athanasopoulos and Hyndman, Optimal forecast reconciliation for
hierarchical and grouped time series through trace minimization (2019). Schäfer and Strimmer, A
shrinkage approach to large-scale covariance matrix estimation (2005). Wickramasuriya, Turlach and
Hyndman, Optimal non-negative forecast reconciliation (2020); here it is found by coordinate
descent: Tseng, Convergence of a block coordinate descent method (2001).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from clepsydra.config import TaskConfig
from clepsydra.models.base import quantile_columns
from clepsydra.origins import first_unknown

__all__ = [
    "champion_errors",
    "known_errors",
    "nearest_possible",
    "reconcile",
    "summing_matrix",
    "whole_numbers",
]

_FEWEST_ERRORS = 3
_LEAST_VARIANCE = 1e-6
_MOST_SWEEPS = 200
_MOST_LEANING = 2.0
_LEAST_GAIN = 1e-12


def champion_errors(
    backtests: pd.DataFrame, champions: Mapping[str, str], windows: pd.DataFrame
) -> pd.DataFrame:
    """What each series' champion got wrong in the backtests.

    Args:
        backtests: `unique_id`, `cutoff`, `ds`, `model`, `y`, `y_hat`.
        champions: series to its model.
        windows: `cutoff`, `target_end`.

    Returns:
        `unique_id`, `cutoff`, `target_end` (exclusive: when all errors of the window were known),
        `ds`, `model`, `error` (forecast less actual); no row where there is no actual.
    """
    is_chosen = backtests["model"] == backtests["unique_id"].map(champions)
    rows = backtests[is_chosen & backtests["y"].notna()]
    ended = rows["cutoff"].map(windows.set_index("cutoff")["target_end"])
    table = rows.assign(target_end=ended, error=rows["y_hat"] - rows["y"])
    columns = ["unique_id", "cutoff", "target_end", "ds", "model", "error"]
    return table[columns].reset_index(drop=True)


def known_errors(errors: pd.DataFrame, cutoff: pd.Timestamp, task: TaskConfig) -> pd.DataFrame:
    """Those of windows that had ended when a forecast was made.

    Args:
        errors: from `champion_errors`.
        cutoff: last step that the forecast knows (naive UTC).
        task: grid.
    """
    return errors[errors["target_end"] <= first_unknown(cutoff, task)]


def summing_matrix(levels: pd.DataFrame) -> pd.DataFrame:
    """The summing matrix S, `[N, B]`: N series on all levels, B of the last one.

    Args:
        levels: `unique_id`, `bottom_id`: its ones.

    Returns:
        Zeros and ones under the ids, sums first.

    Examples:
        >>> levels = pd.DataFrame({"unique_id": ["all", "all", "a", "b"], "bottom_id": [*"abab"]})
        >>> summing_matrix(levels).to_numpy().tolist()
        [[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    """
    is_bottom = levels["unique_id"] == levels["bottom_id"]
    bottom = pd.Index(levels.loc[is_bottom, "unique_id"].unique())
    ids = pd.Index(levels.loc[~is_bottom, "unique_id"].unique()).append(bottom)
    matrix = np.zeros((len(ids), len(bottom)))
    rows = ids.get_indexer(levels["unique_id"])
    matrix[rows, bottom.get_indexer(levels["bottom_id"])] = 1.0
    return pd.DataFrame(matrix, index=ids, columns=bottom)


def reconcile(
    forecasts: pd.DataFrame, errors: pd.DataFrame, levels: pd.DataFrame, task: TaskConfig
) -> pd.DataFrame:
    """Make the forecasts of one origin coherent.

    Quantiles move with the forecast that they are around, so they keep their width and their order;
    none is below what is possible. They are those of each series by itself and do not add up: a
    quantile of a sum is no sum of quantiles.

    Args:
        forecasts: `unique_id`, `ds`, `y_hat`, quantile columns and any others; every series has the
            same steps. One that has none is left out of the sums, too.
        errors: from `champion_errors`, those that were known then.
        levels: `unique_id`, `bottom_id`: which series are summed to which.
        task: `minimum` and `integer` say what is possible on the last level; sums are sums of that.

    Returns:
        The same rows and columns.

    Examples:
        >>> levels = pd.DataFrame({"unique_id": ["all", "all", "a", "b"], "bottom_id": [*"abab"]})
        >>> made = pd.DataFrame({"unique_id": ["a", "all", "b"], "ds": 0, "y_hat": [1.0, 6.0, 2.0]})
        >>> none = pd.DataFrame({"unique_id": [], "cutoff": [], "ds": [], "error": []})
        >>> counts = TaskConfig(freq="h", season_lengths=[24], horizon=1, integer=True, minimum=0)
        >>> reconcile(made, none, levels, counts)["y_hat"].tolist()
        [2.0, 5.0, 3.0]
    """
    there = set(forecasts["unique_id"])
    kept = levels["unique_id"].isin(there) & levels["bottom_id"].isin(there)
    summing = summing_matrix(levels[kept])
    table = forecasts.pivot(index="unique_id", columns="ds", values="y_hat").reindex(summing.index)
    matrix = summing.to_numpy()
    weights = np.linalg.inv(_covariance(_by_series(errors, summing.index), matrix))
    projected = matrix.T @ weights
    precision = projected @ matrix
    precision = (precision + precision.T) / 2
    bottom = np.linalg.solve(precision, projected @ table.to_numpy())
    possible = nearest_possible(bottom, precision, task.minimum)
    if task.integer:
        possible = whole_numbers(possible, matrix, task.minimum)
    coherent = matrix @ possible
    place = table.index.get_indexer(forecasts["unique_id"])
    y_hat = coherent[place, table.columns.get_indexer(forecasts["ds"])]
    out = forecasts.assign(y_hat=y_hat)
    columns = [name for name in quantile_columns() if name in forecasts]
    before = forecasts[columns].to_numpy()
    moved = before + (y_hat - forecasts["y_hat"].to_numpy())[:, None]
    if task.minimum is not None:
        # What could not be lower is not lifted: the least value stays as likely as it was.
        moved = np.where(before <= task.minimum, task.minimum, np.maximum(moved, task.minimum))
    out[columns] = moved
    return out


def nearest_possible(
    bottom: np.ndarray, precision: np.ndarray, minimum: float | None
) -> np.ndarray:
    """The forecasts that are not below the minimum and nearest to the reconciled ones.

    Args:
        bottom: `[B, T]` of the last level.
        precision: `[B, B]` how near is measured: S' W⁻¹ S.
        minimum: the least value, if there is one.

    Returns:
        `[B, T]`; the same if they are possible.
    """
    if minimum is None or (bottom >= minimum).all():
        return bottom
    unit = float(np.abs(bottom).max())
    found = np.maximum(bottom, minimum)
    gradient = precision @ (found - bottom)
    curvature = np.diag(precision)
    for _ in range(_MOST_SWEEPS):
        moved = False
        for place, each in enumerate(curvature):
            step = np.maximum(found[place] - gradient[place] / each, minimum) - found[place]
            gain = -step * (gradient[place] + 0.5 * each * step)
            step = np.where(gain > _LEAST_GAIN * each * unit**2, step, 0.0)
            if step.any():
                moved = True
                found[place] += step
                gradient += np.outer(precision[:, place], step)
        if not moved:
            break
    return found


def whole_numbers(values: np.ndarray, matrix: np.ndarray, minimum: float | None) -> np.ndarray:
    """Round values to one of the two next whole numbers, so that sums do not lean.

    Each is rounded to the nearest. The sum of n errors that are uniform between -1/2 and 1/2 has a
    variance of n / 12; where a sum is off by more than twice the root of that, they lean to one
    side, and those that are nearest to the other whole number take it, until it is not. A thousand
    items of which a third of one is sold each would otherwise be a thousand zeros, and so would
    their sum.

    Args:
        values: `[B, T]` of the last level.
        matrix: `[N, B]` the summing matrix.
        minimum: the least value, if there is one.

    Returns:
        `[B, T]`.

    Examples:
        >>> thirds = np.full((99, 1), 1 / 3)
        >>> float(whole_numbers(thirds, np.ones((1, 99)), 0).sum())
        28.0
    """
    found = np.round(values)
    if minimum is not None:
        found = np.maximum(found, math.ceil(minimum))
    sums = matrix[matrix.sum(axis=1) > 1]
    tolerated = _MOST_LEANING * np.sqrt(sums.sum(axis=1) / 12)
    for step in np.flatnonzero((np.abs(sums @ (found - values)) > tolerated[:, None]).any(axis=0)):
        _straighten(found[:, step], values[:, step], sums, tolerated, minimum)
    return found


def _straighten(
    found: np.ndarray,
    values: np.ndarray,
    sums: np.ndarray,
    tolerated: np.ndarray,
    minimum: float | None,
) -> None:
    """Round some of `found` the other way, in place, the sum that is farthest off first.

    Each at most once: sums that share an item and lean to both sides would have it back and forth.
    """
    off = sums @ (found - values)
    is_open = np.ones(len(sums), dtype=bool)
    is_rounded = np.ones(len(found), dtype=bool)
    while True:
        excess = np.where(is_open, np.abs(off) - tolerated, -np.inf)
        worst = int(excess.argmax())
        if excess[worst] <= 0:
            return
        direction = -np.sign(off[worst])
        left = np.where(is_rounded & (sums[worst] > 0), direction * (values - found), 0.0)
        if minimum is not None:
            left[found + direction < minimum] = 0.0
        nearest = int(left.argmax())
        if left[nearest] <= 0:
            is_open[worst] = False
            continue
        found[nearest] += direction
        is_rounded[nearest] = False
        off += direction * sums[:, nearest]


def _by_series(errors: pd.DataFrame, ids: pd.Index) -> np.ndarray:
    """`[N, T]` errors of each series, a column for each step of each window."""
    known = errors[errors["unique_id"].isin(ids)]
    table = known.pivot(index="unique_id", columns=["cutoff", "ds"], values="error")
    return table.reindex(ids).to_numpy(dtype=float)


def _covariance(errors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """`[N, N]` the shrunk covariance of the errors, in units that do not matter.

    A series with hardly any errors gets the variance that others have a member, and none has less
    than a little of the mean variance. Where nothing is known, variances are the numbers of members
    (`wls_struct`).
    """
    members = matrix.sum(axis=1)
    enough = (~np.isnan(errors)).sum(axis=1) >= _FEWEST_ERRORS
    size = float(np.nanmean(np.abs(errors[enough]))) if enough.any() else 0.0
    if size == 0.0:
        return np.diag(members)
    covariance = _shrunk(np.where(enough[:, None], errors / size, 0.0), matrix)
    covariance[~enough] = covariance[:, ~enough] = 0.0
    variance = np.diag(covariance).copy()
    variance[~enough] = members[~enough] * np.mean(variance[enough] / members[enough])
    variance = np.maximum(variance, _LEAST_VARIANCE * variance.mean())
    np.fill_diagonal(covariance, variance)
    try:
        np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return np.diag(variance)
    return covariance


def _shrunk(errors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    # Imported when it is needed: it takes seconds.
    from hierarchicalforecast.methods import MinTrace

    nothing = np.zeros((len(errors), 1))
    fitted = MinTrace("mint_shrink").fit(
        S=matrix, y_hat=nothing, y_insample=errors, y_hat_insample=np.zeros_like(errors)
    )
    return np.array(fitted.W)
