"""What the hooks refuse or warn of before a run."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.runner import SequentialRunner
from threadpoolctl import threadpool_info

from clepsydra.config import ModelsConfig
from clepsydra.environment import EVENTS_VARIABLE, PARENT_RUN_VARIABLE, RUN_ID_VARIABLE
from clepsydra.errors import ConfigError
from clepsydra.hooks import LineHooks
from clepsydra.models.planning import only
from environments import read_configuration

PLAIN = {"engine": "naive2"}
TUNED = {
    "engine": "statsforecast",
    "options": {"model": "SeasonalExponentialSmoothing", "alpha": 0.1},
    "tune": {"space": {"alpha": {"low": 0.1, "high": 1.0}}},
}
MODELS: dict[str, Any] = {"naive": PLAIN, "slow": PLAIN, "slower": PLAIN, "tuned": TUNED}
MODELS |= {"both": {"engine": "median", "options": {"of": ["naive", "slow", "tuned"]}}}
PLANNED = ["naive", "tuned", "both"]


def begin(models: dict[str, Any]) -> None:
    """Run a stage after all of `MODELS` were planned and those of `PLANNED` taken."""
    taken = only(ModelsConfig.model_validate(MODELS), PLANNED)
    chosen = taken.root["tuned"].with_options({"alpha": 0.7}).model_copy(update={"tune": None})
    data = {
        "params:models": models,
        "planned_models": ModelsConfig(root={**taken.root, "tuned": chosen}),
        "plan": pd.DataFrame({"model": list(MODELS)}),
    }
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in data.items()})
    stage = Pipeline([node(lambda its: its, "planned_models", "found", name="stage")])
    LineHooks().before_pipeline_run({"run_id": "now"}, stage, catalog)


@pytest.fixture
def run_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The variables of a run, put back as they were when the test ends."""
    for variable in (RUN_ID_VARIABLE, EVENTS_VARIABLE, PARENT_RUN_VARIABLE):
        monkeypatch.setenv(variable, "")
    return monkeypatch


@pytest.mark.usefixtures("run_environment")
def test_the_models_that_were_planned_are_accepted() -> None:
    begin(MODELS)
    assert os.environ[RUN_ID_VARIABLE] == "now"
    LineHooks().on_pipeline_error(Pipeline([]), DataCatalog({}))
    assert EVENTS_VARIABLE not in os.environ


@pytest.mark.parametrize(
    "models",
    [
        {"other": PLAIN},
        {name: MODELS[name] for name in ("slow", "slower")},
        {**MODELS, "both": {"engine": "median", "options": {"of": ["slow", "slower"]}}},
        {**MODELS, "both": {"engine": "median", "options": {"of": ["naive"]}}},
        {**MODELS, "new": PLAIN},
        {**MODELS, "naive": {**PLAIN, "max_history": 30}},
        {**MODELS, "tuned": {**TUNED, "max_history": 30}},
        dict(reversed(MODELS.items())),
    ],
    ids=["others", "left_out", "members_left_out", "members", "one_more", "a", "b", "order"],
)
def test_other_models_are_refused(models: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="'models' has changed since it was planned which"):
        begin(models)


@pytest.mark.parametrize(
    ("models", "freq", "says"),
    [
        ("hourly", "D", "models: 'hourly' is not made for data of freq D: 'daily' is"),
        ({"like": "monthly", "theta": None}, "30min", "'hourly' is"),
        ("quarterly", "YE-JUN", "'yearly' is"),
        ("hourly", "15min", None),
        ("monthly", "W-SUN", None),
        (MODELS, "h", None),
        ("yearly", "SMS", None),
        ("yearly", "4QS", None),
        ({"like": {"engine": "naive2"}}, "h", None),
    ],
)
def test_a_list_of_models_for_other_data_is_told(
    models: Any, freq: str, says: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    values = {**read_configuration("base"), "models": models}
    values["task"] = {"freq": freq, "season_lengths": [1], "horizon": 1}
    context = SimpleNamespace(config_loader={"parameters": values})
    with caplog.at_level("WARNING"):
        LineHooks().after_context_created(context)
    assert len(caplog.messages) == (says is not None)
    assert all(str(says) in message for message in caplog.messages)


def _one() -> int:
    return 1


def _sum(*values: int) -> int:
    return sum(values)


def _refuse(value: int) -> int:
    raise ValueError(value)


GOOD = Pipeline([node(_one, None, "a", name="clean.one"), node(_sum, "a", "b", name="train.add")])
BAD = GOOD + Pipeline([node(_refuse, "b", "c", name="train.refuse")])


class Unwritable(MemoryDataset):
    def save(self, data: Any) -> None:
        raise OSError("the disk is full")


def run(pipeline: Pipeline, catalog: DataCatalog, run_id: str = "now") -> None:
    """What a session does, with these hooks only."""
    hooks = LineHooks()
    manager = _create_hook_manager()
    manager.register(hooks)
    hooks.before_pipeline_run({"run_id": run_id}, pipeline, catalog)
    try:
        SequentialRunner().run(pipeline, catalog, manager)
    except ValueError:
        hooks.on_pipeline_error(pipeline, catalog)
        return
    hooks.after_pipeline_run({"runner": "SequentialRunner"}, pipeline, catalog)


def profile_catalog(**datasets: Any) -> DataCatalog:
    names = ("run_profile", "figure_profile")
    return DataCatalog({**{name: MemoryDataset() for name in names}, **datasets})


@pytest.mark.usefixtures("run_environment")
@pytest.mark.parametrize("pipeline", [GOOD, BAD])
def test_what_ran_is_profiled_also_if_the_run_fails(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = profile_catalog()
    run(pipeline, catalog)
    profile = catalog.load("run_profile")
    assert profile["node"].tolist() == ["clean.one", "train.add"]
    assert profile["run_id"].tolist() == ["now", "now"]
    assert profile["on_critical_path"].any()
    assert sum(len(trace.x) for trace in catalog.load("figure_profile").data[:-1]) == 2
    assert ("2 nodes, SequentialRunner" in capsys.readouterr().out) == (pipeline is GOOD)


@pytest.mark.usefixtures("run_environment")
def test_a_run_in_which_nothing_ran_is_profiled(capsys: pytest.CaptureFixture[str]) -> None:
    catalog = profile_catalog()
    run(Pipeline([]), catalog)
    assert catalog.load("run_profile").empty
    assert "no node was timed" in capsys.readouterr().out


@pytest.mark.usefixtures("run_environment")
def test_a_run_in_which_nothing_ran_leaves_the_last_profile() -> None:
    catalog = profile_catalog()
    run(GOOD, catalog)
    chart = catalog.load("figure_profile").to_json()
    run(Pipeline([]), catalog, "later")
    assert catalog.load("run_profile")["run_id"].tolist() == ["now", "now"]
    assert catalog.load("figure_profile").to_json() == chart


def test_no_node_fails_for_what_is_noted_of_it(
    run_environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run_environment.setenv(EVENTS_VARIABLE, "/nowhere/at/all")
    hooks, noted = LineHooks(), GOOD.nodes[0]
    hooks.before_node_run(noted)
    hooks.after_dataset_saved(noted)
    assert "What node 'clean.one' took cannot be noted" in caplog.text


class Unreadable(MemoryDataset):
    def load(self) -> Any:
        raise DatasetError("the table is torn")


@pytest.mark.usefixtures("run_environment")
@pytest.mark.parametrize("datasets", [{}, {"run_manifest": Unreadable()}])
def test_no_run_fails_for_what_is_not_in_its_manifest(
    datasets: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    hooks, catalog = LineHooks(), profile_catalog(**datasets)
    hooks.before_pipeline_run({"run_id": "now"}, GOOD, catalog)
    hooks.after_pipeline_run({"runner": "clepsydra.runners.ProcessRunner"}, GOOD, catalog)
    assert "no node was timed" in capsys.readouterr().out


@pytest.mark.usefixtures("run_environment")
def test_a_failure_before_the_first_node_leaves_the_last_profile() -> None:
    catalog = profile_catalog()
    run(GOOD, catalog)
    run(Pipeline([node(_refuse, "params:one", "c")]), catalog)
    assert len(catalog.load("run_profile")) == 2


@pytest.mark.usefixtures("run_environment")
@pytest.mark.parametrize("name", ["run_profile", "figure_profile"])
def test_no_run_fails_for_its_profile(
    name: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    run(GOOD, profile_catalog(**{name: Unwritable()}))
    assert "2 nodes" in capsys.readouterr().out
    assert "The profile of the run cannot be saved" in caplog.text
    assert "the disk is full" in caplog.text


def test_sessions_of_an_orchestrator_make_one_profile(
    run_environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_environment.setattr("clepsydra.hooks.pipelines", {"__default__": GOOD})
    catalog = profile_catalog(a=MemoryDataset(), b=MemoryDataset())
    run(GOOD, catalog, "before")
    run_environment.setenv(PARENT_RUN_VARIABLE, "whole")
    run(GOOD.filter(node_names=["clean.one"]), catalog)
    assert catalog.load("run_profile")["node"].tolist() == ["clean.one"]
    run(GOOD.filter(node_names=["train.add"]), catalog)
    run(Pipeline([]), catalog)
    profile = catalog.load("run_profile")
    assert profile["node"].tolist() == ["clean.one", "train.add"]
    assert profile["run_id"].tolist() == ["whole", "whole"]
    assert profile["waited_seconds"].iloc[1] < profile["start"].diff().iloc[1].total_seconds() + 1
    assert "1 node, " in capsys.readouterr().out


@pytest.mark.parametrize("fails_at", ["load", "run"])
def test_a_worker_of_several_runs_times_each_and_has_the_threads_of_each(
    tmp_path: Path, run_environment: pytest.MonkeyPatch, fails_at: str
) -> None:
    """The hooks of a process outlive its runs; one that failed has no part in the next."""
    hooks, noted = LineHooks(), GOOD.nodes[1]
    for number, threads in enumerate((2, 1)):
        path = tmp_path / f"events-{number}"
        run_environment.setenv(EVENTS_VARIABLE, str(path))
        run_environment.setenv("OMP_NUM_THREADS", str(threads))
        began = time.time()
        hooks.before_dataset_loaded(noted)
        blas = [its for its in threadpool_info() if its["user_api"] == "blas"]
        assert {its["num_threads"] for its in blas} == {threads}
        if number == 0:
            if fails_at != "load":
                hooks.before_node_run(noted)
            time.sleep(0.1)
            continue
        hooks.before_node_run(noted)
        hooks.after_node_run(noted)
        hooks.after_dataset_saved(noted)
    event = json.loads(path.read_text())
    assert event["start"]["time"] >= began
