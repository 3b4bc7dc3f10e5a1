"""Choose a champion for every series."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from clepsydra.config import EvaluateConfig, ModelsConfig, TaskConfig
from clepsydra.models.registry import build_models
from clepsydra.models.screening import screen
from clepsydra.models.wall import lead_steps
from clepsydra.pipelines.evaluate.segments import known_series

__all__ = ["choose_champions"]

_LEAST_ERROR = 0.05
_FEWEST_WINDOWS = 5
# The name of the record over all series; those of segments are longer.
_ALL = ""


class _Record(NamedTuple):
    """How the models did on some series.

    Attributes:
        mean: geometric mean of each model's errors over the reference's.
        score: the same, blended with that over all series.
        series: how many they are.
    """

    mean: pd.Series
    score: pd.Series
    series: int


def choose_champions(
    metrics: pd.DataFrame,
    backtests: pd.DataFrame,
    windows: pd.DataFrame,
    segments: pd.DataFrame,
    future: pd.DataFrame,
    task: TaskConfig,
    models: ModelsConfig,
    evaluate: EvaluateConfig,
    roles: tuple[str, ...] = ("select",),
) -> pd.DataFrame:
    """The model of each series, and why.

    From the windows that select come champions that those that report can judge. When they have
    been judged, both choose those that forecast next.

    A series' record of a model is its mean absolute error over the reference model's. A few days of
    one series say little, so it is blended with the record over all, the geometric mean of those
    ratios (AvgRelMAE: Davydenko and Fildes, Measuring forecasting accuracy, 2013), which no odd
    series decides alone: `(windows * own + shrinkage * all) / (windows + shrinkage)`, so that the
    more windows select, the more a series' own record counts. Windows in which the reference makes
    no error tell little of who is better, and are not counted: of a series that hardly ever changes
    a few hours would decide.

    A model that failed counts with what was published in its name, another one's forecasts. But it
    is no champion of a series where that is so of most windows, and of the newest one.

    A series with fewer than five scored windows is taken for one of its segment. The record that
    its own is blended with is the segment's, which is itself blended with that over all in the same
    way, the windows of all its series counting. Without a window of its own that is all there is.
    Such a series gets the best of the models that its history suffices for (`models.screening`); a
    combination is made of those members that it suffices for, of two at least.

    The leader by a hair is one by chance. So a combination that is better than the reference takes
    the place of a leader, other than the reference, whose score is lower by less than the standard
    error of the difference of their errors over the windows. This is in the spirit of the
    one-standard-error rule of Breiman and others, Classification and Regression Trees, 1984. Fewer
    than five windows tell no difference from noise, so there the best combination takes it, which
    is what wins where little is known of its members (Clemen, Combining forecasts, 1989).

    Args:
        metrics: from `score_backtests`.
        backtests: `unique_id`, `cutoff`, `model`, `y`, `y_hat`, `is_fallback`.
        windows: `role`, `cutoff`.
        segments: from `segment_series`.
        future: the steps after the panel; they say how far ahead models forecast.
        task: grid and season.
        models: to choose from.
        evaluate: how much the records of others count.
        roles: of the windows that choose.

    Returns:
        `unique_id`, `model`, `reason`: a row for every series.
    """
    known = known_series(segments, windows, roles).set_index("unique_id")
    windows = windows[windows["role"].isin(roles)]
    scored = _scored_windows(backtests, windows)
    errors = _errors(metrics, scored).reindex(columns=list(models.root))
    # Both sides of a ratio get a little of the error of the reference, or where it has none of the
    # mean error over all: series without an error have a ratio, too.
    reference = errors[models.reference]
    overall = (reference.mean() or errors.mean().mean()) or 1.0
    least = _LEAST_ERROR * reference.where(reference > 0, overall)
    own = errors.add(least, axis=0).div(reference.add(least), axis=0).dropna(how="all")
    number = scored.groupby("unique_id").sum().reindex(known.index, fill_value=0)
    is_few = number < _FEWEST_WINDOWS
    records = _records(own, number, known["segment"], evaluate.shrinkage)
    told_by = known["segment"].where(is_few & known["segment"].isin(list(records)), _ALL)
    telling = _telling_windows(backtests, windows, models.reference).reindex(known.index)
    score = _scores(own, telling.fillna(0), told_by, records, evaluate.shrinkage)
    score = score.mask(_failing(backtests, windows, score, models.reference))
    obstacles = _obstacles(known, known.index[is_few & (known["steps"] > 0)], future, task, models)
    noise = _noise(backtests, windows, reference + least, models)
    rows = []
    for unique_id, its_score in score.iterrows():
        its_obstacles = obstacles.get(str(unique_id), {})
        leader, name = _best(its_score, noise, models, its_obstacles)
        if len(its_obstacles) == len(models.root):
            reason = f"no model can forecast it yet ({name}: {its_obstacles[name]})"
        else:
            ratio = own[name].get(unique_id)
            reason = _evidence(
                name, ratio, its_score[name], told_by[unique_id], records, models.reference
            )
            reason += _passed_over(its_score, its_obstacles)
        if name != leader:
            reason += f"; {leader} is better by less than the windows' noise"
        rows.append((unique_id, name, reason))
    return pd.DataFrame(rows, columns=["unique_id", "model", "reason"])


def _scored_windows(backtests: pd.DataFrame, windows: pd.DataFrame) -> pd.Series:
    """How many windows have anything to compare with, by `unique_id` and `role`."""
    role = windows.set_index("cutoff")["role"]
    chosen = backtests["cutoff"].isin(role.index) & backtests["y"].notna()
    pairs = backtests.loc[chosen, ["unique_id", "cutoff"]].drop_duplicates()
    return pairs.assign(role=pairs["cutoff"].map(role)).groupby(["unique_id", "role"]).size()


def _telling_windows(backtests: pd.DataFrame, windows: pd.DataFrame, reference: str) -> pd.Series:
    """In how many windows the reference errs at all, by series."""
    chosen = backtests["cutoff"].isin(windows["cutoff"]) & (backtests["model"] == reference)
    rows = backtests[chosen]
    wrong = rows[(rows["y"] - rows["y_hat"]).abs() > 0]
    return wrong.groupby("unique_id")["cutoff"].nunique()


def _errors(metrics: pd.DataFrame, scored: pd.Series) -> pd.DataFrame:
    """Mean absolute errors over the windows; a row a series and a column a model."""
    rows = metrics[metrics["metric"] == "mae"].dropna(subset="value")
    rows = rows.merge(scored.rename("weight").reset_index(), on=["unique_id", "role"])
    rows["total"] = rows["value"] * rows["weight"]
    total = rows.groupby(["unique_id", "model"])[["total", "weight"]].sum()
    return (total["total"] / total["weight"]).unstack("model")


def _failing(
    backtests: pd.DataFrame, windows: pd.DataFrame, like: pd.DataFrame, reference: str
) -> pd.DataFrame:
    """Of which series which models are no champions, for another one stands in for them.

    Args:
        backtests: `unique_id`, `cutoff`, `model`, `y`, `is_fallback`.
        windows: `cutoff`.
        like: a row a series, a column a model.
        reference: which always may be, for it is the last resort.

    Returns:
        Whether, of the windows with anything to compare with, another one's are more than half and
        the newest; of a model of which that is so wherever it has windows, for all series.
    """
    chosen = backtests["cutoff"].isin(windows["cutoff"]) & backtests["y"].notna()
    rows = backtests[chosen].sort_values("cutoff", kind="stable")
    groups = rows.groupby(["unique_id", "model"])["is_fallback"]
    found = ((groups.mean() > 0.5) & groups.last()).astype(float).unstack("model")
    everywhere = (found.fillna(1.0) == 1.0).all().reindex(like.columns, fill_value=False)
    return ((found.reindex_like(like) == 1.0) | everywhere).assign(**{reference: False})


def _records(
    own: pd.DataFrame, number: pd.Series, segment: pd.Series, shrinkage: float
) -> dict[str, _Record]:
    """The record over all, and that of each segment which is not all.

    Args:
        own: each model's error over the reference's; a row a series.
        number: windows of each series.
        segment: of each series.
        shrinkage: windows that the record over all is worth.
    """
    overall = np.exp(np.log(own).mean())
    records = {_ALL: _Record(overall, overall, len(own))}
    for name, its in own.groupby(segment.reindex(own.index)):
        if len(its) < len(own):
            mean = np.exp(np.log(its).mean()).fillna(overall)
            windows = number[its.index].sum()
            score = overall + windows / (windows + shrinkage) * (mean - overall)
            records[str(name)] = _Record(mean, score, len(its))
    return records


def _scores(
    own: pd.DataFrame,
    number: pd.Series,
    told_by: pd.Series,
    records: dict[str, _Record],
    shrinkage: float,
) -> pd.DataFrame:
    """Every series' own record blended with the one it is told by; a column a model."""
    table = pd.DataFrame({name: record.score for name, record in records.items()}).T
    score = table.loc[told_by].set_axis(told_by.index)
    windows = number[own.index]
    blended = own.mul(windows, axis=0) + shrinkage * score.loc[own.index]
    score.loc[own.index] = blended.div(windows + shrinkage, axis=0)
    return score


def _obstacles(
    known: pd.DataFrame,
    ids: pd.Index,
    future: pd.DataFrame,
    task: TaskConfig,
    models: ModelsConfig,
) -> dict[str, dict[str, str]]:
    """Of each of these series the models that cannot forecast it, and why.

    Args:
        known: of all series, what `History.described` says.
        ids: the series in question.
        future: the steps after the panel.
        task: grid and season.
        models: all of them.
    """
    if not len(ids):
        return {}
    combinations = models.combinations
    plain = [name for name in models.root if name not in combinations]
    built = build_models(plain, models, task, lead_steps(future, task))
    described = known[known["steps"] > 0]
    faults = {name: screen(described, model) for name, model in built.items()}
    found: dict[str, dict[str, str]] = {str(unique_id): {} for unique_id in ids}
    for name in models.root:
        members = models.members(name)
        for unique_id, obstacles in found.items():
            unable = {one: faults[one][unique_id] for one in members if unique_id in faults[one]}
            if len(members) - len(unable) < min(2, len(members)):
                member, reason = next(iter(unable.items()))
                obstacles[name] = reason if member == name else f"{member}: {reason}"
    return found


def _best(
    score: pd.Series, noise: pd.DataFrame, models: ModelsConfig, obstacles: dict[str, str]
) -> tuple[str, str]:
    """The model of the lowest score, and the one that is taken, of those without an obstacle."""
    able = score.drop(list(obstacles))
    if able.isna().all():
        first = str(able.index[0]) if len(able) else models.reference
        return first, first
    leader = str(able.idxmin())
    if leader == models.reference:
        return leader, leader
    combined = able[[name for name in noise.index if name in able.index]]
    margin = noise.loc[combined.index, leader]
    near = combined[(combined < score[models.reference]) & (combined - able[leader] < margin)]
    return leader, str(near.idxmin()) if len(near) else leader


def _evidence(
    name: str,
    own: float | None,
    blended: float,
    told_by: str,
    records: dict[str, _Record],
    reference: str,
) -> str:
    """How well the model did: on the series itself, on its segment, over all."""
    if np.isnan(records[_ALL].mean[name]):
        return "nothing is known of any model: the first that can forecast it"
    overall = f"{records[_ALL].mean[name]:.0%} over all series"
    its = records[told_by]
    segment = f"{its.series} series of the segment '{told_by}'"
    if pd.notna(own):
        within = "" if told_by == _ALL else f", {its.mean[name]:.0%} in {segment}"
        return (
            f"{own:.0%} of {reference}'s error on its own windows{within}, {overall}, "
            f"blended {blended:.0%}"
        )
    if told_by == _ALL:
        return "no window of its own: the best model over all series"
    figures = f"{its.mean[name]:.0%} of {reference}'s error, {overall}"
    return f"no window of its own: the best model for {segment} ({figures})"


def _passed_over(score: pd.Series, obstacles: dict[str, str]) -> str:
    """Why a model that would lead is not taken."""
    best = str(score.idxmin() if score.notna().any() else score.index[0])
    return f"; {best} cannot forecast it ({obstacles[best]})" if best in obstacles else ""


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
