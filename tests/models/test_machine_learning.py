"""Global models: which lags they use, what they learn, and what they refuse."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.models.machine_learning import (
    MlforecastModel,
    default_lags,
    default_rolling_means,
)
from helpers import make_series, make_task

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


@pytest.mark.parametrize("balance", [True, False])
@pytest.mark.parametrize("difference_season", [True, False])
def test_a_plain_season_is_continued(balance: bool, difference_season: bool) -> None:
    past, ahead = cut(history(), 12)
    one = model(balance=balance, difference_season=difference_season)
    found = one.predict(pickle.loads(pickle.dumps(one.fit(past))), past, ahead.drop(columns="y"))
    merged = ahead.merge(found, on=["unique_id", "ds"], validate="one_to_one")
    assert len(merged) == 24
    np.testing.assert_allclose(merged["y_hat"], merged["y"], rtol=1e-4)


def test_forecasts_follow_newer_history_than_the_fit_saw() -> None:
    past, ahead = cut(history(), 12)
    older, _ = cut(past, 60)
    one = model()
    found = one.predict(one.fit(older), past, ahead.drop(columns="y"))
    merged = ahead.merge(found, on=["unique_id", "ds"], validate="one_to_one")
    assert len(merged) == 24
    np.testing.assert_allclose(merged["y_hat"], merged["y"], rtol=1e-4)


def test_columns_known_in_advance_are_used_only_if_asked_for() -> None:
    past, ahead = cut(history(known=True), 12)
    errors = {}
    for known_columns in (True, False):
        one = model(known_columns=known_columns, balance=True)
        found = one.predict(one.fit(past), past, ahead.drop(columns="y"))
        merged = ahead.merge(found, on=["unique_id", "ds"])
        errors[known_columns] = (merged["y_hat"] - merged["y"]).abs().mean()
    assert errors[True] < errors[False] / 2


def test_balancing_serves_the_small_series() -> None:
    random = np.random.default_rng(0)
    frame = history()
    frame["y"] = frame["y"].where(frame["unique_id"] == "large", random.uniform(5, 15, len(frame)))
    past, ahead = cut(frame, 12)
    spread = {}
    for balance in (True, False):
        one = model(balance=balance)
        found = one.predict(one.fit(past), past, ahead.drop(columns="y"))
        small = found.loc[found["unique_id"] == "small", "y_hat"]
        spread[balance] = float((small - 10).abs().mean())
    assert spread[True] < spread[False]


def test_series_of_zeros_can_be_balanced() -> None:
    frame = history().assign(y=0.0)
    past, ahead = cut(frame, 12)
    one = model(balance=True)
    found = one.predict(one.fit(past), past, ahead.drop(columns="y"))
    np.testing.assert_allclose(found["y_hat"], 0.0, atol=1e-9)


def test_a_series_too_short_is_left_out_of_the_fit_and_none_at_all_is_an_error() -> None:
    one = model()
    assert one.min_history == 37
    short = make_series("short", "2013-01-01", range(36)).drop(columns="is_imputed")
    fitted = one.fit(pd.concat([history(), short], ignore_index=True))
    assert sorted(fitted.ts.uids) == ["large", "small"]
    with pytest.raises(ValueError, match="no series has the 37 steps this model needs"):
        one.fit(short)


def test_options_of_the_configuration_replace_the_defaults() -> None:
    one = model(lags=[12, 60], rolling_means={12: [3]}, difference_season=True)
    assert one.min_history == 60 + 12 + 1
    fitted = one.fit(history())
    assert fitted.models_["y_hat"].n_features_in_ == 3
