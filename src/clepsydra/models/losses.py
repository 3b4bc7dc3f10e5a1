"""What models lose at each time, where a metric is a mean of losses.

`mae` is the mean of the absolute error, `rmse` of its square (and the root of that), `mase` and
`rmsse` of these over the scales of the series, `wql` of twice the mean quantile loss over the mean
size of the series. At each time the loss is the mean over the series, so that what the series have
in common at that time counts once. The losses of `mase`, `rmsse` and `wql` have no unit: large
series do not decide them. Those of `mae` and `rmse` are in units of the data, and their squares, as
the metrics are.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from clepsydra.models.intervals import LEVELS, quantile_columns

__all__ = ["losses_over_time", "pool_losses"]

_COLUMNS = ["metric", "model", "cutoff", "ds", "loss", "series"]


def losses_over_time(forecasts: pd.DataFrame, scales: pd.DataFrame) -> pd.DataFrame:
    """The mean loss over the series, of every model at every time.

    Only steps count that all models have a loss of, leaving out models that have none at all, so
    that all are compared on the same. For `wql`, a series is as large as the mean absolute actual
    of its steps.

    Args:
        forecasts: `unique_id`, `cutoff`, `ds`, `model`, `y`, `y_hat` and the quantile columns.
        scales: `unique_id`, `scale`, `squared_scale`, see `metrics.history_scales`.

    Returns:
        `metric` (`mae`, `rmse`, `mase`, `rmsse`, `wql`), `model`, `cutoff`, `ds`, `loss`, `series`
        (how many), sorted; no row for a metric that no series has a loss of.

    Examples:
        >>> table = pd.DataFrame({"unique_id": ["a", "b"], "y": [1.0, 3.0], "y_hat": [2.0, 3.0]})
        >>> table = table.assign(
        ...     cutoff=pd.Timestamp("2024-01-01"), ds=pd.Timestamp("2024-01-02"), model="m"
        ... ).reindex(columns=[*table, "cutoff", "ds", "model", *quantile_columns()])
        >>> scales = pd.DataFrame(
        ...     {"unique_id": ["a", "b"], "scale": [2.0, 0.0], "squared_scale": [4.0, 0.0]}
        ... )
        >>> losses_over_time(table, scales)[["metric", "loss", "series"]]
          metric  loss  series
        0    mae  0.50       2
        1   mase  0.50       1
        2   rmse  0.50       2
        3  rmsse  0.25       1
    """
    rows = forecasts.reset_index(drop=True)
    # Each step of a series, and each model at a time, by a number.
    step = rows.groupby(["unique_id", "cutoff", "ds"], sort=False).ngroup().to_numpy()
    time = rows.groupby(["model", "cutoff", "ds"], sort=True).ngroup().to_numpy()
    model = pd.factorize(rows["model"])[0]
    first = np.empty(time.max(initial=-1) + 1, dtype=int)
    first[time[::-1]] = np.arange(len(time))[::-1]
    times = rows[["model", "cutoff", "ds"]].iloc[first].reset_index(drop=True)
    tables = []
    for metric, loss in _losses(rows, scales).items():
        known = np.isfinite(loss)
        competing = len(np.unique(model[known]))
        shared = known & (np.bincount(step[known], minlength=len(step))[step] == competing)
        series = np.bincount(time[shared], minlength=len(times))
        total = np.bincount(time[shared], weights=loss[shared], minlength=len(times))
        table = times.assign(metric=metric, series=series)[series > 0]
        tables.append(table.assign(loss=(total[series > 0] / series[series > 0])))
    found = pd.concat(tables, ignore_index=True)[_COLUMNS]
    return found.sort_values(["metric", "model", "cutoff", "ds"], ignore_index=True)


def pool_losses(*parts: pd.DataFrame) -> pd.DataFrame:
    """The mean losses over all series, from those over parts of them.

    A part in which one of the models has no loss at all tells of none: its steps are not those that
    all models have a loss of.

    Args:
        parts: from `losses_over_time`, each of other series.

    Returns:
        What `losses_over_time` gives of all of them, but that a part counts for nothing in which no
        step is shared, not even for which models compete.

    Examples:
        >>> day = pd.Timestamp("2024-01-01")
        >>> table = {"metric": "mae", "model": ["m", "m"], "cutoff": day, "ds": day}
        >>> whole = pd.DataFrame({**table, "loss": [1.0, 4.0], "series": [2, 1]})
        >>> pool_losses(whole[:1], whole[1:])[["loss", "series"]]
           loss  series
        0   2.0       3
    """
    filled = [part for part in parts if len(part)] or list(parts[:1])
    whole = pd.concat([part.assign(part=number) for number, part in enumerate(filled)])
    competing = whole.groupby("metric")["model"].nunique()
    there = whole.groupby(["metric", "part"])["model"].transform("nunique")
    whole = whole[there == whole["metric"].map(competing)]
    sums = whole.assign(loss=whole["loss"] * whole["series"])
    keys = ["metric", "model", "cutoff", "ds"]
    found = sums.groupby(keys, sort=True)[["loss", "series"]].sum().reset_index()
    return found.assign(loss=found["loss"] / found["series"])[_COLUMNS]


def _losses(rows: pd.DataFrame, scales: pd.DataFrame) -> dict[str, np.ndarray]:
    """Losses of every row by metric; missing or infinite where there is none."""
    y = rows["y"].to_numpy(dtype=float)
    absolute = np.abs(rows["y_hat"].to_numpy(dtype=float) - y)
    divisors = scales.set_index("unique_id").reindex(rows["unique_id"])
    divisors = divisors.where(divisors > 0)
    quantile_loss = np.zeros(len(rows))
    for level, name in zip(LEVELS, quantile_columns(), strict=True):
        above = y - rows[name].to_numpy(dtype=float)
        quantile_loss += np.maximum(level * above, (level - 1) * above) / len(LEVELS)
    known = pd.Series(np.abs(y)).where(np.isfinite(quantile_loss))
    size = known.groupby(rows["unique_id"]).transform("mean")
    with np.errstate(over="ignore"):
        return {
            "mae": absolute,
            "rmse": absolute**2,
            "mase": absolute / divisors["scale"].to_numpy(),
            "rmsse": absolute**2 / divisors["squared_scale"].to_numpy(),
            "wql": 2 * quantile_loss / size.where(size > 0).to_numpy(),
        }
