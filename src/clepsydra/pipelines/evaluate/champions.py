"""Choose a champion for every series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from clepsydra.config import EvaluateConfig, ModelsConfig

__all__ = ["choose_champions"]

_LEAST_ERROR = 0.05
_FEWEST_WINDOWS = 5


def choose_champions(
    metrics: pd.DataFrame,
    backtests: pd.DataFrame,
    windows: pd.DataFrame,
    models: ModelsConfig,
    evaluate: EvaluateConfig,
    series: pd.DataFrame,
    roles: Sequence[str] = ("select",),
) -> pd.DataFrame:
    """The model of each series, and why.

    From the windows that select come champions that those that report can judge. When they have
    been judged, both choose those that forecast next.

    A series' record of a model is its mean absolute error over the reference model's. A few days of
    one series say little, so it is blended with the record over all, the geometric mean of those
    ratios (AvgRelMAE: Davydenko and Fildes, Measuring forecasting accuracy, 2013), which no odd
    series decides alone: `(windows * own + shrinkage * all) / (windows + shrinkage)`, so that the
    more windows select, the more a series' own record counts. A series without a scored window
    takes the model that is best over all.

    The leader by a hair is one by chance. So a combination that is better than the reference takes
    the place of a leader, other than the reference, whose score is lower by less than the standard
    error of the difference of their errors over the windows. This is in the spirit of the
    one-standard-error rule of Breiman and others, Classification and Regression Trees, 1984. Fewer
    than five windows tell no difference from noise, so there the best combination takes it, which
    is what wins where little is known of its members (Clemen, Combining forecasts, 1989).

    Returns:
        `unique_id`, `model`, `reason`: a row for every series.
    """
    windows = windows[windows["role"].isin(roles)]
    errors = _errors(metrics, windows).reindex(columns=list(models.root))
    # Both sides of a ratio get a little of the mean error: series without an error have one too.
    reference = errors[models.reference]
    least = _LEAST_ERROR * (reference.mean() or errors.mean().mean()) or 1.0
    own = errors.add(least).div(reference.add(least), axis=0)
    overall = np.exp(np.log(own).mean())
    number = len(windows)
    score = (number * own + evaluate.shrinkage * overall) / (number + evaluate.shrinkage)
    noise = _noise(backtests, windows, reference + least, models)
    rows = []
    for unique_id in series["unique_id"]:
        if unique_id in score.index and score.loc[unique_id].notna().any():
            leader, name = _best(score.loc[unique_id], noise, models)
            reason = (
                f"{own.loc[unique_id, name]:.0%} of {models.reference}'s error on its own windows, "
            )
            reason += f"{overall[name]:.0%} over all series"
        else:
            leader, name = _best(overall, noise, models)
            reason = "no window of its own: the best model over all series"
        if name != leader:
            reason += f"; {leader} is better by less than the windows' noise"
        rows.append((unique_id, name, reason))
    return pd.DataFrame(rows, columns=["unique_id", "model", "reason"])


def _errors(metrics: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute errors over the windows; a row a series and a column a model."""
    number = windows["role"].value_counts()
    rows = metrics[(metrics["metric"] == "mae") & metrics["role"].isin(number.index)]
    rows = rows.dropna(subset="value").assign(weight=rows["role"].map(number))
    rows["total"] = rows["value"] * rows["weight"]
    total = rows.groupby(["unique_id", "model"])[["total", "weight"]].sum()
    return (total["total"] / total["weight"]).unstack("model")


def _best(score: pd.Series, noise: pd.DataFrame, models: ModelsConfig) -> tuple[str, str]:
    """The model of the lowest score, and the one that is taken."""
    if score.isna().all():
        return models.reference, models.reference
    leader = str(score.idxmin())
    if leader == models.reference:
        return leader, leader
    combined = score[list(noise.index)]
    near = combined[
        (combined < score[models.reference]) & (combined - score[leader] < noise[leader])
    ]
    return leader, str(near.idxmin()) if len(near) else leader


def _noise(
    backtests: pd.DataFrame, windows: pd.DataFrame, unit: pd.Series, models: ModelsConfig
) -> pd.DataFrame:
    """Standard errors, over the windows, of the difference of two models' errors.

    Args:
        backtests: `unique_id`, `cutoff`, `model`, `y`, `y_hat`.
        windows: `cutoff`.
        unit: what a series' errors are divided by.
        models: those of them that combine others are compared with all.

    Returns:
        A row for each combination and a column for each model; infinite where there are too few
        windows.
    """
    chosen = backtests["cutoff"].isin(windows["cutoff"])
    rows = backtests.loc[chosen, ["unique_id", "cutoff", "model"]]
    size = (backtests["y"] - backtests["y_hat"]).abs().loc[rows.index]
    rows = rows.assign(error=size / rows["unique_id"].map(unit).to_numpy())
    means = rows.groupby(["cutoff", "unique_id", "model"])["error"].mean()
    table = means.groupby(["cutoff", "model"]).mean().unstack().reindex(columns=list(models.root))
    found = {}
    for name in models.combinations:
        difference = table.rsub(table[name], axis=0)
        found[name] = difference.sem().where(difference.count() >= _FEWEST_WINDOWS, np.inf)
    return pd.DataFrame(
        found, index=list(models.root), columns=list(models.combinations), dtype=float
    ).T
