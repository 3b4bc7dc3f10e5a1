"""Accuracy of forecasts by series and model, over long tables.

The losses are those of utilsforecast; here they are grouped, scaled and given a reason where there
is nothing to divide by. With actuals y, forecasts ŷ, errors e = ŷ - y, and means over the steps of
a group (a series and a model, say):

| metric | formula | unit | source |
|---|---|---|---|
| `mae` | mean abs(e) | of y | |
| `rmse` | sqrt(mean e²) | of y | |
| `bias` | mean e: positive is too high | of y | |
| `smape` | mean 200 abs(e) / (abs(y) + abs(ŷ)) | % | Makridakis et al. (2020) |
| `mape` | mean 100 abs(e) / abs(y) | % | |
| `mase` | mean abs(e) / `scale` | | Hyndman and Koehler (2006) |
| `rmsse` | sqrt(mean e² / `squared_scale`) | | Makridakis et al. (2022), there with a lag of 1 |
| `pinball` | mean over the levels τ of QL(τ) | of y | Koenker and Bassett (1978) |
| `wql` | 2 sum of mean QL(τ) / sum abs(y) | | Rangapuram et al. (2021) |
| `crps` | 2 ∫ QL(τ) dτ from 0 to 1 | of y | Gneiting and Ranjan (2011) |
| `msis` | mean [U - L + 40 max(L - y, y - U, 0)] / `scale` | | Makridakis et al. (2020) |
| `coverage_80`, `coverage_95` | share of steps within the interval | | |

QL(τ) = max(τ (y - q), (τ - 1) (y - q)) is the loss of the quantile q; L and U are the quantiles
0.025 and 0.975. Of the integral in `crps` only some levels are known: it is the trapezoidal rule
over them, with QL(0) = QL(1) = 0. `scale` and `squared_scale` are from `history_scales`. A step
where y and ŷ are both zero counts as 0 in `smape`; `mape` is over the steps where y is not zero.

Sources: Gneiting and Ranjan, Comparing density forecasts using threshold- and quantile-weighted
scoring rules (2011). Hyndman and Koehler, Another look at measures of forecast accuracy (2006).
Koenker and Bassett, Regression quantiles (1978). Makridakis, Spiliotis and Assimakopoulos, The M4
competition (2020), and The M5 competition (2022). Rangapuram et al., End-to-end learning of
coherent probabilistic forecasts for hierarchical time series (2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from utilsforecast import losses

from clepsydra.models.intervals import LEVELS, quantile_columns

__all__ = ["METRICS", "history_scales", "owa", "score_groups"]

METRICS = [
    *("mae", "rmse", "bias", "smape", "mape", "mase", "rmsse"),
    *("pinball", "wql", "crps", "msis", "coverage_80", "coverage_95"),
]

_SCALED = {"mase": "scale", "rmsse": "squared_scale", "msis": "scale"}
_FROM_QUANTILES = ["pinball", "wql", "crps", "msis", "coverage_80", "coverage_95"]
_KEY, _FORECAST = "key", "y_hat"
_NAMES: dict[str, Any] = {"models": [_FORECAST], "id_col": _KEY}


def history_scales(history: pd.DataFrame, season_length: int) -> pd.DataFrame:
    """What `mase`, `msis` and `rmsse` are divided by: the seasonal differences of the history.

    M4 takes a season of 24 steps for hourly series, 1 for daily, weekly and yearly ones, 12 for
    monthly and 4 for quarterly ones. Sources: Hyndman and Koehler (2006) for `scale`; the M5
    competition for `squared_scale`, there with a season of one step.

    Args:
        history: `unique_id`, `y`; regular, in the order of time within a series. A missing `y`
            makes the differences that it is part of missing.
        season_length: lag of the differences, in steps.

    Returns:
        `unique_id`, `scale` (mean absolute difference, in units of `y`), `squared_scale` (mean
        squared difference); both are zero for a series that repeats itself exactly and missing
        for one without a difference.

    Raises:
        ValueError: `season_length` is less than 1.

    Examples:
        >>> history = pd.DataFrame({"unique_id": "a", "y": [1.0, 2.0, 3.0, 6.0]})
        >>> history_scales(history, season_length=2)
          unique_id  scale  squared_scale
        0         a    3.0           10.0
    """
    if season_length < 1:
        raise ValueError(f"season_length is {season_length}: a season has at least 1 step")
    difference = history.groupby("unique_id")["y"].diff(season_length)
    table = pd.DataFrame({"scale": difference.abs(), "squared_scale": difference**2})
    return table.groupby(history["unique_id"]).mean().reset_index()


def score_groups(
    forecasts: pd.DataFrame, scales: pd.DataFrame, by: Sequence[str] = ("unique_id", "model")
) -> pd.DataFrame:
    """Every metric of every group of forecasts; see the head of this module for the formulas.

    Steps without an actual or without a point forecast are left out, and of metrics that need
    quantiles also those without all of them.

    Args:
        forecasts: the columns of `by`, `y`, `y_hat` and the quantile columns, of which any may be
            absent.
        scales: `unique_id`, `scale`, `squared_scale` from `history_scales`.
        by: columns that make a group, `unique_id` among them.

    Returns:
        The columns of `by`, `metric`, `value` and `note`: a row for each metric and group. Where
        `value` is missing, `note` says why; no value is infinite.

    Raises:
        KeyError: a column is not there; it is named.

    Examples:
        >>> table = pd.DataFrame(
        ...     {"unique_id": "a", "model": "m", "y": [1.0, 2.0], "y_hat": [1.0, 4.0]}
        ... )
        >>> scales = pd.DataFrame({"unique_id": ["a"], "scale": [4.0], "squared_scale": [0.0]})
        >>> found = score_groups(table, scales).set_index("metric")
        >>> found.loc[["mae", "mase", "rmsse", "crps"], ["value", "note"]]
                value           note
        metric
        mae      1.00
        mase     0.25
        rmsse     NaN  scale is zero
        crps      NaN   no quantiles
    """
    by = list(by)
    codes = forecasts.groupby(by, sort=True, observed=True, dropna=False).ngroup().to_numpy()
    first = np.empty(codes.max(initial=-1) + 1, dtype=int)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    keys = forecasts[by].iloc[first].reset_index(drop=True)
    divisors = scales.set_index("unique_id")[["scale", "squared_scale"]]
    divisors = divisors.reindex(keys["unique_id"]).reset_index(drop=True)
    steps = _steps(forecasts, codes)
    counts = _counts(steps, len(keys))

    # What overflows is infinite, and infinite values are replaced below.
    with np.errstate(over="ignore", invalid="ignore"):
        values = _of_points(steps, len(keys)) | _of_quantiles(steps, len(keys))
        for metric, column in _SCALED.items():
            values[metric] = _divide(values[metric], divisors[column].to_numpy())
        values["rmsse"] = np.sqrt(values["rmsse"])
    parts = []
    for metric in METRICS:
        value = np.where(np.isfinite(values[metric]), values[metric], np.nan)
        note = np.where(np.isnan(value), _reasons(metric, counts, divisors), "")
        parts.append(keys.assign(metric=metric, value=value, note=note))
    return pd.concat(parts, ignore_index=True)


def owa(scores: pd.DataFrame, reference: str) -> pd.Series:
    """Overall weighted average of M4: sMAPE and MASE over those of the reference model, averaged.

    M4's reference is Naive2. Source: Makridakis, Spiliotis and Assimakopoulos, The M4 competition:
    100,000 time series and 61 forecasting methods (2020), section 2.2.

    Args:
        scores: a row a model, with columns `smape` and `mase`, each the mean over all series.
        reference: the model, a label of the index, to divide by.

    Returns:
        A value a model, 1 for the reference; missing where the reference has no error to divide by.

    Raises:
        KeyError: the reference is not in the index.

    Examples:
        >>> scores = pd.DataFrame(
        ...     {"smape": [20.0, 10.0], "mase": [2.0, 1.5]}, index=["naive2", "mine"]
        ... )
        >>> owa(scores, "naive2")["mine"]
        np.float64(0.625)
    """
    both = scores[["smape", "mase"]].astype(float)
    divisor = both.loc[reference]
    return both.div(divisor.where(divisor > 0)).mean(axis="columns", skipna=False).rename("owa")


def _steps(forecasts: pd.DataFrame, codes: np.ndarray) -> pl.DataFrame:
    """Actuals, forecasts and all quantiles, with the number of the group: rows with an actual."""
    present = ["y", _FORECAST, *(name for name in quantile_columns() if name in forecasts)]
    table = pl.from_pandas(forecasts[present]).cast(pl.Float64)
    absent = [name for name in quantile_columns() if name not in present]
    return table.with_columns(
        pl.Series(_KEY, codes), *(pl.lit(None, pl.Float64).alias(name) for name in absent)
    ).filter(pl.col("y").is_not_null())


def _counts(steps: pl.DataFrame, size: int) -> dict[str, np.ndarray]:
    """By group: how many steps there are, with a forecast, with an actual other than zero, …"""
    known = {
        "actuals": pl.lit(True),
        "forecasts": pl.col(_FORECAST).is_not_null(),
        "nonzero": pl.col(_FORECAST).is_not_null() & (pl.col("y") != 0),
        "quantiles": pl.all_horizontal(pl.col(quantile_columns()).is_not_null()),
    }
    return {
        name: np.bincount(steps.filter(condition)[_KEY].to_numpy(), minlength=size)
        for name, condition in known.items()
    }


def _of_points(steps: pl.DataFrame, size: int) -> dict[str, np.ndarray]:
    """Metrics of the point forecasts; those that are to be scaled are not yet."""
    known = steps.select(_KEY, "y", _FORECAST).drop_nulls()
    absolute = _by_group(losses.mae(known, **_NAMES), size)
    squared = _by_group(losses.mse(known, **_NAMES), size)
    return {
        "mae": absolute,
        "rmse": np.sqrt(squared),
        "bias": _by_group(losses.bias(known, **_NAMES), size),
        "smape": 200 * _by_group(losses.smape(known, **_NAMES), size),
        "mape": 100 * _by_group(losses.mape(known.filter(pl.col("y") != 0), **_NAMES), size),
        "mase": absolute,
        "rmsse": squared,
    }


def _of_quantiles(steps: pl.DataFrame, size: int) -> dict[str, np.ndarray]:
    """Metrics of the quantiles; `msis` is not yet scaled."""
    known = steps.drop_nulls(quantile_columns()).with_columns(
        **{f"{_FORECAST}-lo-80": pl.col("q0.1"), f"{_FORECAST}-hi-80": pl.col("q0.9")},
        **{f"{_FORECAST}-lo-95": pl.col("q0.025"), f"{_FORECAST}-hi-95": pl.col("q0.975")},
    )
    by_level = np.array(
        [
            _by_group(losses.quantile_loss(known, {_FORECAST: name}, q=level, id_col=_KEY), size)
            for level, name in zip(LEVELS, quantile_columns(), strict=True)
        ]
    )
    widths = np.diff([0.0, *LEVELS, 1.0])
    pinball = by_level.mean(axis=0)
    # The mean error of a forecast of zero is the mean size of the actuals.
    zero = known.select(_KEY, "y", pl.lit(0.0).alias(_FORECAST))
    return {
        "pinball": pinball,
        "wql": _divide(2 * pinball, _by_group(losses.mae(zero, **_NAMES), size)),
        "crps": (widths[:-1] + widths[1:]) @ by_level,
        "msis": _by_group(losses.winkler_score(known, level=95, **_NAMES), size),
        "coverage_80": _by_group(losses.coverage(known, level=80, **_NAMES), size),
        "coverage_95": _by_group(losses.coverage(known, level=95, **_NAMES), size),
    }


def _by_group(found: pl.DataFrame, size: int) -> np.ndarray:
    """The loss of every group by its number; missing for those that are not in the table."""
    values = np.full(size, np.nan)
    values[found[_KEY].to_numpy()] = found[_FORECAST].to_numpy()
    return values


def _divide(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """The quotient; missing where the divisor is zero or missing."""
    return np.divide(values, by, out=np.full(len(values), np.nan), where=by > 0)


def _reasons(metric: str, counts: dict[str, np.ndarray], divisors: pd.DataFrame) -> np.ndarray:
    """Why a value of this metric is missing, if it is."""
    of_quantiles = metric in _FROM_QUANTILES
    reasons = [
        (counts["actuals"] == 0, "no actual"),
        (
            counts["quantiles" if of_quantiles else "forecasts"] == 0,
            "no quantiles" if of_quantiles else "no forecast",
        ),
    ]
    if metric in ("mape", "wql"):
        reasons.append((counts["nonzero"] == 0, "every actual is zero"))
    if metric in _SCALED:
        scale = divisors[_SCALED[metric]]
        reasons.append((scale.isna().to_numpy(), "less than a season of history"))
        reasons.append(((scale == 0).to_numpy(), "scale is zero"))
    conditions, texts = zip(*reasons, strict=True)
    return np.select(conditions, np.array(texts, dtype=object), default="not a finite number")
