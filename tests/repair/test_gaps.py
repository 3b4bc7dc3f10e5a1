"""Gaps: found and filled as slow functions on one series at a time do it."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pandas as pd
import pytest
from concatenated import MISSING, join, series_of
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.repair.gaps import (
    fill_gaps,
    find_gaps,
    series_ends,
    start_after_long_gaps,
)

METHODS = ["linear", "previous", "seasonal"]
many_series = series_of(st.floats(-1e6, 1e6))


def slow_gaps(values: list[float]) -> list[tuple[int, int]]:
    runs = groupby(range(len(values)), key=lambda step: np.isnan(values[step]))
    steps = [list(run) for is_gap, run in runs if is_gap]
    return [(run[0], run[-1]) for run in steps]


def slow_fill(values: list[float], method: str, season: int) -> np.ndarray:
    given_values = pd.Series(values, dtype=float)
    if method == "previous":
        return given_values.ffill().bfill().to_numpy()
    linear = given_values.interpolate(limit_direction="both").to_numpy()
    if method == "linear":
        return linear
    filled = linear.copy()
    for step in np.flatnonzero(given_values.isna()):
        for before in range(step - season, -1, -season):
            if not np.isnan(values[before]):
                filled[step] = values[before]
                break
    return filled


@given(many_series, st.sampled_from(METHODS), st.integers(1, 9))
def test_every_series_is_filled_as_it_would_be_alone(
    series: list[list[float]], method: str, season: int
) -> None:
    y, starts = join(series)
    before = y.copy()
    filled = fill_gaps(y, starts, method, season)
    np.testing.assert_array_equal(y, before)
    expected, _ = join([slow_fill(values, method, season) for values in series])
    np.testing.assert_allclose(filled, expected, rtol=1e-9, atol=1e-9)
    alone, _ = join(
        [fill_gaps(np.array(values), np.array([0]), method, season) for values in series]
    )
    np.testing.assert_array_equal(filled, alone)


@given(many_series, st.sampled_from(METHODS), st.integers(1, 9))
def test_observations_stay_and_only_a_series_without_any_stays_missing(
    series: list[list[float]], method: str, season: int
) -> None:
    y, starts = join(series)
    filled = fill_gaps(y, starts, method, season)
    observed = ~np.isnan(y)
    np.testing.assert_array_equal(filled[observed], y[observed])
    for first, end in zip(starts, series_ends(y, starts), strict=True):
        assert np.isnan(filled[first:end]).all() or not np.isnan(filled[first:end]).any()
        if observed[first:end].any():
            own = y[first:end][observed[first:end]]
            assert own.min() - 1e-9 <= filled[first:end].min()
            assert filled[first:end].max() <= own.max() + 1e-9


@given(many_series)
def test_all_gaps_are_found_and_none_goes_over_the_end_of_a_series(
    series: list[list[float]],
) -> None:
    y, starts = join(series)
    expected = [
        (number, starts[number] + first, starts[number] + last)
        for number, values in enumerate(series)
        for first, last in slow_gaps(values)
    ]
    assert list(zip(*find_gaps(y, starts), strict=True)) == expected


@given(many_series, st.integers(0, 5))
def test_a_series_starts_after_its_last_long_gap_between_two_values(
    series: list[list[float]], limit: int
) -> None:
    y, starts = join(series)
    expected = []
    for number, values in enumerate(series):
        inner = [
            last + 1
            for first, last in slow_gaps(values)
            if first > 0 and last + 1 < len(values) and last - first + 1 > limit
        ]
        expected.append(starts[number] + max(inner, default=0))
    assert start_after_long_gaps(y, starts, limit).tolist() == expected


def test_a_season_is_repeated_over_a_long_gap_and_at_the_end() -> None:
    y = np.array([1.0, 2.0, 3.0] + [MISSING] * 8 + [9.0] + [MISSING] * 4)
    filled = fill_gaps(y, np.array([0]), "seasonal", season_length=3)
    assert filled.tolist() == [*[1.0, 2.0, 3.0] * 3, 1.0, 2.0, 9.0, *[1.0, 2.0, 9.0, 1.0]]


def test_without_a_season_before_a_seasonal_gap_is_a_straight_line() -> None:
    y, starts = join([[5.0, 6.0, 7.0], [1.0, MISSING, 3.0, MISSING]])
    assert fill_gaps(y, starts, "seasonal", 7).tolist() == [5.0, 6.0, 7.0, 1.0, 2.0, 3.0, 3.0]


def test_a_step_that_is_missing_in_every_season_gets_a_straight_line_in_few_rounds() -> None:
    y = np.tile([1.0, 2.0, MISSING], 100_000)
    filled = fill_gaps(y, np.array([0]), "seasonal", 3)
    np.testing.assert_allclose(filled[2:-1:3], 1.5)
    assert filled[-1] == 2.0


def test_a_gap_between_equal_values_gets_exactly_these() -> None:
    assert fill_gaps(np.array([0.1, *[MISSING] * 7, 0.1]), np.array([0])).tolist() == [0.1] * 9


def test_no_series_at_all_is_no_error() -> None:
    y, starts = join([])
    assert len(fill_gaps(y, starts)) == 0
    assert [len(part) for part in find_gaps(y, starts)] == [0, 0, 0]
    assert len(start_after_long_gaps(y, starts, 3)) == 0


@pytest.mark.parametrize(
    ("starts", "says"),
    [
        ([], "3 values, but no series"),
        ([1], "begin with 0"),
        ([0, 2, 1], "rise"),
        ([0, 4], "at most 3"),
    ],
)
def test_starts_that_do_not_fit_are_refused(starts: list[int], says: str) -> None:
    y = np.array([1.0, MISSING, 3.0])
    for function in (series_ends, find_gaps, fill_gaps):
        with pytest.raises(ValueError, match=says):
            function(y, np.array(starts, dtype=int))


def test_wrong_options_are_refused_and_named() -> None:
    y, starts = join([[1.0, MISSING, 3.0]])
    with pytest.raises(ValueError, match="'spline': use one of linear, previous, seasonal"):
        fill_gaps(y, starts, "spline")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="season_length is 0"):
        fill_gaps(y, starts, "seasonal", 0)
    with pytest.raises(ValueError, match="limit is -1"):
        start_after_long_gaps(y, starts, -1)
