"""The live French environment, against a server that speaks and fails as the portals do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from environments import EnvironmentLine, copy_environment
from replay_server import ReplayServer, Weather, eco2mix, quarter_hours

pytestmark = pytest.mark.e2e

TR = "eco2mix-national-tr"
# The portal knows March and the first days of April, and answers on the morning of 3 April. The
# clocks of Paris went forward on 31 March.
FIRST, TODAY, TOMORROW = dt.date(2024, 3, 1), dt.date(2024, 4, 2), dt.date(2024, 4, 3)
LOAD = quarter_hours("2024-02-29", "2024-04-05")
HOURLY = LOAD.tz_localize(None).resample("h").mean()
# Midnight of TODAY in Paris, up to which the panel reaches, in naive UTC.
END = pd.Timestamp("2024-04-01 22:00")
STAGES = "--pipelines=collect,clean"
ONE_PROCESS = "--runner=SequentialRunner"
HOUR = pd.Timedelta("1h")


def table(known_until: str = "2024-04-03 06:00", **changes: Any) -> pd.DataFrame:
    return eco2mix(LOAD, known_until=known_until, **changes)


def revise(rows: pd.DataFrame, day: str, megawatts: int) -> pd.DataFrame:
    """The portal's table with other values on a day (UTC)."""
    more = (rows["date_heure"].dt.strftime("%Y-%m-%d") == day) * megawatts
    return rows.assign(consommation=rows["consommation"] + more)


def portals() -> ReplayServer:
    return ReplayServer({TR: table()}, Weather(last=TODAY + dt.timedelta(days=16)))


def turn_to(
    server: ReplayServer, folder: Path, sources: set[str] | None = None, **changes: Any
) -> EnvironmentLine:
    """The environment, turned to the server.

    Args:
        server: that stands in for the portals.
        folder: for the copy of the configuration, and for the data.
        sources: to keep; all if not given.
        changes: keys of `http`.
    """
    line = copy_environment(
        folder, "rte", odre_url=server.odre_url, open_meteo_url=server.open_meteo_url
    )

    def edit(parameters: dict[str, Any]) -> None:
        for name in list(parameters["sources"]):
            if sources is not None and name not in sources:
                del parameters["sources"][name]
        parameters["n_shards"] = 1
        for source in parameters["sources"].values():
            if "http" in source:
                source["http"]["window"]["since"] = FIRST.isoformat()
                # Nobody waits in a test.
                source["http"] |= {"longest_wait": 1, **changes}

    line.change(edit)
    return line


@pytest.fixture
def server() -> Iterator[ReplayServer]:
    with portals() as running:
        yield running


@pytest.fixture
def make_rte(tmp_path: Path, server: ReplayServer) -> Callable[..., EnvironmentLine]:
    """A function from changed keys of `http` to the environment with two of its sources."""

    def make(**changes: Any) -> EnvironmentLine:
        return turn_to(server, tmp_path, {"consumption", "weather_paris"}, **changes)

    return make


@dataclass
class Whole:
    """One run of the whole environment."""

    line: EnvironmentLine
    server: ReplayServer


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with portals() as server:
        server.weather.nulls.add(pd.Timestamp("2024-03-10 12:00", tz="UTC"))
        line = turn_to(server, tmp_path_factory.mktemp("rte"))
        run(line, TODAY)
        yield Whole(line, server)


def run(line: EnvironmentLine, as_of: dt.date, *options: str) -> str:
    return line.run(STAGES, ONE_PROCESS, "--params", f"as_of={as_of}", *options).stdout


def load_of(line: EnvironmentLine) -> pd.DataFrame:
    panel = line.read("03_primary/panel.parquet").set_index("ds")
    assert set(panel["unique_id"]) == {"france"}
    return panel


def measures(line: EnvironmentLine, source: str) -> pd.Series:
    """Rows by measure, after seeing that none is lost."""
    quality = line.read("08_reporting/quality_report.parquet")
    found = quality[quality["source"] == source].groupby("measure")["value"].sum()
    fates = found[found.index.str.startswith(("excluded: ", "quarantined: "))]
    assert found["rows in"] == found["rows kept"] + fates.sum()
    return found


def snapshots(line: EnvironmentLine, source: str) -> pd.DataFrame:
    """The manifest of a source: `day`, `known_from`, `rows`, `content`, one row a version."""
    return line.read(f"01_raw/{source}/manifest.parquet")


def assert_is_the_load(panel: pd.DataFrame, end: pd.Timestamp = END) -> None:
    """Every hour from the first day up to `end`, with the mean of its quarter-hours."""
    expected = HOURLY[(HOURLY.index >= pd.Timestamp(FIRST)) & (HOURLY.index < end)]
    assert list(panel.index) == list(expected.index)
    assert not panel["is_imputed"].any()
    np.testing.assert_allclose(panel["y"], expected)


def asked_days(server: ReplayServer) -> list[tuple[str, str]]:
    """First and last day of every question about consumption."""
    found = []
    for request in server.asked("exports/csv"):
        first, last = request.params["where"].split("date'")[1:]
        found.append((first[:10], last[:10]))
    return found


def test_quarter_hours_become_hours(whole):
    assert_is_the_load(load_of(whole.line))
    assert asked_days(whole.server) == [("2024-03-01", "2024-04-01")]


def test_every_row_of_the_portal_is_accounted_for(whole):
    """A day has 96 rows; the one on which clocks go forward has four times twice."""
    found = measures(whole.line, "consumption")
    assert found["rows in"] == 32 * 96 + 4
    assert found["quarantined: duplicate of an earlier row"] == 4
    assert found["excluded: period not complete at as_of"] == 2 * 4
    events = whole.line.read("08_reporting/quality_events.parquet")
    assert set(events["kind"]) == {"clock change"}
    assert set(events["start"]) == {pd.Timestamp("2024-03-31 01:00")}
    assert whole.line.read("08_reporting/schema_drift.parquet").empty


def test_the_weather_is_known_for_today_and_tomorrow(whole):
    panel = load_of(whole.line)
    future = whole.line.read("03_primary/future.parquet").set_index("ds")
    assert list(future.index) == list(pd.date_range(END, periods=48, freq="h"))
    paris = whole.server.weather.temperature(48.86, 2.35, future.index.tz_localize("UTC"))
    np.testing.assert_allclose(future["temperature_paris"], paris, rtol=1e-6)
    assert future.filter(like="temperature_").shape[1] == 10
    assert future.filter(like="temperature_").notna().all(axis=None)
    assert measures(whole.line, "weather_paris")["missing cells: temperature_2m"] == 1
    # One hour without a forecast is bridged.
    assert panel["temperature_paris"].notna().all()
    assert len(whole.server.asked("/v1/forecast")) == 10


def test_holidays_are_those_of_paris(whole):
    panel = load_of(whole.line)
    local = panel.index.tz_localize("UTC").tz_convert("Europe/Paris").strftime("%Y-%m-%d")
    assert set(local[panel["holiday_distance"] == 0]) == {"2024-04-01"}
    # Winter holidays ended on 3 March, 10 March and 25 February; spring's are yet to come.
    for zone, end in {"a": "2024-03-03", "b": "2024-03-10", "c": "2024-02-25"}.items():
        assert (panel[f"school_holiday_{zone}"].to_numpy() == (local <= end)).all()


def test_the_next_run_asks_for_what_is_new_and_what_may_have_changed(make_rte, server):
    line = make_rte()
    run(line, TODAY)
    days = len(snapshots(line, "consumption"))
    assert days == 32
    server.forget()
    run(line, TOMORROW)
    assert asked_days(server) == [("2024-03-18", "2024-04-02")]
    assert len(snapshots(line, "consumption")) == days + 1
    assert_is_the_load(load_of(line), END + 24 * HOUR)
    [weather] = server.asked("/v1/forecast")
    assert weather.params["end_date"] == "2024-04-04"
    # From yesterday, less two: what was ahead then may have changed since.
    assert weather.params["start_date"] == "2024-03-31"
    run(line, TOMORROW)
    assert len(snapshots(line, "consumption")) == days + 1


def test_a_revised_day_is_a_new_snapshot_and_the_old_one_stays(make_rte, server):
    line = make_rte()
    run(line, TODAY)
    before = snapshots(line, "consumption")
    # The second day is too long ago to be asked for again.
    server.datasets[TR] = revise(revise(table(), "2024-03-30", 1_000), "2024-03-05", 1_000)
    run(line, TOMORROW)
    versions = snapshots(line, "consumption").groupby("day")
    assert versions.size().to_dict() == {
        day: 2 if day == "2024-03-30" else 1 for day in [*before["day"], "2024-04-02"]
    }
    revised = versions.get_group("2024-03-30")
    assert list(revised["known_from"]) == ["2024-03-31", "2024-04-03"]
    panel = load_of(line)
    changed = panel["y"] - HOURLY[panel.index]
    assert set(changed[changed.abs() > 1e-6].index.strftime("%Y-%m-%d")) == {"2024-03-30"}
    assert changed.max() == pytest.approx(1_000)
    # As of the day before, nobody knew.
    line.run("--pipelines=clean", ONE_PROCESS, "--params", f"as_of={TODAY}")
    assert_is_the_load(load_of(line))


def test_a_later_weather_forecast_replaces_the_earlier_one(make_rte, server):
    line = make_rte()
    run(line, TODAY)
    warmer = pd.Timestamp("2024-04-02", tz="UTC")
    server.weather.warmer[warmer] = 5.0
    run(line, TOMORROW)
    panel = load_of(line)
    last = panel[panel.index >= warmer.tz_localize(None)]
    paris = server.weather.temperature(48.86, 2.35, last.index.tz_localize("UTC"))
    assert len(last) == 22
    np.testing.assert_allclose(last["temperature_paris"], paris, rtol=1e-6)


def test_faults_that_pass_are_waited_out(make_rte, server):
    server.fail(429, "exports", times=2, retry_after="1")
    server.fail(500, "exports")
    server.cut("exports")
    server.fail(503, "/v1/forecast")
    server.cut("/v1/forecast")
    server.drop("/v1/forecast")
    line = make_rte()
    run(line, TODAY)
    assert_is_the_load(load_of(line))
    assert [request.status for request in server.asked("exports")] == [429, 429, 500, 200, 200]
    assert [request.status for request in server.asked("/v1/forecast")] == [503, 200, 0, 200]
    assert measures(line, "consumption")["rows in"] == 32 * 96 + 4


def test_an_answer_that_stalls_is_asked_for_again(make_rte, server):
    server.delay(30, "exports")
    line = make_rte(timeout=2)
    run(line, TODAY)
    assert_is_the_load(load_of(line))
    assert len(server.asked("exports")) == 2


def test_a_fault_that_stays_ends_the_run_with_what_was_asked_and_answered(make_rte, server):
    line = make_rte(attempts=2)
    server.fail(500, "exports", times=100)
    message = line.refused(STAGES, ONE_PROCESS, "--params", f"as_of={TODAY}")
    assert "source 'consumption'" in message
    assert "500" in message
    assert f"/catalog/datasets/{TR}/exports/csv" in message
    assert len(server.asked("exports")) == 2
    assert not (line.data / "03_primary/panel.parquet").exists()
    server.forget()
    run(line, TODAY)
    assert_is_the_load(load_of(line))


def test_an_export_that_the_portal_breaks_off_leaves_a_trace_and_is_mended(make_rte, server):
    """With status 200 and a sentence for a last row: the rows after it are missing."""
    server.interrupt("exports")
    line = make_rte()
    said = line.run(STAGES, ONE_PROCESS, "--params", f"as_of={TODAY}", check=False)
    if said.returncode:
        assert "Streaming interrupted" in said.stderr
        assert "source 'consumption'" in said.stderr
    else:
        rejected = line.read("08_reporting/quarantine.parquet")
        assert rejected["row"].str.contains("Streaming interrupted").sum() == 1
        assert load_of(line)["is_imputed"].sum() > 24
    run(line, TODAY)
    assert_is_the_load(load_of(line))


def test_a_renamed_column_is_an_error_that_says_so(make_rte, server):
    line = make_rte()
    run(line, TODAY)
    server.datasets[TR] = table().rename(columns={"consommation": "consommation_mw"})
    server.forget()
    message = line.refused(STAGES, ONE_PROCESS, "--params", f"as_of={TOMORROW}")
    assert "source 'consumption'" in message
    assert "400" in message
    assert "Unknown field: consommation" in message
    # To ask again would not help.
    assert len(server.asked("exports")) == 1
    assert len(snapshots(line, "consumption")) == 32


def test_a_lost_column_is_an_error_that_names_those_there_are(make_rte, server):
    """Where all columns are asked for, the portal has nothing to object."""
    line = make_rte()

    def ask_for_all(parameters: dict[str, Any]) -> None:
        del parameters["sources"]["consumption"]["http"]["params"]["select"]

    line.change(ask_for_all)
    server.datasets[TR] = table().rename(columns={"consommation": "consommation_mw"})
    message = line.refused(STAGES, ONE_PROCESS, "--params", f"as_of={TODAY}")
    assert "source 'consumption'" in message
    assert "has no column 'consommation'" in message
    assert "'consommation_mw'" in message


def test_a_new_column_changes_nothing_that_was_collected(make_rte, server):
    line = make_rte()

    def ask_for_all(parameters: dict[str, Any]) -> None:
        del parameters["sources"]["consumption"]["http"]["params"]["select"]

    line.change(ask_for_all)
    run(line, TODAY)
    server.datasets[TR] = table().assign(stockage_batterie=-269)
    said = run(line, TOMORROW)
    assert_is_the_load(load_of(line), END + 24 * HOUR)
    assert snapshots(line, "consumption")["day"].nunique() == 33
    drift = line.read("08_reporting/schema_drift.parquet")
    assert drift[["source", "kind", "column"]].to_numpy().tolist() == [
        ["consumption", "column added", "stockage_batterie"]
    ]
    assert "column added 'stockage_batterie'" in said


def test_values_of_another_type_are_quarantined(make_rte, server):
    rows = table()
    last_day = rows["date_heure"].dt.strftime("%Y-%m-%d") == "2024-03-30"
    text = rows["consommation"].astype(object).mask(last_day, "en attente")
    server.datasets[TR] = rows.assign(consommation=text)
    line = make_rte()
    run(line, TODAY)
    rejected = line.read("08_reporting/quarantine.parquet")
    rejected = rejected[rejected["reason"] == "not a number"]
    assert set(rejected["source"]) == {"consumption"}
    assert len(rejected) == 96
    assert rejected["row"].str.contains("en attente").all()
    panel = load_of(line)
    assert set(panel.index[panel["is_imputed"]].strftime("%Y-%m-%d")) == {"2024-03-30"}
    assert panel["is_imputed"].sum() == 24
    gaps = line.read("08_reporting/quality_events.parquet")
    gaps = gaps[(gaps["kind"] == "gap") & (gaps["unique_id"] == "france")]
    start = pd.Timestamp("2024-03-30")
    assert gaps[["start", "end", "steps"]].to_numpy().tolist() == [[start, start + 24 * HOUR, 24]]


def test_steps_may_become_shorter(make_rte, server):
    """By the hour at first, by the quarter-hour from 20 March on: the grid is the same."""
    rows = table()
    early = rows["date_heure"] < pd.Timestamp("2024-03-20", tz="UTC")
    server.datasets[TR] = rows[~early | (rows["date_heure"].dt.minute == 0)]
    line = make_rte()
    run(line, TODAY)
    drift = line.read("08_reporting/schema_drift.parquet")
    assert drift[["day", "kind", "before", "after"]].to_numpy().tolist() == [
        ["2024-03-20", "granularity changed", "60 min", "15 min"]
    ]
    panel = load_of(line)
    on_the_hour = LOAD.tz_localize(None)[panel.index]
    expected = HOURLY[panel.index].where(panel.index >= pd.Timestamp("2024-03-20"), on_the_hour)
    np.testing.assert_allclose(panel["y"], expected)
    assert not panel["is_imputed"].any()
    assert list(panel.index) == list(pd.date_range(FIRST, END, freq="h", inclusive="left"))


def test_consolidated_data_are_read_by_the_same_source(make_rte, server):
    """Every other row is empty; the hours are means of two values."""
    server.datasets = {"eco2mix-national-cons-def": table(half_hourly=True)}
    line = make_rte()
    globals_file = line.conf / "rte/globals.yml"
    globals_file.write_text(globals_file.read_text().replace(TR, "eco2mix-national-cons-def"))
    run(line, TODAY)
    panel = load_of(line)
    expected = LOAD[LOAD.index.minute % 30 == 0].tz_localize(None).resample("h").mean()
    np.testing.assert_allclose(panel["y"], expected[panel.index])
    assert not panel["is_imputed"].any()
    # Half of the rows up to midnight in Paris.
    assert measures(line, "consumption")["excluded: no value"] == 32 * 48 - 4


def test_days_before_the_portals_first_are_no_error(make_rte, server):
    """What was consolidated is no longer there: an export of a header and no rows."""
    line = make_rte()

    def begin_earlier(parameters: dict[str, Any]) -> None:
        window = parameters["sources"]["consumption"]["http"]["window"]
        window |= {"since": "2023-06-01", "max_days": 92}

    line.change(begin_earlier)
    run(line, TODAY)
    days = asked_days(server)
    assert [days[0][0], days[-1][1]] == ["2023-06-01", "2024-04-01"]
    assert len(days) == 4
    panel = load_of(line)
    assert panel.index[0] == LOAD.index[0].tz_localize(None)
    assert not panel["is_imputed"].any()


def test_the_hour_that_clocks_repeat_is_a_gap_of_one(make_rte, server):
    """The portal has its second half only: 00:00 to 00:45 UTC of 27 October are not there."""
    load = quarter_hours("2024-10-01", "2024-11-01")
    server.datasets[TR] = eco2mix(load)
    server.weather.last = dt.date(2024, 11, 15)
    line = make_rte()

    def begin_later(parameters: dict[str, Any]) -> None:
        for source in parameters["sources"].values():
            if "http" in source:
                source["http"]["window"]["since"] = "2024-10-02"

    line.change(begin_later)
    run(line, dt.date(2024, 10, 31))
    panel = load_of(line)
    absent = pd.Timestamp("2024-10-27 00:00")
    assert list(panel.index[panel["is_imputed"]]) == [absent]
    events = line.read("08_reporting/quality_events.parquet")
    gaps = events[(events["kind"] == "gap") & (events["unique_id"] == "france")]
    assert gaps[["start", "end", "steps"]].to_numpy().tolist() == [[absent, absent + HOUR, 1]]
    changes = set(events.loc[events["kind"] == "clock change", "start"])
    assert changes == {pd.Timestamp("2024-10-27 01:00")}
