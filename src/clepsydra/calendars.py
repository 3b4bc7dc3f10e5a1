"""Columns that are known for any time, past or future: the clock and public holidays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clepsydra.config import CalendarConfig
from clepsydra.errors import ConfigError
from clepsydra.timegrid import to_wall

if TYPE_CHECKING:
    from holidays import HolidayBase

__all__ = ["calendar_columns"]

_FARTHEST_HOLIDAY = 7


def calendar_columns(ds: pd.Series, calendar: CalendarConfig, timezone: str) -> pd.DataFrame:
    """Calendar columns of the local time of each step.

    Args:
        ds: `[N]` naive UTC.
        calendar: which columns, and whose holidays.
        timezone: whose clock.

    Returns:
        `[N, columns]` small integers, indexed as `ds`. `holiday_distance` is the number of days
        to the nearest public holiday, negative before it, within a week on either side; 8 when
        none is near. `holiday` is 1 on one. `day_type` is 0 on a working day, 1 at a weekend, 2 on
        a holiday, 3 on one at a weekend, and 4 on a bridge: a working day between others.

    Examples:
        >>> us = CalendarConfig(country="US", columns=["hour", "holiday_distance"])
        >>> times = pd.Series(pd.to_datetime(["2013-11-27 12:00", "2013-11-29 12:00"]))
        >>> calendar_columns(times, us, "America/New_York").to_numpy().tolist()
        [[7, -1], [7, 1]]
    """
    if ds.empty:
        return pd.DataFrame({name: pd.Series(dtype="int16") for name in calendar.names})
    wall = to_wall(ds, timezone)
    simple: dict[str, Callable[[], pd.Series]] = {
        "hour": lambda: wall.dt.hour,
        "dayofweek": lambda: wall.dt.dayofweek,
        "month": lambda: wall.dt.month,
        "dayofyear": lambda: wall.dt.dayofyear,
        "holiday_distance": lambda: _by_day(wall, calendar, _holiday_distance),
        "holiday": lambda: _by_day(wall, calendar, _is_holiday),
        "day_type": lambda: _by_day(wall, calendar, _day_type),
    }
    columns: dict[str, pd.Series] = {}
    columns |= {name: simple[name]().astype("int16") for name in calendar.columns}
    columns |= {name: _within(wall, period) for name, period in calendar.periods.items()}
    return pd.DataFrame(columns, index=ds.index)


def _within(wall: pd.Series, period: str) -> pd.Series:
    """Whether a day is in a part of the year, which may begin in the year before."""
    day = wall.dt.month * 100 + wall.dt.day
    first, last = (int(end.replace("-", "")) for end in period.split("/"))
    after, before = day >= first, day <= last
    return (after & before if first <= last else after | before).astype("int16")


def _by_day(
    wall: pd.Series,
    calendar: CalendarConfig,
    of_days: Callable[[np.ndarray, HolidayBase], np.ndarray],
) -> pd.Series:
    """What is the same all day long, worked out once a day."""
    # Imported when it is needed: it takes a tenth of a second of every start.
    from holidays import country_holidays

    years = range(int(wall.dt.year.min()) - 1, int(wall.dt.year.max()) + 2)
    try:
        names = country_holidays(str(calendar.country), subdiv=calendar.subdivision, years=years)
    except NotImplementedError as error:
        raise ConfigError(f"calendar: no public holidays for that place: {error}") from None
    unique = np.unique(wall.to_numpy().astype("datetime64[D]"))
    values = pd.Series(of_days(unique, names), index=pd.DatetimeIndex(unique))
    return wall.dt.normalize().map(values)


def _is_holiday(days: np.ndarray, holidays: HolidayBase) -> np.ndarray:
    return np.isin(days, np.array(sorted(holidays), dtype="datetime64[D]"))


def _day_type(days: np.ndarray, holidays: HolidayBase) -> np.ndarray:
    def at_weekend(its: np.ndarray) -> np.ndarray:
        # The first day of this count was a Thursday.
        return np.isin((its.astype(int) + 3) % 7, list(holidays.weekend))

    def is_off(its: np.ndarray) -> np.ndarray:
        return _is_holiday(its, holidays) | at_weekend(its)

    one = np.timedelta64(1, "D")
    kind = at_weekend(days) + 2 * _is_holiday(days, holidays)
    bridge = ~is_off(days) & is_off(days - one) & is_off(days + one)
    return np.where(bridge, 4, kind)


def _holiday_distance(days: np.ndarray, holidays: HolidayBase) -> np.ndarray:
    there = np.array(sorted(holidays), dtype="datetime64[D]")
    after = np.searchsorted(there, days, side="right")
    none = np.timedelta64(10_000, "D")
    since = np.where(after > 0, days - there[np.maximum(after - 1, 0)], none).astype(int)
    until = np.where(
        after < len(there), there[np.minimum(after, len(there) - 1)] - days, none
    ).astype(int)
    nearest = np.where(since <= until, since, -until)
    nearest[np.abs(nearest) > _FARTHEST_HOLIDAY] = _FARTHEST_HOLIDAY + 1
    return nearest
