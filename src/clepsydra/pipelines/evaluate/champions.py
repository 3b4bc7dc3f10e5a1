"""Choose a champion for every series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from clepsydra.config import EvaluateConfig, ModelsConfig, TaskConfig
from clepsydra.models.registry import build_models
from clepsydra.models.screening import screen
from clepsydra.models.wall import lead_steps
from clepsydra.pipelines.evaluate.evidence import ALL_SERIES, FEWEST_WINDOWS, least_errors
from clepsydra.pipelines.evaluate.segments import known_series

__all__ = ["choose_champions"]


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
    evidence: pd.DataFrame,
    records: pd.DataFrame,
    noise: pd.DataFrame,
    segments: pd.DataFrame,
    windows: pd.DataFrame,
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
        evidence: of a shard's series, from `gather_evidence`.
        records: of all series, from `pool_evidence`.
        noise: from `pool_evidence`.
        segments: of the shard's series, from `segment_series`.
        windows: `role`, `cutoff`.
        future: the steps after the panel; they say how far ahead models forecast.
        task: grid and season.
        models: to choose from.
        evaluate: how much the records of others count.
        roles: of the windows that choose.

    Returns:
        `unique_id`, `model`, `reason`: a row for every series.
    """
    known = known_series(segments, windows, roles).set_index("unique_id")
    names, pooled = list(models.root), _pooled(records, list(models.root))
    failing = _table(evidence, "failing", known.index, names) == 1.0
    errors = _table(evidence, "error", known.index, names)
    of_series = evidence.drop_duplicates("unique_id").set_index("unique_id").reindex(known.index)
    reference = errors[models.reference]
    least = least_errors(reference, float(records["usual"].iloc[0]))
    own = errors.add(least, axis=0).div(reference.add(least), axis=0).dropna(how="all")
    is_few = of_series["windows"] < FEWEST_WINDOWS
    told_by = known["segment"].where(is_few & known["segment"].isin(list(pooled)), ALL_SERIES)
    score = _scores(own, of_series["telling"], told_by, pooled, evaluate.shrinkage)
    score = score.mask(failing.assign(**{models.reference: False}))
    fails = records.loc[records["segment"] == ALL_SERIES].set_index("model")["fails"]
    score = score.mask(fails.reindex(names).to_numpy(dtype=bool)[None, :].repeat(len(score), 0))
    few = known.index[is_few & (known["steps"] > 0)]
    obstacles = _obstacles(known, few, float(records["level"].iloc[0]), future, task, models)
    margins = noise.pivot(index="combination", columns="model", values="error")
    margins = margins.reindex(index=list(models.combinations), columns=names)
    choice = _Choice(names, models.reference, list(models.combinations), margins.to_numpy())
    columns = (known.index, score.to_numpy(), own.reindex(known.index).to_numpy(), told_by)
    rows = []
    for unique_id, its_score, ratios, segment in zip(*columns, strict=True):
        its_obstacles = obstacles.get(str(unique_id), {})
        place, leader = choice.of(its_score, [names.index(name) for name in its_obstacles])
        name = names[place]
        if len(its_obstacles) == len(names):
            reason = f"no model can forecast it yet ({name}: {its_obstacles[name]})"
        else:
            ratio = ratios[place]
            reason = _evidence(name, ratio, its_score[place], segment, pooled, models.reference)
            reason += _passed_over(its_score, names, its_obstacles)
        if place != leader:
            reason += f"; {names[leader]} is better by less than the windows' noise"
        rows.append((unique_id, name, reason))
    return pd.DataFrame(rows, columns=["unique_id", "model", "reason"])


@dataclass(frozen=True)
class _Choice:
    """How one of the models is taken, by their places.

    Attributes:
        names: of all models.
        reference: one of them.
        combinations: some of them.
        margins: `[C, M]`, of the combinations over all models: what is no more than noise.
    """

    names: list[str]
    reference: str
    combinations: list[str]
    margins: np.ndarray

    def of(self, score: np.ndarray, unable: list[int]) -> tuple[int, int]:
        """The model that is taken, and the one of the lowest score, of those that are able."""
        able = score.copy()
        able[unable] = np.nan
        reference = self.names.index(self.reference)
        if np.isnan(able).all():
            first = next((i for i in range(len(able)) if i not in unable), reference)
            return first, first
        leader = int(np.nanargmin(able))
        if leader == reference:
            return leader, leader
        combined = [self.names.index(name) for name in self.combinations]
        margin = self.margins[:, leader]
        near = [
            (able[place], place)
            for place, least in zip(combined, margin, strict=True)
            if able[place] < score[reference] and able[place] - able[leader] < least
        ]
        return (min(near)[1] if near else leader), leader


def _table(evidence: pd.DataFrame, value: str, ids: pd.Index, names: list[str]) -> pd.DataFrame:
    """A row a series, a column a model."""
    wide = evidence.pivot(index="unique_id", columns="model", values=value)
    return wide.reindex(index=ids, columns=names).astype(float)


def _pooled(records: pd.DataFrame, names: list[str]) -> dict[str, _Record]:
    """Segment to its record; that over all series first."""
    found = {}
    for segment, rows in records.groupby("segment", sort=False):
        its = rows.set_index("model").reindex(names)
        found[str(segment)] = _Record(its["mean"], its["score"], int(rows["series"].iloc[0]))
    return found


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
    level: float,
    future: pd.DataFrame,
    task: TaskConfig,
    models: ModelsConfig,
) -> dict[str, dict[str, str]]:
    """Of each of these series the models that cannot forecast it, and why.

    Args:
        known: of the shard's series, what `History.described` says.
        ids: the series in question.
        level: what is typical of the series of all shards.
        future: the steps after the panel.
        task: grid and season.
        models: all of them.
    """
    if not len(ids):
        return {}
    combinations = models.combinations
    plain = [name for name in models.root if name not in combinations]
    built = build_models(plain, models, task, lead_steps(future, task))
    described = known.loc[ids]
    faults = {name: screen(described, model, level) for name, model in built.items()}
    found: dict[str, dict[str, str]] = {str(unique_id): {} for unique_id in ids}
    for name in models.root:
        members = models.members(name)
        for unique_id, obstacles in found.items():
            unable = {one: faults[one][unique_id] for one in members if unique_id in faults[one]}
            if len(members) - len(unable) < min(2, len(members)):
                member, reason = next(iter(unable.items()))
                obstacles[name] = reason if member == name else f"{member}: {reason}"
    return found


def _evidence(
    name: str,
    own: float,
    blended: float,
    told_by: str,
    records: dict[str, _Record],
    reference: str,
) -> str:
    """How well the model did: on the series itself, on its segment, over all."""
    if np.isnan(records[ALL_SERIES].mean[name]):
        return "nothing is known of any model: the first that can forecast it"
    overall = f"{records[ALL_SERIES].mean[name]:.0%} over all series"
    its = records[told_by]
    segment = f"{its.series} series of the segment '{told_by}'"
    if pd.notna(own):
        within = "" if told_by == ALL_SERIES else f", {its.mean[name]:.0%} in {segment}"
        return (
            f"{own:.0%} of {reference}'s error on its own windows{within}, {overall}, "
            f"blended {blended:.0%}"
        )
    if told_by == ALL_SERIES:
        return "no window of its own: the best model over all series"
    figures = f"{its.mean[name]:.0%} of {reference}'s error, {overall}"
    return f"no window of its own: the best model for {segment} ({figures})"


def _passed_over(score: np.ndarray, names: list[str], obstacles: dict[str, str]) -> str:
    """Why a model that would lead is not taken."""
    if not obstacles:
        return ""
    best = names[0 if np.isnan(score).all() else int(np.nanargmin(score))]
    return f"; {best} cannot forecast it ({obstacles[best]})" if best in obstacles else ""
