"""Time on three clocks: the raw local one, the UTC grid of the panel, and the wall clock of models.

`ds` columns are naive timestamps in UTC, as the forecasting libraries expect them. Models see wall
time instead: a timetable that says "every day at eight" moves by an hour in UTC when the clocks
change, and a seasonal model on a UTC grid is then wrong for a whole season.
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from clepsydra.row_columns import LOCAL

__all__ = [
    "add_span",
    "first_instant",
    "grid",
    "local_day_start",
    "period_start",
    "shorter_than_a_day",
    "snap",
    "steps_of_span",
    "to_utc",
    "to_wall",
    "utc_candidates",
]


def utc_candidates(naive: np.ndarray, timezone: str) -> pd.DataFrame:
    """What naive local times can mean in UTC.

    The hour that the clocks repeat in autumn has two meanings. The one they skip in spring has
    none; but a midnight that is skipped is a date, and the day begins when the clocks have moved.

    Args:
        naive: `[N]` local times, `datetime64[ns]`.
        timezone: IANA name.

    Returns:
        `_local` as given, `_earlier` (of a repeated hour: summer time) and `_later` in naive UTC,
        missing where the time does not exist; `_shifted`, there only, the time that clocks show
        that were not moved forward; and `_ambiguous`.

    Examples:
        >>> times = np.array(["2013-11-03T01:00", "2013-03-10T02:00"], dtype="datetime64[ns]")
        >>> table = utc_candidates(times, "America/New_York")
        >>> table["_earlier"].dt.hour.tolist(), table["_later"].dt.hour.tolist()
        ([5.0, nan], [6.0, nan])
        >>> table["_ambiguous"].tolist(), table["_shifted"].dt.hour.tolist()
        ([True, False], [nan, 7.0])
    """
    times = pd.DatetimeIndex(naive)

    def utc(summer: bool, nonexistent: Any) -> pd.DatetimeIndex:
        flags = np.full(len(times), summer)
        local = times.tz_localize(timezone, ambiguous=flags, nonexistent=nonexistent)
        return local.tz_convert("UTC").tz_localize(None)

    earlier, later = utc(True, "NaT"), utc(False, "NaT")
    skipped = later.isna() & ~times.isna()
    skipped_midnight = skipped & (times == times.normalize())
    day_start = utc(True, "shift_forward")
    earlier, later = (at.where(~skipped_midnight, day_start) for at in (earlier, later))
    moved = pd.Series(pd.NaT, index=range(len(times)), dtype="datetime64[ns]")
    for number in np.flatnonzero(skipped & ~skipped_midnight):
        moved[number] = times[number] - _offset_before(times[number], timezone)
    table = {LOCAL: times, "_earlier": earlier, "_later": later, "_shifted": moved}
    ambiguous = (earlier != later) & ~later.isna()
    return pd.DataFrame({**table, "_ambiguous": ambiguous}).astype(
        dict.fromkeys(table, "datetime64[ns]")
    )


def _offset_before(skipped: pd.Timestamp, timezone: str) -> dt.timedelta | None:
    """How far local time was from UTC before the clocks went over this time."""
    # pandas moves a time on correctly only where the clocks go forward by an hour.
    return skipped.to_pydatetime(warn=False).replace(tzinfo=ZoneInfo(timezone), fold=0).utcoffset()


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


def first_instant(day: dt.date, time: dt.time, timezone: str) -> pd.Timestamp:
    """The first instant (naive UTC) at which the local clock shows that time of that day or more.

    A time that clocks repeat is the first of the two; one that they skip, the instant they move.

    Examples:
        >>> first_instant(dt.date(2013, 3, 10), dt.time(2, 30), "America/New_York")
        Timestamp('2013-03-10 07:00:00')
        >>> first_instant(dt.date(2013, 11, 3), dt.time(1, 30), "America/New_York")
        Timestamp('2013-11-03 05:30:00')
    """
    local = dt.datetime.combine(day, time, ZoneInfo(timezone))
    # PEP 495: of a time that clocks skip `fold` 0 has the offset before, and 1 the one after.
    before, after = (local.replace(fold=fold).utcoffset() for fold in (0, 1))
    naive = pd.Timestamp(local.replace(tzinfo=None)).as_unit("ns")
    if before is None or after is None or after <= before:
        return naive - (before or dt.timedelta())
    minutes = pd.Series(pd.date_range(naive - after, naive - before, freq="min"))
    return minutes[to_wall(minutes, timezone) >= naive].iloc[0]


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
    if utc.empty:
        return utc
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


def steps_of_span(span: int | str, freq: str) -> int:
    """Steps of a span: the number itself, or as many as fit in local days of 24 hours.

    Examples:
        >>> steps_of_span("2D", "30min")
        96
    """
    if isinstance(span, int):
        return span
    days = int(span[:-1])
    return days * int(pd.Timedelta(1, "D") / _offset(freq)) if shorter_than_a_day(freq) else days


def add_span(start: pd.Timestamp, span: int | str, freq: str, timezone: str) -> pd.Timestamp:
    """Move a naive UTC time by `span` grid steps, or by local days if `span` is like `"1D"`.

    A local day has 23 or 25 hours when the clocks change, and begins at 1:00 where they skip its
    midnight. `span` may be negative.

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
    if start == local_day_start(local.date(), timezone):
        local = local.normalize()
    return to_utc(local + move, timezone)
