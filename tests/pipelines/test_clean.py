"""Cleaning: no series is lost, every panel is regular, nothing is made up."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import IDS, JUNK, NUMBERS, TIMES, account_of, rows_of

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
from clepsydra.pipelines.clean.regular import fill_covariate, regularize
from clepsydra.timegrid import grid
from helpers import NEW_YORK, make_source, make_task, store_of, text_rows


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
