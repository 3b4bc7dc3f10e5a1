"""Score the backtests, rank the models, and judge the champions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from clepsydra.config import EvaluateConfig, ModelsConfig, TaskConfig
from clepsydra.models.comparison import compare, find_best
from clepsydra.models.losses import losses_over_time
from clepsydra.models.metrics import history_scales, score_groups
from clepsydra.models.wall import to_wall_frame

__all__ = [
    "compare_models",
    "judge_champions",
    "measure_losses",
    "rank_models",
    "score_backtests",
    "score_champions",
    "seasonal_scales",
]

_ROLES = ("select", "report")
# What a metric that is not least at its best should be.
_NOMINAL = {"coverage_95": 0.95, "coverage_80": 0.80, "bias": 0.0}


def seasonal_scales(panel: pd.DataFrame, windows: pd.DataFrame, task: TaskConfig) -> pd.DataFrame:
    """What scaled errors are divided by: the seasonal differences before the first cutoff.

    On the local clock, so that the clocks' changes do not count as errors, and without imputed
    values.

    Returns:
        `unique_id`, `scale`, `squared_scale`, see `models.metrics.history_scales`; zero for a
        series that repeats itself exactly, missing for one that has no season of history yet.
    """
    before = panel[panel["ds"] <= windows["cutoff"].min()]
    observed = before.assign(y=before["y"].where(~before["is_imputed"]))
    wall = to_wall_frame(observed[["unique_id", "ds", "y"]], task)
    scales = history_scales(wall, task.season_length).set_index("unique_id")
    ids = pd.Index(sorted(panel["unique_id"].unique()), name="unique_id")
    return scales.reindex(ids).reset_index()


def score_backtests(
    backtests: pd.DataFrame, windows: pd.DataFrame, scales: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every metric of every series and model, apart for the windows that select and that report.

    Returns:
        metrics: `unique_id`, `role`, `model`, `metric` (see `models.metrics`), `value`, `note`: why
            a value is missing, or empty.
        totals: `role`, `model`, `metric`, `total` of the values and `series` that have one.
    """
    role = backtests["cutoff"].map(windows.set_index("cutoff")["role"])
    rows = backtests.assign(role=role)[role.isin(_ROLES)]
    metrics = score_groups(rows, scales, by=["unique_id", "role", "model"])
    groups = metrics.groupby(["role", "model", "metric"], sort=True)["value"]
    return metrics, groups.agg(total="sum", series="count").reset_index()


def measure_losses(
    backtests: pd.DataFrame, windows: pd.DataFrame, scales: pd.DataFrame
) -> pd.DataFrame:
    """What every model loses at every time of the windows that report.

    Returns:
        `metric`, `model`, `cutoff`, `ds`, `loss` (mean over the series), `series` (how many), see
        `models.losses.losses_over_time`.
    """
    reporting = windows.loc[windows["role"] == "report", "cutoff"]
    return losses_over_time(backtests[backtests["cutoff"].isin(reporting)], scales)


def rank_models(
    losses: pd.DataFrame, evaluate: EvaluateConfig, *totals: pd.DataFrame
) -> pd.DataFrame:
    """Mean scores on the windows that report, ranked, and which models may be the best.

    Args:
        losses: from `models.losses.pool_losses`.
        evaluate: how sure the set of the best models is.
        totals: of every shard, from `score_backtests`.

    Returns:
        `model`, `metric`, `value` (mean over series), `rank` (1 is best), `group`, `mcs_pvalue`.
        For metrics that have a loss at each time, `group` is `a` for the models of the model
        confidence set and `b` for others; else it is empty and `mcs_pvalue` is missing. See
        `models.comparison.model_confidence_set`.
    """
    whole = pd.concat(totals, ignore_index=True)
    reported = whole[whole["role"] == "report"].groupby(["metric", "model"])[["total", "series"]]
    sums = reported.sum()
    means = (sums["total"] / sums["series"]).rename("value").reset_index()
    target = means["metric"].map(_NOMINAL)
    distance = (means["value"] - target).abs().where(target.notna(), means["value"])
    means["rank"] = distance.groupby(means["metric"]).rank(method="min")
    best = find_best(losses, evaluate.confidence, evaluate.bootstrap)
    means = means.merge(best, on=["metric", "model"], how="left")
    means["mcs_pvalue"] = means["mcs_pvalue"].astype(float)
    means["group"] = means["included"].map({True: "a", False: "b"}).fillna("")
    columns = ["model", "metric", "value", "rank", "group", "mcs_pvalue"]
    return means.sort_values(["metric", "rank", "model"], ignore_index=True)[columns]


def compare_models(losses: pd.DataFrame, models: ModelsConfig) -> pd.DataFrame:
    """Every model against the reference and against the best one, on the windows that report.

    Returns:
        `model`, `against`, `metric`, `mean_difference` (above zero where `model` loses more),
        `statistic`, `pvalue`, `steps`, `note`: Diebold-Mariano tests, see
        `models.comparison.compare`.
    """
    return compare(losses, models.reference)


def score_champions(
    metrics: pd.DataFrame, champions: pd.DataFrame, scales: pd.DataFrame, models: ModelsConfig
) -> pd.DataFrame:
    """The champions of a shard against the reference, on windows later than all that chose them.

    Returns:
        `unique_id`, `model`, `mae`, `mase`, `coverage_80` and the reference's `reference_mae`,
        `reference_mase`, `note` (why a MASE is missing).
    """
    reported = metrics[metrics["role"] == "report"]
    wide = reported.pivot(index=["unique_id", "model"], columns="metric", values="value")
    wide = wide.reindex(columns=["mae", "mase", "coverage_80"])
    scores = champions[["unique_id", "model"]].merge(
        wide.reset_index(), on=["unique_id", "model"], how="left"
    )
    is_reference = wide.index.get_level_values("model") == models.reference
    reference = wide.loc[is_reference, ["mae", "mase"]].droplevel("model").add_prefix("reference_")
    scores = scores.merge(reference.reset_index(), on="unique_id", how="left")
    scale = scores["unique_id"].map(scales.set_index("unique_id")["scale"])
    scores["note"] = np.select(
        [scores["mae"].isna(), scale.isna(), scale == 0],
        ["no report window", "less than a season of history", "MASE scale is zero"],
        default="",
    )
    return scores


def judge_champions(
    champion_scores: pd.DataFrame, scales: pd.DataFrame, windows: pd.DataFrame, models: ModelsConfig
) -> dict[str, Any]:
    """What the champions' scores say of them all.

    Args:
        champion_scores: of all series, from `score_champions`.
        scales: of all series.
        windows: those that select and report.
        models: says which is the reference.

    Returns:
        Means over the series that have a MASE, their ratio, and how many have none.
    """
    scores = champion_scores
    scale = scores["unique_id"].map(scales.set_index("unique_id")["scale"])
    judged = scores.dropna(subset=["mase", "reference_mase"])
    verdict: dict[str, Any] = {
        "reference": models.reference,
        "report_windows": int((windows["role"] == "report").sum()),
        "first_report_target": str(windows.loc[windows["role"] == "report", "target_start"].min()),
        "last_select_target": str(windows.loc[windows["role"] == "select", "target_end"].max()),
        "series": len(scores),
        "series_judged": len(judged),
        "series_with_zero_scale": int((scale == 0).sum()),
        "series_without_scale": int(scale.isna().sum()),
        "champion_mase": _mean(judged["mase"]),
        "reference_mase": _mean(judged["reference_mase"]),
        "champion_mae": _mean(scores["mae"]),
        "reference_mae": _mean(scores["reference_mae"]),
        "coverage_80": _mean(scores["coverage_80"]),
    }
    error = "mase" if len(judged) else "mae"
    verdict["relative_error"] = _ratio(verdict[f"champion_{error}"], verdict[f"reference_{error}"])
    return verdict


def _mean(values: pd.Series) -> float | None:
    return float(values.mean()) if values.notna().any() else None


def _ratio(value: float | None, reference: float | None) -> float | None:
    if value is None or reference is None:
        return None
    if reference == 0:
        return 1.0 if value == 0 else float("inf")
    return value / reference
