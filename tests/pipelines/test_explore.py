"""Diagnostics: they see what is there, and no series is too odd for them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.pipelines.explore.nodes import diagnose_series, intermittency_class
from helpers import make_series, make_task


def diagnose(y: np.ndarray, season: int = 24) -> pd.Series:
    return diagnose_series(
        make_series("a", "2013-01-01", y), make_task(season_lengths=[season])
    ).loc[0]


def test_a_season_is_seen() -> None:
    random = np.random.default_rng(0)
    hours = np.arange(24 * 20)
    found = diagnose(10 + 5 * np.sin(2 * np.pi * hours / 24) + random.normal(scale=0.5, size=480))
    assert found["season_strength"] > 0.9
    assert found["acf_season"] > 0.8
    assert found["n_steps"] == 480
    assert found["intermittency"] == "smooth"


def test_a_trend_and_a_random_walk_are_told_from_noise() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(size=480)
    assert diagnose(np.arange(480.0) + noise)["trend_strength"] > 0.9
    walk, still = diagnose(np.cumsum(noise)), diagnose(noise)
    assert walk["adf_pvalue"] > 0.05 > still["adf_pvalue"]
    assert walk["kpss_pvalue"] < 0.05 <= still["kpss_pvalue"]
    assert still["season_strength"] < 0.5
    assert walk["acf_1"] > 0.9


def test_only_the_last_steps_count() -> None:
    found = diagnose(np.concatenate([np.full(500, 1e6), np.tile([0.0, 2.0], 1008)]))
    assert found["n_steps"] == 2016
    assert (found["mean"], found["share_zero"]) == (1.0, 0.5)


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=70), min_size=1, max_size=3),
    st.sampled_from([1, 2, 7, 24]),
)
def test_every_series_gets_its_row(series: list[list[int]], season: int) -> None:
    panel = pd.concat(
        [make_series(f"s{number}", "2013-01-01", y) for number, y in enumerate(series)]
    )
    found = diagnose_series(panel, make_task(season_lengths=[season]))
    assert found["unique_id"].tolist() == [f"s{number}" for number in range(len(series))]
    assert found["n_steps"].tolist() == [len(y) for y in series]
    np.testing.assert_allclose(found["mean"], [np.mean(y) for y in series])
    for column in ("season_strength", "trend_strength", "adf_pvalue", "kpss_pvalue"):
        assert found[column].dropna().between(0, 1).all()


@given(st.integers(2, 40), st.sampled_from([1e-8, 1.0, 1e8]), st.integers(0, 39))
def test_a_single_odd_value_is_no_problem(length: int, size: float, place: int) -> None:
    y = np.zeros(length)
    y[place % length] = size
    assert diagnose(y, season=4)["n_steps"] == length


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([5, 6, 5, 6], "smooth"),
        ([1, 100, 1, 1, 1, 1], "erratic"),
        ([0, 0, 6, 0], "intermittent"),
        ([0, 0, 1, 0, 0, 90, 0, 1, 1, 0], "lumpy"),
        ([0, 0, 0], "no demand"),
        ([-1, 1, -1, 1], "erratic"),
    ],
)
def test_classes_of_demand(y: list[float], expected: str) -> None:
    assert intermittency_class(np.array(y, dtype=float)) == expected


def test_a_shard_without_series_has_the_columns() -> None:
    found = diagnose_series(make_series("a", "2013-01-01", []), make_task())
    assert found.empty
    assert found.columns[0] == "unique_id"
