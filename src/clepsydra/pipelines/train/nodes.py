"""Backtest every model over the windows, and fit it on all the history."""

from __future__ import annotations

import datetime as dt
from itertools import islice, product
from typing import Any

import pandas as pd

from clepsydra.config import CleaningConfig, ModelsConfig, SourcesConfig, TaskConfig, WindowsConfig
from clepsydra.errors import ConfigError
from clepsydra.models.backtest import backtest
from clepsydra.models.combining import assemble
from clepsydra.models.forecasting import candidates, check_attributes
from clepsydra.models.knowledge import Knowledge, attribute_names
from clepsydra.models.registry import build_models, global_models, local_models
from clepsydra.models.wall import lead_steps
from clepsydra.models.weights import member_errors, weigh
from clepsydra.origins import first_known, move_target, panel_end, target_start
from clepsydra.sharding import split_by_shard
from clepsydra.timegrid import add_span, grid

__all__ = [
    "assemble_backtests",
    "backtest_global_model",
    "backtest_models",
    "check_models",
    "measure_members",
    "total_costs",
    "weigh_members",
]

# In a month in which hardly any clocks move.
_ANY_DAY = dt.date(2001, 2, 1)
# Combinations of options, to find one that a model can be built with.
_MOST_TRIED = 100

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any]]


def check_models(
    sources: SourcesConfig, task: TaskConfig, models: ModelsConfig, windows: WindowsConfig
) -> None:
    """Build every model, before hours are spent on what others need.

    Raises:
        ConfigError: see `models.forecasting.candidates`; an attribute that no series can have; a
            sliding history that is too short for a model; an option to be tuned of which the engine
            takes no value.
    """
    first = panel_end(_ANY_DAY, task, task.timezone)
    last = move_target(target_start(first, task), task.horizon, task)
    lead = len(grid(first, last, task.freq, task.timezone))
    names = [*local_models(models), *global_models(models)]
    able = candidates(names, models, task, lead)
    check_attributes(able, attribute_names(sources))
    for name in names:
        _check_space(name, models, task, lead)
    cutoff = add_span(first, -1, task.freq, task.timezone)
    since = first_known(cutoff, task, windows)
    if since is None:
        return
    held = windows.history
    if not isinstance(held, int):
        held = len(grid(since, first, task.freq, task.timezone))
    for candidate in able:
        if held < candidate.model.min_history:
            raise ConfigError(
                f"model '{candidate.name}' needs {candidate.model.min_history} steps, and "
                f"'windows.history' shows it {held}: lengthen it, or take the model out"
            )


def _check_space(name: str, models: ModelsConfig, task: TaskConfig, lead: int) -> None:
    """Refuse to tune an option that the engine knows with no other choices.

    Some values may be refused, or go with some choices only: those are trials that fail.
    """
    spec = models.root[name]
    space = spec.tune.space if spec.tune else {}
    for key in space:
        others = [other for other in space if other != key and space[other].choices]
        # The model's own options first, beside each value of this one.
        tried = [{key: value} for value in space[key].ends]
        every = product(*(space[other].ends for other in [key, *others]))
        some = islice(every, _MOST_TRIED)
        tried += [dict(zip([key, *others], values, strict=True)) for values in some]
        problem = _problem(name, models, tried, task, lead)
        if problem is not None:
            raise ConfigError(
                f"model '{name}': 'tune.space' has '{key}', and no value of it can be used: "
                f"{problem}"
            )


def _problem(
    name: str, models: ModelsConfig, tried: list[dict[str, Any]], task: TaskConfig, lead: int
) -> ConfigError | None:
    """Why the first of these options cannot be used, if none of them can."""
    first = None
    for options in tried:
        changed = models.root[name].with_options(options)
        try:
            build_models([name], ModelsConfig({**models.root, name: changed}), task, lead)
        except ConfigError as error:
            first = first or error
        else:
            return None
    return first


def backtest_models(
    panel: pd.DataFrame,
    future: pd.DataFrame,
    series: pd.DataFrame,
    windows: pd.DataFrame,
    sources: SourcesConfig,
    task: TaskConfig,
    models: ModelsConfig,
    windows_config: WindowsConfig,
    cleaning: CleaningConfig,
    *vintages: pd.DataFrame,
    name: str | None = None,
) -> Tables:
    """Backtest and fit models: the global model `name`, or, without one, all per-series models.

    Tables of a global model that the plan has left out of `models` have no rows.

    Columns known in advance are those of the vintage that was known at each cutoff.

    Returns:
        forecasts, failures, costs, and what each model learnt from all the history.
    """
    names = [name] if name else local_models(models)
    names = [one for one in names if one in models.root]
    result = backtest(
        candidates(names, models, task, lead_steps(future, task)),
        Knowledge.of(panel, future, series, sources, task, windows_config, cleaning, vintages),
        windows,
        windows_config.refit_every,
    )
    return result.forecasts, result.failures, result.costs, result.states


def backtest_global_model(
    *tables: Any, name: str, n_shards: int
) -> tuple[pd.DataFrame | dict[str, Any], ...]:
    """Backtest and fit a model that learns from all series.

    Args:
        tables: what `backtest_models` takes, of all series.
        name: of the model.
        n_shards: how many shards there are.

    Returns:
        forecasts of the series of each shard; failures, costs, and what it learnt.
    """
    forecasts, *rest = backtest_models(*tables, name=name)
    series = tables[2]
    return (*split_by_shard(forecasts, series, n_shards), *rest)


def assemble_backtests(
    panel: pd.DataFrame,
    local_points: pd.DataFrame,
    windows: pd.DataFrame,
    task: TaskConfig,
    models: ModelsConfig,
    weights: pd.DataFrame,
    *global_points: pd.DataFrame,
) -> pd.DataFrame:
    """One shard's backtests: every model and combination, see `models.combining.assemble`."""
    points = _together(local_points, *global_points)
    return assemble(points, panel, windows, models.combinations, weights, task)


def measure_members(
    panel: pd.DataFrame,
    local_points: pd.DataFrame,
    windows: pd.DataFrame,
    task: TaskConfig,
    models: ModelsConfig,
    *global_points: pd.DataFrame,
) -> pd.DataFrame:
    """One shard's part of what combinations learn from, see `models.weights.member_errors`."""
    points = _together(local_points, *global_points)
    return member_errors(points, panel, windows, models.combinations, task)


def weigh_members(
    windows: pd.DataFrame, task: TaskConfig, models: ModelsConfig, *errors: pd.DataFrame
) -> pd.DataFrame:
    """The weights of all combinations, see `models.weights.weigh`."""
    filled = [part for part in errors if len(part)]
    together = pd.concat(filled or errors[:1], ignore_index=True)
    return weigh(together, windows, models.combinations, task)


def _together(*parts: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def total_costs(*costs: pd.DataFrame) -> pd.DataFrame:
    """What each model costs, from what it took in each shard.

    Returns:
        `model`, `series`, `windows`, `fits`, `fit_seconds`, `predict_seconds`,
        `seconds_per_series` (a fit and a forecast of one series) and `memory_mb` (most that a shard
        needed beyond what was in use before), the dearest first.
    """
    parts = pd.concat([part for part in costs if len(part)] or list(costs[:1]), ignore_index=True)
    seconds = ["fit_seconds", "predict_seconds"]
    groups = parts.groupby("model", sort=True)
    total = groups.agg(
        {"series": "sum", "windows": "max", "fits": "max", **dict.fromkeys(seconds, "sum")}
    )
    each = total["fit_seconds"] / total["fits"] + total["predict_seconds"] / total["windows"]
    total["seconds_per_series"] = each / total["series"]
    total["memory_mb"] = groups["memory_mb"].max()
    return total.reset_index().sort_values(
        "seconds_per_series", ascending=False, kind="stable", ignore_index=True
    )
