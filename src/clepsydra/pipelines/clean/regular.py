"""Irregular observations to regular series: one row a grid step, every step explained."""

from __future__ import annotations

from typing import Any

import pandas as pd

from clepsydra.config import SourceConfig, TaskConfig
from clepsydra.timegrid import grid, snap

__all__ = ["covariates_to_grid", "fill_covariate", "regularize", "to_grid"]

_LONGEST_COVARIATE_GAP = 6


def to_grid(observations: pd.DataFrame, source: SourceConfig, task: TaskConfig) -> pd.DataFrame:
    """Aggregate observations that share a series and a grid step.

    Args:
        observations: `unique_id`, `ds`, `y`, at any times.
        source: says how values that share a step become one.
        task: says what the grid is.

    Returns:
        `unique_id`, `ds`, `y`, sorted, one row a series and step; `y` missing if it had no value.
    """
    stepped = observations.assign(ds=snap(observations["ds"], task.freq, task.timezone))
    groups = stepped.groupby(["unique_id", "ds"], sort=True)["y"]
    return _aggregate(groups, source).reset_index()


def covariates_to_grid(rows: pd.DataFrame, source: SourceConfig, task: TaskConfig) -> pd.DataFrame:
    """Aggregate a covariate source's rows that share a join key and a grid step.

    Args:
        rows: `source`, `join_key`, `ds`, and the columns, at any times.
        source: says how values that share a step become one.
        task: says what the grid is.

    Returns:
        The same columns, one row a join key and step.
    """
    stepped = rows.assign(ds=snap(rows["ds"], task.freq, task.timezone))
    keys = ["source", "join_key", "ds"]
    groups = stepped.groupby(keys, sort=True)[list(source.renames.values())]
    return _aggregate(groups, source).reset_index()


def _aggregate(groups: Any, source: SourceConfig) -> Any:
    if source.aggregate in ("count", "sum"):
        return groups.sum(min_count=1)
    return groups.agg(source.aggregate)


def regularize(
    observed: pd.DataFrame,
    end: pd.Timestamp,
    task: TaskConfig,
    known_until: pd.Timestamp | None = None,
) -> pd.DataFrame:
    """Give every series a row for each grid step from its first observation up to `end`.

    Args:
        observed: `unique_id`, `ds`, `y` on the grid.
        end: first step after the panel (naive UTC).
        task: `fill` says what a step without an observation means: `zero` for counts, or
            `interpolate`, linear in between and the last value at the end.
        known_until: when the source's last day with any row ended. Later steps were not observed:
            they are imputed even where no row would mean zero. `end` if not given.

    Returns:
        `unique_id`, `ds`, `y`, `is_imputed` (the value was made here).
    """
    frames = []
    for unique_id, rows in observed.groupby("unique_id", sort=True):
        steps = grid(rows["ds"].iloc[0], end, task.freq, task.timezone)
        y = rows.set_index("ds")["y"].reindex(steps)
        absent = y.isna()
        if task.fill == "zero":
            y, made = y.fillna(0.0), absent & (steps >= (known_until or end))
        else:
            y, made = y.interpolate(limit_direction="both"), absent
        frames.append(
            pd.DataFrame(
                {
                    "unique_id": unique_id,
                    "ds": steps,
                    "y": y.to_numpy(),
                    "is_imputed": made.to_numpy(),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def fill_covariate(rows: pd.DataFrame, steps: pd.DatetimeIndex, columns: list[str]) -> pd.DataFrame:
    """One key's covariate columns on the grid; gaps of a few steps are interpolated, longer ones
    stay missing.

    Returns:
        `[steps, columns]`, indexed by `ds`.
    """
    on_grid = rows.set_index("ds")[columns].groupby(level=0).mean().reindex(steps)
    filled = on_grid.interpolate(limit=_LONGEST_COVARIATE_GAP, limit_area="inside")
    return filled.rename_axis("ds")
