"""Runs at an hour of the day: what is collected, what the panel knows, and what is forecast."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import account_of, check_tables, clean_up

from clepsydra.config import SourcesConfig, TaskConfig
from clepsydra.datasets.raw_store import RawStore, RawStoreDataset
from clepsydra.fingerprint import fingerprint
from clepsydra.models.intervals import calibrate
from clepsydra.pipelines.collect import nodes as collect
from clepsydra.pipelines.collect.nodes import collect_source, collect_target
from clepsydra.pipelines.forecast.nodes import assemble_forecasts
from clepsydra.sources.reader import read_source
from helpers import make_source, make_task, project_models

PARIS = "Europe/Paris"
FIRST = pd.Timestamp("2013-07-01")
HOUR = pd.Timedelta("1h")


def gated(gate: str = "09:00", **changes: Any) -> TaskConfig:
    return make_task(**{"gate": gate, "horizon": "1D", "timezone": PARIS, **changes})


class Line:
    """Files of hours, in local time, and runs that collect and clean them.

    Attributes:
        source: changes of the target.
    """

    def __init__(self, folder: Path, task: TaskConfig, **source: Any):
        self.folder = folder
        self.task = task
        past = {"role": "covariate", "path": "past.csv", "time": "time", "timezone": PARIS}
        self.sources = SourcesConfig.model_validate(
            {
                "load": make_source(**{"path": "load.csv", "timezone": PARIS, **source}),
                "past": {**past, "columns": {"value": "wind"}},
                "ahead": {**past, "path": "ahead.csv", "known": "in_advance", "columns": ["sun"]},
            }
        )
        self.stores = {
            name: RawStoreDataset(str(folder / "raw" / name)) for name, _ in self.sources.items()
        }

    def write(self, until: str, value: int = 1, since: pd.Timestamp = FIRST) -> None:
        """The hours before `until` have happened; the sun of ten days is known."""
        times = pd.date_range(since, until, freq="h", inclusive="left")
        rows = [f"a,{time},{value}" for time in times]
        (self.folder / "load.csv").write_text("\n".join(["id,time,value", *rows]) + "\n")
        rows = [f"{time},{value}" for time in times]
        (self.folder / "past.csv").write_text("\n".join(["time,value", *rows]) + "\n")
        ahead = pd.date_range(FIRST, periods=240, freq="h")
        rows = [f"{time},{time.hour}" for time in ahead]
        (self.folder / "ahead.csv").write_text("\n".join(["time,sun", *rows]) + "\n")

    def collect(self, as_of: str) -> str:
        how = (str(self.folder), {})
        held = {name: store.load() for name, store in self.stores.items()}
        feed, collected = collect_target(self.sources, as_of, *how, held["load"], self.task)
        self.stores["load"].save(feed)
        for name in ("past", "ahead"):
            feed = collect_source(self.sources, collected, *how, held[name], self.task, name=name)
            self.stores[name].save(feed)
        return collected["as_of"]

    def raw(self, name: str = "load") -> RawStore:
        return self.stores[name].load()

    def clean(self, as_of: str, task: TaskConfig | None = None) -> dict[str, Any]:
        raw = {name: store.load() for name, store in self.stores.items()}
        return clean_up(raw, self.sources, task or self.task, as_of)


def utc(local: str) -> pd.Timestamp:
    return pd.Timestamp(local).tz_localize(PARIS).tz_convert("UTC").tz_localize(None)


def check(found: dict[str, Any], as_of: str, panel_end: str) -> None:
    """The panel ends there, and `future` is all steps from there to the end of the next day."""
    panel, future, clock = found["panel"], found["future"], found["clock"]
    end, tomorrow = utc(panel_end), pd.Timestamp(as_of) + pd.Timedelta(days=2)
    assert clock["as_of"] == as_of
    assert pd.Timestamp(clock["panel_end"]) == end
    assert pd.Timestamp(clock["cutoff"]) == panel["ds"].max() == end - HOUR
    assert future["ds"].tolist() == pd.date_range(end, utc(str(tomorrow)) - HOUR, freq="h").tolist()


def test_a_run_knows_the_hours_before_its_gate(tmp_path: Path) -> None:
    line = Line(tmp_path, gated())
    line.write("2013-07-03 12:00")
    line.collect("2013-07-03")
    assert line.raw().read()["time"].max() == "2013-07-03 08:00:00"
    assert line.raw("past").read()["time"].max() == "2013-07-03 08:00:00"
    found = line.clean("2013-07-03")
    check(found, "2013-07-03", "2013-07-03 09:00")
    assert not found["panel"]["is_imputed"].any()
    assert found["panel"]["wind"].notna().all()
    assert found["future"]["sun"].notna().all()
    assert found["clock"]["known_until"] == found["clock"]["panel_end"]


def test_the_next_run_sees_the_whole_day_and_an_earlier_one_still_its_morning(
    tmp_path: Path,
) -> None:
    line = Line(tmp_path, gated())
    for day in range(2, 6):
        line.write(f"2013-07-0{day} 09:00", value=day)
        line.collect(f"2013-07-0{day}")
    before = {day: line.clean(f"2013-07-0{day}") for day in range(2, 6)}
    for day, found in before.items():
        check(found, f"2013-07-0{day}", f"2013-07-0{day} 09:00")
        assert set(found["panel"]["y"]) == {day}
    later = Line(tmp_path, gated())
    later.write("2013-07-07 09:00", value=9)
    later.collect("2013-07-07")
    for day, found in before.items():
        again = later.clean(f"2013-07-0{day}")
        pd.testing.assert_frame_equal(again["panel"], found["panel"])
        assert again["clock"] == found["clock"]


def test_collecting_an_earlier_day_again_takes_nothing_from_later_runs(tmp_path: Path) -> None:
    line = Line(tmp_path, gated())
    line.write("2013-07-06 09:00")
    line.collect("2013-07-03")
    line.collect("2013-07-05")
    rows = line.raw().read()
    line.collect("2013-07-03")
    line.collect("2013-07-04")
    assert line.raw().read().equals(rows)
    assert line.raw("past").read()["time"].max() == "2013-07-05 08:00:00"
    check(line.clean("2013-07-05"), "2013-07-05", "2013-07-05 09:00")


def test_of_days_collected_at_once_each_run_knows_the_hours_before_its_gate(
    tmp_path: Path,
) -> None:
    line = Line(tmp_path, gated())
    line.write("2013-07-08")
    line.collect("2013-07-07")
    found = line.clean("2013-07-04")
    check(found, "2013-07-04", "2013-07-04 09:00")
    assert found["panel"]["wind"].notna().all()
    totals = account_of(found["report"][found["report"]["source"] == "load"])
    assert totals["excluded: period not complete at as_of"] == 15
    for name in ("load", "past"):
        check_tables(4 * 24, found["report"], found["quarantine"], source=name)


def test_an_hour_that_a_later_run_was_the_first_to_see_was_not_known(tmp_path: Path) -> None:
    """The feed of the 4th is late: at 9:00 it had nothing of that day."""
    line = Line(tmp_path, gated())
    line.write("2013-07-04")
    line.collect("2013-07-04")
    found = line.clean("2013-07-04")
    # As far as the data reach; what is forecast is the same day.
    check(found, "2013-07-04", "2013-07-04 00:00")
    line.write("2013-07-05 09:00")
    line.collect("2013-07-05")
    pd.testing.assert_frame_equal(line.clean("2013-07-04")["panel"], found["panel"])
    check(line.clean("2013-07-05"), "2013-07-05", "2013-07-05 09:00")


@pytest.mark.parametrize(
    ("until", "panel_end", "zeros"),
    [
        ("2013-07-05 09:00", "2013-07-05 09:00", 0),
        ("2013-07-05 08:00", "2013-07-05 08:00", 0),
        ("2013-07-05 00:00", "2013-07-05 00:00", 0),
        ("2013-07-04 20:00", "2013-07-05 00:00", 4),
    ],
)
def test_the_panel_ends_where_the_data_do_if_that_is_today(
    tmp_path: Path, until: str, panel_end: str, zeros: int
) -> None:
    line = Line(tmp_path, gated(fill="zero"))
    line.write(until)
    line.collect("2013-07-05")
    found = line.clean("2013-07-05")
    check(found, "2013-07-05", panel_end)
    # Of the last day that has a row, what has none is a zero.
    assert (found["panel"]["y"] == 0).sum() == zeros
    assert not found["panel"]["is_imputed"].any()


@pytest.mark.parametrize(
    ("until", "as_of", "panel_end"),
    [
        ("2013-07-05 09:00", "2013-07-05", "2013-07-05 09:00"),
        ("2013-07-05 10:00", "2013-07-06", "2013-07-05 10:00"),
        ("2013-07-05 00:00", "2013-07-05", "2013-07-05 00:00"),
    ],
)
def test_latest_is_the_first_run_that_knows_all(
    tmp_path: Path, until: str, as_of: str, panel_end: str
) -> None:
    line = Line(tmp_path, gated())
    line.write(until)
    assert line.collect("latest") == as_of
    check(line.clean("latest"), as_of, panel_end)


def test_what_was_collected_without_a_gate_does_not_know_the_morning(tmp_path: Path) -> None:
    line = Line(tmp_path, make_task(gap="1D", horizon="1D", timezone=PARIS))
    line.write("2013-07-08")
    line.collect("2013-07-06")
    check(line.clean("2013-07-05", gated()), "2013-07-05", "2013-07-05 00:00")
    # And without one what was collected with one is as if it had none.
    other = Line(tmp_path / "raw", gated())
    other.write("2013-07-08")
    other.collect("2013-07-06")
    check(other.clean("2013-07-06", line.task), "2013-07-06", "2013-07-06 00:00")


def test_a_covariate_of_whole_days_is_known_when_they_are_over(tmp_path: Path) -> None:
    line = Line(tmp_path, gated())
    line.write("2013-07-08")
    line.sources.root["past"] = line.sources.root["past"].model_copy(update={"lasts": "1D"})
    days = pd.date_range(FIRST, periods=6, freq="D")
    rows = [f"{day},{number}" for number, day in enumerate(days)]
    (tmp_path / "past.csv").write_text("\n".join(["time,value", *rows]) + "\n")
    line.collect("2013-07-04")
    panel = line.clean("2013-07-04")["panel"].set_index("ds")
    assert panel["wind"].dropna().index.max() == utc("2013-07-03 23:00")


@pytest.mark.parametrize(
    ("zone", "gate", "until"),
    [
        (PARIS, "09:00", "2013-07-06"),
        (PARIS, "00:00", "2013-07-05"),
        ("America/New_York", "05:00", "2013-07-05"),
        ("Asia/Tokyo", "23:00", "2013-07-07"),
    ],
)
def test_an_api_is_asked_for_the_day_in_which_the_gate_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, gate: str, until: str
) -> None:
    line = Line(tmp_path, gated(gate), timezone=zone)
    line.write("2013-07-03")
    asked: dict[str, dt.date] = {}

    def remember(name: str, source: Any, as_of: dt.date, *others: Any) -> Any:
        asked[name] = as_of
        return read_source(name, source, as_of, *others)

    monkeypatch.setattr(collect, "read_source", remember)
    line.collect("2013-07-05")
    # The first day that it is not asked for.
    assert asked["load"] == dt.date.fromisoformat(until)
    assert asked["ahead"] == dt.date(2013, 7, 5)


@settings(max_examples=12)
@given(
    st.sampled_from(["UTC", "America/New_York", "Asia/Tokyo"]),
    st.sampled_from(["00:00", "05:00", "09:20", "23:00"]),
    st.integers(2, 6),
)
def test_whatever_the_days_of_a_source_are_a_run_knows_what_is_over_at_the_gate(
    tmp_path_factory: pytest.TempPathFactory, zone: str, gate: str, day: int
) -> None:
    line = Line(tmp_path_factory.mktemp("line"), gated(gate), timezone=zone)
    # The times of the target are those of its own zone.
    line.write("2013-07-12", since=FIRST - pd.Timedelta("2D"))
    line.collect("2013-07-09")
    hour = f"2013-07-0{day} {gate[:2]}:00"
    check(line.clean(f"2013-07-0{day}"), f"2013-07-0{day}", hour)
    live = Line(line.folder / "raw", gated(gate), timezone=zone)
    for number in range(2, day + 1):
        live.write("2013-07-12", since=FIRST - pd.Timedelta("2D"))
        live.collect(f"2013-07-0{number}")
    found = live.clean(f"2013-07-0{day}")
    check(found, f"2013-07-0{day}", hour)
    assert not found["panel"]["is_imputed"].any()


def test_what_is_published_starts_at_midnight(tmp_path: Path) -> None:
    task = gated()
    line = Line(tmp_path, task)
    line.write("2013-07-03 12:00")
    line.collect("2013-07-03")
    found = line.clean("2013-07-03")
    points = found["future"][["unique_id", "ds"]].assign(y_hat=1.0, model="theta")
    residuals = points.assign(y=2.0, cutoff=points["ds"].min())
    calibration = calibrate(residuals)
    bundle = {
        "bundle_id": "b",
        "calibration_sha256": [fingerprint(calibration)],
        "champions": {"a": "theta"},
        "models": project_models().model_dump(mode="json"),
        "task": task.model_dump(mode="json"),
        "weights": {},
    }
    assigned = pd.DataFrame({"unique_id": ["a"], "model": ["theta"], "explain": [False]})
    described = found["series"], task, project_models(), found["clock"]
    published = assemble_forecasts(bundle, assigned, calibration, *described, points)
    assert published["ds"].tolist() == [utc("2013-07-04") + n * HOUR for n in range(24)]
    assert set(published["cutoff"]) == {utc("2013-07-03 08:00")}
    assert set(published["cutoff"].dt.date) == {dt.date(2013, 7, 3)}
