"""Cleaning: every raw row is kept, set aside or quarantined; every panel is regular."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.config import CalendarConfig, SourceConfig, SourcesConfig, TaskConfig
from clepsydra.datasets.raw_store import RawStoreDataset, Snapshot
from clepsydra.errors import ClepsydraError, PanelError, SourceError
from clepsydra.pipelines.clean.nodes import (
    build_panel,
    build_series,
    clean_covariates,
    clean_target,
    report_quality,
    split_observations,
)
from clepsydra.pipelines.clean.parsing import join_ids, parse_covariate, parse_target
from clepsydra.pipelines.clean.regular import fill_covariate, regularize, to_grid
from clepsydra.timegrid import grid
from helpers import NEW_YORK, make_source, make_task, store_of, text_rows

NOON = pd.Timestamp("2013-11-03 16:00")


def account_of(account: pd.DataFrame) -> dict[str, int]:
    return account.groupby("measure")["value"].sum().to_dict()


def check_account(rows_in: int, account: pd.DataFrame, quarantine: pd.DataFrame) -> None:
    """Rows in = kept + excluded + quarantined, and the quarantine tells all."""
    totals = account_of(account)
    excluded = sum(v for k, v in totals.items() if k.startswith("excluded: "))
    quarantined = sum(v for k, v in totals.items() if k.startswith("quarantined: "))
    assert totals.get("rows in", 0) == rows_in
    assert totals.get("rows kept", 0) + excluded + quarantined == rows_in
    assert len(quarantine) == quarantined
    assert (quarantine["reason"] != "").all()
    assert (quarantine["file"] != "").all()
    assert (quarantine["line"].astype(int) >= 2).all()
    for row in quarantine["row"]:
        assert all(isinstance(cell, str) for cell in json.loads(row).values())


# Any table

NUMBERS = ["1", "2.5", "-3e2", " 4 ", "0"]
JUNK = ["", "NA", "x", "inf", "-inf", "nan", "1e999", "9" * 30, "1,5", "True", "0x1F", " "]
TIMES = [
    *("2013-11-03 00:00", "2013-11-03 01:00", "2013-11-03 02:00", "2013-03-10 02:30"),
    *("2013-11-03T05:00:00Z", "2013-11-02", "", "NA", "soon", "2013-02-30", "99999-01-01"),
    *("2262-04-11 23:30:00", "1677-09-21 00:15:00", "0001-01-01", "2013-11-03 24:00"),
]
IDS = ["a", "b", "", "NA", "ü"]


def rows_of(**columns: list[str]) -> st.SearchStrategy[list[dict[str, str]]]:
    cells = {name: st.sampled_from(values) for name, values in columns.items()}
    return st.lists(st.fixed_dictionaries(cells), min_size=1, max_size=25)


def always_noon(ds: pd.Series) -> pd.Timestamp:
    return NOON


@given(rows_of(id=IDS, time=TIMES, value=NUMBERS + JUNK))
def test_any_long_table_is_accounted_for(rows: list[dict[str, str]]) -> None:
    source = make_source(timezone=NEW_YORK)
    found, account, quarantine = parse_target("load", source, text_rows(rows), always_noon)
    check_account(len(rows), account, quarantine)
    assert np.isfinite(found["y"].dropna()).all()
    assert not found.duplicated(["unique_id", "ds"]).any()
    assert found["ds"].notna().all()
    assert (found["ds"] < NOON).all()
    assert set(found["unique_id"]) <= {"a", "b", "ü"}


@given(rows_of(unique_id=IDS, ds=TIMES, y=NUMBERS + JUNK))
def test_a_table_with_the_panels_own_column_names_is_accounted_for(
    rows: list[dict[str, str]],
) -> None:
    source = make_source(id="unique_id", time="ds", value="y", timezone=NEW_YORK)
    raw = text_rows(rows)
    _, account, quarantine = parse_target("load", source, raw, always_noon)
    check_account(len(rows), account, quarantine)
    for line, row in zip(quarantine["line"], quarantine["row"], strict=True):
        expected = raw.loc[raw["_line"] == line, ["unique_id", "ds", "y"]].iloc[0].to_dict()
        assert json.loads(row) == expected, "the quarantine shows the row as it came"


@given(rows_of(id=IDS, time=TIMES, done=["yes", "NA", ""]))
def test_any_table_of_events_is_accounted_for(rows: list[dict[str, str]]) -> None:
    source = make_source(
        value=None, aggregate="count", require={"done": "cancelled"}, timezone=NEW_YORK
    )
    found, account, quarantine = parse_target("load", source, text_rows(rows), always_noon)
    check_account(len(rows), account, quarantine)
    assert set(found["y"]) <= {0.0, 1.0}
    assert found["y"].sum() == account_of(account).get("rows kept", 0)


@given(rows_of(time=TIMES, a=NUMBERS + JUNK, b=NUMBERS + JUNK))
def test_any_wide_table_is_accounted_for_cell_by_cell(rows: list[dict[str, str]]) -> None:
    source = make_source(layout="wide", id=None, value=None, timezone=NEW_YORK)
    found, account, quarantine = parse_target("load", source, text_rows(rows), always_noon)
    check_account(2 * len(rows), account, quarantine)
    assert set(found["unique_id"]) <= {"a", "b"}
    assert np.isfinite(found["y"].dropna()).all()


@given(rows_of(key=IDS, time=TIMES, temp=NUMBERS + JUNK, wind=NUMBERS + JUNK))
def test_any_covariate_table_is_accounted_for(rows: list[dict[str, str]]) -> None:
    source = make_source(
        role="covariate",
        id=None,
        value=None,
        join={"site": "key"},
        columns={"temp": "temperature", "wind": "wind"},
        timezone=NEW_YORK,
    )
    found, account, quarantine = parse_covariate("weather", source, text_rows(rows))
    check_account(len(rows), account, quarantine)
    assert not np.isinf(found[["temperature", "wind"]]).any(axis=None)
    assert not found.duplicated(["join_key", "ds"]).any()


def sources_of(**changes: Any) -> SourcesConfig:
    return SourcesConfig(root={"load": make_source(**changes)})


@given(
    rows_of(id=IDS, time=TIMES, value=NUMBERS + JUNK),
    st.sampled_from(["h", "D", "W-SUN", "MS"]),
    st.sampled_from(["zero", "interpolate"]),
    st.sampled_from(["2013-11-03", "2013-11-02", "latest"]),
)
def test_a_run_on_any_table_succeeds_or_says_what_is_wrong(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, str]],
    freq: str,
    fill: str,
    as_of: str,
) -> None:
    moderate = [row for row in rows if not row["time"].startswith(("2262", "1677"))]
    store = store_of(tmp_path_factory.mktemp("raw"), load=text_rows(moderate or rows[:1])).load()
    task = make_task(freq=freq, fill=fill, timezone=NEW_YORK, season_lengths=[2])
    sources = sources_of(timezone=NEW_YORK)
    try:
        panel, series, clock = make_panel(store, sources, task, as_of)
    except ClepsydraError as error:
        assert len(str(error)) > 20
        return
    check_regular(panel, series, clock, task)


def make_panel(
    store: Any, sources: SourcesConfig, task: TaskConfig, as_of: str
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    observations, ids, *_, clock = clean_target(store, sources, task, as_of)
    series = build_series(observations, ids, store, sources, task, clock, 1)
    (shard,) = split_observations(observations, series, 1)
    covariates, *_ = clean_covariates(store, sources, task, as_of)
    panel, _, _ = build_panel(shard, covariates, series, sources, task, CalendarConfig(), clock)
    return panel, series, clock


def check_regular(
    panel: pd.DataFrame, series: pd.DataFrame, clock: dict[str, str], task: TaskConfig
) -> None:
    """Every series with a value has one row for every step up to the panel's end."""
    assert np.isfinite(panel["y"]).all()
    with_values = series[series["n_observations"] > 0]
    assert set(panel["unique_id"]) == set(with_values["unique_id"])
    for row in with_values.itertuples():
        ds = panel.loc[panel["unique_id"] == row.unique_id, "ds"]
        steps = grid(row.first_ds, pd.Timestamp(clock["panel_end"]), task.freq, task.timezone)
        assert ds.tolist() == steps.tolist()
        assert steps[-1] == pd.Timestamp(clock["cutoff"])


# Reasons


def parse(rows: list[dict[str, str]], **changes: Any) -> tuple[pd.DataFrame, ...]:
    return parse_target("load", make_source(**changes), text_rows(rows), lambda ds: NOON)


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
    found, account, quarantine = parse(rows, timezone=NEW_YORK)
    assert quarantine.set_index("line")["reason"].to_dict() == {
        3: "no series id",
        4: "time not readable",
        5: "time skipped by the clock change",
        6: "not a number",
        7: "duplicate of an earlier row",
    }
    assert set(quarantine["file"]) == {"a.csv"}
    assert set(quarantine["source"]) == {"load"}
    assert json.loads(quarantine["row"][0]) == {**rows[1], "unique_id": ""} or (
        json.loads(quarantine["row"][0]) == rows[1]
    )
    assert account_of(account) == {
        "rows in": 9,
        "rows kept": 2,
        "excluded: no value": 1,
        "excluded: period not complete at as_of": 1,
        "clock change: repeated hour": 1,
        **{f"quarantined: {reason}": 1 for reason in quarantine["reason"]},
    }
    assert found["y"].tolist()[0] == 1.0
    assert found["y"].tolist()[-1] == 7.0


def test_events_that_do_not_count_leave_a_zero_and_duplicates_are_counted_once() -> None:
    rows = [
        {"id": "a", "time": "2013-07-01 10:00", "flight": "1", "dep": "x"},
        {"id": "a", "time": "2013-07-01 10:00", "flight": "2", "dep": "NA"},
        {"id": "a", "time": "2013-07-01 10:00", "flight": "1", "dep": "x"},
    ]
    found, account, quarantine = parse(
        rows,
        value=None,
        aggregate="count",
        unique=["time", "flight"],
        require={"dep": "cancelled"},
    )
    assert found["y"].tolist() == [1.0, 0.0]
    assert account_of(account)["excluded: cancelled"] == 1
    assert quarantine["reason"].tolist() == ["duplicate of an earlier row"]
    assert quarantine["line"].tolist() == [4]


@pytest.mark.parametrize(("how", "total"), [("sum", 6.0), ("last", 3.0), ("count", 3.0)])
def test_rows_that_share_a_time_are_data_where_rows_are_added_up(how: str, total: float) -> None:
    rows = [{"id": "a", "time": "2013-07-01 10:00", "value": str(n)} for n in (1, 2, 3)]
    changes = {"value": None} if how == "count" else {}
    found, account, quarantine = parse(rows, aggregate=how, **changes)
    assert quarantine.empty
    assert account_of(account)["rows kept"] == 3
    on_grid = to_grid(found, make_source(aggregate=how, **changes), make_task())
    assert on_grid["y"].tolist() == [total]


def test_a_wide_table_gives_a_series_for_every_column_or_for_those_asked_for() -> None:
    rows = [{"time": "2013-07-01", "a": "1", "b": "2"}, {"time": "2013-07-02", "a": "", "b": "4"}]
    wide = {"layout": "wide", "id": None, "value": None}
    found, account, _ = parse(rows, **wide)
    assert found.groupby("unique_id")["y"].apply(list).to_dict() == {
        "a": [1.0, pytest.approx(np.nan, nan_ok=True)],
        "b": [2.0, 4.0],
    }
    assert account_of(account)["excluded: no value"] == 1
    chosen, *_ = parse(rows, **wide, columns={"b": "site b"})
    assert chosen["unique_id"].tolist() == ["site b", "site b"]


def test_ids_are_joined_by_a_hyphen_and_rows_without_one_part_have_none() -> None:
    frame = pd.DataFrame({"x": ["a", "b"], "y": ["1", "2"]})
    assert join_ids(frame).tolist() == ["a-1", "b-2"]
    assert join_ids(frame[[]]).tolist() == ["", ""]
    rows = [{"x": "a", "y": "", "time": "2013-07-01", "value": "1"}]
    _, _, quarantine = parse(rows, id=["x", "y"])
    assert quarantine["reason"].tolist() == ["no series id"]


def test_a_covariate_called_file_does_not_hide_where_a_row_came_from() -> None:
    source = make_source(role="covariate", id=None, value=None, columns={"t": "file"})
    rows = [{"time": "2013-07-01", "t": "1"}, {"time": "2013-07-01", "t": "2"}]
    found, _, quarantine = parse_covariate("w", source, text_rows(rows))
    assert found["file"].tolist() == [1.0]
    assert quarantine["file"].tolist() == ["a.csv"]


# The grid


def target(tmp_path: Path, rows: list[tuple[str, str, str]]) -> Any:
    table = text_rows([dict(zip(("id", "time", "value"), row, strict=True)) for row in rows])
    return store_of(tmp_path, load=table).load()


def test_gaps_are_interpolated_and_flagged(tmp_path: Path) -> None:
    store = target(
        tmp_path,
        [
            ("a", "2013-07-01 00:00", "1"),
            ("a", "2013-07-01 03:00", "4"),
            ("a", "2013-07-01 04:00", "NA"),
            ("b", "2013-07-01 05:00", "9"),
        ],
    )
    panel, series, clock = make_panel(store, sources_of(), make_task(), "latest")
    a = panel[panel["unique_id"] == "a"]
    assert a["y"].tolist() == [1, 2, 3, 4, 4, 4]
    assert a["is_imputed"].tolist() == [False, True, True, False, True, True]
    check_regular(panel, series, clock, make_task())
    assert series.set_index("unique_id")["flags"].to_dict() == {
        "a": "short",
        "b": "single point, short",
    }
    assert clock["cutoff"] == "2013-07-01T05:00:00"


def test_for_counts_a_step_without_a_row_is_a_zero_and_not_imputed(tmp_path: Path) -> None:
    store = target(tmp_path, [("a", "2013-07-01 00:00", "1"), ("a", "2013-07-01 03:00", "4")])
    panel, *_ = make_panel(store, sources_of(aggregate="sum"), make_task(fill="zero"), "2013-07-02")
    assert panel["y"].tolist() == [1, 0, 0, 4, *[0] * 20]
    assert not panel["is_imputed"].any()


@pytest.mark.parametrize(("aggregate", "expected"), [("sum", 6.0), ("mean", 2.0), ("last", 3.0)])
def test_rows_of_one_step_become_one_value(tmp_path: Path, aggregate: str, expected: float) -> None:
    store = target(tmp_path, [("a", f"2013-07-01 00:{m}0", str(m)) for m in (1, 2, 3)])
    panel, *_ = make_panel(store, sources_of(aggregate=aggregate), make_task(), "latest")
    assert panel["y"].tolist() == [expected]


@pytest.mark.parametrize("freq", ["W-SUN", "MS", "ME", "QE", "QS"])
def test_a_period_that_is_not_over_at_as_of_is_set_aside_and_said(
    tmp_path: Path, freq: str
) -> None:
    days = pd.date_range("2012-10-01", "2013-08-06")
    store = target(tmp_path, [("a", str(day.date()), "1") for day in days])
    task = make_task(freq=freq, season_lengths=[2], horizon=1)
    as_of = "2013-08-07"
    observations, _, account, _, clock = clean_target(
        store, sources_of(aggregate="sum"), task, as_of
    )
    totals = account_of(account)
    assert totals["excluded: period not complete at as_of"] > 0
    assert observations["ds"].max() == pd.Timestamp(clock["cutoff"])
    assert observations["y"].sum() == totals["rows kept"]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=30, unique=True), st.data())
def test_regular_series_keep_every_observation(hours: list[int], data: st.DataObject) -> None:
    fill = data.draw(st.sampled_from(["zero", "interpolate"]))
    ds = pd.Timestamp("2013-11-02") + pd.to_timedelta(sorted(hours), unit="h")
    observed = pd.DataFrame({"unique_id": "a", "ds": ds, "y": np.arange(1.0, len(ds) + 1)})
    end = pd.Timestamp("2013-11-04 13:00")
    task = make_task(fill=fill, timezone=NEW_YORK)
    panel = regularize(observed, end, task)
    assert set(panel["ds"].diff().dropna()) <= {pd.Timedelta("1h")}
    assert panel["ds"].iloc[-1] == end - pd.Timedelta("1h")
    kept = panel.merge(observed, on="ds", suffixes=("", "_raw"))
    assert len(kept) == len(observed)
    assert (kept["y"] == kept["y_raw"]).all()
    assert not kept["is_imputed"].any()
    assert panel["is_imputed"].sum() == (0 if fill == "zero" else len(panel) - len(observed))


def test_short_gaps_of_a_covariate_are_filled_and_long_ones_stay_open() -> None:
    steps = pd.date_range("2013-07-01", periods=24, freq="h")
    rows = pd.DataFrame({"ds": steps[[2, 5, 20]], "temp": [1.0, 4.0, 9.0]})
    found = fill_covariate(rows, steps, ["temp"])["temp"]
    assert found.iloc[2:6].tolist() == [1, 2, 3, 4]
    assert found.iloc[:2].isna().all()
    assert found.iloc[21:].isna().all()
    assert found.iloc[12:20].isna().all()


# Flags, attributes, as_of


def test_flags_tell_what_is_odd_about_a_series(tmp_path: Path) -> None:
    days = [str(day.date()) for day in pd.date_range("2013-07-01", "2013-07-30")]
    rows = [("even", day, str(number % 7)) for number, day in enumerate(days)]
    rows += [("constant", day, "5") for day in days]
    rows += [("ended", day, str(number)) for number, day in enumerate(days[:3])]
    rows += [("single", days[-1], "1"), ("empty", days[0], "NA")]
    task = make_task(freq="D", season_lengths=[2], horizon=1)
    _, series, _ = make_panel(target(tmp_path, rows), sources_of(), task, "2013-07-31")
    assert series.set_index("unique_id")["flags"].to_dict() == {
        "constant": "constant",
        "empty": "empty, short",
        "ended": "ended",
        "even": "",
        "single": "single point, short",
    }


def attributes_store(tmp_path: Path) -> RawStoreDataset:
    store = store_of(
        tmp_path,
        load=text_rows([{"id": "a", "time": "2013-07-01", "value": "1"}]),
        sites=text_rows([{"code": "a", "name": "old"}]),
    )
    revised = text_rows([{"code": "a", "name": "new"}])
    store.save([Snapshot("sites", None, dt.date.min, dt.date(2013, 8, 1), revised)])
    return store


@pytest.mark.parametrize(("as_of", "expected"), [("2013-07-15", "old"), ("2013-08-01", "new")])
def test_attributes_are_those_known_at_as_of(tmp_path: Path, as_of: str, expected: str) -> None:
    sites = make_source(
        role="attributes",
        time=None,
        id=None,
        value=None,
        join={"unique_id": "code"},
        columns={"name": "site"},
    )
    sources = SourcesConfig(root={"load": make_source(), "sites": sites})
    task = make_task(freq="D", season_lengths=[30])
    store = attributes_store(tmp_path).load()
    observations, ids, *_, clock = clean_target(store, sources, task, as_of)
    series = build_series(observations, ids, store, sources, task, clock, 1)
    assert series["site"].tolist() == [expected]


def test_an_unknown_join_names_what_the_series_have(tmp_path: Path) -> None:
    sites: SourceConfig = make_source(
        role="attributes", time=None, id=None, value=None, join={"town": "code"}, columns=["name"]
    )
    sources = SourcesConfig(root={"load": make_source(), "sites": sites})
    task = make_task(freq="D", season_lengths=[30])
    with pytest.raises(SourceError, match=r"source 'sites': 'join' names \['town'\].*unique_id"):
        make_panel(attributes_store(tmp_path).load(), sources, task, "2013-08-01")


def test_a_run_long_after_the_data_is_refused(tmp_path: Path) -> None:
    sources = SourcesConfig(root={"load": make_source()})
    task = make_task(freq="D", season_lengths=[7])
    store = attributes_store(tmp_path).load()
    assert clean_target(store, sources, task, "2013-07-15")[-1]["as_of"] == "2013-07-15"
    with pytest.raises(SourceError, match="as_of 2014-07-15: the last data of source 'load' are"):
        clean_target(store, sources, task, "2014-07-15")


def test_zeros_are_not_made_up_after_the_last_day_with_a_row(tmp_path: Path) -> None:
    """The feed is two days late: those hours were not observed, whatever `fill` says."""
    rows = [
        {"id": "a", "time": f"2013-07-{day:02d} {hour:02d}:00", "value": "1"}
        for day in range(1, 4)
        for hour in (8, 9)
    ]
    store = store_of(tmp_path, load=text_rows(rows)).load()
    sources = SourcesConfig(root={"load": make_source()})
    task = make_task(fill="zero")
    panel = make_panel(store, sources, task, "2013-07-06")[0].set_index("ds")
    assert panel.loc["2013-07-03", "y"].sum() == 2
    assert not panel.loc[:"2013-07-03", "is_imputed"].any()
    assert panel.loc["2013-07-04":, "is_imputed"].all()


def test_a_series_whose_every_row_is_bad_is_kept_and_flagged(tmp_path: Path) -> None:
    rows = [
        {"id": name, "time": f"2013-07-{day:02d}", "value": value}
        for name, value in (("good", "1"), ("bad", "1,5"))
        for day in range(1, 15)
    ]
    store = store_of(tmp_path, load=text_rows(rows)).load()
    sources = SourcesConfig(root={"load": make_source()})
    task = make_task(freq="D", season_lengths=[7])
    series = make_panel(store, sources, task, "2013-07-15")[1].set_index("unique_id")
    assert series.loc["bad", "flags"] == "empty, short"
    decimal = SourcesConfig(root={"load": make_source(decimal=",")})
    series = make_panel(store, decimal, task, "2013-07-15")[1].set_index("unique_id")
    assert series.loc["bad", "n_observations"] == 14


def test_a_run_before_the_data_says_so_and_names_the_first_day(tmp_path: Path) -> None:
    store = RawStoreDataset(str(tmp_path))
    day = dt.date(2013, 7, 1)
    rows = text_rows([{"id": "a", "time": "2013-07-01", "value": "1"}])
    store.save([Snapshot("load", day, dt.date(2013, 7, 2), dt.date(2013, 7, 2), rows)])
    with pytest.raises(SourceError, match=r"as_of 2013-07-01: nothing.*'load'.*2013-07-01"):
        clean_target(store.load(), sources_of(), make_task(), "2013-07-01")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("a", "2013-07-01", "x"), "not a number"),
        (("a", "soon", "1"), "time not readable"),
        (("", "2013-07-01", "1"), "no series id"),
        (("a", "2013-07-01", "NA"), "no value"),
    ],
)
def test_a_table_without_a_usable_row_says_why(
    tmp_path: Path, row: tuple[str, str, str], reason: str
) -> None:
    with pytest.raises(SourceError, match=f"source 'load': no row can be used.*{reason}"):
        clean_target(target(tmp_path, [row]), sources_of(), make_task(), "latest")


def test_the_report_gathers_every_account_and_needs_a_value(tmp_path: Path) -> None:
    store = target(tmp_path, [("a", "2013-07-01", "1"), ("a", "soon", "2")])
    task = make_task(freq="D", season_lengths=[2])
    observations, ids, account, quarantine, clock = clean_target(
        store, sources_of(), task, "latest"
    )
    series = build_series(observations, ids, store, sources_of(), task, clock, 1)
    empty = pd.DataFrame()
    report, rejected = report_quality(account, empty, quarantine, empty, series)
    assert account_of(report) == {
        "rows in": 2,
        "rows kept": 1,
        "quarantined: time not readable": 1,
        "flag: single point": 1,
        "flag: short": 1,
    }
    assert len(rejected) == 1
    with pytest.raises(PanelError, match="no series has a value"):
        report_quality(account, empty, quarantine, empty, series.assign(n_observations=0))
