"""Whether reconciled forecasts are as accurate as those that were made, level by level."""

from __future__ import annotations

import pandas as pd

from clepsydra.config import TaskConfig
from clepsydra.models.metrics import score_groups
from clepsydra.models.reconciliation import champion_errors, known_errors, reconcile

__all__ = ["compare_levels", "reconcile_backtests"]

_METRICS = ["mae", "mase", "coverage_80"]
_ERRORS = {"mae": "MAE", "mase": "MASE"}
_EVERY = "all levels"
_ROUNDING = 1e-9


def reconcile_backtests(
    backtests: pd.DataFrame,
    windows: pd.DataFrame,
    champions: pd.DataFrame,
    levels: pd.DataFrame,
    task: TaskConfig,
) -> pd.DataFrame:
    """The champions' backtests on the windows that report, made coherent as a run would have.

    How forecasts are weighed comes from the champions' errors in the windows that had ended when
    they were made.

    Returns:
        Rows of `backtests`; `y_hat` and quantiles are reconciled.
    """
    chosen = dict(zip(champions["unique_id"], champions["model"], strict=True))
    errors = champion_errors(backtests, chosen, windows)
    rows = _of_champions(backtests, windows, champions)
    parts = [
        reconcile(part, known_errors(errors, pd.Timestamp(str(cutoff)), task), levels, task)
        for cutoff, part in rows.groupby("cutoff", sort=True)
    ]
    return pd.concat(parts, ignore_index=True)


def compare_levels(
    backtests: pd.DataFrame,
    reconciled_backtests: pd.DataFrame,
    windows: pd.DataFrame,
    champions: pd.DataFrame,
    scales: pd.DataFrame,
    levels: pd.DataFrame,
) -> pd.DataFrame:
    """Accuracy of each level before and after its forecasts were reconciled.

    Returns:
        `level` (coarse to fine, then all of them), `champions` (models, and of how many series),
        `series`, then of `mae`, `mase` and `coverage_80` the mean over the series `…_before` and
        `…_after`, of the first two also `…_ratio`, and `note`: which of the two is higher than
        before and by how much, or empty.
    """
    before = _scores(_of_champions(backtests, windows, champions), scales)
    after = _scores(reconciled_backtests, scales)
    table = before.join(after, lsuffix="_before", rsuffix="_after")
    named = levels.drop_duplicates("unique_id")
    groups = {
        str(level): part["unique_id"] for level, part in named.groupby("level", sort=False)
    } | {_EVERY: named["unique_id"]}
    models = champions.set_index("unique_id")["model"]
    rows = []
    for level, ids in groups.items():
        means = table.reindex(ids).mean()
        counts = models.reindex(ids).value_counts()
        row: dict[str, object] = {
            "level": level,
            "champions": ", ".join(f"{model} {number}" for model, number in counts.items()),
            "series": len(ids),
        }
        worse = []
        for metric in _METRICS:
            now, was = means[f"{metric}_after"], means[f"{metric}_before"]
            row |= {f"{metric}_before": was, f"{metric}_after": now}
            if metric not in _ERRORS:
                continue
            ratio = now / was if was else (1.0 if now == 0 else float("inf"))
            row[f"{metric}_ratio"] = ratio
            if ratio > 1 + _ROUNDING:
                worse.append(f"{_ERRORS[metric]} {ratio - 1:.1%} higher")
        rows.append({**row, "note": ", ".join(worse)})
    return pd.DataFrame(rows)


def _of_champions(
    backtests: pd.DataFrame, windows: pd.DataFrame, champions: pd.DataFrame
) -> pd.DataFrame:
    reporting = windows.loc[windows["role"] == "report", "cutoff"]
    chosen = backtests["unique_id"].map(champions.set_index("unique_id")["model"])
    is_judged = (backtests["model"] == chosen) & backtests["cutoff"].isin(reporting)
    return backtests[is_judged].reset_index(drop=True)


def _scores(rows: pd.DataFrame, scales: pd.DataFrame) -> pd.DataFrame:
    """`unique_id` to the metrics."""
    scores = score_groups(rows, scales, by=["unique_id"])
    wide = scores.pivot(index="unique_id", columns="metric", values="value")
    return wide.reindex(columns=_METRICS)
