"""Backtests: no leak, no lost series, one finite row for every step, also when clocks change."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn.ensemble  # noqa: F401  only threads of what is loaded can be limited
from threadpoolctl import threadpool_limits
from toys import Toy, daily_windows, knowledge_of, run, small_panel

from clepsydra.config import CleaningConfig, ModelsConfig, SourcesConfig, WindowsConfig
from clepsydra.errors import ConfigError
from clepsydra.models.backtest import backtest
from clepsydra.models.forecasting import candidates
from clepsydra.models.knowledge import Knowledge
from clepsydra.models.registry import global_models, local_models
from clepsydra.pipelines.clean.regular import regularize
from clepsydra.pipelines.split.nodes import make_windows
from clepsydra.pipelines.train.nodes import (
    assemble_backtests,
    backtest_models,
    check_models,
    measure_members,
    total_costs,
    weigh_members,
)
from helpers import NEW_YORK, flights, make_series, make_task, project_models

IDS = ("EWR-UA", "JFK-B6", "LGA-MQ")
PAST_ONLY = ["temperature_f", "wind_mph", "rain_in", "visibility_mi"]


# The leak test: seven weeks of the real flights, every model of the configuration


@pytest.fixture(scope="module")
def real() -> dict[str, Any]:
    found = dict(flights("2013-09-18", "2013-11-08", IDS))
    # More than a season apart, so that what follows one cutoff is what the next one builds on.
    config = WindowsConfig(calibrate=1, select=1, report=1, step="8D", refit_every=2)
    found["config"] = config
    found["windows"] = make_windows(found["series"], found["task"], config, found["clock"])
    return found


def run_all(real: dict[str, Any], panel: pd.DataFrame) -> pd.DataFrame:
    """The backtests of every model, by the nodes of the train stage."""
    models, task = project_models(), real["task"]
    tables = (real["future"], real["series"], real["windows"])
    common = (*tables, real["sources"], task, models, real["config"], CleaningConfig())
    with threadpool_limits(1):  # more threads only wait for each other on so little data
        local, *_ = backtest_models(panel, *common)
        others = [backtest_models(panel, *common, name=name)[0] for name in global_models(models)]
    errors = measure_members(panel, local, real["windows"], task, models, *others)
    weights = weigh_members(real["windows"], task, models, errors)
    return assemble_backtests(panel, local, real["windows"], task, models, weights, *others)


@pytest.fixture(scope="module")
def honest(real: dict[str, Any]) -> pd.DataFrame:
    return run_all(real, real["panel"])


def test_every_model_forecasts_every_step_of_every_series(
    real: dict[str, Any], honest: pd.DataFrame
) -> None:
    assert set(honest["model"]) == set(project_models().root)
    assert np.isfinite(honest["y_hat"]).all()
    steps = honest.groupby(["model", "unique_id", "cutoff"]).size()
    assert len(steps) == len(project_models().root) * len(IDS) * len(real["windows"])
    assert set(steps) == {24}


def test_the_future_does_not_move_the_forecasts_of_any_model(
    real: dict[str, Any], honest: pd.DataFrame
) -> None:
    cutoff = real["windows"]["cutoff"].iloc[1]
    panel = real["panel"].copy()
    after = panel["ds"] > cutoff
    assert set(PAST_ONLY) < set(panel.columns)
    random = np.random.default_rng(0)
    panel.loc[after, "y"] = random.poisson(20, after.sum()).astype(float)
    for column in PAST_ONLY:
        panel.loc[after, column] = (random.normal(size=after.sum()) * 1e3).astype("float32")
    moved = run_all(real, panel)
    keys = ["unique_id", "cutoff", "ds", "model"]
    early, late = honest["cutoff"] <= cutoff, honest["cutoff"] > cutoff
    columns = [column for column in honest.columns if column != "y"]
    pd.testing.assert_frame_equal(moved.loc[early, columns], honest.loc[early, columns])
    # The change is large enough to be seen: what comes later does move, in every model.
    assert moved.loc[late, keys].equals(honest.loc[late, keys])
    differs = (moved["y_hat"] != honest["y_hat"])[late].groupby(honest.loc[late, "model"]).any()
    assert differs.all(), differs


def in_a_gap(level_after: float) -> pd.DataFrame:
    """Backtests of a daily series that is silent from the 80th to the 89th day."""
    task = make_task(freq="D", season_lengths=[7], horizon=3)
    observed = make_series("a", "2013-01-01", 10.0 + np.arange(100) % 7, freq="D")
    observed.loc[90:, "y"] += level_after
    observed = observed.drop(index=range(80, 90)).drop(columns="is_imputed")
    regular = regularize(
        pl.from_pandas(observed), pd.Timestamp("2013-04-11"), task, CleaningConfig()
    )
    panel = pd.DataFrame(
        {"unique_id": "a", "ds": regular.steps, "y": regular.y, "is_imputed": regular.is_imputed}
    )
    assert panel["is_imputed"].sum() == 10
    cutoffs = panel["ds"].iloc[[70, 85, 88]]
    windows = pd.DataFrame(
        {
            "cutoff": cutoffs.to_numpy(),
            "target_start": (cutoffs + pd.Timedelta("1D")).to_numpy(),
            "target_end": (cutoffs + pd.Timedelta("4D")).to_numpy(),
        }
    )
    models = candidates(local_models(project_models()), project_models(), task, 3)
    return backtest(models, knowledge_of(panel, task), windows, 1).forecasts


def test_a_forecast_made_in_a_gap_knows_nothing_of_its_far_end() -> None:
    """The panel's gaps are interpolated for people; a model is shown the last value before."""
    calm, jump = in_a_gap(0.0), in_a_gap(1000.0)
    assert len(calm) == 3 * 3 * len(local_models(project_models()))
    pd.testing.assert_frame_equal(calm, jump)


def test_past_only_columns_are_told_from_known_ones_by_the_sources(real: dict[str, Any]) -> None:
    sources = real["sources"]
    tables = (real["panel"], real["future"], real["series"])
    knowledge = Knowledge.of(*tables, sources, real["task"], real["config"], CleaningConfig())
    assert set(knowledge.past_only) == set(PAST_ONLY)
    assert set(knowledge.known) == {"hour", "dayofweek", "holiday_distance"}
    assert not {"is_imputed", "is_outlier", *PAST_ONLY} & set(knowledge.known)
    assert not set(PAST_ONLY) & set(knowledge.at(real["panel"]["ds"].max()).ahead().columns)
    description = sources.model_dump()
    description["weather"]["known"] = "in_advance"
    known = SourcesConfig.model_validate(description)
    future = real["future"].assign(**dict.fromkeys(PAST_ONLY, 0.0))
    knowledge = Knowledge.of(
        real["panel"], future, real["series"], known, real["task"], real["config"], CleaningConfig()
    )
    assert knowledge.past_only == ()
    assert set(PAST_ONLY) < set(knowledge.known)


def test_attributes_are_those_of_the_series_and_not_what_is_counted_over_all_time(
    real: dict[str, Any],
) -> None:
    tables = (real["panel"], real["future"], real["series"])
    static = Knowledge.of(
        *tables, real["sources"], real["task"], real["config"], CleaningConfig()
    ).static
    assert sorted(static["unique_id"]) == sorted(IDS)
    assert {"origin", "carrier"} < set(static.columns)
    assert not {"n_observations", "first_ds", "last_ds", "flags", "shard"} & set(static.columns)


# What a model is shown


def test_a_history_ends_at_the_cutoff_and_is_as_long_as_asked() -> None:
    panel = small_panel()
    cutoff = pd.Timestamp("2013-01-09 05:00")
    origin = knowledge_of(panel, make_task()).at(cutoff)
    assert origin.history().rows["ds"].max() == cutoff
    assert origin.history(5).described["steps"].to_dict() == dict.fromkeys(
        ["a", "b", "c", "tiny"], 5
    )
    assert origin.history(5) is origin.history(5)
    ahead = origin.ahead(pd.Timestamp("2013-01-09 08:00"))
    assert ahead["ds"].min() == cutoff + pd.Timedelta("1h")
    assert ahead["ds"].max() == pd.Timestamp("2013-01-09 07:00")
    assert list(ahead.columns) == ["unique_id", "ds"]


def test_a_sliding_history_begins_so_much_before_each_cutoff() -> None:
    panel = small_panel()
    sliding = WindowsConfig(calibrate=0, select=1, report=1, history="2D")
    knowledge = replace(knowledge_of(panel, make_task()), sliding=sliding)
    for day in ("2013-01-06 23:00", "2013-01-09 23:00"):
        rows = knowledge.at(pd.Timestamp(day)).history().rows
        assert rows["ds"].min() == pd.Timestamp(day) - pd.Timedelta("47h")
        assert rows["ds"].max() == pd.Timestamp(day)
    assert set(knowledge.at(pd.Timestamp(day)).history(5).described["steps"]) == {5}


@pytest.mark.parametrize("day", ["2013-10-30", "2013-11-03 12:00", "2013-11-04", "2013-03-11"])
def test_a_sliding_history_in_steps_has_as_many_where_clocks_change(day: str) -> None:
    steps = pd.date_range("2013-01-01", "2013-12-01", freq="h")
    panel = make_series("a", steps[0], np.arange(len(steps), dtype=float))
    sliding = WindowsConfig(calibrate=0, select=1, report=1, history=48)
    task = make_task(timezone=NEW_YORK)
    origin = replace(knowledge_of(panel, task), sliding=sliding).at(pd.Timestamp(day))
    for asked, given in ((None, 48), (100, 48), (5, 5)):
        assert origin.history(asked).described["steps"].tolist() == [given]


@pytest.mark.parametrize(
    ("history", "refused"),
    [("13D", True), (335, True), ("14D", False), (336, False), (None, False)],
)
def test_a_model_that_a_sliding_history_is_too_short_for_is_refused(
    real: dict[str, Any], history: int | str | None, refused: bool
) -> None:
    models = ModelsConfig({"naive": project_models().root["seasonal_naive"]})
    windows = WindowsConfig(calibrate=0, select=1, report=1, history=history)
    says = "model 'naive' needs 336 steps, and 'windows.history' shows it 3(12|35)"
    with pytest.raises(ConfigError, match=says) if refused else nullcontext():
        check_models(real["sources"], real["task"], models, windows)


def test_an_attribute_that_no_series_has_is_found_before_anything_is_learnt(
    real: dict[str, Any],
) -> None:
    spec = {"engine": "var", "options": {"group_by": "colour"}}
    models = ModelsConfig.model_validate({"together": spec})
    there = ["origin", "carrier", "airline", "airport", "latitude", "longitude"]
    says = re.escape(
        f"model 'together': the series have no attribute ['colour']; they have {there}"
    )
    with pytest.raises(ConfigError, match=says):
        check_models(real["sources"], real["task"], models, real["config"])


@pytest.mark.parametrize(
    ("key", "values", "refused"),
    [
        ("params.num_leafs", {"low": 15, "high": 31}, "num_leafs"),
        ("lag", {"choices": [[336], [168]]}, "lag"),
        ("lags", {"choices": [["yesterday"], ["today"]]}, "model 'trees'"),
        ("params.num_leaves", {"low": 15, "high": 31}, None),
        ("lags", {"choices": [["yesterday"], [336]]}, None),
    ],
)
def test_an_option_to_tune_that_an_engine_does_not_know_is_found_before_anything_is_learnt(
    real: dict[str, Any], key: str, values: dict[str, Any], refused: str | None
) -> None:
    options = {"estimator": "lightgbm.LGBMRegressor", "lags": [168]}
    spec = {"engine": "mlforecast", "options": options, "tune": {"space": {key: values}}}
    naive = project_models().root["seasonal_naive"].model_dump()
    models = ModelsConfig.model_validate({"naive": naive, "trees": spec})
    says = f"model 'trees': 'tune.space' has '{key}', and no value of it can be used: .*{refused}"
    with pytest.raises(ConfigError, match=says) if refused else nullcontext():
        check_models(real["sources"], real["task"], models, real["config"])


def test_options_that_go_with_some_choices_only_may_be_tuned(real: dict[str, Any]) -> None:
    estimators = ["sklearn.linear_model.Ridge", "lightgbm.LGBMRegressor"]
    space = {"estimator": {"choices": estimators}, "params.num_leaves": {"low": 15, "high": 63}}
    spec = {"engine": "mlforecast", "options": {"estimator": estimators[0], "lags": [168]}}
    naive = project_models().root["seasonal_naive"].model_dump()
    models = ModelsConfig.model_validate(
        {"naive": naive, "any": {**spec, "tune": {"space": space}}}
    )
    check_models(real["sources"], real["task"], models, real["config"])


def test_a_model_is_shown_no_column_that_it_does_not_declare() -> None:
    panel = small_panel().assign(promotion=1.0, rain=2.0)
    static = pd.DataFrame({"unique_id": ["a", "b", "c", "tiny"], "shop": "north"})
    knowledge = knowledge_of(
        panel, make_task(), known=["promotion"], past_only=["rain"], static=static
    )
    history = knowledge.at(panel["ds"].max()).history()
    seen = {}
    for uses in ((), ("known",), ("past_only", "static")):
        model = Toy()
        model.uses = frozenset(uses)
        shown = history.for_model(model)
        seen[uses] = [*shown.rows.columns[3:], *shown.static.columns[1:]]
    assert seen == {(): [], ("known",): ["promotion"], ("past_only", "static"): ["rain", "shop"]}


def test_a_model_learns_anew_every_so_many_windows_and_once_at_the_end() -> None:
    fitted: list[pd.Timestamp] = []

    class Watched(Toy):
        def fit(self, history):  # type: ignore[no-untyped-def]
            fitted.append(history.rows["ds"].max())

    windows = daily_windows(3)
    costs = run(Watched(scope="panel"), small_panel(), windows).costs
    assert fitted == [*windows["cutoff"].iloc[[0, 2]], pd.Timestamp("2013-01-10 23:00")]
    assert costs[["model", "series", "windows", "fits"]].to_numpy().tolist() == [["naive", 4, 3, 3]]


def test_no_panel_is_no_work() -> None:
    nothing = run(Toy(), small_panel().iloc[:0], daily_windows(3))
    assert nothing.forecasts.empty
    assert nothing.failures.empty
    assert list(nothing.forecasts.columns[:5]) == ["unique_id", "cutoff", "ds", "model", "y_hat"]
    assert list(nothing.failures.columns) == [
        *("unique_id", "cutoff", "model", "reason", "fallback"),
    ]


def test_the_projects_models_are_local_global_or_combined() -> None:
    models = project_models()
    assert set(local_models(models)) | set(global_models(models)) == set(models.root) - set(
        models.combinations
    )


def test_the_costs_of_shards_add_up_to_what_one_series_costs() -> None:
    def shard(model: str, series: int, fit: float, predict: float, memory: float) -> pd.DataFrame:
        row = (model, series, 10, 2, fit, predict, memory)
        names = ["model", "series", "windows", "fits", "fit_seconds", "predict_seconds"]
        return pd.DataFrame([row], columns=[*names, "memory_mb"])

    total = total_costs(
        shard("cheap", 3, 0.6, 3.0, 5.0),
        shard("cheap", 1, 0.2, 1.0, 9.0),
        shard("dear", 4, 80, 8, 1),
    )
    assert total["model"].tolist() == ["dear", "cheap"]
    assert total["series"].tolist() == [4, 4]
    assert total["memory_mb"].tolist() == [1.0, 9.0]
    np.testing.assert_allclose(total["seconds_per_series"], [(40 + 0.8) / 4, (0.4 + 0.4) / 4])
