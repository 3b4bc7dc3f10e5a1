"""Cleaning: no series is lost, every panel is regular, nothing is made up."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import (
    IDS,
    JUNK,
    NUMBERS,
    TIMES,
    Row,
    account_of,
    check_regular,
    check_tables,
    clean_up,
    rows_of,
    sources_of,
    store_rows,
    stored,
)

from clepsydra.config import CalendarConfig, CleaningConfig, SourceConfig, SourcesConfig
from clepsydra.datasets.raw_store import RawStore, RawStoreDataset
from clepsydra.errors import ClepsydraError, ConfigError, PanelError, SourceError
from clepsydra.pipelines.clean import shard
from clepsydra.pipelines.clean.balance import cut_shards
from clepsydra.pipelines.clean.clock import set_clock
from clepsydra.pipelines.clean.nodes import report_quality
from clepsydra.pipelines.clean.regular import fill_covariate, regularize
from clepsydra.pipelines.clean.shard import clean_shard
from helpers import NEW_YORK, feed_of, make_source, make_task, text_rows

FILL = CleaningConfig()


def clean(
    folder: Path, rows: list[tuple[str, str, str]], as_of: str = "latest", **changes: Any
) -> dict[str, Any]:
    """Rows of `id`, `time`, `value` cleaned; `changes` are those of the task and `source`."""
    sources = sources_of(**changes.pop("source", {}))
    cleaning = changes.pop("cleaning", FILL)
    task = make_task(**changes)
    raw = store_rows(folder, sources, load=table(rows))
    return clean_up(raw, sources, task, as_of, cleaning=cleaning)


def table(rows: list[tuple[str, str, str]]) -> list[Row]:
    return [dict(zip(("id", "time", "value"), row, strict=True)) for row in rows]


def flags(found: dict[str, Any]) -> dict[str, str]:
    return found["series"].set_index("unique_id")["flags"].to_dict()


@settings(max_examples=25)
@given(
    rows_of(id=IDS, time=TIMES, value=NUMBERS + JUNK),
    st.sampled_from(["h", "D", "W-SUN", "MS"]),
    st.sampled_from(["zero", "interpolate"]),
    st.sampled_from(["2013-11-03", "2013-11-02", "latest"]),
    st.sampled_from(["mean", "sum"]),
    st.integers(1, 3),
)
def test_a_run_on_any_table_succeeds_or_says_what_is_wrong(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[Row],
    freq: str,
    fill: str,
    as_of: str,
    aggregate: str,
    n_shards: int,
) -> None:
    task = make_task(freq=freq, fill=fill, timezone=NEW_YORK, season_lengths=[2])
    sources = sources_of(timezone=NEW_YORK, aggregate=aggregate)
    raw = store_rows(tmp_path_factory.mktemp("raw"), sources, load=rows)
    known = int(
        raw["load"].known(None if as_of == "latest" else dt.date.fromisoformat(as_of))["rows"].sum()
    )
    try:
        found = clean_up(raw, sources, task, as_of, n_shards)
    except ClepsydraError as error:
        assert len(str(error)) > 20
        return
    check_regular(found, task)
    check_tables(known, found["report"], found["quarantine"], source="load")
    assert set(found["series"]["unique_id"]) <= {"a", "b", "ü"}


# The grid


def test_gaps_are_interpolated_and_flagged(tmp_path: Path) -> None:
    found = clean(
        tmp_path,
        [
            ("a", "2013-07-01 00:00", "1"),
            ("a", "2013-07-01 03:00", "4"),
            ("a", "2013-07-01 04:00", "NA"),
            ("b", "2013-07-01 05:00", "9"),
        ],
    )
    a = found["panel"][found["panel"]["unique_id"] == "a"]
    assert a["y"].tolist() == [1, 2, 3, 4, 4, 4]
    assert a["is_imputed"].tolist() == [False, True, True, False, True, True]
    assert not found["panel"]["is_outlier"].any()
    check_regular(found, make_task())
    assert flags(found) == {"a": "short", "b": "single point, short"}
    assert found["clock"]["cutoff"] == "2013-07-01T05:00:00"


def test_for_counts_a_step_without_a_row_is_a_zero_and_not_imputed(tmp_path: Path) -> None:
    rows = [("a", "2013-07-01 00:00", "1"), ("a", "2013-07-01 03:00", "4")]
    found = clean(tmp_path, rows, "2013-07-02", source={"aggregate": "sum"}, fill="zero")
    assert found["panel"]["y"].tolist() == [1, 0, 0, 4, *[0] * 20]
    assert not found["panel"]["is_imputed"].any()


@pytest.mark.parametrize(("aggregate", "expected"), [("sum", 6.0), ("mean", 2.0), ("last", 3.0)])
def test_rows_of_one_step_become_one_value(tmp_path: Path, aggregate: str, expected: float) -> None:
    rows = [("a", f"2013-07-01 00:{m}0", str(m)) for m in (1, 2, 3)]
    found = clean(tmp_path, rows, source={"aggregate": aggregate})
    assert found["panel"]["y"].tolist() == [expected]


@pytest.mark.parametrize("freq", ["W-SUN", "MS", "ME", "QE", "QS"])
def test_a_period_that_is_not_over_at_as_of_is_set_aside_and_said(
    tmp_path: Path, freq: str
) -> None:
    days = pd.date_range("2012-10-01", "2013-08-06")
    rows = [("a", str(day.date()), "1") for day in days]
    how = {"freq": freq, "season_lengths": [2], "horizon": 1}
    found = clean(tmp_path, rows, "2013-08-07", source={"aggregate": "sum"}, **how)
    totals = account_of(found["report"])
    assert totals["excluded: period not complete at as_of"] > 0
    assert found["panel"]["ds"].max() == pd.Timestamp(found["clock"]["cutoff"])
    assert found["panel"]["y"].sum() == totals["rows kept"]


@settings(max_examples=100)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=30, unique=True), st.data())
def test_regular_series_keep_every_observation(hours: list[int], data: st.DataObject) -> None:
    fill = data.draw(st.sampled_from(["zero", "interpolate"]))
    ds = pd.Timestamp("2013-11-02") + pd.to_timedelta(sorted(hours), unit="h")
    observed = pl.DataFrame({"unique_id": "a", "ds": ds, "y": np.arange(1.0, len(ds) + 1)})
    end = pd.Timestamp("2013-11-04 13:00")
    found = regularize(observed, end, make_task(fill=fill, timezone=NEW_YORK), FILL)
    steps = found.steps[found.places]
    assert set(np.diff(steps)) <= {np.timedelta64(1, "h")}
    assert steps[-1] == end - pd.Timedelta("1h")
    at = steps.get_indexer(ds)
    assert found.y[at].tolist() == found.observed_y[at].tolist() == observed["y"].to_list()
    assert not found.is_imputed[at].any()
    assert found.is_imputed.sum() == (0 if fill == "zero" else len(steps) - len(ds))


def test_short_gaps_of_a_covariate_are_filled_and_long_ones_stay_open() -> None:
    steps = pd.date_range("2013-07-01", periods=24, freq="h")
    rows = pl.DataFrame({"ds": steps[[2, 5, 20]], "temp": [1.0, 4.0, 9.0]})
    interpolated = fill_covariate(rows, steps, ["temp"], in_advance=True)[:, 0]
    assert interpolated[2:6].tolist() == [1, 2, 3, 4]
    # Of what is not known in advance nobody knows within a gap how it ends.
    held = fill_covariate(rows, steps, ["temp"], in_advance=False)[:, 0]
    assert held[2:6].tolist() == [1, 1, 1, 4]
    for found in (interpolated, held):
        assert np.isnan(found[:2]).all()
        assert np.isnan(found[21:]).all()
        assert np.isnan(found[12:20]).all()


# What is done about gaps and outliers

HOURS = pd.date_range("2013-07-01", periods=72, freq="h")


def hourly(values: Mapping[int, Any], name: str = "a") -> list[tuple[str, str, str]]:
    return [(name, str(HOURS[hour]), str(value)) for hour, value in values.items()]


def test_a_series_starts_after_its_last_long_gap_and_the_rows_before_are_set_aside(
    tmp_path: Path,
) -> None:
    rows = hourly({0: 1, 1: 2, 2: 3, 6: 4, 9: 5, 11: 6}) + hourly({0: 1, 3: 2, 11: 3}, "b")
    cut = CleaningConfig(gap_limit=2, long_gaps="cut")
    found = clean(tmp_path, rows, cleaning=cut)
    panel = found["panel"].set_index("unique_id")
    assert panel.loc["a", "ds"].tolist() == list(HOURS[6:12])
    assert panel.loc[["b"], "ds"].tolist() == [HOURS[11]]
    assert panel.loc["a", "y"].tolist() == pytest.approx([4, 4 + 1 / 3, 4 + 2 / 3, 5, 5.5, 6])
    check_tables(9, found["report"], found["quarantine"], source="load")
    totals = account_of(found["report"])
    assert totals["excluded: before a gap of more than 2 steps"] == 5
    assert totals["rows kept"] == 4
    series = found["series"].set_index("unique_id")
    assert series["n_observations"].to_dict() == {"a": 3, "b": 1}
    assert series["first_ds"].to_dict() == {"a": HOURS[6], "b": HOURS[11]}
    check_regular(found, make_task())


@pytest.mark.parametrize("freq", ["h", "D", "W-SUN", "ME", "QE"])
@pytest.mark.parametrize("aggregate", ["mean", "count"])
def test_whatever_a_step_is_the_rows_kept_are_those_of_the_panel(
    tmp_path: Path, freq: str, aggregate: str
) -> None:
    days = [*pd.date_range("2010-01-01", "2010-12-31"), *pd.date_range("2011-11-05", "2012-10-31")]
    source: dict[str, Any] = {"aggregate": aggregate, "timezone": "Europe/Paris"}
    if aggregate == "count":
        source |= {"value": None, "require": {"value": "nothing there"}}
    rows = [("a", f"{day.date()} 12:00", "1" if day.day != 13 else "") for day in days]
    found = clean(
        tmp_path,
        rows,
        "2012-11-01",
        source=source,
        freq=freq,
        season_lengths=[2],
        horizon=1,
        timezone="Europe/Paris",
        cleaning=CleaningConfig(gap_limit=2, long_gaps="cut"),
    )
    totals = account_of(found["report"])
    check_tables(len(rows), found["report"], found["quarantine"], source="load")
    if freq == "h":
        assert totals["rows kept"] == 1
    elif aggregate == "mean":
        assert totals["rows kept"] > 300
    else:
        observed = found["panel"].loc[~found["panel"]["is_imputed"], "y"]
        assert observed.sum() == totals["rows kept"] > 300


def test_a_cut_is_at_odds_with_steps_that_are_zero_without_a_row(tmp_path: Path) -> None:
    cut = CleaningConfig(gap_limit=2, long_gaps="cut")
    with pytest.raises(ConfigError, match=r"long_gaps is 'cut', but with task.fill 'zero'"):
        clean(tmp_path, hourly({0: 1}), cleaning=cut, fill="zero")


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("linear", [1, 2, 3, 4, 5, 6, 6, 6]),
        ("previous", [1, 2, 2, 2, 5, 6, 6, 6]),
        ("seasonal", [1, 2, 1, 2, 5, 6, 5, 6]),
    ],
)
def test_gaps_are_filled_as_the_method_says(
    tmp_path: Path, method: Any, expected: list[float]
) -> None:
    rows = hourly({0: 1, 1: 2, 4: 5, 5: 6}) + hourly({7: 0}, "b")
    how = CleaningConfig(gap_method=method)
    found = clean(tmp_path, rows, cleaning=how, season_lengths=[2])
    a = found["panel"][found["panel"]["unique_id"] == "a"]
    assert a["y"].tolist() == expected
    assert a["is_imputed"].tolist() == [False, False, True, True, False, False, True, True]


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("fill", ["interpolate", "zero"])
def test_outliers_are_flagged_and_replaced_if_so_said(
    tmp_path: Path, replace: bool, fill: str
) -> None:
    values = {hour: float(hour % 2) for hour in range(72)}
    del values[50]
    rows = hourly({**values, 30: 900})
    how = CleaningConfig.model_validate({"outliers": {"method": "iqr", "replace": replace}})
    found = clean(tmp_path, rows, cleaning=how, fill=fill)
    panel = found["panel"].set_index("ds")
    assert panel.index[panel["is_outlier"]].tolist() == [HOURS[30]]
    assert panel.loc[HOURS[30], "y"] == (1 if replace else 900)
    assert panel.loc[HOURS[30], "is_imputed"] == replace
    assert panel.loc[HOURS[50], "is_imputed"] == (fill == "interpolate")
    assert found["series"]["n_observations"].tolist() == [71]
    totals = account_of(found["report"])
    assert totals["outliers"] == 1
    assert totals["rows kept"] == 71
    assert totals["steps imputed"] == panel["is_imputed"].sum()


# Flags


def test_flags_tell_what_is_odd_about_a_series(tmp_path: Path) -> None:
    days = [str(day.date()) for day in pd.date_range("2013-07-01", "2013-07-30")]
    rows = [("even", day, str(number % 7)) for number, day in enumerate(days)]
    rows += [("constant", day, "5") for day in days]
    rows += [("ended", day, str(number)) for number, day in enumerate(days[:3])]
    rows += [("single", days[-1], "1"), ("empty", days[0], "NA")]
    found = clean(tmp_path, rows, "2013-07-31", freq="D", season_lengths=[2], horizon=1)
    assert flags(found) == {
        "constant": "constant",
        "empty": "empty, short",
        "ended": "ended",
        "even": "",
        "single": "single point, short",
    }


def test_of_counts_a_series_has_ended_with_its_last_value_that_is_not_zero(tmp_path: Path) -> None:
    days = [str(day.date()) for day in pd.date_range("2013-07-01", "2013-07-30")]
    rows = [("some", day, "1") for day in days[:5]] + [("all", day, "1") for day in days]
    rows += [("some", day, "0") for day in days[5:]] + [("none", day, "0") for day in days]
    how = {"freq": "D", "season_lengths": [2], "horizon": 1, "fill": "zero"}
    found = clean(tmp_path, rows, "2013-07-31", source={"aggregate": "sum"}, **how)
    assert flags(found) == {"all": "constant", "none": "constant, ended", "some": "ended"}


def test_a_series_whose_every_row_is_bad_is_kept_and_flagged(tmp_path: Path) -> None:
    rows = [
        (name, f"2013-07-{day:02d}", value)
        for name, value in (("good", "1"), ("bad", "1,5"))
        for day in range(1, 15)
    ]
    how = {"freq": "D", "season_lengths": [7]}
    series = clean(tmp_path, rows, "2013-07-15", **how)["series"].set_index("unique_id")
    assert series.loc["bad", "flags"] == "empty, short"
    assert series.loc["bad", "n_observations"] == 0
    assert series.loc[["bad"], "first_ds"].isna().all()
    comma = {"decimal": ","}
    found = clean(tmp_path / "comma", rows, "2013-07-15", source=comma, **how)
    assert found["series"].set_index("unique_id").loc["bad", "n_observations"] == 14


@pytest.mark.parametrize("freq", ["h", "D", "W-SUN", "MS", "QE"])
def test_a_shard_of_bad_rows_only_has_its_series_and_no_panel(tmp_path: Path, freq: str) -> None:
    """`b` and `c` are in another shard than `a`, which has the values."""
    rows = [("a", "2012-07-01", "1"), ("a", "2013-07-01", "1"), ("b", "soon", "1")]
    rows += [("b", "2013-07-01", "x"), ("c", "2013-07-01", "")]
    sources, task = sources_of(), make_task(freq=freq, season_lengths=[1], horizon=1)
    raw = store_rows(tmp_path, sources, load=table(rows))
    found = clean_up(raw, sources, task, n_shards=8)
    alone, *others = found["series"]["shard"]
    assert alone not in others
    assert set(found["panel"]["unique_id"]) == {"a"}
    assert found["series"]["n_observations"].tolist() == [2, 0, 0]
    check_tables(5, found["report"], found["quarantine"], source="load")


# What is known when


def attributes(**changes: Any) -> SourceConfig:
    values = {"role": "attributes", "time": None, "id": None, "value": None}
    join = {"join": {"unique_id": "code"}, "columns": {"name": "site"}}
    return make_source(**{**values, **join, **changes})


def with_sites(folder: Path, **changes: Any) -> tuple[dict[str, RawStore], SourcesConfig]:
    """One value of one series, and a site that is renamed on the first of August."""
    sources = SourcesConfig(root={"load": make_source(), "sites": attributes(**changes)})
    rows = text_rows([{"id": "a", "time": "2013-07-01", "value": "1"}])
    sites = RawStoreDataset(str(folder / "sites"))
    sites.save(feed_of(text_rows([{"code": "a", "name": "old"}])))
    revised = text_rows([{"code": "a", "name": "new"}])
    sites.save(feed_of(revised, seen_on=dt.date(2013, 8, 1)))
    load = stored(folder / "load", make_source(), rows)
    return {"load": load, "sites": sites.load()}, sources


@pytest.mark.parametrize(("as_of", "expected"), [("2013-07-15", "old"), ("2013-08-01", "new")])
def test_attributes_are_those_known_at_as_of(tmp_path: Path, as_of: str, expected: str) -> None:
    raw, sources = with_sites(tmp_path)
    found = clean_up(raw, sources, make_task(freq="D", season_lengths=[30]), as_of)
    assert found["series"]["site"].tolist() == [expected]


def test_an_unknown_join_names_what_the_series_have(tmp_path: Path) -> None:
    raw, sources = with_sites(tmp_path, join={"town": "code"})
    task = make_task(freq="D", season_lengths=[30])
    with pytest.raises(SourceError, match=r"source 'sites': 'join' names \['town'\].*unique_id"):
        clean_up(raw, sources, task, "2013-08-01")


def test_series_without_attributes_have_none_and_names_do_not_clash(tmp_path: Path) -> None:
    sources = SourcesConfig(
        root={
            "load": make_source(id=["site", "kind"]),
            "sites": attributes(join={"site": "code"}, columns=["kind", "name"]),
        }
    )
    rows = [{"site": site, "kind": "x", "time": "2013-07-01", "value": "1"} for site in ("a", "b")]
    sites = [{"code": "a", "kind": "coal", "name": "A"}, {"code": "c", "kind": "", "name": "C"}]
    raw = store_rows(tmp_path, sources, load=rows, sites=sites)
    series = clean_up(raw, sources, make_task(freq="D", season_lengths=[2]))["series"]
    assert series["unique_id"].tolist() == ["a-x", "b-x"]
    assert series["kind"].tolist() == ["x", "x"]
    assert series["kind_sites"][0] == "coal"
    assert series["kind_sites"].isna().tolist() == [False, True]
    assert series["name"].isna().tolist() == [False, True]


def clock_of(folder: Path, rows: list[tuple[str, str, str]], as_of: str, **changes: Any) -> Any:
    sources = sources_of()
    raw = store_rows(folder, sources, load=table(rows))
    return set_clock(raw["load"], sources, make_task(**changes), as_of)


def test_a_run_long_after_the_data_is_refused(tmp_path: Path) -> None:
    rows = [("a", "2013-07-01", "1")]
    how = {"freq": "D", "season_lengths": [7]}
    assert clock_of(tmp_path / "1", rows, "2013-07-15", **how)["as_of"] == "2013-07-15"
    with pytest.raises(SourceError, match="as_of 2014-07-15: the last data of source 'load' are"):
        clock_of(tmp_path / "2", rows, "2014-07-15", **how)


def test_zeros_are_not_made_up_after_the_last_day_with_a_row(tmp_path: Path) -> None:
    """The feed is two days late: those hours were not observed, whatever `fill` says."""
    rows = [
        ("a", f"2013-07-{day:02d} {hour:02d}:00", "1") for day in range(1, 4) for hour in (8, 9)
    ]
    panel = clean(tmp_path, rows, "2013-07-06", fill="zero")["panel"].set_index("ds")
    assert panel.loc["2013-07-03", "y"].sum() == 2
    assert not panel.loc[:"2013-07-03", "is_imputed"].any()
    assert panel.loc["2013-07-04":, "is_imputed"].all()


def test_a_run_before_the_data_says_so_and_names_the_first_day(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"as_of 2013-07-01: nothing.*'load'.*2013-07-01"):
        clock_of(tmp_path, [("a", "2013-07-01", "1")], "2013-07-01")


def test_the_days_from_as_of_on_are_not_seen(tmp_path: Path) -> None:
    rows = [("a", f"2013-07-{day:02d}", str(day)) for day in range(1, 20)]
    found = clean(tmp_path, rows, "2013-07-10", freq="D", season_lengths=[2])
    assert found["panel"]["y"].tolist() == list(range(1, 10))
    assert account_of(found["report"])["rows in"] == 9


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("a", "2013-07-01", "x"), "not a number"),
        (("a", "soon", "1"), "time not readable"),
        (("", "2013-07-01", "1"), "no series id"),
        (("a", "2013-07-01", "NA"), "no value"),
        (("", "", ""), "blank line"),
    ],
)
def test_a_table_without_a_usable_row_says_why(
    tmp_path: Path, row: tuple[str, str, str], reason: str
) -> None:
    with pytest.raises(SourceError, match=f"source 'load': no row can be used.*{reason}"):
        clock_of(tmp_path, [row], "latest")


# Covariates


def weather(**changes: Any) -> SourceConfig:
    values = {"role": "covariate", "id": None, "value": None, "columns": {"t": "temp"}}
    return make_source(**{**values, **changes})


def test_covariates_are_joined_by_key_and_only_those_known_in_advance_go_on(
    tmp_path: Path,
) -> None:
    sources = SourcesConfig(
        root={
            "load": make_source(id=["site", "kind"]),
            "weather": weather(join={"site": "at"}, known="in_advance"),
            "past": weather(columns={"t": "wind"}),
        }
    )
    load = [
        {"site": site, "kind": kind, "time": f"2013-07-01 0{hour}:00", "value": "1"}
        for site, kind in (("a", "x"), ("a", "y"), ("b", "x"), ("c", "x"))
        for hour in range(3)
    ]
    there = [
        {"at": site, "time": f"2013-07-01 0{hour}:00", "t": str(base + hour)}
        for site, base in (("b", 20), ("a", 10))
        for hour in range(6)
    ]
    past = [{"time": "2013-07-01 01:00", "t": "7"}]
    raw = store_rows(tmp_path, sources, load=load, weather=there, past=past)
    calendar = CalendarConfig(columns=["hour"])
    task = make_task(horizon=2)
    for n_shards in (1, 3):
        found = clean_up(raw, sources, task, n_shards=n_shards, calendar=calendar)
        panel, future = found["panel"], found["future"]
        temperatures = panel.groupby("unique_id")["temp"].apply(list).to_dict()
        assert temperatures["a-x"] == temperatures["a-y"] == [10, 11, 12]
        assert temperatures["b-x"] == [20, 21, 22]
        assert panel.loc[panel["unique_id"] == "c-x", "temp"].isna().all()
        assert panel["wind"].dropna().tolist() == [7] * 4
        assert panel["hour"].tolist() == [0, 1, 2] * 4
        assert list(future.columns) == ["unique_id", "ds", "temp", "hour"]
        assert future.loc[future["unique_id"] == "b-x", "temp"].tolist() == [23, 24]
        assert future["hour"].tolist() == [3, 4] * 4
        check_tables(12, found["report"], found["quarantine"], source="weather")
        assert account_of(found["report"])["grid steps without a row"] == 0


def test_steps_that_a_covariate_lacks_are_counted(tmp_path: Path) -> None:
    sources = SourcesConfig(root={"load": make_source(), "weather": weather()})
    load = table(hourly({0: 1, 11: 1}))
    there = [{"time": str(HOURS[hour]), "t": "1"} for hour in (0, 1, 5, 11)]
    raw = store_rows(tmp_path, sources, load=load, weather=there)
    report = clean_up(raw, sources, make_task())["report"]
    assert account_of(report)["grid steps without a row"] == 8


@pytest.mark.parametrize("freq", ["h", "W-SUN"])
def test_a_covariate_without_a_usable_row_is_missing_everywhere(tmp_path: Path, freq: str) -> None:
    sources = SourcesConfig(root={"load": make_source(), "weather": weather()})
    load = table([("a", "2013-07-01", "1"), ("a", "2013-07-20", "1")])
    there = [{"time": "soon", "t": "1"}, {"time": "2013-07-01", "t": "x"}]
    raw = store_rows(tmp_path, sources, load=load, weather=there)
    found = clean_up(raw, sources, make_task(freq=freq, season_lengths=[1]))
    assert found["panel"]["temp"].isna().all()
    assert found["panel"]["temp"].dtype == "float32"
    check_tables(2, found["report"], found["quarantine"], source="weather")


def test_a_covariate_of_which_nothing_is_known_yet_is_missing(tmp_path: Path) -> None:
    sources = SourcesConfig(root={"load": make_source(), "weather": weather()})
    load = table([("a", f"2013-07-{day:02d}", "1") for day in range(1, 20)])
    there = [{"time": "2013-07-15", "t": "1"}]
    raw = store_rows(tmp_path, sources, load=load, weather=there)
    found = clean_up(raw, sources, make_task(freq="D", season_lengths=[1]), "2013-07-10")
    assert found["panel"]["temp"].isna().all()


def test_a_covariate_that_lasts_a_day_holds_for_every_hour_of_it(tmp_path: Path) -> None:
    """Days of 23 and of 25 hours among them."""
    its = {"lasts": "1D", "timezone": "Europe/Paris", "known": "in_advance"}
    sources = SourcesConfig(root={"load": make_source(), "weather": weather(**its)})
    days = pd.date_range("2013-03-29", "2013-11-01")
    there = [{"time": str(day.date()), "t": str(day.dayofyear)} for day in days]
    load = table([("a", "2013-03-30", "1"), ("a", "2013-10-28 12:00", "1")])
    raw = store_rows(tmp_path, sources, load=load, weather=there)
    found = clean_up(raw, sources, make_task(timezone="Europe/Paris"))
    for part in (found["panel"], found["future"]):
        local = part["ds"].dt.tz_localize("UTC").dt.tz_convert("Europe/Paris")
        assert part["temp"].tolist() == local.dt.dayofyear.tolist()


@pytest.mark.parametrize("freq", ["D", "W-SUN", "MS"])
def test_on_a_grid_of_days_or_longer_every_row_is_one_anyway(tmp_path: Path, freq: str) -> None:
    load = table([("a", str(day.date()), "1") for day in pd.date_range("2013-07-01", "2013-09-01")])
    there = [{"time": row["time"], "t": row["time"][5:7]} for row in load]
    found = {}
    for its in ({}, {"lasts": "1D"}):
        sources = SourcesConfig(root={"load": make_source(), "weather": weather(**its)})
        raw = store_rows(tmp_path / str(len(its)), sources, load=load, weather=there)
        found[len(its)] = clean_up(
            raw, sources, make_task(freq=freq, season_lengths=[1], horizon=1)
        )
    pd.testing.assert_frame_equal(found[0]["panel"], found[1]["panel"])
    assert found[0]["panel"]["temp"].notna().all()


def test_a_covariate_may_not_be_called_as_a_column_of_the_calendar(tmp_path: Path) -> None:
    sources = SourcesConfig(root={"load": make_source(), "weather": weather(columns={"t": "hour"})})
    raw = store_rows(
        tmp_path, sources, load=table(hourly({0: 1})), weather=[{"time": str(HOURS[0]), "t": "1"}]
    )
    with pytest.raises(ConfigError, match=r"'hour' is a column of 'calendar' and .* 'weather'"):
        clean_up(raw, sources, make_task(), calendar=CalendarConfig(columns=["hour"]))


# Shards and batches


def many_series(count: int) -> list[Row]:
    """Series of some length with gaps, outliers and rows that are no good."""
    chance = np.random.default_rng(7)
    rows = []
    for number in range(count):
        steps = np.flatnonzero(chance.random(60) < 0.7)
        for step in steps:
            value = chance.choice(
                ["1", "2", "3", "4", "99", "NA", "x"], p=[0.23] * 4 + [0.03, 0.03, 0.02]
            )
            rows.append({"id": f"s{number}", "time": str(HOURS[step]), "value": str(value)})
    rows += [{"id": "", "time": str(HOURS[0]), "value": "1"}]
    rows += [{"id": "s1", "time": "soon", "value": "1"}, {"id": "", "time": "", "value": ""}]
    order = chance.permutation(len(rows))
    return [rows[number] for number in order]


def check_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """All tables are the same, whatever shards the series are in."""
    for name, table in expected.items():
        if name == "clock":
            assert found[name] == table
        else:
            drop = {"columns": "shard", "errors": "ignore"}
            pd.testing.assert_frame_equal(found[name].drop(**drop), table.drop(**drop))


@pytest.mark.parametrize(("n_shards", "batch"), [(1, 40), (3, 500_000), (5, 10)])
@pytest.mark.parametrize("fill", ["interpolate", "zero"])
def test_shards_and_batches_do_not_change_what_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_shards: int, batch: int, fill: str
) -> None:
    long_gaps = {"gap_limit": 5, "long_gaps": "cut"} if fill == "interpolate" else {}
    cleaning = CleaningConfig.model_validate(
        {"outliers": {"method": "hampel", "replace": True}, **long_gaps}
    )
    sources = SourcesConfig(root={"load": make_source(), "weather": weather(known="in_advance")})
    there = [{"time": str(hour), "t": str(number)} for number, hour in enumerate(HOURS[::3])]
    raw = store_rows(tmp_path, sources, load=many_series(9), weather=there)
    how = (raw, sources, make_task(fill=fill, horizon=3), "latest")
    whole = clean_up(*how, cleaning=cleaning)
    assert whole["series"]["unique_id"].nunique() == 9
    assert whole["panel"]["is_outlier"].any()
    monkeypatch.setattr(shard, "_BATCH_ROWS", batch)
    check_same(clean_up(*how, n_shards=n_shards, cleaning=cleaning), whole)


@pytest.mark.parametrize(("n_shards", "batch"), [(1, 5), (3, 500_000), (4, 3)])
@pytest.mark.parametrize("layout", ["wide", "rows"])
def test_other_layouts_are_sharded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, n_shards: int, batch: int
) -> None:
    cells = [[str(10 * series + step) for step in range(9)] for series in range(6)]
    cells[2][4], cells[3][8], cells[4][0] = "x", "", ""
    if layout == "wide":
        source = make_source(layout="wide", id=None, value=None)
        rows = [
            {"time": str(HOURS[step]), **{f"s{n}": cells[n][step] for n in range(6)}}
            for step in range(9)
        ]
    else:
        source = make_source(layout="rows", time=None, value=None, end=HOURS[8].to_pydatetime())
        rows = [
            {"id": f"s{n}", **{f"v{step}": cells[n][step] for step in range(9)}} for n in range(6)
        ]
    sources = SourcesConfig(root={"load": source})
    raw = store_rows(tmp_path, sources, load=rows)
    whole = clean_up(raw, sources, make_task())
    check_tables(54, whole["report"], whole["quarantine"], source="load")
    assert whole["quarantine"]["reason"].tolist() == ["not a number"]
    assert whole["panel"].groupby("unique_id")["y"].max().to_dict() == {
        f"s{n}": 10.0 * n + (7 if layout == "wide" and n == 3 else 8 if n != 3 else 7)
        for n in range(6)
    }
    monkeypatch.setattr(shard, "_BATCH_ROWS", batch)
    check_same(clean_up(raw, sources, make_task(), n_shards=n_shards), whole)


def test_what_only_one_file_has_is_empty_in_the_others(tmp_path: Path) -> None:
    row = {"id": "a", "time": "2013-07-01", "value": "1", "note": "x"}
    whole = text_rows([row, {**row, "id": "b"}, {**row, "value": "x"}])
    other = text_rows([{**row, "time": "soon"}], "b.csv").drop("note")
    broken = {**dict.fromkeys(row, ""), "_problem": "5 cells where the header has 4"}
    problems = text_rows([{**broken, "_text": "a,b,c,d,e"}], "c.csv")
    load = stored(tmp_path, make_source(), whole, other, problems)
    found = clean_up({"load": load}, sources_of(), make_task(freq="D", season_lengths=[1]))
    assert found["panel"]["unique_id"].tolist() == ["a", "b"]
    rejected = found["quarantine"].set_index("file")
    assert rejected["reason"].to_dict() == {
        "a.csv": "not a number",
        "b.csv": "time not readable",
        "c.csv": "5 cells where the header has 4",
    }
    assert [json.loads(row) for row in rejected["row"]] == [
        {**row, "value": "x"},
        {**row, "time": "soon", "note": ""},
        {**dict.fromkeys(row, ""), "_text": "a,b,c,d,e"},
    ]


def test_what_a_shard_gives_does_not_depend_on_the_others(tmp_path: Path) -> None:
    sources, task = sources_of(), make_task()
    raw = store_rows(tmp_path, sources, load=many_series(12))["load"]
    clock = set_clock(raw, sources, task, "latest")
    bounds = cut_shards(raw, clock, sources, "latest", 4)
    how = (sources, task, FILL, CalendarConfig(), "latest", bounds)
    shards = [clean_shard(raw, clock, *how, number=number) for number in range(4)]
    for number, (_, _, series, *_) in enumerate(shards):
        assert set(series["shard"]) == {number}
        assert 2 <= len(series) <= 4
    assert sum(len(series) for _, _, series, *_ in shards) == 12


# The report


def test_the_report_gathers_every_account_and_needs_a_value(tmp_path: Path) -> None:
    sources = sources_of()
    rows = table([("a", "2013-07-01", "1"), ("a", "soon", "2")])
    raw = store_rows(tmp_path, sources, load=rows)["load"]
    found = clean_up({"load": raw}, sources, make_task(freq="D", season_lengths=[2]))
    totals = account_of(found["report"])
    assert totals == {
        "rows in": 2,
        "rows kept": 1,
        "quarantined: time not readable": 1,
        "grid steps": 1,
        "steps imputed": 0,
        "share imputed": 0,
        "gaps filled": 0,
        "outliers": 0,
        "steps since the last value": 0,
        "flag: single point": 1,
        "flag: short": 1,
    }
    assert found["quarantine"]["line"].tolist() == [3]
    series, account = found["series"], found["report"]
    with pytest.raises(PanelError, match="no series has a value"):
        report_quality(series.assign(n_observations=0), raw, sources, "latest", account)


@pytest.mark.parametrize("measure", ["rows in", "rows kept"])
def test_a_row_that_is_not_accounted_for_is_an_error(tmp_path: Path, measure: str) -> None:
    sources = sources_of()
    raw = store_rows(tmp_path, sources, load=table(hourly({0: 1, 1: 1})))["load"]
    found = clean_up({"load": raw}, sources, make_task())
    account = found["report"][lambda its: ~its["measure"].str.startswith("flag")]
    lost = account.assign(value=account["value"] - (account["measure"] == measure))
    with pytest.raises(PanelError, match="a defect of the cleaning, please report it"):
        report_quality(found["series"], raw, sources, "latest", lost)
    both = account.assign(value=account["value"] - account["measure"].str.startswith("rows"))
    with pytest.raises(PanelError, match="source 'load': 2 rows collected, 1 cleaned"):
        report_quality(found["series"], raw, sources, "latest", both)


def test_a_panel_that_is_mostly_imputed_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = hourly(dict.fromkeys(range(48), 1))
    clean(tmp_path / "hours", rows)
    assert "imputed" not in caplog.text
    clean(tmp_path / "quarters", rows, freq="15min")
    assert "of the panel's steps are imputed: is 'task.freq' the step of the data?" in caplog.text


def test_how_much_was_rejected_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = hourly(dict.fromkeys(range(20), 1))
    with caplog.at_level(logging.INFO):
        clean(tmp_path / "few", [*rows, ("a", "soon", "1")])
        clean(tmp_path / "many", [*rows[:5], ("a", "soon", "1"), *hourly({1: "x", 2: "y"}, "b")])
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [line for line in said if "quarantined" in line[1]] == [
        (
            "INFO",
            "Source 'load': 1 of 21 rows are quarantined, most for 'time not readable' "
            "(dataset 'quarantine')",
        ),
        (
            "WARNING",
            "Source 'load': 3 of 8 rows are quarantined, most for 'not a number' "
            "(dataset 'quarantine')",
        ),
    ]
