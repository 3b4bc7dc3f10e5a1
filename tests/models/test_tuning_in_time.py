"""Options are chosen before all windows, and nothing later is looked at."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import models_of

from clepsydra.config import BudgetConfig, CleaningConfig, ModelsConfig, WindowsConfig
from clepsydra.models.canary import alter
from clepsydra.models.knowledge import Knowledge
from clepsydra.models.planning import Estimate, choose
from clepsydra.models.tuning import inner_windows
from clepsydra.origins import allowed_cutoff, first_unknown, target_start
from clepsydra.pipelines.split.nodes import make_windows
from clepsydra.pipelines.train.pipeline import create_pipeline
from clepsydra.pipelines.train.tuning import tune_models
from helpers import NEW_YORK, flights, make_task

CONFIG = WindowsConfig(calibrate=0, select=1, report=1)


@settings(max_examples=25)
@given(
    timing=st.sampled_from(
        [{"gap": 0}, {"gap": "1D"}, {"gap": 5}, {"gate": "09:00"}, {"gate": "00:00"}]
    ),
    horizon=st.sampled_from(["1D", "2D"]),
    step=st.sampled_from([None, "1D", "3D"]),
    end=st.sampled_from(["2013-03-14", "2013-06-05", "2013-11-07"]),
    number=st.integers(1, 3),
)
def test_inner_windows_are_like_the_others_and_end_before_them(
    timing: dict[str, Any], horizon: str, step: str | None, end: str, number: int
) -> None:
    task = make_task(timezone=NEW_YORK, horizon=horizon, **timing)
    config = WindowsConfig(calibrate=1, select=1, report=1, step=step)
    first = pd.Timestamp("2013-02-01 05:00")
    midnight = pd.Timestamp(end, tz=NEW_YORK).tz_convert("UTC").tz_localize(None)
    series = pd.DataFrame({"unique_id": ["a"], "first_ds": [first]})
    outer = make_windows(series, task, config, {"panel_end": str(midnight)})
    cutoff = outer["cutoff"].min()
    inner = inner_windows(first, cutoff, task, config, number)
    assert len(inner) == number
    assert inner["target_end"].max() <= first_unknown(cutoff, task)
    assert inner["cutoff"].is_monotonic_increasing
    for row in inner.itertuples():
        assert row.cutoff <= allowed_cutoff(row.target_start, task)
        assert target_start(first_unknown(row.cutoff, task), task) == row.target_start


@pytest.fixture(scope="module")
def real() -> dict[str, Any]:
    """Seven weeks of real flights with their weather and their calendar."""
    found = dict(flights("2013-09-18", "2013-11-08", ("EWR-UA", "JFK-B6", "LGA-DL")))
    found["windows"] = make_windows(found["series"], found["task"], CONFIG, found["clock"])
    return found


BOOSTING = models_of(
    {
        "engine": "mlforecast",
        "max_history": 800,
        "options": {
            "estimator": "lightgbm.LGBMRegressor",
            "params": {"n_estimators": 20, "n_jobs": 1, "verbosity": -1, "random_state": 0},
            "past_only_columns": True,
        },
    },
    {
        "params.num_leaves": {"low": 3, "high": 31, "log": True},
        "params.learning_rate": {"low": 0.01, "high": 0.5, "log": True},
    },
    trials=3,
)


def tune_flights(
    real: dict[str, Any], panel: pd.DataFrame, minutes: float | None = None
) -> tuple[ModelsConfig, pd.DataFrame]:
    # Of a minute nothing is left: models take 57 seconds, and measuring them took three.
    plan = choose(
        BOOSTING, 60.0, 3, lambda name, _: Estimate(1.5, 1.0 if name == "naive" else 56.0)
    )
    return tune_models(
        panel,
        real["future"],
        real["series"],
        real["windows"],
        real["sources"],
        real["task"],
        BOOSTING,
        CONFIG,
        CleaningConfig(),
        BudgetConfig(minutes=minutes),
        plan,
    )


@pytest.fixture(scope="module")
def as_it_was(real: dict[str, Any]) -> tuple[ModelsConfig, pd.DataFrame]:
    return tune_flights(real, real["panel"])


def test_what_comes_after_the_first_cutoff_changes_nothing(
    real: dict[str, Any], as_it_was: tuple[ModelsConfig, pd.DataFrame]
) -> None:
    models, trials = as_it_was
    knowledge = Knowledge.of(
        *(real[name] for name in ("panel", "future", "series", "sources", "task")),
        CONFIG,
        CleaningConfig(),
    )
    cutoff = real["windows"]["cutoff"].min()
    changed = alter(knowledge, cutoff).panel
    others, its_trials = tune_flights(real, changed)
    pd.testing.assert_frame_equal(
        its_trials.drop(columns="seconds"), trials.drop(columns="seconds")
    )
    assert others == models
    assert trials["state"].tolist() == ["complete"] * 3
    assert trials["score"].nunique() == 3
    assert trials["series"].eq(3).all()
    # Of a cutoff that is a day earlier the same change is seen.
    day_before = alter(knowledge, cutoff - pd.Timedelta("1D")).panel
    assert tune_flights(real, day_before)[1]["score"].tolist() != trials["score"].tolist()


def test_the_node_gives_models_of_which_nothing_is_to_be_tuned(
    as_it_was: tuple[ModelsConfig, pd.DataFrame],
) -> None:
    models, trials = as_it_was
    assert all(spec.tune is None for spec in models.root.values())
    chosen = json.loads(trials.loc[trials["chosen"], "options"].item())
    spec = BOOSTING.root["mine"]
    assert models.root["mine"] == spec.with_options(chosen).model_copy(update={"tune": None})
    assert models.root["mine"] == spec.as_tuned(models.root["mine"])
    assert type(chosen["params.num_leaves"]) is int


def test_no_trial_is_begun_when_models_need_all_of_the_budget(real: dict[str, Any]) -> None:
    models, trials = tune_flights(real, real["panel"], minutes=1.0)
    assert trials["state"].tolist() == ["not run"]
    assert models.root["mine"].options == BOOSTING.root["mine"].options


@pytest.mark.filterwarnings("ignore:One or more dataset names contain")
@pytest.mark.parametrize("has_tuning", [True, False])
def test_trials_are_written_by_every_run(has_tuning: bool) -> None:
    stage = create_pipeline(2, [], has_tuning)
    assert "trials" in stage.outputs()
    assert ("untuned_models" in stage.all_outputs()) == has_tuning
