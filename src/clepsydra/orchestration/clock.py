"""Which day a DAG run takes place on."""

from __future__ import annotations

import datetime as dt

__all__ = ["choose_as_of"]

_AUTOMATIC = ("scheduled", "backfill")
_MANUAL = "manual"
_NOW = dt.timedelta(days=1)


def choose_as_of(
    asked: str | None,
    run_type: str,
    logical_date: dt.datetime | None,
    data_interval_end: dt.datetime | None,
    run_after: dt.datetime,
) -> str | None:
    """The `as_of` of a DAG run. Days are UTC.

    1. The parameter `as_of`, if given.
    2. Of a scheduled run or a backfill, the day its data interval ends; without an interval, its
       logical date; without that, the day from which it may run.
    3. Of a run that someone starts, the day of its logical date, if that is a day they asked for.
       Airflow fills in the present moment when they ask for none, so the date counts if it is a
       midnight, or a day or more away from the start. Otherwise the configuration decides, as in
       `kedro run`. The data interval is no guide here: `airflow dags trigger --logical-date` takes
       that of the present moment.
    4. Of a run that an event starts, its logical date, else the day from which it may run.

    Args:
        asked: the DAG's parameter.
        run_type: `scheduled`, `backfill`, `manual`, `asset_triggered`...
        logical_date: aware, as all times here.
        data_interval_end: the end of the period the run stands for.
        run_after: when the run was asked for, or from when on it may start.

    Returns:
        A day as `YYYY-MM-DD`, or whatever was asked for, or nothing: take the configured one.

    Examples:
        >>> six = dt.datetime(2013, 11, 30, 6, tzinfo=dt.UTC)
        >>> choose_as_of(None, "scheduled", six, six, six)
        '2013-11-30'
        >>> choose_as_of("latest", "scheduled", six, six, six)
        'latest'
        >>> choose_as_of(None, "manual", six, six, six) is None
        True
    """
    if asked:
        return asked
    if run_type in _AUTOMATIC:
        return _day(data_interval_end or logical_date or run_after)
    if run_type == _MANUAL:
        return _day(logical_date) if logical_date and _is_asked(logical_date, run_after) else None
    return _day(logical_date or run_after)


def _is_asked(logical_date: dt.datetime, run_after: dt.datetime) -> bool:
    midnight = logical_date.astimezone(dt.UTC).time() == dt.time()
    return midnight or abs(run_after - logical_date) >= _NOW


def _day(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).date().isoformat()
