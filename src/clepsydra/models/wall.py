"""Frames on the local wall clock, which is the one that models see."""

from __future__ import annotations

import pandas as pd
from utilsforecast.preprocessing import fill_gaps

from clepsydra.config import TaskConfig
from clepsydra.timegrid import shorter_than_a_day, to_wall

__all__ = ["lead_steps", "steps_after", "to_wall_frame", "to_wall_steps"]


def to_wall_frame(frame: pd.DataFrame, task: TaskConfig) -> pd.DataFrame:
    """Put a frame's `ds` on the local wall clock, regular again.

    Of an hour that the clocks repeat the last value is kept; an hour that they skip takes the
    values of the hour before it.
    """
    if task.wall_clock == "UTC" or frame.empty:
        return frame.reset_index(drop=True)
    wall = frame.assign(ds=to_wall_steps(frame["ds"], task))
    wall = wall.drop_duplicates(["unique_id", "ds"], keep="last")
    steps = wall.groupby("unique_id")["ds"].diff().dropna()
    if steps.nunique() <= 1 or not shorter_than_a_day(task.freq):
        return wall.reset_index(drop=True)
    filled = fill_gaps(wall, freq=task.freq, start="per_serie", end="per_serie")
    values = filled.columns.difference(["unique_id", "ds"])
    filled[values] = filled.groupby("unique_id")[list(values)].ffill()
    return filled.astype(wall.dtypes.to_dict())


def to_wall_steps(ds: pd.Series, task: TaskConfig) -> pd.Series:
    """Naive UTC steps on the local wall clock; a day begins at midnight, even if clocks skip it."""
    wall = to_wall(ds, task.wall_clock)
    return wall if shorter_than_a_day(task.freq) else wall.dt.normalize()


def steps_after(wall_future: pd.DataFrame, last: pd.Timestamp, task: TaskConfig) -> pd.DataFrame:
    """The steps that follow `last` without a break: an hour the clocks skip just then is put in."""
    wall_future = wall_future[wall_future["ds"] > last]
    step = pd.tseries.frequencies.to_offset(task.freq)
    if wall_future.empty or not shorter_than_a_day(task.freq):
        return wall_future
    if wall_future["ds"].min() == last + step:
        return wall_future
    filled = fill_gaps(wall_future, freq=task.freq, start=last + step, end="per_serie")
    values = list(filled.columns.difference(["unique_id", "ds"]))
    filled[values] = filled.groupby("unique_id")[values].bfill()
    return filled.astype(wall_future.dtypes.to_dict())


def lead_steps(future: pd.DataFrame, task: TaskConfig) -> int:
    """Steps from a cutoff to the end of the horizon, on the clock that models see."""
    steps = to_wall_frame(future[["unique_id", "ds"]], task).groupby("unique_id").size()
    return int(steps.max()) if len(steps) else 1
