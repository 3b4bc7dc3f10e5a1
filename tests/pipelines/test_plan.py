"""The models that run are those that fit in the budget, by the nodes of the train stage."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsforecast  # noqa: F401  importing it takes seconds, of any budget

from clepsydra.config import (
    BudgetConfig,
    CleaningConfig,
    ModelsConfig,
    SourcesConfig,
    WindowsConfig,
)
from clepsydra.models.planning import Estimate, choose, only
from clepsydra.models.timing import Schedule
from clepsydra.pipelines.split.nodes import make_windows
from clepsydra.pipelines.train import plan as plan_module
from clepsydra.pipelines.train import tuning as tuning_module
from clepsydra.pipelines.train.nodes import (
    assemble_backtests,
    backtest_models,
    measure_members,
    total_costs,
    weigh_members,
)
from clepsydra.pipelines.train.plan import plan_models
from clepsydra.runners.machine import Machine
from helpers import make_series, make_source, make_task

SOURCES = SourcesConfig(root={"sales": make_source(time_format="%Y-%m-%d")})
TASK = make_task(freq="D", season_lengths=[7], horizon=3)
NAIVE = {"engine": "statsforecast", "options": {"model": "SeasonalNaive"}}


def sleeping(scope: str = "Sleeping", **options: Any) -> dict[str, Any]:
    return {"engine": f"sleeping.{scope}", "options": options}


def combined(engine: str, *members: str) -> dict[str, Any]:
    return {"engine": engine, "options": {"of": list(members)}}


class Stage:
    """Twelve daily series in two shards, and the stage's nodes over them."""

    def __init__(self, folder: Path, windows: int = 3, refit_every: int = 2) -> None:
        random = np.random.default_rng(0)
        self.panels = [
            pd.concat(
                make_series(
                    f"{shard}{number:02}",
                    "2024-01-01",
                    20 + random.poisson(5, 100 - 5 * number),
                    freq="D",
                ).assign(ds=lambda its: its["ds"] + (pd.Timestamp("2024-04-09") - its["ds"].max()))
                for number in range(6)
            )
            for shard in "ab"
        ]
        self.files = [folder / f"shard_{number}.parquet" for number in range(2)]
        for file, panel in zip(self.files, self.panels, strict=True):
            panel.to_parquet(file)
        self.panel = pd.concat(self.panels, ignore_index=True)
        groups = self.panel.groupby("unique_id")
        self.series = groups["ds"].agg(["min", "size"]).reset_index()
        self.series.columns = ["unique_id", "first_ds", "n_observations"]
        ahead = pd.date_range("2024-04-10", periods=3, freq="D")
        self.future = self.series[["unique_id"]].merge(pd.DataFrame({"ds": ahead}), how="cross")
        self.config = WindowsConfig(
            calibrate=0, select=windows - 1, report=1, refit_every=refit_every
        )
        clock = {"panel_end": "2024-04-10"}
        self.windows = make_windows(self.series, TASK, self.config, clock)

    def plan(
        self, models: dict[str, Any], minutes: float | None
    ) -> tuple[ModelsConfig, pd.DataFrame]:
        return plan_models(
            *(self.future, self.series, self.windows, SOURCES, TASK),
            *(ModelsConfig.model_validate(models), self.config, CleaningConfig()),
            BudgetConfig(minutes=minutes),
            *self.files,
        )

    def backtest(
        self, models: ModelsConfig, panel: pd.DataFrame, name: str | None = None
    ) -> tuple[pd.DataFrame, ...]:
        its_future = self.future[self.future["unique_id"].isin(panel["unique_id"])]
        return backtest_models(
            *(panel, its_future, self.series, self.windows, SOURCES, TASK),
            *(models, self.config, CleaningConfig()),
            name=name,
        )

    def run(self, models: ModelsConfig, *globals_: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Backtests and costs; `globals_` are those that the pipeline has a node for."""
        local = [self.backtest(models, panel) for panel in self.panels]
        others = [self.backtest(models, self.panel, name) for name in globals_]
        points = [table[0] for table in others]
        common = (self.windows, TASK, models)
        errors = [
            measure_members(panel, its[0], *common, *points)
            for panel, its in zip(self.panels, local, strict=True)
        ]
        weights = weigh_members(*common, *errors)
        backtests = [
            assemble_backtests(panel, its[0], *common, weights, *points)
            for panel, its in zip(self.panels, local, strict=True)
        ]
        costs = total_costs(*(table[2] for table in [*local, *others]))
        return pd.concat(backtests, ignore_index=True), costs


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


MODELS = {
    "naive": NAIVE,
    "slow": sleeping(fit=10.0),
    "last": sleeping(),
    "slow_over_all": sleeping("SleepingOverAll", fit=200.0),
    "weighted": combined("weighted", "naive", "slow", "last", "slow_over_all"),
    "median": combined("median", "slow", "slow_over_all", "last"),
}


def test_slow_models_are_left_out_and_their_combinations_run_without_them(stage: Stage) -> None:
    planned, plan = stage.plan(MODELS, minutes=0.4)
    assert plan["model"].tolist() == list(MODELS)
    assert dict(zip(plan["model"], plan["runs"], strict=True)) == {
        **dict.fromkeys(["naive", "last", "weighted"], True),
        **dict.fromkeys(["slow", "slow_over_all", "median"], False),
    }
    reasons = plan.set_index("model")["reason"]
    assert reasons[["naive", "last"]].str.fullmatch(r"fits: [\d.e-]+ s of the 24 s").all()
    assert reasons["slow"].startswith("left out: ")
    assert reasons["slow_over_all"].startswith("left out: ")
    assert reasons["weighted"] == "combines 2 of 4 models"
    assert reasons["median"] == "left out: 1 of 3 models, 2 needed"
    backtests, costs = stage.run(planned, "slow_over_all")
    assert set(backtests["model"]) == {"naive", "last", "weighted"}
    assert set(costs["model"]) == {"naive", "last"}
    wide = backtests.pivot(index=["unique_id", "ds"], columns="model", values="y_hat")
    between = wide[["naive", "last"]]
    assert np.isfinite(wide["weighted"]).all()
    assert (wide["weighted"] >= between.min(axis=1) - 1e-9).all()
    assert (wide["weighted"] <= between.max(axis=1) + 1e-9).all()


def test_with_time_enough_the_backtests_are_those_without_a_budget(stage: Stage) -> None:
    models = {
        "naive": NAIVE,
        "last": sleeping(),
        "linear": {
            "engine": "mlforecast",
            "options": {
                "estimator": "sklearn.linear_model.LinearRegression",
                "rolling_means": {3: [7]},
            },
        },
        "stacked": combined("stacked", "naive", "last", "linear"),
    }
    all_of_them, unmeasured = stage.plan(models, minutes=None)
    planned, plan = stage.plan(models, minutes=60.0)
    assert plan["runs"].all(), plan["reason"].tolist()
    assert planned == all_of_them == ModelsConfig.model_validate(models)
    first, _ = stage.run(all_of_them, "linear")
    second, _ = stage.run(planned, "linear")
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert unmeasured["seconds"].isna().all()
    assert plan.set_index("model").loc[["naive", "last", "linear"], "seconds"].gt(0).all()


def test_without_a_budget_nothing_is_read_and_nothing_measured(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("measured")

    for name in ("measure", "candidates", "choose"):
        monkeypatch.setattr(plan_module, name, refuse)
    stage.files = [Path("nowhere.parquet")]
    planned, plan = stage.plan({"naive": NAIVE, "slow": sleeping(fit=600.0)}, minutes=None)
    assert list(planned.root) == ["naive", "slow"]
    assert plan["runs"].all()
    assert set(plan["measured_on"]) == {0}
    assert set(plan["series"]) == {12}
    assert set(plan["reason"]) == {"no budget"}


@pytest.mark.parametrize("engine", [NAIVE, sleeping(predict=60.0), sleeping("SleepingOverAll")])
def test_the_reference_survives_a_budget_of_nearly_nothing(
    stage: Stage, engine: dict[str, Any]
) -> None:
    started = time.perf_counter()
    planned, plan = stage.plan({"reference": engine, "slow": sleeping(fit=60.0)}, minutes=1e-4)
    assert time.perf_counter() - started < 20
    assert list(planned.root) == ["reference"]
    assert plan["runs"].tolist() == [True, False]
    assert plan["reason"].iloc[0].startswith("the reference: ")
    assert plan["reason"].iloc[1].startswith("left out: ")


def test_a_model_that_hangs_is_ended(stage: Stage) -> None:
    models = {"naive": NAIVE, "hangs": sleeping(predict=600.0), "last": sleeping()}
    started = time.perf_counter()
    planned, plan = stage.plan(models, minutes=0.2)
    assert time.perf_counter() - started < 12
    assert list(planned.root) == ["naive", "last"]
    hangs = plan.set_index("model").loc["hangs"]
    assert hangs["reason"].startswith("left out: more than ")
    assert hangs["reason"].endswith(" s for a fit and a forecast of one series")
    assert hangs["measured_on"] == 0
    assert 1.0 < hangs["took"] < 12
    assert 0 < plan["took"].iloc[0] < hangs["took"]


def test_a_model_that_no_series_is_long_enough_for_is_left_out(stage: Stage) -> None:
    # The last fit over the windows is at the third, three steps before the end of a hundred.
    models = {"naive": NAIVE, "long": sleeping(needs=98), "able": sleeping(needs=97)}
    _, plan = stage.plan(models, minutes=60.0)
    assert plan["runs"].tolist() == [True, False, True]
    assert plan["reason"].iloc[1] == (
        "left out: it needs 98 steps, and when it learns for the last windows the longest series "
        "has 97"
    )
    unlimited, _ = stage.plan(models, minutes=None)
    assert list(unlimited.root) == list(models), "it falls back on others, as it says in `failures`"


def test_a_model_that_fails_on_the_sample_is_left_out(stage: Stage) -> None:
    _, plan = stage.plan({"naive": NAIVE, "fails": sleeping(fails=True)}, minutes=60.0)
    assert plan["runs"].tolist() == [True, False]
    start = "left out: it cannot forecast 12 series of the sample: ZeroDivisionError: bad luck"
    assert plan["reason"].iloc[1].startswith(start)


@pytest.mark.parametrize(
    ("engine", "parts"),
    [
        (sleeping(fit=0.03, predict=0.02), 2),
        (sleeping("SleepingOverAll", fit=0.5, predict=0.01), 1),
    ],
)
def test_expected_seconds_are_near_the_true_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: dict[str, Any], parts: int
) -> None:
    stage = Stage(tmp_path, windows=4, refit_every=2)
    monkeypatch.setenv("CLEPSYDRA_PROCESSES", "1")
    planned, plan = stage.plan({"naive": NAIVE, "asleep": engine}, minutes=60.0)
    expected = plan.set_index("model").loc["asleep"]
    alone = ModelsConfig(root={"asleep": planned.root["asleep"]})
    started = time.perf_counter()
    if parts == 1:
        stage.backtest(alone, stage.panel, "asleep")
    else:
        for panel in stage.panels:
            stage.backtest(alone, panel)
    true = time.perf_counter() - started
    assert true / 2 < expected["seconds"] < true * 2
    assert expected["measured_on"] >= 8


def test_parts_run_in_as_many_processes_as_the_container_has_room_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLEPSYDRA_PROCESSES", raising=False)
    monkeypatch.delenv("CLEPSYDRA_THREADS", raising=False)
    schedules: list[int] = []

    def note(_: Any, schedule: Schedule) -> float:
        schedules.append(schedule.cores)
        return 1.0

    monkeypatch.setattr(plan_module, "total_seconds", note)
    for cores, memory in ((8, 64), (1, 64), (8, 4)):
        machine = Machine(cores, memory << 30)
        monkeypatch.setattr(plan_module, "read_machine", lambda machine=machine: machine)
        stage.plan({"naive": NAIVE}, minutes=60.0)
    monkeypatch.setattr(plan_module, "read_machine", lambda: Machine(8, 64 << 30))
    monkeypatch.setenv("CLEPSYDRA_PROCESSES", "1")
    stage.plan({"naive": NAIVE}, minutes=60.0)
    assert schedules == [2, 1, 1, 1]


# What is left is for tuning


LISTED: dict[str, Any] = dict.fromkeys(["reference", "a", "b"], NAIVE)
LISTED |= {"both": combined("median", "a", "b")}


@pytest.mark.parametrize(
    ("models", "estimates", "left"),
    [
        (LISTED, {"a": Estimate(2.0, 20.0), "b": Estimate(3.0, 10.0)}, 60 - 1 - 22 - 13 - 4),
        (LISTED, {"a": Estimate(8.0, 500.0), "b": Estimate(3.0, 10.0)}, 60 - 1 - 8 - 13 - 4),
        (LISTED, {"a": Estimate(8.0, problem="it hangs")}, 60 - 1 - 8 - 4),
        (LISTED, {"reference": Estimate(15.0, problem="it hangs")}, 0),
        (LISTED, {"reference": Estimate(1.0, 90.0)}, 0),
        ({"both": combined("median", "a", "b"), "a": NAIVE, "b": NAIVE}, {}, 60),
        (
            {"both": combined("median", "a", "b"), "a": NAIVE, "b": NAIVE},
            {"b": Estimate(1.0, problem="it hangs")},
            0,
        ),
    ],
)
def test_tuning_has_what_models_and_measuring_them_leave(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    models: dict[str, Any],
    estimates: dict[str, Estimate],
    left: float,
) -> None:
    given: list[float | None] = []

    def tune(planned: ModelsConfig, *others: Any) -> tuple[ModelsConfig, pd.DataFrame]:
        given.append(others[-1])
        return planned, pd.DataFrame()

    monkeypatch.setattr(tuning_module, "tune", tune)
    known = {"reference": Estimate(1.0, 4.0), **estimates}
    named = ModelsConfig.model_validate(models)
    plan = choose(named, 60.0, 12, lambda name, _: known.get(name, Estimate(0.0, 0.0)))
    planned = only(named, set(plan.loc[plan["runs"], "model"]))
    tables = (stage.panel, stage.future, stage.series, stage.windows, SOURCES, TASK)
    for minutes in (1.0, None):
        budget = BudgetConfig(minutes=minutes)
        tuning_module.tune_models(*tables, planned, stage.config, CleaningConfig(), budget, plan)
    assert given == [pytest.approx(left), None]
