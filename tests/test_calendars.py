"""Calendar columns against the clock and an independent list of holidays."""

from __future__ import annotations

from typing import Any

import holidays
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from clepsydra.calendars import calendar_columns
from clepsydra.config import CalendarConfig
from clepsydra.errors import ConfigError
from helpers import NEW_YORK

ALL = ["hour", "dayofweek", "month", "dayofyear", "holiday_distance"]
US = CalendarConfig(country="US", columns=ALL)
HOLIDAYS = sorted(holidays.country_holidays("US", years=range(2011, 2016)))


@given(st.lists(st.integers(0, 2 * 365 * 24), min_size=1, max_size=20))
def test_columns_follow_the_local_clock(hours: list[int]) -> None:
    ds = pd.Series(pd.Timestamp("2012-06-01") + pd.to_timedelta(hours, unit="h"))
    found = calendar_columns(ds, US, NEW_YORK)
    assert list(found.columns) == ALL
    for stamp, row in zip(ds, found.itertuples(), strict=True):
        wall = stamp.tz_localize("UTC").tz_convert(NEW_YORK)
        assert (row.hour, row.dayofweek, row.month) == (wall.hour, wall.dayofweek, wall.month)
        assert row.dayofyear == wall.dayofyear
        distances = [(wall.date() - day).days for day in HOLIDAYS]
        nearest = min(abs(distance) for distance in distances)
        if nearest > 7:
            assert row.holiday_distance == 8
        else:
            assert abs(row.holiday_distance) == nearest
            assert row.holiday_distance in distances


def test_the_days_around_thanksgiving() -> None:
    ds = pd.Series(pd.date_range("2013-11-20 12:00", "2013-12-07 12:00", freq="D"))
    us = CalendarConfig(country="US", columns=["holiday_distance"])
    found = calendar_columns(ds, us, NEW_YORK)["holiday_distance"].tolist()
    # 2013-11-28 is the holiday; Veterans Day (11-11) is nine days before the first row.
    assert found == [8, *range(-7, 8), 8, 8]


def test_columns_keep_the_index_and_their_order() -> None:
    ds = pd.Series(pd.to_datetime(["2013-07-01", "2013-07-02"]), index=[7, 3])
    found = calendar_columns(ds, CalendarConfig(columns=["month", "hour"]), "UTC")
    assert found.index.tolist() == [7, 3]
    assert list(found.columns) == ["month", "hour"]


def test_no_column_is_made_unasked() -> None:
    ds = pd.Series(pd.to_datetime(["2013-07-01"]))
    assert calendar_columns(ds, CalendarConfig(), "UTC").shape == (1, 0)


def test_no_time_gives_the_columns_without_rows() -> None:
    found = calendar_columns(pd.Series(dtype="datetime64[ns]"), US, NEW_YORK)
    assert list(found.columns) == ALL
    assert found.empty


@pytest.mark.parametrize(
    ("country", "subdivision"), [("ATLANTIS", None), ("US", "ATLANTIS")], ids=["country", "state"]
)
def test_a_place_without_holidays_is_a_configuration_error(
    country: str, subdivision: str | None
) -> None:
    calendar = CalendarConfig(country=country, subdivision=subdivision, columns=ALL)
    with pytest.raises(ConfigError, match=r"no public holidays for that place.*ATLANTIS"):
        calendar_columns(pd.Series(pd.to_datetime(["2013-07-01"])), calendar, "UTC")


def test_day_types_and_holidays_of_a_may() -> None:
    """A holiday on a Thursday makes a bridge of the Friday; one on a Sunday nothing."""
    france = CalendarConfig(country="FR", columns=["day_type", "holiday"])
    ds = pd.Series(pd.date_range("2022-05-24 12:00", "2022-05-30 12:00", freq="D"))
    found = calendar_columns(ds, france, "Europe/Paris")
    assert found["day_type"].tolist() == [0, 0, 2, 4, 1, 1, 0]
    assert found["holiday"].tolist() == [0, 0, 1, 0, 0, 0, 0]
    sunday = pd.Series(pd.to_datetime(["2022-05-01 12:00"]))
    assert calendar_columns(sunday, france, "Europe/Paris")["day_type"].tolist() == [3]


def test_a_period_is_in_every_year_and_may_go_beyond_its_end() -> None:
    calendar = CalendarConfig(periods={"august": "08-01/08-31", "year_end": "12-21/01-03"})
    local = [
        "2021-12-20 23:30",
        "2021-12-21 00:00",
        "2022-01-03 23:00",
        "2022-01-04 00:00",
        "2022-08-31 12:00",
    ]
    ds = pd.Series(pd.to_datetime(local)).dt.tz_localize(NEW_YORK).dt.tz_convert("UTC")
    found = calendar_columns(ds.dt.tz_localize(None), calendar, NEW_YORK)
    assert found["year_end"].tolist() == [0, 1, 1, 0, 0]
    assert found["august"].tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"periods": {"summer": "8-1/8-31"}}, "'summer: 8-1/8-31' is no part of a year"),
        ({"columns": ["hour"], "periods": {"hour": "08-01/08-31"}}, "'columns' and 'periods'"),
        ({"columns": ["day_type"]}, "'day_type' needs 'country'"),
    ],
)
def test_wrong_calendars_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        CalendarConfig.model_validate(options)
