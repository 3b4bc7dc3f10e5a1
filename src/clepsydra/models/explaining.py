"""Why forecasts are as they are: their parts, and how much each feature matters to a model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from clepsydra.config import TaskConfig
from clepsydra.cost import Cost
from clepsydra.models.base import History, Model, rows_of
from clepsydra.models.forecasting import Candidate, Learnt
from clepsydra.models.isolation import Isolation, described
from clepsydra.models.knowledge import Origin
from clepsydra.models.parts import PARTS, no_parts, total
from clepsydra.models.wall import steps_after, to_wall_frame, to_wall_steps

__all__ = ["EXPLANATIONS", "evenly", "explain", "importances", "strongest"]

EXPLANATIONS = [*PARTS, "reason"]
OTHERS = "others"
_KEYS = ["unique_id", "ds"]
_TOLERANCE = 1e-6


def evenly(ids: Iterable[str], number: int) -> list[str]:
    """So many of the series, evenly spread over their names; all, if there are no more.

    Examples:
        >>> evenly(["d", "a", "c", "b"], 2)
        ['a', 'c']
    """
    names = sorted(ids)
    if number >= len(names):
        return names
    return [names[place * len(names) // number] for place in range(number)]


def explain(
    candidate: Candidate,
    learnt: Learnt,
    origin: Origin,
    points: pd.DataFrame,
    failures: pd.DataFrame,
    ids: Iterable[str],
    isolation: Isolation,
) -> pd.DataFrame:
    """The parts of what `models.forecasting.forecast` made of the same arguments.

    Parts that do not add up to the forecast are not given: a bound or a rounding to whole numbers
    apart, which come after, they are the forecast. Nothing that fails is raised.

    Args:
        candidate: the model.
        learnt: from `fit`.
        origin: what is known.
        points: `unique_id`, `ds` (naive UTC), `y_hat`: its forecasts.
        failures: `unique_id`, `reason`, `fallback`: series whose forecasts are another model's.
        ids: the series to explain.
        isolation: where models of single series run.

    Returns:
        The columns of `models.parts.parts_frame`, with `ds` in naive UTC, and `reason`: empty, or
        why a series has no parts, in the one row that it has then.
    """
    asked = pd.Index(sorted(ids), dtype=object).intersection(points["unique_id"].unique())
    reasons = {
        str(row.unique_id): f"the forecast of {row.fallback}, since {candidate.name}: {row.reason}"
        for row in failures.itertuples()
        if row.unique_id in asked
    }
    parts = no_parts()
    if type(candidate.model).explain is Model.explain:
        reasons |= dict.fromkeys(asked.difference(list(reasons)), "a model without explanations")
    elif len(able := asked.difference(list(reasons))):
        try:
            parts = _parts(candidate, learnt, origin, failures, able, isolation, reasons)
        except Exception as error:  # of any library: no forecast waits for its explanation
            reasons |= dict.fromkeys(able, f"not explained: {described(error)}")
        for uid, reason in _wrong(parts, points, origin.task).items():
            reasons.setdefault(uid, reason)
        parts = parts[~parts["unique_id"].isin(list(reasons))]
        for uid in able.difference(parts["unique_id"].unique()).difference(list(reasons)):
            reasons[uid] = "not explained: the model gives no parts, or they would take too long"
    why = pd.DataFrame({"unique_id": list(reasons), "reason": list(reasons.values())})
    found = [frame for frame in (parts.assign(reason=""), why) if len(frame)]
    whole = pd.concat(found or [no_parts().assign(reason="")], ignore_index=True)
    whole = whole.reindex(columns=EXPLANATIONS)
    texts = ["kind", "feature", "scale", "reason"]
    whole[texts] = whole[texts].fillna("")
    return whole.astype({"ds": "datetime64[ns]", "contribution": float})


def _parts(
    candidate: Candidate,
    learnt: Learnt,
    origin: Origin,
    failures: pd.DataFrame,
    ids: pd.Index,
    isolation: Isolation,
    reasons: dict[str, str],
) -> pd.DataFrame:
    """What the model gives; reasons are added in place."""
    model, task = candidate.model, origin.task
    history, future = origin.history(candidate.longest), origin.ahead()
    future = future[future["unique_id"].isin(history.ids)]
    ahead = steps_after(to_wall_frame(future, task), history.rows["ds"].max(), task)
    shown = history.for_model(model)
    # A model of all series is shown all that it forecast.
    able = history.ids.difference(failures["unique_id"])
    columns = [*_KEYS, *shown.known]
    horizon = int(ahead.groupby("unique_id").size().max())

    def arguments(part: pd.Index) -> tuple[Model, object, History, pd.DataFrame, int]:
        state = learnt.state
        if model.scope == "series" and isinstance(state, dict):
            state = {uid: state[uid] for uid in part if uid in state}
        its = shown.only(part if model.scope == "series" else able)
        return model, state, its, rows_of(ahead, part)[columns], horizon

    found = isolation.run(
        _checked_explain,
        arguments,
        ids,
        reasons,
        Cost(),
        candidate.timeout,
        model.cost,
        candidate.name,
        model.scope == "panel",
    )
    filled = [part for part in found if len(part)]
    parts = pd.concat(filled, ignore_index=True) if filled else no_parts()
    wall = future[_KEYS].assign(wall=to_wall_steps(future["ds"], task))
    local = parts.rename(columns={"ds": "wall"})
    return local.merge(wall, on=["unique_id", "wall"])[PARTS]


def _checked_explain(
    model: Model, state: object, history: History, future: pd.DataFrame, horizon: int
) -> pd.DataFrame:
    """What the model gives, if it is what `Model.explain` says."""
    found = model.explain(state, history, future, horizon)
    if found is None:
        return no_parts()
    return found[PARTS].astype({"ds": "datetime64[ns]", "contribution": float})


def _wrong(parts: pd.DataFrame, points: pd.DataFrame, task: TaskConfig) -> dict[str, str]:
    """Series whose parts do not add up to their forecasts, and where not."""
    both = total(parts).merge(points[[*_KEYS, "y_hat"]], on=_KEYS, suffixes=("", "_made"))
    sums = both["y_hat"] if task.minimum is None else both["y_hat"].clip(lower=task.minimum)
    margin = _TOLERANCE * np.maximum(both["y_hat_made"].abs(), 1.0) + 0.5 * task.integer
    wrong = both[~((sums - both["y_hat_made"]).abs() <= margin)]
    return {
        str(row.unique_id): f"not explained: parts that add up to {row.y_hat:.6g} at {row.ds}, of "
        f"a forecast of {row.y_hat_made:.6g}"
        for row in wrong.itertuples()
    }


def strongest(explanations: pd.DataFrame, number: int) -> pd.DataFrame:
    """The same with so many features of a series and a model, the strongest, and all others as one.

    What is not a feature stays as it is, and so do the sums.

    Args:
        explanations: `unique_id`, `ds`, `model`, `kind`, `feature`, `contribution`, then others.
        number: of features.

    Examples:
        >>> rows = pd.DataFrame(
        ...     {
        ...         "unique_id": "a",
        ...         "ds": pd.Timestamp("2024-01-01"),
        ...         "model": "m",
        ...         "kind": "feature",
        ...         "feature": ["x", "y", "z"],
        ...         "contribution": [1.0, -3.0, 1.5],
        ...     }
        ... )
        >>> strongest(rows, 1)[["feature", "contribution"]].to_numpy().tolist()
        [['y', -3.0], ['others', 2.5]]
    """
    are = explanations["kind"] == "feature"
    features, rest = explanations[are], explanations[~are]
    keys = ["unique_id", "model", "feature"]
    size = features["contribution"].abs().groupby([features[key] for key in keys], sort=True).sum()
    rank = size.groupby(level=["unique_id", "model"]).rank(ascending=False, method="first")
    place = features[keys].join(rank.rename("rank"), on=keys)["rank"]
    kept, others = features[place <= number], features[place > number]
    by = [name for name in explanations if name not in {"feature", "contribution"}]
    summed = others.groupby(by, sort=False, dropna=False)["contribution"].sum().reset_index()
    parts = [rest, kept, summed.assign(feature=OTHERS)[list(explanations)]]
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else explanations


def importances(explanations: pd.DataFrame) -> pd.DataFrame:
    """How much each feature matters to each model: the mean size of what it contributes.

    Source: Lundberg et al., From local explanations to global understanding with explainable AI for
    trees (2020).

    Args:
        explanations: `unique_id`, `ds`, `model`, `kind`, `feature`, `contribution`, `scale`.

    Returns:
        `model`, `scale` (what contributions are parts of: values, or logarithms), `feature`,
        `importance` (on that scale), `share` of the model's, `forecasts` (of how many it is the
        mean); the most important first.
    """
    features = explanations[explanations["kind"] == "feature"]
    group = ["model", "scale"]
    forecasts = features.drop_duplicates([*group, *_KEYS]).groupby(group, sort=True).size()
    size = (
        features["contribution"]
        .abs()
        .groupby([features[key] for key in [*group, "feature"]], sort=True)
    )
    table = size.sum().rename("importance").reset_index()
    table = table.join(forecasts.rename("forecasts"), on=group)
    table["importance"] /= table["forecasts"]
    whole = table.groupby(group)["importance"].transform("sum")
    table["share"] = (table["importance"] / whole.where(whole > 0)).fillna(0.0)
    table = table.sort_values([*group, "importance"], ascending=[True, True, False], kind="stable")
    columns = [*group, "feature", "importance", "share", "forecasts"]
    return table[columns].reset_index(drop=True)
