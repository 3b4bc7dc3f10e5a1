"""Outliers: what stands out is found, what does not is left, and no series sees another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from concatenated import MISSING, join, series_of
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from clepsydra.config import OutlierConfig
from clepsydra.repair import outliers
from clepsydra.repair.outliers import flag_outliers, robust_sigma

METHODS = ["hampel", "iqr", "stl"]
ALONE = np.array([0])
HOURS = np.arange(24 * 60)
# Few different values: medians and quartiles often coincide, and MADs are often 0.
counts = series_of(st.sampled_from([0.0, 0.0, 1.0, 2.0, 3.0, 7.0, 50.0]), longest=60)
numbers = series_of(st.floats(-100, 100) | st.floats(-1e6, 1e6), longest=60)


def flag(series: list[Any], method: str = "hampel", season: int = 24, **options: Any) -> np.ndarray:
    y, starts = join(series)
    config = OutlierConfig.model_validate({"method": method, **options})
    return flag_outliers(y, starts, config, season)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def seasonal(noise: float = 0.5, seed: int = 0) -> np.ndarray:
    wave = 10 + 5 * np.sin(2 * np.pi * HOURS / 24)
    return wave + random(seed).normal(scale=noise, size=len(HOURS))


def slow_hampel(values: list[float], window: int, threshold: float) -> list[bool]:
    half, y = window // 2, np.array(values)
    around = [y[max(0, step - half) : step + half + 1] for step in range(len(y))]
    around = [own[~np.isnan(own)] for own in around]
    distance = [
        MISSING if np.isnan(value) else abs(value - np.median(own))
        for value, own in zip(y, around, strict=True)
    ]
    known = np.array([number for number in distance if not np.isnan(number)])
    flags = []
    for number, own in zip(distance, around, strict=True):
        if np.isnan(number) or len(own) < min(10, half + 1):
            flags.append(False)
            continue
        sigma = 1.4826 * stats.median_abs_deviation(own)
        flags.append(bool(number > threshold * (sigma or robust_sigma(known))))
    return flags


@given(counts | numbers, st.sampled_from([3, 5, 7, 25]), st.sampled_from([1.0, 3.0, 6.0]))
def test_hampel_is_the_textbook_identifier(
    series: list[list[float]], window: int, threshold: float
) -> None:
    expected = [flagged for own in series for flagged in slow_hampel(own, window, threshold)]
    assert flag(series, window=window, threshold=threshold).tolist() == expected


@given(counts | numbers)
def test_quartiles_are_tukeys_fences(series: list[list[float]]) -> None:
    expected = []
    for own in series:
        values = np.array(own)[~np.isnan(own)]
        if len(values) < 10 or stats.iqr(values) == 0:
            expected.append(None)
            continue
        low, high = np.percentile(values, [25, 75])
        reach = 3 * stats.iqr(values)
        expected.append([bool(v < low - reach or v > high + reach) for v in own])
    found = flag(series, "iqr")
    starts = join(series)[1]
    for first, fences in zip(starts, expected, strict=True):
        if fences is not None:
            assert found[first : first + len(fences)].tolist() == fences


@pytest.mark.parametrize("method", METHODS)
@given(series=counts | numbers, season=st.sampled_from([1, 2, 7]))
def test_no_series_is_compared_with_another_and_no_gap_is_flagged(
    method: str, series: list[list[float]], season: int
) -> None:
    together = flag(series, method, season)
    alone = [flagged for own in series for flagged in flag([own], method, season)]
    assert together.tolist() == alone
    assert not together[np.isnan(join(series)[0])].any()


@pytest.mark.parametrize("method", METHODS)
@given(
    values=st.lists(st.integers(-40, 40) | st.just(4000), min_size=10, max_size=80),
    scale=st.sampled_from([-4.0, 2.0**-20, 1.0, 2.0**30]),
    shift=st.sampled_from([0.0, 1000.0, -12345.0]),
)
def test_unit_and_origin_do_not_matter(
    method: str, values: list[int], scale: float, shift: float
) -> None:
    y = np.array(values, dtype=float)
    np.testing.assert_array_equal(
        flag([y], method, season=7), flag([scale * (y + shift)], method, season=7)
    )


@pytest.mark.parametrize("method", METHODS)
def test_blocks_of_series_are_only_a_matter_of_memory(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = random().integers(0, 90, size=40)
    series = [random(number).standard_t(2, size=n) for number, n in enumerate(lengths)]
    whole = flag(series, method, season=7, threshold=3)
    monkeypatch.setattr(outliers, "_POINTS_AT_ONCE", 50)
    np.testing.assert_array_equal(flag(series, method, season=7, threshold=3), whole)
    assert 10 < whole.sum() < 300


@pytest.mark.parametrize("method", METHODS)
def test_spikes_are_found_and_a_clean_season_is_left_alone(method: str) -> None:
    clean = seasonal()
    assert flag([clean], method).sum() == 0
    places = random().choice(len(clean), 20, replace=False)
    spiked = clean.copy()
    spiked[places] += np.tile([100.0, -100.0], 10)
    assert np.flatnonzero(flag([spiked], method)).tolist() == sorted(places)


def test_only_stl_sees_what_is_odd_for_its_hour() -> None:
    y = seasonal()
    y[[30 * 24 + 6, 40 * 24 + 18]] = 5.0, 15.0
    assert np.flatnonzero(flag([y], "stl")).tolist() == [726, 978]
    assert not flag([y], "hampel").any()
    assert not flag([y], "iqr").any()


@pytest.mark.parametrize("method", ["hampel", "stl"])
def test_spikes_in_weekly_carbon_dioxide_are_found_among_its_gaps(method: str) -> None:
    y = sm.datasets.co2.load_pandas().data["co2"].to_numpy().copy()
    assert np.isnan(y).sum() == 59
    assert not flag([y], method, season=52).any()
    places = random().choice(np.flatnonzero(~np.isnan(y)), 20, replace=False)
    y[places] += np.tile([25.0, -25.0], 10)
    assert np.flatnonzero(flag([y], method, season=52)).tolist() == sorted(places)


def test_noise_is_hardly_ever_flagged() -> None:
    noise = random().normal(size=(200, 1000))
    for method, most in (("hampel", 20), ("iqr", 3)):
        assert flag(list(noise), method).sum() <= most
    assert flag(list(noise[:20]), "stl").sum() <= 3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rate", [0.0007, 0.005, 0.05, 0.3, 1.0, 5.0])
def test_rare_events_and_counts_do_not_stand_out_but_a_huge_one_does(
    method: str, rate: float
) -> None:
    y = random(3).poisson(rate, size=8760).astype(float)
    assert flag([y], method).mean() < 0.001
    y[4000] += 100
    found = flag([y], method)
    assert found[4000]
    assert found.mean() < 0.001


@pytest.mark.parametrize("method", METHODS)
def test_a_single_value_in_a_constant_series_stands_out_but_rounding_does_not(method: str) -> None:
    y = np.full(200, 0.3)
    y[::7] = 0.1 + 0.2
    assert not flag([y], method, season=7).any()
    y[50] = 0.4
    assert np.flatnonzero(flag([y], method, season=7)).tolist() == [50]


def test_hours_that_are_always_shut_do_not_make_outliers_of_those_that_are_open() -> None:
    for opening in (5, 11, 16):
        sales = 50 * np.exp(random().normal(scale=0.3, size=len(HOURS)))
        y = np.where(opening > HOURS % 24, sales, 0.0)
        y[24 * 30] = 2000.0
        found = flag([y], "stl")
        assert found[24 * 30]
        assert found.mean() < 0.01


def test_a_timetable_that_mostly_holds_does_not_make_outliers_of_what_differs() -> None:
    usual = np.tile(random().integers(0, 6, size=24), 60)
    y = usual + np.where(random(1).random(len(usual)) < 0.2, random(2).integers(-1, 2), 0)
    assert not flag([y], "stl").any()
    y[700] += 30
    assert np.flatnonzero(flag([y], "stl")).tolist() == [700]


def test_absurd_values_do_not_hide_or_make_others() -> None:
    y = seasonal()
    y[[100, 500, 501, 900]] = 1e30, -999.0, 9.97e36, 40.0
    assert np.flatnonzero(flag([y], "stl")).tolist() == [100, 500, 501, 900]


def test_stl_leaves_short_and_resting_series_and_those_without_season_to_hampel() -> None:
    short, resting = seasonal()[: 24 * 5 - 1], np.where(HOURS % 24 < 11, seasonal(), 0.0)
    short[60] = resting[60] = 500.0
    series = [short, resting, seasonal()]
    found = flag(series, "stl")
    assert found.sum() == 2
    np.testing.assert_array_equal(found, flag(series, "hampel"))
    np.testing.assert_array_equal(flag(series, "stl", season=1), found)


@pytest.mark.parametrize("method", METHODS)
def test_too_little_to_compare_with_is_never_flagged(method: str) -> None:
    series = [[], [1.0], [1.0, 100.0], [1.0] * 8 + [100.0], [MISSING] * 50]
    assert not flag(series, method, season=2).any()
    assert len(flag([], method)) == 0


@given(st.lists(st.integers(0, 5) | st.integers(0, 1000), min_size=1, max_size=50))
def test_robust_sigma_grows_with_the_unit_and_is_0_only_of_nothing(distances: list[int]) -> None:
    deviations = np.array(distances, dtype=float)
    assert robust_sigma(4 * deviations) == 4 * robust_sigma(deviations)
    assert (robust_sigma(deviations) == 0) == (not deviations.any())


def test_robust_sigma_is_that_of_a_normal_distribution() -> None:
    assert robust_sigma(np.abs(random().normal(scale=3, size=100_000))) == pytest.approx(
        3, rel=0.02
    )


def test_a_season_of_no_steps_is_refused() -> None:
    config = OutlierConfig(method="stl")
    with pytest.raises(ValueError, match="season_length is 0"):
        flag_outliers(np.zeros(3), ALONE, config, 0)
    with pytest.raises(ValueError, match="begin with 0"):
        flag_outliers(np.zeros(3), np.array([1]), config, 7)
