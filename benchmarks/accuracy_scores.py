"""How good the line's forecasts were, on a competition's test part or on windows that report."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd

from clepsydra.models.metrics import history_scales, owa, score_groups

__all__ = ["backtested", "choices", "measures", "published"]

_INTERVALS = {80: ("q0.1", "q0.9"), 95: ("q0.025", "q0.975")}


def published(
    data: Path, train: pd.DataFrame, test: pd.DataFrame, season_length: int
) -> pd.DataFrame:
    """What the line published, with what came: steps that it has never seen.

    Args:
        data: the line's folder.
        train: `unique_id`, `ds`, `y`.
        test: the same, what came after it.
        season_length: of the seasonal differences that errors are scaled by, in steps.

    Returns:
        `unique_id`, `y`, `y_hat`, quantiles, `scale`.

    Raises:
        ValueError: a step has no forecast.
    """
    with closing(sqlite3.connect(data / "07_model_output/forecasts.db")) as store:
        forecasts = pd.read_sql_query("SELECT * FROM forecasts", store, parse_dates=["ds"])
    steps = test.merge(forecasts, on=["unique_id", "ds"], how="left")
    if lacking := int(steps["y_hat"].isna().sum()):
        raise ValueError(f"{lacking} of {len(steps)} steps of the test part have no forecast")
    return steps.merge(history_scales(train, season_length), on="unique_id")


def backtested(data: Path, model: str | None = None) -> pd.DataFrame:
    """What champions said in the windows that report, which are later than those that chose them.

    Args:
        data: the line's folder.
        model: another one, instead of each series' champion.

    Returns:
        As `published`; `y` is missing where there is no actual.
    """
    windows = pd.read_parquet(data / "05_model_input/windows.parquet")
    steps = pd.read_parquet(data / "07_model_output/backtests.parquet")
    steps = steps[steps["cutoff"].isin(windows.loc[windows["role"] == "report", "cutoff"])]
    if model is None:
        champions = pd.read_parquet(data / "08_reporting/champions.parquet")
        steps = steps.merge(champions[["unique_id", "model"]], on=["unique_id", "model"])
    else:
        steps = steps[steps["model"] == model]
    return steps.merge(pd.read_parquet(data / "08_reporting/scales.parquet"), on="unique_id")


def choices(data: Path, steps: pd.DataFrame) -> dict[str, Any]:
    """How many series each champion forecast, and which models a budget left out.

    Args:
        data: the line's folder.
        steps: from `published` or `backtested`.
    """
    plan = pd.read_parquet(data / "08_reporting/plan.parquet")
    return {
        "champions": steps.groupby("model")["unique_id"].nunique().to_dict(),
        "left_out": plan.loc[~plan["runs"], "model"].tolist(),
    }


def measures(
    parts: Sequence[pd.DataFrame], naive2: dict[str, float] | None = None
) -> dict[str, float]:
    """Means over the series of all parts; coverage over all their steps.

    Args:
        parts: from `published` or `backtested`.
        naive2: `smape` and `mase` of that forecaster, if they are known.

    Returns:
        `smape`, `mape`, `mase`, `msis95`, `owa` (over Naive2), `coverage80` and `coverage95` (share
        of steps inside the interval), `coverage80_gap` and `coverage95_gap` (their distance from
        nominal), and how many steps had no actual: `steps_excluded`.
    """
    scored = pd.concat([_by_series(part) for part in parts])
    found = {name: float(scored[name].mean()) for name in ("smape", "mape", "mase")}
    if naive2:
        found["owa"] = float(
            owa(pd.DataFrame({"naive2": naive2, "line": found}).T, "naive2")["line"]
        )
    found["msis95"] = float(scored["msis"].mean())
    steps = pd.concat(parts, ignore_index=True)
    known = steps.dropna(subset="y")
    for level, (low, high) in _INTERVALS.items():
        coverage = float(known["y"].between(known[low], known[high]).mean())
        found |= {f"coverage{level}": coverage, f"coverage{level}_gap": abs(coverage - level / 100)}
    found["steps_excluded"] = len(steps) - len(known)
    return found


def _by_series(steps: pd.DataFrame) -> pd.DataFrame:
    scales = steps[["unique_id", "scale", "squared_scale"]].drop_duplicates("unique_id")
    table = score_groups(steps, scales, by=["unique_id"])
    return table.pivot(index="unique_id", columns="metric", values="value")
