"""Time on three clocks: the raw local one, the UTC grid of the panel, and the wall clock of models.

`ds` columns are naive timestamps in UTC, as the forecasting libraries expect them. Models see wall
time instead: a timetable that says "every day at eight" moves by an hour in UTC when the clocks
change, and a seasonal model on a UTC grid is then wrong for a whole season.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

__all__ = [
    "add_span",
    "grid",
    "local_day_start",
    "localize",
    "period_start",
    "shorter_than_a_day",
    "snap",
    "to_utc",
    "to_wall",
]


def localize(
    naive: pd.Series, timezone: str, order_within: pd.Series | None = None
) -> tuple[pd.Series, pd.Series]:
    """Attach `timezone` to naive local times and convert them to UTC.

    The hour that the clocks repeat in autumn is ambiguous: within each group of `order_within`,
    its first occurrence is summer time and later ones are winter time; where it occurs once it is
    winter time. The hour they skip in spring does not exist: it becomes missing.

    Args:
        naive: `[N]` naive timestamps, `NaT` allowed.
        timezone: IANA name.
        order_within: `[N]` labels; rows of one label are one feed in its own order.

    Returns:
        A pair: `[N]` naive UTC timestamps, and `[N]` notes that are `""`, `"ambiguous"` or
        `"nonexistent"`.

    Examples:
        >>> times = pd.Series(pd.to_datetime(["2013-11-03 01:00", "2013-11-03 01:00"]))
        >>> utc, note = localize(times, "America/New_York", pd.Series(["a", "a"]))
        >>> utc.dt.hour.tolist(), note.tolist()
        ([5, 6], ['ambiguous', 'ambiguous'])
    """
    aware = naive.dt.tz_localize(timezone, ambiguous="NaT", nonexistent="NaT")
    odd = aware.isna() & naive.notna()
    notes = pd.Series("", index=naive.index, dtype=object)
    if odd.any():
        at = naive[odd]
        keys = [at] if order_within is None else [at, order_within[odd]]
        group = at.groupby([key.to_numpy() for key in keys])
        summer = (group.cumcount() == 0) & (group.transform("size") > 1)
        resolved = at.dt.tz_localize(timezone, ambiguous=summer.to_numpy(), nonexistent="NaT")
        notes[odd] = np.where(resolved.isna(), "nonexistent", "ambiguous")
        # A midnight that is skipped is a date: the day begins when the clocks have moved.
        dates = resolved.isna() & (at == at.dt.normalize())
        shifted = at.dt.tz_localize(timezone, ambiguous=True, nonexistent="shift_forward")
        resolved = resolved.where(~dates, shifted)
        notes[at.index[dates]] = ""
        aware = aware.where(~odd, resolved.reindex(aware.index))
    return aware.dt.tz_convert("UTC").dt.tz_localize(None), notes


def to_wall(utc: pd.Series, timezone: str) -> pd.Series:
    """Naive UTC to naive local time.

    Examples:
        >>> to_wall(pd.Series(pd.to_datetime(["2013-07-01 12:00"])), "Europe/Paris").dt.hour[0]
        np.int32(14)
    """
    return utc.dt.tz_localize("UTC").dt.tz_convert(timezone).dt.tz_localize(None)


def to_utc(stamp: pd.Timestamp, timezone: str) -> pd.Timestamp:
    """A naive local timestamp (a day's start, so never ambiguous in practice) to naive UTC."""
    local = stamp.tz_localize(timezone, ambiguous=True, nonexistent="shift_forward")
    return local.tz_convert("UTC").tz_localize(None)


def local_day_start(day: dt.date, timezone: str) -> pd.Timestamp:
    """Naive UTC time at which that local day begins."""
    return to_utc(pd.Timestamp(day), timezone)


def _offset(freq: str) -> pd.tseries.offsets.BaseOffset:
    return pd.tseries.frequencies.to_offset(freq)


def shorter_than_a_day(freq: str) -> bool:
    """Whether grid steps are parts of a day, equally long in UTC."""
    return isinstance(_offset(freq), pd.tseries.offsets.Tick) and _offset(freq) < pd.Timedelta(
        1, "D"
    )


def _stamped_at_end(freq: str) -> bool:
    return _offset(freq).name.split("-")[0] in {"W", "ME", "QE", "YE", "BME", "BQE", "BYE"}


def grid(start: pd.Timestamp, end: pd.Timestamp, freq: str, timezone: str) -> pd.DatetimeIndex:
    """Grid steps from `start` up to, not including, `end` (naive UTC).

    Days and longer steps begin at midnight of `timezone`, so they are not equally long in UTC.

    Examples:
        >>> eve = local_day_start(dt.date(2013, 11, 3), "America/New_York")
        >>> len(grid(eve, add_span(eve, "1D", "h", "America/New_York"), "h", "America/New_York"))
        25
    """
    if shorter_than_a_day(freq):
        steps = pd.date_range(start, end, freq=freq)
    else:
        first, last = (to_wall(pd.Series([at]), timezone).iloc[0] for at in (start, end))
        days = pd.date_range(first.normalize(), last.normalize(), freq=freq)
        aware = days.tz_localize(timezone, ambiguous=True, nonexistent="shift_forward")
        steps = aware.tz_convert("UTC").tz_localize(None)
    return steps[(steps >= start) & (steps < end)]


def period_start(step: pd.Timestamp, freq: str, timezone: str) -> pd.Timestamp:
    """When the period begins that a grid step stands for (naive UTC).

    Examples:
        >>> period_start(pd.Timestamp("2013-06-30"), "QE", "UTC")
        Timestamp('2013-04-01 00:00:00')
    """
    if not _stamped_at_end(freq):
        return step
    return add_span(add_span(step, -1, freq, timezone), "1D", freq, timezone)


def snap(utc: pd.Series, freq: str, timezone: str) -> pd.Series:
    """The grid step that each naive UTC time belongs to.

    Examples:
        >>> times = pd.Series(pd.to_datetime(["2013-07-01 12:34"]))
        >>> snap(times, "h", "UTC")[0], snap(times, "MS", "UTC")[0]
        (Timestamp('2013-07-01 12:00:00'), Timestamp('2013-07-01 00:00:00'))
    """
    if shorter_than_a_day(freq):
        return utc.dt.floor(freq)
    offset = _offset(freq)
    days = to_wall(utc, timezone).dt.normalize()
    if not isinstance(offset, pd.tseries.offsets.Tick):
        roll = offset.rollforward if _stamped_at_end(freq) else offset.rollback
        unique = days.drop_duplicates()
        days = days.map(dict(zip(unique, unique.map(roll), strict=True)))
    aware = days.dt.tz_localize(timezone, ambiguous=True, nonexistent="shift_forward")
    return aware.dt.tz_convert("UTC").dt.tz_localize(None)


def add_span(start: pd.Timestamp, span: int | str, freq: str, timezone: str) -> pd.Timestamp:
    """Move a naive UTC time by `span` grid steps, or by local days if `span` is like `"1D"`.

    A local day has 23 or 25 hours when the clocks change. `span` may be negative.

    Examples:
        >>> eve = local_day_start(dt.date(2013, 11, 3), "America/New_York")
        >>> (add_span(eve, "1D", "h", "America/New_York") - eve) / pd.Timedelta("1h")
        25.0
    """
    if isinstance(span, str):
        move = pd.DateOffset(days=int(span[:-1]))
    elif shorter_than_a_day(freq):
        return start + span * _offset(freq)
    elif isinstance(_offset(freq), pd.tseries.offsets.Tick):
        move = pd.DateOffset(days=span * int(_offset(freq) / pd.Timedelta(1, "D")))
    else:
        move = span * _offset(freq)
    local = start.tz_localize("UTC").tz_convert(timezone).tz_localize(None)
    return to_utc(local + move, timezone)
