"""Which day a DAG run takes place on."""

from __future__ import annotations

import datetime as dt

import pytest

from clepsydra.orchestration.clock import choose_as_of

TODAY = dt.datetime(2026, 5, 2, 16, 30, 12, 345, tzinfo=dt.UTC)
SIX = dt.datetime(2013, 11, 30, 6, tzinfo=dt.UTC)
MIDNIGHT = dt.datetime(2013, 11, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize("asked", ["2013-12-01", "latest"])
@pytest.mark.parametrize("run_type", ["scheduled", "backfill", "manual", "asset_triggered"])
def test_the_parameter_comes_first(asked: str, run_type: str) -> None:
    assert choose_as_of(asked, run_type, SIX, SIX, TODAY) == asked


@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_a_scheduled_day_is_the_end_of_its_interval(run_type: str) -> None:
    start = SIX - dt.timedelta(days=1)
    assert choose_as_of(None, run_type, start, SIX, TODAY) == "2013-11-30"
    assert choose_as_of(None, run_type, start, None, TODAY) == "2013-11-29"
    assert choose_as_of(None, run_type, None, None, TODAY) == "2026-05-02"


@pytest.mark.parametrize(
    "now",
    [
        None,
        TODAY,
        TODAY - dt.timedelta(milliseconds=300),
        TODAY - dt.timedelta(hours=20),
        TODAY + dt.timedelta(seconds=1),
    ],
)
def test_a_run_by_hand_at_the_present_moment_takes_the_configured_day(
    now: dt.datetime | None,
) -> None:
    assert choose_as_of(None, "manual", now, now, TODAY) is None


@pytest.mark.parametrize(
    ("logical_date", "expected"),
    [
        (MIDNIGHT, "2013-11-30"),
        (SIX, "2013-11-30"),
        (TODAY.replace(hour=0, minute=0, second=0, microsecond=0), "2026-05-02"),
        (TODAY - dt.timedelta(days=1), "2026-05-01"),
        (MIDNIGHT.astimezone(dt.timezone(dt.timedelta(hours=-5))), "2013-11-30"),
    ],
)
def test_a_run_by_hand_takes_the_day_it_is_given(logical_date: dt.datetime, expected: str) -> None:
    # `airflow dags trigger --logical-date` gives a run the data interval of the present moment.
    assert choose_as_of(None, "manual", logical_date, TODAY, TODAY) == expected


def test_a_run_that_an_event_starts_takes_the_day_it_starts() -> None:
    assert choose_as_of(None, "asset_triggered", None, None, TODAY) == "2026-05-02"
    assert choose_as_of(None, "operator_triggered", SIX, TODAY, TODAY) == "2013-11-30"
