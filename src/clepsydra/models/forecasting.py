"""One forecast of every series by one model: of those it cannot do, by the next one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from clepsydra.config import ModelsConfig, TaskConfig
from clepsydra.cost import Cost, measured
from clepsydra.errors import ConfigError
from clepsydra.models.base import History, Model, quantile_columns, rows_of
from clepsydra.models.isolation import Isolation, described
from clepsydra.models.knowledge import Origin
from clepsydra.models.registry import build_models, fallback_chain
from clepsydra.models.screening import implausible, screen
from clepsydra.models.wall import steps_after, to_wall_frame, to_wall_steps

__all__ = [
    "LAST_RESORT",
    "Candidate",
    "Learnt",
    "candidates",
    "check_attributes",
    "finalize",
    "fit",
    "forecast",
]

LAST_RESORT = "last season"
TIMEOUT = 60.0
_ONE_HOUR = pd.Timedelta(1, "h")


@dataclass(frozen=True)
class Candidate:
    """A model under its name, and those that stand in for it."""

    name: str
    model: Model
    timeout: float | None
    own_intervals: bool
    longest: int | None
    fallbacks: list[Candidate] = field(default_factory=list)


@dataclass
class Learnt:
    """What a model has learnt: a state, and why it has none of some series or of all.

    Attributes:
        state: what `Model.fit` returned.
        problem: why there is none at all.
        reasons: why there is none of these series.
    """

    state: Any = None
    problem: str | None = None
    reasons: dict[str, str] = field(default_factory=dict)


def candidates(
    names: list[str], models: ModelsConfig, task: TaskConfig, lead: int
) -> list[Candidate]:
    """The named models with their fallbacks, ready to fit.

    Args:
        names: which of `models`.
        models: what the configuration names.
        task: grid and season.
        lead: most steps from a cutoff to the last step forecast.

    Raises:
        ConfigError: see `build_models` and `fallback_chain`.
    """
    chains = {name: fallback_chain(name, models) for name in names}
    every = list(dict.fromkeys([*names, *(other for chain in chains.values() for other in chain)]))
    built = build_models(every, models, task, lead)

    def candidate(name: str, chain: list[str]) -> Candidate:
        spec, model = models.root[name], built[name]
        return Candidate(
            name,
            model,
            (spec.timeout or TIMEOUT) if model.scope == "series" else None,
            spec.intervals == "own",
            spec.max_history and max(spec.max_history, model.min_history),
            [candidate(other, []) for other in chain],
        )

    return [candidate(name, chains[name]) for name in names]


def fit(
    candidate: Candidate,
    origin: Origin,
    isolation: Isolation,
    cost: Cost,
    ids: pd.Index | None = None,
) -> Learnt:
    """Let a model learn from the series that it can be shown.

    Args:
        candidate: the model.
        origin: what is known.
        isolation: where models of single series run.
        cost: is added to.
        ids: only these series; all if not given.
    """
    model, learnt = candidate.model, Learnt()
    history = _history(candidate, origin, ids)
    able = history.ids.difference(list(screen(history.described, model)))
    if not len(able):
        return learnt
    shown = history.for_model(model)
    if model.scope == "series":
        parts = isolation.run(
            _checked_fit,
            lambda ids: (model, shown.only(ids)),
            able,
            learnt.reasons,
            cost,
            candidate.timeout,
            model.cost,
            candidate.name,
        )
        found = {uid: its for part in parts for uid, its in part.items()}
        learnt.state = {uid: its for uid, its in found.items() if not isinstance(its, Exception)}
        for uid, its in found.items():
            if isinstance(its, Exception):
                learnt.reasons[uid] = described(its)
        return learnt
    try:
        with measured() as spent:
            learnt.state = model.fit(shown.only(able))
    except Exception as error:  # of any library: it becomes a counted fallback
        learnt.problem = f"fit failed: {described(error)}"
    cost.add(spent)
    return learnt


def forecast(
    candidate: Candidate,
    learnt: Learnt,
    origin: Origin,
    end: pd.Timestamp | None,
    isolation: Isolation,
    cost: Cost,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Forecast every series that has a history; those that the model cannot do are the next one's.

    A fallback learns then and there, from what it would be shown as a model of its own.

    Args:
        candidate: the model.
        learnt: from `fit`.
        origin: what is known.
        end: first time (naive UTC) that is not forecast; nothing for all steps there are.
        isolation: where models of single series run.
        cost: is added to, for what the model itself does.

    Returns:
        forecasts: `unique_id`, `ds` (naive UTC), `y_hat`, the quantile columns, missing where the
            model has none of its own, and `is_fallback`; every step after the cutoff of every
            series.
        failures: `unique_id`, `reason`, `fallback` (which model's forecast it is).
    """
    task = origin.task
    rows, reasons = _attempt(candidate, learnt, origin, end, isolation, cost)
    fallback = dict.fromkeys(reasons, LAST_RESORT)
    lost = pd.Index(list(reasons), dtype=object)
    for other in candidate.fallbacks:
        if not len(lost):
            break
        its_learnt = fit(other, origin, isolation, Cost(), lost)
        its_rows, failed = _attempt(other, its_learnt, origin, end, isolation, Cost(), lost)
        done = lost.difference(list(failed))
        rows = _replaced(rows, its_rows[its_rows["unique_id"].isin(done)])
        fallback |= dict.fromkeys(done, other.name)
        lost = pd.Index(list(failed), dtype=object)
    if len(lost):
        still = rows["unique_id"].isin(lost)
        history = _history(candidate, origin, lost)
        rows.loc[still, "y_hat"] = _last_season(rows[still], history, task.season_length)
    rows["y_hat"] = finalize(rows["y_hat"], task)
    rows[quantile_columns()] = _possible(rows[quantile_columns()], task)
    rows["is_fallback"] = rows["unique_id"].isin(reasons)
    failures = pd.DataFrame(
        {
            "unique_id": list(reasons),
            "reason": list(reasons.values()),
            "fallback": [fallback[uid] for uid in reasons],
        },
        dtype=object,
    )
    return rows, failures


def _history(candidate: Candidate, origin: Origin, ids: pd.Index | None = None) -> History:
    history = origin.history(candidate.longest)
    return history if ids is None else history.only(ids)


def finalize(y_hat: pd.Series, task: TaskConfig) -> pd.Series:
    """Clip to what is possible and, for counts, round: the median of a count is a whole number.

    Rounding matters for absolute errors: half a departure is wrong every hour.
    """
    if task.minimum is not None:
        y_hat = y_hat.clip(lower=task.minimum)
    return y_hat.round() if task.integer else y_hat


def _possible(quantiles: pd.DataFrame, task: TaskConfig) -> np.ndarray:
    """Quantiles in their order, none below what is possible; all or none of a row."""
    values = np.sort(quantiles.to_numpy(dtype=float), axis=1)
    values[~np.isfinite(values).all(axis=1)] = np.nan
    return values if task.minimum is None else np.maximum(values, task.minimum)


def _attempt(
    candidate: Candidate,
    learnt: Learnt,
    origin: Origin,
    end: pd.Timestamp | None,
    isolation: Isolation,
    cost: Cost,
    ids: pd.Index | None = None,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The model's own forecasts, missing where it has none, and why it has none."""
    model, task = candidate.model, origin.task
    history, future = _history(candidate, origin, ids), origin.ahead(end)
    future = future[future["unique_id"].isin(history.ids)]
    reasons = screen(history.described, model)
    for uid in history.ids.difference(list(reasons)):
        if learnt.problem is not None:
            reasons[uid] = learnt.problem
        elif uid in learnt.reasons:
            reasons[uid] = f"fit: {learnt.reasons[uid]}"
    last = history.rows["ds"].max()
    ahead = steps_after(to_wall_frame(future, task), last, task)
    able = history.ids.difference(list(reasons))
    made = _predict(candidate, learnt.state, history, ahead, able, isolation, reasons, cost)
    # A step whose local time has been before, in the hour that is repeated, takes its value.
    seen = history.rows[["unique_id", "ds", "y"]].rename(columns={"y": "y_hat"})
    seen = seen[(seen["ds"] >= ahead["ds"].min() - _ONE_HOUR) & ~seen["unique_id"].isin(reasons)]
    made = pd.concat([frame for frame in (made, seen) if len(frame)] or [made])
    wall = future[["unique_id", "ds"]].assign(wall=to_wall_steps(future["ds"], task))
    rows = wall.merge(made.rename(columns={"ds": "wall"}), on=["unique_id", "wall"], how="left")
    rows = rows.drop(columns="wall").reindex(
        columns=["unique_id", "ds", "y_hat", *quantile_columns()]
    )
    values = ["y_hat", *quantile_columns()]
    rows[values] = rows[values].astype(float)
    if not candidate.own_intervals:
        rows[quantile_columns()] = np.nan
    finite = np.isfinite(rows["y_hat"]).groupby(rows["unique_id"]).agg(["sum", "size"])
    for uid, (given, asked) in finite[finite["sum"] < finite["size"]].iterrows():
        reasons.setdefault(
            str(uid), f"{candidate.name} gave {given} finite values of {asked} steps"
        )
    for uid, reason in implausible(rows["y_hat"], rows["unique_id"], history).items():
        reasons.setdefault(uid, reason)
    rows.loc[rows["unique_id"].isin(reasons), values] = np.nan
    return rows, reasons


def _predict(
    candidate: Candidate,
    state: Any,
    history: History,
    ahead: pd.DataFrame,
    able: pd.Index,
    isolation: Isolation,
    reasons: dict[str, str],
    cost: Cost,
) -> pd.DataFrame:
    """What the model forecasts for the series it is able to; reasons are added in place."""
    model = candidate.model
    nothing = pd.DataFrame(
        {"unique_id": pd.Series(dtype=object), "ds": ahead["ds"].iloc[:0], "y_hat": 0.0}
    )
    if not len(able) or ahead.empty:
        return nothing
    shown = history.for_model(model)
    columns = ["unique_id", "ds", *shown.known]
    horizon = int(ahead.groupby("unique_id").size().max())

    def arguments(ids: pd.Index) -> tuple[Any, ...]:
        its_state = state
        if model.scope == "series" and isinstance(state, Mapping):
            its_state = {uid: state[uid] for uid in ids if uid in state}
        return (
            model,
            its_state,
            shown.only(ids),
            rows_of(ahead, ids)[columns],
            horizon,
        )

    found = isolation.run(
        _checked_predict,
        arguments,
        able,
        reasons,
        cost,
        candidate.timeout,
        model.cost,
        candidate.name,
        model.joint,
    )
    return pd.concat([nothing, *(part for part in found if len(part))], ignore_index=True)


def _checked_fit(model: Model, history: History) -> dict[str, Any]:
    """What a model of single series has learnt, if it is what `Model.fit` says.

    Raises:
        TypeError: it is neither nothing nor a state by series.
    """
    found = model.fit(history)
    if found is not None and not isinstance(found, Mapping):
        raise TypeError(f"fit returned no state by series, but {type(found).__name__}")
    return dict(found or {})


def _checked_predict(
    model: Model, state: Any, history: History, future: pd.DataFrame, horizon: int
) -> pd.DataFrame:
    """What the model returns, if it is what `Model.predict` says.

    Raises:
        TypeError, ValueError: a column is missing or there twice or has other values, or a step was
            not asked for or is there twice.
    """
    found = model.predict(state, history, future, horizon)
    if not isinstance(found, pd.DataFrame):
        raise TypeError(f"predict returned {type(found).__name__}, not a DataFrame")
    keys = ["unique_id", "ds"]
    wanted = [*keys, "y_hat", *(quantile_columns() if model.own_quantiles else [])]
    if missing := [name for name in wanted if name not in found]:
        raise ValueError(f"predict returned no column {missing}, but {list(found)}")
    found = found[wanted]
    if list(found) != wanted:
        raise ValueError(f"predict returned a column twice: {list(found)}")
    values = dict.fromkeys(wanted[2:], "float64")
    found = found.astype({"unique_id": object, "ds": "datetime64[ns]", **values})
    steps = pd.MultiIndex.from_frame(found[keys])
    for wrong, what in (
        (~steps.isin(pd.MultiIndex.from_frame(future[keys])), "that was not asked for"),
        (steps.duplicated(), "twice"),
    ):
        if wrong.any():
            unique_id, ds = steps[wrong][0]
            raise ValueError(f"predict returned a step {what}: {unique_id} at {ds}")
    return found


def check_attributes(models: list[Candidate], there: Collection[str]) -> None:
    """Refuse models that are asked to use attributes which the series do not have.

    Raises:
        ConfigError: names the model, the attributes and those there are.
    """
    for candidate in models:
        unknown = [name for name in candidate.model.attributes if name not in there]
        if unknown:
            raise ConfigError(
                f"model '{candidate.name}': the series have no attribute {unknown}; they have "
                f"{list(there)}"
            )


def _replaced(rows: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """The rows, those of the same series and step taken from `others`."""
    keys = ["unique_id", "ds"]
    table = rows.set_index(keys)
    table.update(others.set_index(keys))
    return table.reset_index()


def _last_season(rows: pd.DataFrame, history: History, season: int) -> pd.Series:
    """The last season again, or the last value of a series that has less than one; else zero.

    Values that are not finite take the one before them.
    """
    finite = history.rows["y"].where(np.isfinite(history.rows["y"]))
    filled = finite.groupby(history.rows["unique_id"]).ffill()
    values = dict(iter(filled.groupby(history.rows["unique_id"])))
    y_hat = pd.Series(np.nan, index=rows.index)
    for unique_id, steps in rows.groupby("unique_id"):
        y = values[unique_id].dropna().to_numpy()
        pattern = y[-season:] if len(y) >= season else y[-1:]
        y_hat.loc[steps.index] = np.resize(pattern, len(steps)) if len(y) else 0.0
    return y_hat
