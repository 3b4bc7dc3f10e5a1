"""What the hooks refuse or warn of before a run."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node

from clepsydra.config import ModelsConfig
from clepsydra.environment import EVENTS_VARIABLE, RUN_ID_VARIABLE
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


def test_the_models_that_were_planned_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (RUN_ID_VARIABLE, EVENTS_VARIABLE):
        monkeypatch.setenv(variable, "")
    begin(MODELS)
    assert os.environ[RUN_ID_VARIABLE] == "now"
    LineHooks().on_pipeline_error()


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
