"""Published forecasts against the actuals that have arrived, drift, freshness, and what to do."""

from __future__ import annotations

from typing import Any

import pandas as pd

from clepsydra.config import MonitorConfig, TaskConfig
from clepsydra.datasets.forecast_store import ForecastStore
from clepsydra.sharding import gather
from clepsydra.timegrid import add_span

__all__ = [
    "compare_seasons",
    "decide_retraining",
    "detect_drift",
    "measure_accuracy",
    "measure_freshness",
]

_ACCURACY = {"unique_id": object, "cutoff": "datetime64[ns]", "model": object, "steps": int}
_ACCURACY |= {"mae": float, "mase": float, "coverage_80": float}


def measure_accuracy(
    forecasts: ForecastStore, panel: pd.DataFrame, scales: pd.DataFrame, clock: dict[str, str]
) -> pd.DataFrame:
    """Realised errors of the forecasts published before this run, where actuals are known.

    Args:
        forecasts: all that were published.
        panel: of a shard's series.
        scales: of the same.
        clock: as of when.

    Returns:
        `unique_id`, `cutoff`, `model`, `steps` compared, `mae`, `mase`, `coverage_80`; no row
        until a published forecast has come due.
    """
    earlier = forecasts.before(pd.Timestamp(clock["cutoff"]), panel["unique_id"].unique())
    actuals = panel.loc[~panel["is_imputed"], ["unique_id", "ds", "y"]]
    due = earlier.merge(actuals, on=["unique_id", "ds"], how="inner")
    if due.empty:
        return pd.DataFrame(columns=list(_ACCURACY)).astype(_ACCURACY)
    due["error"] = (due["y_hat"] - due["y"]).abs()
    due["inside"] = (due["y"] >= due["q0.1"]) & (due["y"] <= due["q0.9"])
    accuracy = (
        due.groupby(["unique_id", "cutoff", "model"], sort=True)
        .agg(steps=("error", "size"), mae=("error", "mean"), coverage_80=("inside", "mean"))
        .reset_index()
    )
    scale = accuracy["unique_id"].map(scales.set_index("unique_id")["scale"])
    accuracy["mase"] = accuracy["mae"] / scale.where(scale > 0)
    return accuracy[list(_ACCURACY)]


def compare_seasons(panel: pd.DataFrame, task: TaskConfig) -> pd.DataFrame:
    """How unlike the four seasons before it each series' last season is distributed.

    A two-sample Kolmogorov-Smirnov test. Values of a series depend on each other, so the test finds
    drift too readily: it is a hint, not proof.

    Returns:
        `unique_id`, `statistic`, `pvalue`; no row for a series under five seasons.
    """
    from scipy.stats import ks_2samp

    season = task.season_length
    rows = []
    for unique_id, y in panel.groupby("unique_id", sort=True)["y"]:
        if len(y) < 5 * season or season < 4:
            continue
        recent, before = y.to_numpy()[-season:], y.to_numpy()[-5 * season : -season]
        test = ks_2samp(recent, before)
        rows.append((unique_id, float(test.statistic), float(test.pvalue)))
    return pd.DataFrame(rows, columns=["unique_id", "statistic", "pvalue"]).astype(
        {"unique_id": object, "statistic": float, "pvalue": float}
    )


def detect_drift(monitor: MonitorConfig, *tests: pd.DataFrame) -> pd.DataFrame:
    """Which series drifted, Bonferroni-corrected for the number of series.

    Args:
        monitor: the level of significance.
        tests: of every shard, from `compare_seasons`.

    Returns:
        `unique_id`, `statistic`, `pvalue`, `drifted`.
    """
    drift = gather(*tests)
    return drift.assign(drifted=drift["pvalue"] * max(len(drift), 1) < monitor.significance)


def measure_freshness(
    series: pd.DataFrame, clock: dict[str, str], task: TaskConfig, monitor: MonitorConfig
) -> pd.DataFrame:
    """How long each series has been silent.

    Returns:
        `unique_id`, `last_ds` (last step with an observation, not zero for counts), `silent_days`,
        `stale` (longer than `stale_after_seasons`).
    """
    end = pd.Timestamp(clock["panel_end"])
    limit = add_span(
        end, -round(monitor.stale_after_seasons * task.season_length), task.freq, task.timezone
    )
    return pd.DataFrame(
        {
            "unique_id": series["unique_id"],
            "last_ds": series["last_ds"],
            "silent_days": (end - series["last_ds"]) / pd.Timedelta(days=1),
            "stale": series["last_ds"] < limit,
        }
    )


def decide_retraining(
    accuracy: pd.DataFrame,
    drift: pd.DataFrame,
    freshness: pd.DataFrame,
    verdict: dict[str, Any],
    promotion: dict[str, Any],
    monitor: MonitorConfig,
) -> dict[str, Any]:
    """Whether to train again, and every reason for it.

    Returns:
        `retrain`, `reasons`, and the figures they rest on.
    """
    due = accuracy["mase"].astype(float).dropna()
    realised = float(due.mean()) if len(due) else None
    expected = verdict["champion_mase" if promotion["promoted"] else "reference_mase"]
    drifted = float(drift["drifted"].mean()) if len(drift) else 0.0
    reasons = []
    if realised is not None and expected and realised > monitor.max_error_growth * expected:
        reasons.append(
            f"realised MASE {realised:.2f} is over {monitor.max_error_growth:g} times "
            f"the backtest's {expected:.2f}"
        )
    if drifted > monitor.max_share_drifted:
        reasons.append(
            f"{drifted:.0%} of series drifted, more than {monitor.max_share_drifted:.0%}"
        )
    return {
        "retrain": bool(reasons),
        "reasons": reasons,
        "realised_mase": realised,
        "expected_mase": expected,
        "forecasts_due": len(accuracy),
        "share_drifted": drifted,
        "stale_series": sorted(freshness.loc[freshness["stale"], "unique_id"]),
    }
