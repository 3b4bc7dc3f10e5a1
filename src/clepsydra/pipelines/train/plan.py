"""Which models run in the time there is."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from clepsydra.config import (
    BudgetConfig,
    CleaningConfig,
    ModelsConfig,
    SourcesConfig,
    TaskConfig,
    WindowsConfig,
)
from clepsydra.models.forecasting import Candidate, candidates
from clepsydra.models.knowledge import Knowledge
from clepsydra.models.planning import Estimate, choose, everything, only
from clepsydra.models.timing import LARGEST_SAMPLE, Schedule, measure, sample, total_seconds
from clepsydra.models.wall import lead_steps
from clepsydra.origins import first_known, first_unknown
from clepsydra.runners.machine import read_machine, share
from clepsydra.sharding import read_series
from clepsydra.timegrid import grid

__all__ = ["plan_models"]


def plan_models(
    future: pd.DataFrame,
    series: pd.DataFrame,
    windows: pd.DataFrame,
    sources: SourcesConfig,
    task: TaskConfig,
    models: ModelsConfig,
    windows_config: WindowsConfig,
    cleaning: CleaningConfig,
    budget: BudgetConfig,
    *shards: Path,
) -> tuple[ModelsConfig, pd.DataFrame]:
    """Choose the models that run: all, or with a budget those that fit in it.

    With a budget each is timed on a few series, up to the cutoff of the first window that reports.
    A model that no series is long enough for when it learns for the last windows is left out.

    Args:
        future: the steps after the panel.
        series: all series.
        windows: of the backtests.
        sources: which columns are past-only.
        task: grid and season.
        models: what the configuration names.
        windows_config: how often models learn anew, and from how much.
        cleaning: whether models are shown outliers.
        budget: minutes for all of them, if there is a limit.
        shards: the shards' panels, of which only the sample is read.

    Returns:
        planned_models: those that run; combinations of them only.
        plan: a row a model, see `models.planning.choose`.
    """
    if budget.minutes is None:
        return models, everything(models, int((series["n_observations"] > 0).sum()))
    reporting = windows[windows["role"] == "report"].iloc[0]
    lengths = _steps(series, reporting["cutoff"], task, windows_config)
    refits = range(0, len(windows), windows_config.refit_every)
    longest = _steps(series, windows["cutoff"].iloc[refits[-1]], task, windows_config).max()
    lead = lead_steps(future, task)
    knowledge = _read(shards, future, series, sources, task, windows_config, cleaning, lengths)

    def estimate(name: str, seconds: float) -> Estimate:
        started = time.perf_counter()
        (candidate,) = candidates([name], models, task, lead)
        imports = time.perf_counter() - started
        if candidate.model.min_history > longest:
            problem = (
                f"it needs {candidate.model.min_history} steps, and when it learns for the last "
                f"windows the longest series has {longest}"
            )
            return Estimate(imports, problem=problem)
        window = (reporting["cutoff"], reporting["target_end"])
        timings = measure(name, models, knowledge, lengths, lead, window, seconds)
        took = time.perf_counter() - started
        if not timings.samples:
            return Estimate(took, problem=timings.problem)
        schedule = _schedule(candidate, lengths, len(refits) + 1, len(windows), len(shards))
        total = total_seconds(replace(timings, first=timings.first + imports), schedule)
        return Estimate(took, total, timings.samples[-1].series)

    plan = choose(models, 60 * budget.minutes, len(lengths), estimate)
    return only(models, set(plan.loc[plan["runs"], "model"])), plan


def _steps(
    series: pd.DataFrame, cutoff: pd.Timestamp, task: TaskConfig, windows: WindowsConfig
) -> pd.Series:
    """How many steps models may learn from at a cutoff, of the series that have begun."""
    begins = series.loc[series["n_observations"] > 0].set_index("unique_id")["first_ds"]
    since = first_known(cutoff, task, windows)
    begins = begins if since is None else begins.clip(lower=since)
    known = grid(begins.min(), first_unknown(cutoff, task), task.freq, task.timezone)
    steps = pd.Series(len(known) - np.searchsorted(known, begins), begins.index)
    return steps[steps > 0]


def _read(
    shards: tuple[Path, ...],
    future: pd.DataFrame,
    series: pd.DataFrame,
    sources: SourcesConfig,
    task: TaskConfig,
    windows: WindowsConfig,
    cleaning: CleaningConfig,
    lengths: pd.Series,
) -> Knowledge:
    """What is known of the largest sample.

    Without the vintages: which version of a column a model is shown does not change its cost.
    """
    ids = sample(lengths, LARGEST_SAMPLE)
    panel = read_series(shards, ids)
    its_future = future[future["unique_id"].isin(ids)]
    return Knowledge.of(panel, its_future, series, sources, task, windows, cleaning)


def _schedule(
    candidate: Candidate, lengths: pd.Series, fits: int, windows: int, n_shards: int
) -> Schedule:
    """A model of single series is worked on in shards, one that learns from all in a node."""
    if candidate.model.scope == "panel":
        rows = int(lengths.clip(upper=candidate.longest).sum())
        return Schedule(fits, windows, 1, 1, rows, by_rows=True)
    parts = min(n_shards, len(lengths))
    return Schedule(fits, windows, parts, min(parts, _processes()), len(lengths))


def _processes() -> int:
    """As many as a runner would choose here, if its parameters do not say otherwise."""
    return share(read_machine()).processes
