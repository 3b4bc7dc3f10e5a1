"""Global models: which lags they use, what they learn, and what they refuse."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from clepsydra.models.base import History, quantile_columns
from clepsydra.models.lags import default_lags, default_rolling_means, recursive_lags
from clepsydra.models.machine_learning import MlforecastModel
from helpers import make_series, make_task


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More threads only wait for each other on so little data."""
    with threadpool_limits(1):
        yield


LINEAR = {"estimator": "sklearn.linear_model.LinearRegression"}
seasons = st.lists(st.integers(1, 400), min_size=1, max_size=3, unique=True)


@given(seasons, st.integers(1, 500))
def test_no_lag_or_mean_needs_a_value_that_is_not_known_yet(lengths: list[int], lead: int) -> None:
    lags = default_lags(lengths, lead)
    assert lags == sorted(set(lags))
    assert lags[0] >= lead
    means = default_rolling_means(lengths, lead)
    assert min(means) >= lead
    assert all(size > 1 for sizes in means.values() for size in sizes)


@given(seasons, st.integers(1, 500))
def test_the_longest_season_is_a_lag_wherever_it_is_known(lengths: list[int], lead: int) -> None:
    longest = max(lengths)
    lags = default_lags(lengths, lead)
    assert 3 * longest in lags or 3 * longest < lead
    assert any(lag % longest == 0 for lag in lags) or lead > 3 * longest
    assert len(lags) < 500


def history(steps: int = 240, known: bool = False) -> pd.DataFrame:
    """Two series of a season of 12, of which the second is a hundred times the first."""
    season = 10 + 5 * np.sin(2 * np.pi * np.arange(steps) / 12)
    frame = pd.concat(
        [
            make_series("large", "2013-01-01", 100 * season),
            make_series("small", "2013-01-01", season),
        ],
        ignore_index=True,
    ).drop(columns="is_imputed")
    if known:
        frame["promotion"] = (np.arange(len(frame)) % 7 == 0).astype(float)
        frame["y"] += 30 * frame["promotion"]
    return frame


def cut(frame: pd.DataFrame, steps: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All but the last steps of each series, and those."""
    last = frame.groupby("unique_id").cumcount(ascending=False) < steps
    return frame[~last], frame[last]


def model(lead: int = 12, **options: Any) -> MlforecastModel:
    return MlforecastModel(make_task(season_lengths=[12]), lead, **{**LINEAR, **options})


def forecast(
    one: MlforecastModel,
    past: pd.DataFrame,
    ahead: pd.DataFrame,
    fitted_on: pd.DataFrame | None = None,
    past_only: tuple[str, ...] = (),
    static: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """What a model forecasts beside the actuals, by way of a pickled fit."""
    known = tuple(c for c in past.columns if c not in {"unique_id", "ds", "y", *past_only})

    def shown(rows: pd.DataFrame) -> History:
        whole = History.of(rows)
        return History(
            rows, whole.static if static is None else static, known, past_only
        ).for_model(one)

    state = pickle.loads(pickle.dumps(one.fit(shown(past if fitted_on is None else fitted_on))))
    history = shown(past)
    horizon = int(ahead.groupby("unique_id").size().max())
    columns = ["unique_id", "ds", *history.known]
    found = one.predict(state, history, ahead[columns], horizon)
    return ahead[["unique_id", "ds", "y"]].merge(
        found, on=["unique_id", "ds"], validate="one_to_one"
    )


@pytest.mark.parametrize("balance", [True, False])
@pytest.mark.parametrize("transforms", [(), ("difference_season",), ("log1p", "standard_scaler")])
@pytest.mark.parametrize("how", [{}, {"blocks": 3}, {"strategy": "recursive"}])
def test_a_plain_season_is_continued(
    balance: bool, transforms: tuple[str, ...], how: dict[str, Any]
) -> None:
    past, ahead = cut(history(), 12)
    merged = forecast(model(balance=balance, target_transforms=transforms, **how), past, ahead)
    assert len(merged) == 24
    np.testing.assert_allclose(merged["y_hat"], merged["y"], rtol=1e-3)


def test_forecasts_follow_newer_history_than_the_fit_saw() -> None:
    past, ahead = cut(history(), 12)
    older, _ = cut(past, 60)
    merged = forecast(model(), past, ahead, fitted_on=older)
    assert len(merged) == 24
    np.testing.assert_allclose(merged["y_hat"], merged["y"], rtol=1e-4)


def test_columns_known_in_advance_are_used_only_if_asked_for() -> None:
    past, ahead = cut(history(known=True), 12)
    errors = {}
    for known_columns in (True, False):
        merged = forecast(model(known_columns=known_columns, balance=True), past, ahead)
        errors[known_columns] = (merged["y_hat"] - merged["y"]).abs().mean()
    assert errors[True] < errors[False] / 2


@pytest.mark.parametrize("blocks", [1, 4])
def test_past_only_columns_are_features_a_lead_ago_and_none_of_their_future_is_needed(
    blocks: int,
) -> None:
    """The value is what the column was twelve steps before, so that it can be known exactly."""
    random = np.random.default_rng(0)
    frame = history().assign(rain=random.normal(size=480))
    frame["y"] = 50 + 10 * frame.groupby("unique_id")["rain"].shift(12).fillna(0.0)
    past, ahead = cut(frame, 12)
    errors = {}
    for used in (True, False):
        one = model(past_only_columns=used, known_columns=False, blocks=blocks)
        merged = forecast(one, past, ahead.drop(columns="rain"), past_only=("rain",))
        last = merged.groupby("unique_id").cumcount() >= 9  # of which the lag is twelve
        errors[used] = (merged["y_hat"] - merged["y"])[last].abs().mean()
    assert errors[True] < 0.01
    assert errors[False] > 1


@pytest.mark.parametrize("encoding", ["ordinal", "onehot"])
def test_attributes_are_features_and_one_that_was_not_seen_is_no_error(encoding: str) -> None:
    random = np.random.default_rng(0)
    levels = {"a": 0.0, "b": 50.0, "c": 0.0, "d": 50.0}
    frames = [
        make_series(uid, "2013-01-01", level + random.normal(scale=20, size=600))
        for uid, level in levels.items()
    ]
    frame = pd.concat(frames, ignore_index=True).drop(columns="is_imputed")
    static = pd.DataFrame({"unique_id": list("abcd"), "kind": ["low", "high", "low", "high"]})
    past, ahead = cut(frame, 12)
    options = {"lags": [100], "rolling_means": {}, "known_columns": False, "encoding": encoding}
    errors = {}
    for columns in (("kind",), ()):
        merged = forecast(model(static_columns=columns, **options), past, ahead, static=static)
        errors[columns] = (merged["y_hat"] - merged["unique_id"].map(levels)).abs().mean()
    assert errors[("kind",)] < errors[()] / 2
    seen = past[past["unique_id"].isin(["a", "b", "c"])]
    strange = static.assign(kind=["low", "high", "low", "new"])
    merged = forecast(model(static_columns=("kind",), **options), past, ahead, seen, (), strange)
    assert np.isfinite(merged["y_hat"]).all()
    assert model(static_columns=("kind",)).attributes == ("kind",)


QUANTILE_REGRESSORS = [
    ("sklearn.ensemble.HistGradientBoostingRegressor", {"max_iter": 60}),
    ("sklearn.ensemble.GradientBoostingRegressor", {"n_estimators": 60}),
    ("sklearn.linear_model.QuantileRegressor", {"alpha": 0.0}),
    ("lightgbm.LGBMRegressor", {"n_estimators": 60, "min_child_samples": 5}),
]


@pytest.mark.parametrize(("estimator", "params"), QUANTILE_REGRESSORS)
def test_quantiles_are_learnt_by_their_loss(estimator: str, params: dict[str, Any]) -> None:
    random = np.random.default_rng(0)
    frame = history(600).assign(y=random.exponential(10.0, 1200))
    past, ahead = cut(frame, 60)
    one = MlforecastModel(
        make_task(season_lengths=[12]), 60, estimator, params, quantiles=True, lags=[60]
    )
    assert one.own_quantiles
    merged = forecast(one, past, ahead)
    inside = (merged["y"] >= merged["q0.1"]) & (merged["y"] <= merged["q0.9"])
    assert 0.6 < inside.mean() < 0.97
    # Of an exponential distribution: -10 log(1 - level).
    assert abs(merged["q0.2"].median() - 2.2) < 1.5
    assert abs(merged["q0.9"].median() - 23.0) < 8.0
    assert set(quantile_columns()) < set(merged.columns)


@pytest.mark.parametrize(
    "estimator",
    [
        "sklearn.linear_model.Ridge",
        "sklearn.ensemble.RandomForestRegressor",
        "sklearn.ensemble.GradientBoostingRegressor",
        "sklearn.ensemble.HistGradientBoostingRegressor",
        "lightgbm.LGBMRegressor",
    ],
)
def test_regressors_of_both_libraries_learn_a_season(estimator: str) -> None:
    past, ahead = cut(history(), 12)
    params = {"min_child_samples": 5} if "lightgbm" in estimator else {}
    merged = forecast(model(estimator=estimator, params=params, balance=True), past, ahead)
    level = merged.groupby("unique_id")["y"].transform("mean")
    error = (merged["y_hat"] - merged["y"]).abs() / level
    assert error.mean() < 0.1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"strategy": "both"}, "'strategy' is 'both'"),
        ({"strategy": "recursive", "blocks": 2}, "need 'strategy: direct'"),
        ({"strategy": "recursive", "quantiles": True}, "need 'strategy: direct'"),
        ({"target_transforms": ["sqrt"]}, r"names \['sqrt'\]: log1p, difference_season"),
        ({"quantiles": True}, "LinearRegression has no quantile loss"),
        ({"lags": [3, 12]}, r"names \[3\], and a direct model knows nothing newer than 12 steps"),
        ({"rolling_means": {1: [24]}}, r"'rolling_means' names \[1\], and a direct model"),
        ({"lags": [3, 12], "blocks": 2}, r"names \[3\], .* newer than 6 steps"),
        ({"lags": [6, 8], "blocks": 2}, r"'lags' names nothing from 12 steps on"),
        ({"rolling_means": {6: [24]}, "blocks": 2}, "'rolling_means' names nothing from 12 steps"),
        ({"static_columns": "kind"}, r"'static_columns' is a list: \[kind\]"),
        (
            {"estimator": "lightgbm.LGBMRegressor", "params": {"n_estimatros": 5}},
            "LightGBM has no parameter 'n_estimatros'; did you mean 'n_estimators'",
        ),
    ],
)
def test_options_that_exclude_each_other_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        model(**options)


@pytest.mark.parametrize("name", ["num_iterations", "n_iter", "min_data_in_leaf", "num_leaves"])
def test_every_name_that_lightgbm_has_for_a_parameter_is_taken(name: str) -> None:
    model(estimator="lightgbm.LGBMRegressor", params={name: 5})


def test_the_first_steps_of_a_horizon_in_blocks_use_newer_values() -> None:
    """After a jump a few steps ago only the first block knows of it."""
    random = np.random.default_rng(0)
    y = 10 + random.normal(scale=0.1, size=240)
    y[234:] += 100
    past = make_series("a", "2013-01-01", y).drop(columns="is_imputed")
    ahead = make_series("a", "2013-01-11", np.zeros(12)).drop(columns="is_imputed")
    options: dict[str, Any] = {"rolling_means": {}, "known_columns": False}
    whole = forecast(model(blocks=1, **options), past, ahead)["y_hat"]
    parts = forecast(model(blocks=4, **options), past, ahead)["y_hat"]
    assert whole.max() - whole.min() > 50
    assert parts.iloc[0] != whole.iloc[0]
    np.testing.assert_allclose(parts.iloc[9:], whole.iloc[9:])


def test_balancing_serves_the_small_series() -> None:
    random = np.random.default_rng(0)
    frame = history()
    frame["y"] = frame["y"].where(frame["unique_id"] == "large", random.uniform(5, 15, len(frame)))
    past, ahead = cut(frame, 12)
    spread = {}
    for balance in (True, False):
        merged = forecast(model(balance=balance), past, ahead)
        small = merged.loc[merged["unique_id"] == "small", "y_hat"]
        spread[balance] = float((small - 10).abs().mean())
    assert spread[True] < spread[False]


def test_a_block_uses_the_lags_that_are_known_at_its_end() -> None:
    past, _ = cut(history(), 12)
    blocks, _ = model(lags=[6, 8, 12, 24], rolling_means={6: [3], 12: [6]}, blocks=2).fit(
        History.of(past)
    )
    assert [list(block.forecaster.ts.lags) for block in blocks] == [[6, 8, 12, 24], [12, 24]]


REGRESSORS = [
    "sklearn.linear_model.Ridge",
    "sklearn.ensemble.GradientBoostingRegressor",
    "sklearn.ensemble.RandomForestRegressor",
    "lightgbm.LGBMRegressor",
]


@pytest.mark.parametrize("estimator", REGRESSORS)
@pytest.mark.parametrize("how", [{}, {"blocks": 2}, {"strategy": "recursive"}])
def test_a_column_with_missing_values_costs_no_series_its_forecast(
    estimator: str, how: dict[str, Any]
) -> None:
    """As a weather station that is silent for a day leaves them, in the history and ahead."""
    frame = history(known=True)
    frame["rain"] = 1.0
    small = frame["unique_id"] == "small"
    frame.loc[small & (frame["ds"] < "2013-01-03"), ["promotion", "rain"]] = np.nan
    frame.loc[small & (frame["ds"] > "2013-01-10 20:00"), "promotion"] = np.nan
    past, ahead = cut(frame, 12)
    assert ahead["promotion"].isna().any()
    options = {"estimator": estimator, "past_only_columns": True, **how}
    found = forecast(model(**options), past, ahead, past_only=("rain",))
    assert np.isfinite(found["y_hat"]).all()
    assert len(found) == 24


def test_fewer_rows_than_features_are_too_few_to_learn_from() -> None:
    one = model()
    rows = history(one.min_history + 3).query("unique_id == 'large'")
    with pytest.raises(ValueError, match=r"4 rows to learn from, for \d+ features: each series"):
        one.fit(History.of(rows))


def test_series_of_zeros_can_be_balanced() -> None:
    past, ahead = cut(history().assign(y=0.0), 12)
    np.testing.assert_allclose(forecast(model(balance=True), past, ahead)["y_hat"], 0.0, atol=1e-9)


def test_a_series_too_short_is_left_out_of_the_fit_and_none_at_all_is_an_error() -> None:
    one = model()
    assert one.min_history == 37
    short = make_series("short", "2013-01-01", range(36)).drop(columns="is_imputed")
    (fitted,), _ = one.fit(History.of(pd.concat([history(), short], ignore_index=True)))
    assert sorted(fitted.forecaster.ts.uids) == ["large", "small"]
    with pytest.raises(ValueError, match="no series has the 37 steps this model needs"):
        one.fit(History.of(short))


def test_options_of_the_configuration_replace_the_defaults() -> None:
    one = model(lags=[12, 60], rolling_means={12: [3]}, target_transforms=["difference_season"])
    assert one.min_history == 60 + 12 + 1
    (fitted,), _ = one.fit(History.of(history()))
    assert fitted.forecaster.models_["y_hat"].n_features_in_ == 3


@given(seasons)
def test_the_lags_of_a_recursive_model_are_steps_back(lengths: list[int]) -> None:
    lags = recursive_lags(lengths)
    assert lags == sorted(set(lags))
    assert lags[:1] == [1]
    assert set(lengths) <= set(lags)
