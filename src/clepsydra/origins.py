"""From when a forecast is made to what it forecasts, and back to what it may know.

A run on day A takes place in the morning of A, or at the hour of `task.gate`:

    ... known steps ][ steps not known yet ][ target              ]
           cutoff -^  ^- panel end            ^- target start      ^- target end

With `task.gap` the target starts a fixed span after the panel's end. With `task.gate` it is the
local day after that of the run, and the panel ends with the last step that is over at the gate. The
splits, the panel's end and the published forecasts all take their times from here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import pandas as pd

from clepsydra.config import TaskConfig, WindowsConfig
from clepsydra.timegrid import add_span, first_instant, local_day_start, shorter_than_a_day, snap

__all__ = [
    "allowed_cutoff",
    "first_known",
    "first_run_after",
    "first_unknown",
    "known_from",
    "last_target_end",
    "move_target",
    "panel_end",
    "roll_back",
    "run_time",
    "target_start",
]

_INSTANT = pd.Timedelta(1, "ns")


def run_time(day: dt.date, task: TaskConfig) -> pd.Timestamp:
    """When a run on that day takes place (naive UTC): at the gate, or when the local day begins.

    Where clocks skip the hour of the gate it is the first instant after; where they repeat it, the
    first of the two.

    Examples:
        >>> task = TaskConfig(
        ...     freq="h", season_lengths=[24], horizon="1D", gate="09:00", timezone="Europe/Paris"
        ... )
        >>> run_time(dt.date(2024, 7, 1), task)
        Timestamp('2024-07-01 07:00:00')
    """
    if task.gate_time is None:
        return local_day_start(day, task.timezone)
    return first_instant(day, task.gate_time, task.timezone)


def first_run_after(instant: pd.Timestamp, task: TaskConfig) -> dt.date:
    """The first day whose run takes place after an instant (naive UTC)."""
    day = instant.tz_localize("UTC").tz_convert(task.timezone).date()
    while run_time(day, task) <= instant:
        day += dt.timedelta(days=1)
    return day


def panel_end(day: dt.date, task: TaskConfig, timezone: str) -> pd.Timestamp:
    """The first step that a run on that day cannot know (naive UTC, on the grid).

    Args:
        day: of the run.
        task: with a gate, the step that is not over then.
        timezone: of the source, whose days are known when they are over. Without a gate the panel
            ends where that day or the forecasts' begins, whichever is first.

    Examples:
        >>> task = TaskConfig(freq="h", season_lengths=[24], horizon="1D", gate="09:30")
        >>> panel_end(dt.date(2024, 7, 1), task, "UTC")
        Timestamp('2024-07-01 09:00:00')
    """
    if task.gate is not None:
        return _step(run_time(day, task), task)
    return _step(min(local_day_start(day, zone) for zone in (task.timezone, timezone)), task)


def known_from(day: dt.date, task: TaskConfig, timezone: str) -> pd.Timestamp:
    """From which panel end on a forecast knows what was collected on that day (naive UTC).

    A forecast knows it if the first step that it does not know, see `first_unknown`, is not before
    this time: the panel's end of a run on that day. Of steps of a day or longer, of which several
    days have the same, it is when the day begins.

    Args:
        day: of the run that collected it; `date.min` is the beginning of time.
        task: grid and gate.
        timezone: of the target.
    """
    if day == dt.date.min:
        return pd.Timestamp.min
    if shorter_than_a_day(task.freq):
        return panel_end(day, task, timezone)
    return run_time(day, task).as_unit("ns")


def target_start(panel_end: pd.Timestamp, task: TaskConfig) -> pd.Timestamp:
    """Where the target of a forecast starts that knows every step before `panel_end`.

    With a gate it is the midnight after the first gate that is not before `panel_end`: the panel
    may end earlier than the gate allows, if the data do.

    Args:
        panel_end: first step not known (naive UTC).
        task: gap or gate.

    Examples:
        >>> task = TaskConfig(freq="h", season_lengths=[24], horizon="1D", gate="09:00")
        >>> target_start(pd.Timestamp("2024-07-01 09:00"), task)
        Timestamp('2024-07-02 00:00:00')
    """
    if task.gate is None:
        return add_span(panel_end, task.gap, task.freq, task.timezone)
    day = first_run_after(panel_end - _INSTANT, task) + dt.timedelta(days=1)
    return _step(local_day_start(day, task.timezone), task)


def allowed_cutoff(target_start: pd.Timestamp, task: TaskConfig) -> pd.Timestamp:
    """The last step that a forecast may know whose target starts there: what is later is a leak.

    Args:
        target_start: first step to forecast (naive UTC). With a gate any step of a day will do: all
            are forecast at the gate of the day before.
        task: gap or gate.

    Examples:
        >>> task = TaskConfig(freq="h", season_lengths=[24], horizon="1D", gate="09:00")
        >>> allowed_cutoff(pd.Timestamp("2024-07-02"), task)
        Timestamp('2024-07-01 08:00:00')
    """
    if task.gate is None:
        first = add_span(target_start, _back(task.gap), task.freq, task.timezone)
    else:
        first = panel_end(_day(target_start, task) - dt.timedelta(days=1), task, task.timezone)
    return add_span(first, -1, task.freq, task.timezone)


def first_unknown(cutoff: pd.Timestamp, task: TaskConfig) -> pd.Timestamp:
    """The step after a cutoff (naive UTC): where the panel of a forecast ends that was made there.

    Examples:
        >>> task = TaskConfig(freq="h", season_lengths=[24], horizon=24)
        >>> first_unknown(pd.Timestamp("2024-07-01 23:00"), task)
        Timestamp('2024-07-02 00:00:00')
    """
    return add_span(cutoff, 1, task.freq, task.timezone)


def move_target(at: pd.Timestamp, span: int | str, task: TaskConfig) -> pd.Timestamp:
    """Move the start or the end of a target by steps, or by local days if `span` is like `"1D"`.

    With a gate targets are local days, so it stays at the step of a local midnight.

    Args:
        at: a step (naive UTC).
        span: how far; with a gate in days.
        task: grid, clock and gate.
    """
    if task.gate is None:
        return add_span(at, span, task.freq, task.timezone)
    day = _day(at, task) + dt.timedelta(days=int(str(span)[:-1]))
    return _step(local_day_start(day, task.timezone), task)


def last_target_end(panel_end: pd.Timestamp, task: TaskConfig) -> pd.Timestamp:
    """The latest end (exclusive) of a target of which every step is before `panel_end`."""
    return panel_end if task.gate is None else move_target(panel_end, "0D", task)


def first_known(
    cutoff: pd.Timestamp, task: TaskConfig, windows: WindowsConfig
) -> pd.Timestamp | None:
    """The first step that models learn from at a cutoff, or None if it is the first of the series.

    Args:
        cutoff: last step known (naive UTC).
        task: grid and clock.
        windows: `history` says how much before the cutoff, which counts.

    Examples:
        >>> task = TaskConfig(freq="h", season_lengths=[24], horizon=24)
        >>> sliding = WindowsConfig(calibrate=0, select=1, report=1, history="56D")
        >>> first_known(pd.Timestamp("2024-07-01 23:00"), task, sliding)
        Timestamp('2024-05-07 00:00:00')
        >>> expanding = WindowsConfig(calibrate=0, select=1, report=1)
        >>> first_known(pd.Timestamp("2024-07-01 23:00"), task, expanding) is None
        True
    """
    if windows.history is None:
        return None
    end = first_unknown(cutoff, task)
    return add_span(end, _back(windows.history), task.freq, task.timezone)


def roll_back(
    panel_end: pd.Timestamp,
    first: pd.Timestamp,
    task: TaskConfig,
    step: int | str,
    counts: Mapping[str, int],
) -> pd.DataFrame:
    """Windows from the newest back, until there are enough or `first` is reached.

    All targets of a role are known when the next role's first forecast is made, also where there
    is a gap or a gate, or where steps are shorter than the horizon and targets overlap within a
    role.

    Args:
        panel_end: no target has a step from here on (naive UTC).
        first: no origin is before this time.
        task: horizon, and gap or gate.
        step: from a window to the one before.
        counts: windows of each role, the newest role first.

    Returns:
        `role`, `cutoff` (last step known), `target_start`, `target_end` (exclusive), the newest
        first.

    Examples:
        >>> task = TaskConfig(freq="h", season_lengths=[24], horizon=24)
        >>> midnight = pd.Timestamp("2024-07-03")
        >>> windows = roll_back(midnight, pd.Timestamp("2024-07-01"), task, 24, {"select": 9})
        >>> windows["target_start"].dt.day.tolist()
        [2, 1]
    """

    def back(at: pd.Timestamp, span: int | str) -> pd.Timestamp:
        return move_target(at, _back(span), task)

    rows: list[tuple[str, *tuple[pd.Timestamp, ...]]] = []
    target_end = last_target_end(panel_end, task)
    for role, number in counts.items():
        origin = target_end
        for _ in range(number):
            target_start = back(target_end, task.horizon)
            cutoff = allowed_cutoff(target_start, task)
            origin = first_unknown(cutoff, task)
            if origin < first:
                return _windows_table(rows)
            rows.append((role, cutoff, target_start, target_end))
            target_end = back(target_end, step)
        target_end = last_target_end(min(target_end, origin), task)
    return _windows_table(rows)


def _windows_table(
    rows: list[tuple[str, *tuple[pd.Timestamp, ...]]],
) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["role", "cutoff", "target_start", "target_end"])


def _back(span: int | str) -> int | str:
    return -span if isinstance(span, int) else f"-{span}"


def _step(at: pd.Timestamp, task: TaskConfig) -> pd.Timestamp:
    """The grid step that a time belongs to."""
    return snap(pd.Series([at]), task.freq, task.timezone).iloc[0]


def _day(step: pd.Timestamp, task: TaskConfig) -> dt.date:
    """The local day of a step; of one in which midnight falls, the day that begins."""
    last = add_span(step, 1, task.freq, task.timezone) - _INSTANT
    return last.tz_localize("UTC").tz_convert(task.timezone).date()
