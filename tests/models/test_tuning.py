"""Better options are found, and what went wrong with others is said."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsforecast.utils import AirPassengers
from toys import NAIVE, Toy, daily_windows, knowledge_of, models_of, small_panel

from clepsydra.config import ModelsConfig, TaskConfig, WindowsConfig
from clepsydra.models.tuning import tune
from clepsydra.pipelines.split.nodes import make_windows
from helpers import make_series, make_task

MONTHLY = make_task(freq="MS", season_lengths=[12], horizon=12)
CONFIG = WindowsConfig(calibrate=0, select=1, report=1)
SEASONAL = {"engine": "statsforecast", "options": {"model": "SeasonalNaive", "season_length": 6}}
SMOOTHING = {
    "engine": "statsforecast",
    "options": {"model": "SeasonalExponentialSmoothing", "alpha": 0.01},
}
ALPHA = {"alpha": {"low": 0.01, "high": 1.0, "log": True}}


def passengers() -> pd.DataFrame:
    """Passengers of airlines, month by month from 1949 to 1960: their season grows with them."""
    return make_series("air", "1949-01-01", AirPassengers, "MS")


def tuned(
    spec: dict[str, Any],
    space: dict[str, Any],
    panel: pd.DataFrame | None = None,
    seconds: float | None = None,
    **how: Any,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Options and trials of a model of the passengers, whose last two years are windows."""
    panel = passengers() if panel is None else panel
    starts = panel.groupby("unique_id", as_index=False)["ds"].min()
    windows = make_windows(
        starts.rename(columns={"ds": "first_ds"}), MONTHLY, CONFIG, {"panel_end": "1961-01-01"}
    )
    models = models_of(spec, space, **how)
    found, trials = tune(
        models, knowledge_of(panel, MONTHLY), windows, CONFIG, lead=12, seconds=seconds
    )
    assert found.root["naive"] == models.root["naive"]
    assert found.root["mine"].tune is None
    assert trials["chosen"].sum() == 1
    return found.root["mine"].options, trials


def without_seconds(trials: pd.DataFrame) -> pd.DataFrame:
    return trials.drop(columns="seconds")


# Better options are found


@pytest.mark.parametrize(
    ("spec", "space", "better"),
    [
        (SEASONAL, {"season_length": {"low": 10, "high": 13}}, {"season_length": 12}),
        (
            {"engine": "autoregression", "options": {"log": False}},
            {"log": {"choices": [True, False]}},
            {"log": True},
        ),
        (
            {"engine": "exponential_smoothing"},
            {"seasonal": {"choices": ["add", "mul"]}},
            {"seasonal": "mul"},
        ),
    ],
    ids=["season", "logarithm", "seasonal"],
)
def test_what_is_obviously_better_is_chosen(
    spec: dict[str, Any], space: dict[str, Any], better: dict[str, Any]
) -> None:
    options, trials = tuned(spec, space)
    assert options == {**spec.get("options", {}), **better}
    chosen = trials[trials["chosen"]].iloc[0]
    assert json.loads(chosen["options"]) == better
    assert chosen["score"] == trials["score"].min() < 0.9 * trials["score"][0]
    assert (trials["state"] == "complete").all()
    assert trials["trial"].tolist() == list(range(len(trials)))


def test_a_range_is_searched_and_is_the_same_twice(capfd: pytest.CaptureFixture[str]) -> None:
    options, trials = tuned(SMOOTHING, ALPHA, trials=6)
    assert len(trials) == 6
    assert trials["options"].is_unique
    assert json.loads(trials["options"][0]) == {"alpha": 0.01}
    assert options["alpha"] > 0.1
    assert trials.loc[trials["chosen"], "score"].item() == trials["score"].min()
    again = tuned(SMOOTHING, ALPHA, trials=6)
    assert again[0] == options
    pd.testing.assert_frame_equal(without_seconds(again[1]), without_seconds(trials))
    assert capfd.readouterr() == ("", "")


def test_the_models_own_options_stay_if_none_are_better() -> None:
    spec = {**SEASONAL, "options": {"model": "SeasonalNaive", "season_length": 12}}
    options, trials = tuned(spec, {"season_length": {"choices": [7, 12, 5]}})
    assert options == spec["options"]
    assert trials["chosen"].tolist() == [True, False, False]


def test_the_score_is_the_mase_of_the_windows_before_the_first() -> None:
    """The windows are 1959 and 1960, so the options are tried on 1957 and 1958."""
    spec = {**SEASONAL, "options": {"model": "SeasonalNaive", "season_length": 12}}
    _, trials = tuned(spec, {"season_length": {"choices": [12]}})
    y = np.asarray(AirPassengers, dtype=float)
    error = np.abs(y[96:120] - y[84:108]).mean()
    scale = np.abs(y[12:96] - y[:84]).mean()
    assert trials["score"][0] == pytest.approx(error / scale)
    assert (trials["windows"][0], trials["series"][0]) == (2, 1)


def test_nothing_is_tuned_that_does_not_ask_for_it() -> None:
    knowledge = knowledge_of(passengers(), MONTHLY)
    models, trials = tune(NAIVE, knowledge, daily_windows(2, "1959-01-01"), CONFIG, 12)
    assert models == NAIVE
    assert trials.empty
    assert {"model", "trial", "options", "score", "state", "reason", "chosen"} <= set(trials)


# What goes wrong is kept


def test_options_that_the_engine_refuses_or_fails_with_have_their_reason() -> None:
    space = {"model": {"choices": ["NoModel", "SeasonalNaive", "Theta"]}}
    options, trials = tuned(SEASONAL, {**space, "season_length": {"choices": [12, 100, "x"]}})
    rows = trials.set_index("options")
    assert options == {"model": "SeasonalNaive", "season_length": 12} or options["model"] == "Theta"
    refused = rows.loc['{"model": "NoModel", "season_length": 12}']
    assert (refused["state"], np.isnan(refused["score"])) == ("failed", True)
    assert "model 'mine' (engine 'statsforecast')" in refused["reason"]
    assert "NoModel" in refused["reason"]
    short = rows.loc['{"model": "SeasonalNaive", "season_length": 100}']
    assert short["state"] == "failed"
    assert short["reason"] == (
        "2 of 2 forecasts are another model's, e.g. air: too short: 96 steps, 200 needed"
    )
    wrong = rows.loc['{"model": "SeasonalNaive", "season_length": "x"}']
    assert wrong["state"] == "failed"
    assert wrong["reason"]
    assert len(rows) == 10
    assert rows.loc[rows["state"] == "complete", "score"].notna().all()


def test_a_model_that_fails_with_all_options_keeps_its_own() -> None:
    spec = {"engine": "toys.Toy", "options": {"raises": "air"}}
    options, trials = tuned(spec, {"learns": {"choices": [None, 1]}})
    assert options == spec["options"]
    assert trials["state"].tolist() == ["failed"] * 3
    assert trials["chosen"].tolist() == [True, False, False]
    assert trials["reason"].str.contains("ZeroDivisionError: bad luck").sum() == 2


def test_a_series_that_is_lost_counts_as_what_its_fallback_makes_of_it() -> None:
    panel = pd.concat([passengers(), passengers().assign(unique_id="bad")], ignore_index=True)
    spec = {"engine": "toys.Toy", "options": {"raises": "nobody"}}
    _, trials = tuned(spec, {"raises": {"choices": ["bad"]}}, panel)
    alone, lost = trials["score"]
    naive = tuned(SEASONAL, {"season_length": {"choices": [12]}})[1]["score"][1]
    assert lost == pytest.approx((alone + naive) / 2)
    assert trials["state"].tolist() == ["complete", "complete"]
    assert trials["reason"][0] == ""
    assert trials["reason"][1].startswith("2 of 4 forecasts are another model's, e.g. bad: ")


@pytest.mark.parametrize(
    ("months", "windows", "reason"),
    [
        (36, 0, "the history from 1958-01-01 00:00:00 to the first cutoff, 1958-12-01 00:00:00"),
        (48, 0, "has no room for a window of horizon 12 after a season of 12 steps and one more"),
        (49, 1, "too short: 13 steps, 24 needed"),
        (60, 1, ""),
        (72, 2, ""),
    ],
)
def test_too_short_a_history_leaves_the_options_and_says_so(
    months: int, windows: int, reason: str
) -> None:
    """The last two years are windows."""
    space = {"season_length": {"choices": [12]}}
    options, trials = tuned(SEASONAL, space, passengers().tail(months))
    assert trials["windows"].eq(windows).all()
    last = trials.iloc[-1]
    assert reason in last["reason"]
    if reason:
        assert options == SEASONAL["options"]
        assert json.loads(trials["options"][0]) == {"season_length": 6}
        assert last["state"] == ("failed" if windows else "not run")
    else:
        assert options == {**SEASONAL["options"], "season_length": 12}
        assert last["state"] == "complete"


def test_without_any_history_the_options_stay() -> None:
    models = models_of(SEASONAL, {"season_length": {"choices": [12]}})
    windows = daily_windows(1, "1949-01-01")
    found, trials = tune(models, knowledge_of(passengers(), MONTHLY), windows, CONFIG, 12)
    assert found.root["mine"].options == SEASONAL["options"]
    assert trials["reason"].tolist() == [
        "no series has a step up to the first cutoff, 1948-12-30 23:00:00"
    ]


def test_a_history_that_never_changes_cannot_be_scored() -> None:
    options, trials = tuned(
        SEASONAL, {"season_length": {"choices": [12]}}, passengers().assign(y=3.0)
    )
    assert options == SEASONAL["options"]
    assert trials["state"].tolist() == ["not run"]
    assert "seasonal differences" in trials["reason"][0]


def test_no_trial_begins_when_the_time_is_over() -> None:
    options, trials = tuned(SMOOTHING, ALPHA, seconds=0)
    assert options == SMOOTHING["options"]
    assert trials["state"].tolist() == ["not run"]
    assert trials["reason"][0] == "its 0 s were over after 0 of 20 trials"
    slow = {"engine": "toys.Toy", "options": {"hangs": "air"}, "timeout": 0.5}
    _, trials = tuned(slow, {"raises": {"choices": ["x", "y", "z"]}}, seconds=0.4)
    assert trials["state"].tolist() == ["failed", "not run"]
    assert "timed out after 0.5 s" in trials["reason"][0]
    assert trials["reason"][1].endswith("after 1 of 20 trials")


def test_the_time_is_shared_among_the_models() -> None:
    space = {"raises": {"choices": ["x", "y", "z"]}}
    slow = {"engine": "toys.Toy", "options": {"hangs": "air"}, "timeout": 0.5}
    slow |= {"tune": {"space": space}}
    models = ModelsConfig.model_validate({**NAIVE.root, "one": slow, "two": slow})
    windows = daily_windows(1, "1959-01-02").assign(cutoff=pd.Timestamp("1958-12-01"))
    knowledge = knowledge_of(passengers(), MONTHLY)
    _, trials = tune(models, knowledge, windows, CONFIG, 12, seconds=2)
    assert trials["model"].unique().tolist() == ["one", "two"]
    run = trials[trials["state"] != "not run"]
    assert (run.groupby("model").size() >= 1).all()


# Which series


class PanelToy(Toy):
    """The same for all series at once."""

    scope = "panel"

    def __init__(self, task: TaskConfig, lead: int, raises: str = ""):
        super().__init__(task, lead, raises, scope="panel")


class Demanding(PanelToy):
    """It asks for a day of history."""

    min_history = 24


class Picky(Toy):
    """It fails with every series whose name begins so."""

    def predict(self, state: Any, history: Any, future: pd.DataFrame, horizon: int) -> pd.DataFrame:
        if any(uid.startswith(self._raises) for uid in history.ids):
            raise ZeroDivisionError("bad luck")
        return super().predict(state, history, future, horizon)


@pytest.mark.parametrize(
    ("scope", "asked", "scored"),
    [("series", 2, 2), ("series", None, 3), ("panel", 1, 1), ("panel", None, 3)],
)
def test_trials_are_of_as_many_series_as_asked_for(
    scope: str, asked: int | None, scored: int
) -> None:
    """`tiny` begins too late to have a season before the inner windows."""
    engine = "test_tuning.PanelToy" if scope == "panel" else "toys.Toy"
    models = models_of({"engine": engine}, {"raises": {"choices": ["x"]}}, series=asked)
    windows = daily_windows(2)
    _, trials = tune(models, knowledge_of(small_panel(), make_task()), windows, CONFIG, 24)
    assert trials["state"].tolist() == ["complete", "complete"]
    assert trials["series"].tolist() == [scored, scored]


def test_series_that_are_not_scored_fail_no_trial() -> None:
    short = [make_series(f"s{n}", "2013-01-10", [1.0, 2.0, 3.0]) for n in range(20)]
    panel = pd.concat([small_panel(), *short], ignore_index=True)
    models = models_of({"engine": "test_tuning.Demanding"}, {"raises": {"choices": ["x"]}})
    _, trials = tune(models, knowledge_of(panel, make_task()), daily_windows(2), CONFIG, 24)
    assert trials["state"].tolist() == ["complete", "complete"]
    assert trials["reason"].tolist() == ["", ""]
    assert trials["series"].tolist() == [3, 3]


@pytest.mark.parametrize(("lost", "state"), [(2, "complete"), (3, "failed")])
def test_a_trial_of_which_most_is_another_model_s_has_failed(lost: int, state: str) -> None:
    ids = [f"bad {number}" for number in range(lost)] + ["good"] * (4 - lost)
    parts = [passengers().assign(unique_id=f"{uid} {n}") for n, uid in enumerate(ids)]
    spec = {"engine": "test_tuning.Picky", "options": {"raises": "nobody"}}
    _, trials = tuned(spec, {"raises": {"choices": ["bad"]}}, pd.concat(parts, ignore_index=True))
    assert trials["state"].tolist() == ["complete", state]
    assert trials["reason"][1].startswith(
        f"{2 * lost} of 8 forecasts are another model's, e.g. bad"
    )
