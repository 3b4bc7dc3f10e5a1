"""Score the backtests, rank the models, and choose a champion for every series."""

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
    "choose_champions",
    "compare_models",
    "judge_champions",
    "measure_losses",
    "rank_models",
    "score_backtests",
    "seasonal_scales",
]

_ROLES = ("select", "report")
_LEAST_ERROR = 0.05
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
) -> pd.DataFrame:
    """Every metric of every series and model, apart for the windows that select and that report.

    Returns:
        `unique_id`, `role`, `model`, `metric` (see `models.metrics`), `value`, `note`: why a value
        is missing, or empty.
    """
    role = backtests["cutoff"].map(windows.set_index("cutoff")["role"])
    rows = backtests.assign(role=role)[role.isin(_ROLES)]
    return score_groups(rows, scales, by=["unique_id", "role", "model"])


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


def choose_champions(
    metrics: pd.DataFrame, models: ModelsConfig, evaluate: EvaluateConfig, series: pd.DataFrame
) -> pd.DataFrame:
    """The model of each series, from the windows that select, and why.

    A series' record of a model is its mean absolute error over the reference model's. A few days of
    one series say little, so it is blended with the record over all, the geometric mean of those
    ratios (AvgRelMAE: Davydenko and Fildes, Measuring forecasting accuracy, 2013), which no odd
    series decides alone: `score = (own + shrinkage * all) / (1 + shrinkage)`. A series
    without a scored window takes the model that is best over all.

    A combination of models takes the place of one that is better by less than the standard error,
    over the series, of their difference (the one-standard-error rule: Breiman and others,
    Classification and Regression Trees, 1984): it errs less where the next weeks differ from those
    that chose.

    Returns:
        `unique_id`, `model`, `reason`: a row for every series.
    """
    rows_of_mae = metrics[(metrics["role"] == "select") & (metrics["metric"] == "mae")]
    errors = rows_of_mae.pivot(index="unique_id", columns="model", values="value")
    errors = errors.reindex(columns=list(models.root))
    reference = errors[models.reference]
    # Both sides of a ratio get a little of the mean error: series without an error have one too.
    least = _LEAST_ERROR * reference.mean() or np.finfo(float).tiny
    own = errors.add(least).div(reference.add(least), axis=0)
    overall = np.exp(np.log(own).mean())
    weight = evaluate.shrinkage
    score = (own + weight * overall) / (1 + weight)
    best = overall.idxmin() if len(overall.dropna()) else models.reference
    margins = _margins_of_combinations(np.log(own), models)
    rows = []
    for unique_id in series["unique_id"]:
        if unique_id not in score.index or score.loc[unique_id].isna().all():
            rows.append((unique_id, best, "no window of its own: the best model over all series"))
            continue
        leader = str(score.loc[unique_id].idxmin())
        behind = np.log(score.loc[unique_id] / score.loc[unique_id, leader])
        near = behind[margins.index][behind[margins.index] <= margins[leader]]
        name = str(near.idxmin()) if len(near) else leader
        reason = (
            f"{own.loc[unique_id, name]:.0%} of {models.reference}'s error on its own windows, "
            f"{overall[name]:.0%} over all series"
        )
        if name != leader:
            reason += f"; {leader} is better by less than a standard error"
        rows.append((unique_id, name, reason))
    return pd.DataFrame(rows, columns=["unique_id", "model", "reason"])


def _margins_of_combinations(logs: pd.DataFrame, models: ModelsConfig) -> pd.DataFrame:
    """Standard errors, over the series, of what a combination loses more than each model.

    Args:
        logs: of each series' relative errors, by model.

    Returns:
        A row for each combination, a column for each model; missing where fewer than two series
        have both.
    """
    rows = {name: logs.rsub(logs[name], axis=0).sem() for name in models.combinations}
    return pd.DataFrame(rows, index=logs.columns, columns=list(models.combinations), dtype=float).T


def rank_models(
    metrics: pd.DataFrame, losses: pd.DataFrame, evaluate: EvaluateConfig
) -> pd.DataFrame:
    """Mean scores on the windows that report, ranked, and which models may be the best.

    Returns:
        `model`, `metric`, `value` (mean over series), `rank` (1 is best), `group`, `mcs_pvalue`.
        For metrics that have a loss at each time, `group` is `a` for the models of the model
        confidence set and `b` for others; else it is empty and `mcs_pvalue` is missing. See
        `models.comparison.model_confidence_set`.
    """
    reported = metrics[metrics["role"] == "report"]
    means = reported.groupby(["metric", "model"])["value"].mean().reset_index()
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


def judge_champions(
    metrics: pd.DataFrame,
    champions: pd.DataFrame,
    scales: pd.DataFrame,
    windows: pd.DataFrame,
    models: ModelsConfig,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The champions against the reference, on windows later than all that chose them.

    Returns:
        champion_scores: `unique_id`, `model`, `mae`, `mase` and the reference's `reference_mae`,
            `reference_mase`, `note` (why a MASE is missing).
        verdict: means over the series that have a MASE, their ratio, and how many have none.
    """
    reported = metrics[metrics["role"] == "report"]
    wide = reported.pivot(index=["unique_id", "model"], columns="metric", values="value")
    scores = champions[["unique_id", "model"]].merge(
        wide[["mae", "mase", "coverage_80"]].reset_index(), on=["unique_id", "model"], how="left"
    )
    reference = wide.xs(models.reference, level="model")[["mae", "mase"]].add_prefix("reference_")
    scores = scores.merge(reference.reset_index(), on="unique_id", how="left")
    scale = scores["unique_id"].map(scales.set_index("unique_id")["scale"])
    scores["note"] = np.select(
        [scores["mae"].isna(), scale.isna(), scale == 0],
        ["no report window", "less than a season of history", "MASE scale is zero"],
        default="",
    )
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
    return scores, verdict


def _mean(values: pd.Series) -> float | None:
    return float(values.mean()) if values.notna().any() else None


def _ratio(value: float | None, reference: float | None) -> float | None:
    if value is None or reference is None:
        return None
    if reference == 0:
        return 1.0 if value == 0 else float("inf")
    return value / reference
