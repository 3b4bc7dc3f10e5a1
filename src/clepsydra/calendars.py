"""Columns that are known for any time, past or future: the clock and public holidays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from clepsydra.config import CalendarConfig
from clepsydra.errors import ConfigError
from clepsydra.timegrid import to_wall

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
        none is near.

    Examples:
        >>> us = CalendarConfig(country="US", columns=["hour", "holiday_distance"])
        >>> times = pd.Series(pd.to_datetime(["2013-11-27 12:00", "2013-11-29 12:00"]))
        >>> calendar_columns(times, us, "America/New_York").to_numpy().tolist()
        [[7, -1], [7, 1]]
    """
    if ds.empty:
        return pd.DataFrame({name: pd.Series(dtype="int16") for name in calendar.columns})
    wall = to_wall(ds, timezone)
    simple: dict[str, Callable[[], pd.Series]] = {
        "hour": lambda: wall.dt.hour,
        "dayofweek": lambda: wall.dt.dayofweek,
        "month": lambda: wall.dt.month,
        "dayofyear": lambda: wall.dt.dayofyear,
        "holiday_distance": lambda: _holiday_distance(wall, calendar),
    }
    columns = {name: simple[name]().astype("int16") for name in calendar.columns}
    return pd.DataFrame(columns, index=ds.index)


def _holiday_distance(wall: pd.Series, calendar: CalendarConfig) -> pd.Series:
    # Imported when it is needed: it takes a tenth of a second of every start.
    from holidays import country_holidays

    years = range(int(wall.dt.year.min()) - 1, int(wall.dt.year.max()) + 2)
    try:
        names = country_holidays(str(calendar.country), subdiv=calendar.subdivision, years=years)
    except NotImplementedError as error:
        raise ConfigError(f"calendar: no public holidays for that place: {error}") from None
    days = np.array(sorted(names), dtype="datetime64[D]")
    unique = np.unique(wall.to_numpy().astype("datetime64[D]"))
    after = np.searchsorted(days, unique, side="right")
    none = np.timedelta64(10_000, "D")
    since = np.where(after > 0, unique - days[np.maximum(after - 1, 0)], none).astype(int)
    until = np.where(
        after < len(days), days[np.minimum(after, len(days) - 1)] - unique, none
    ).astype(int)
    nearest = np.where(since <= until, since, -until)
    nearest[np.abs(nearest) > _FARTHEST_HOLIDAY] = _FARTHEST_HOLIDAY + 1
    distance = pd.Series(nearest, index=pd.DatetimeIndex(unique))
    return wall.dt.normalize().map(distance)
