"""Values that stand out from their series: the Hampel identifier, quartiles, STL remainders.

`y` and `starts` are those of `gaps`: many series one after the other, none compared with another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from clepsydra.config.cleaning import HAMPEL_WINDOW, OutlierConfig
from clepsydra.repair.gaps import fill_gaps, series_ends

__all__ = ["flag_outliers", "robust_sigma"]

# What these are of a normal distribution with a standard deviation of 1.
_SIGMA_PER_MAD = 1.4826
_SIGMA_PER_MEAN_DEVIATION = 1.2533
_IQR_PER_SIGMA = 1.349

_LEAST = 10
_LEAST_SEASONS = 5
_SEASONS_SMOOTHED = 11
_LEAST_REACH = 10.0
# Differences of this part of a value are its rounding.
_ROUNDING = 1e-10
_POINTS_AT_ONCE = 1_000_000


def flag_outliers(
    y: np.ndarray, starts: np.ndarray, config: OutlierConfig, season_length: int = 1
) -> np.ndarray:
    """Which values stand out from their series.

    `hampel` flags a value that is farther from the median of the window around it than
    `threshold` times 1.4826 MAD, the median absolute deviation of the window from that median
    (Hampel, The influence curve and its role in robust estimation, 1974; Davies and Gather, The
    identification of multiple outliers, 1993). At the ends of a series and around gaps the window
    has fewer values; with less than half of its steps, or 10 if that is less, nothing is flagged.
    A window whose MAD is 0 takes the scale of its series, `robust_sigma` of all distances from
    the medians. It knows no season: steps that are regularly unlike those around them, such as
    weekends in daily data, are flagged. `stl` is for those.

    `iqr` flags a value that is more than `threshold` interquartile ranges below the first or above
    the third quartile of its series (Tukey, Exploratory Data Analysis, 1977). Where the range is
    0, 1.349 times `robust_sigma` of the distances from the median stands for it. A trend or a
    season widens the range; a series of fewer than 10 values has no outliers.

    `stl` flags a value whose remainder after trend and season is farther from the median remainder
    than `threshold` times `robust_sigma` of these distances, in the whole series and in the same
    phase of the season (Cleveland, Cleveland, McRae and Terpenning, STL: A seasonal-trend
    decomposition procedure based on loess, 1990, robust). Gaps are filled first; values more than
    10 `robust_sigma` (or twice the threshold) from a level and season of medians are drawn in to
    there, where they are still flagged but do not spoil the fit; remainders of less than half of
    the smallest difference between two values, such as half a count, are none. As in R's `mstl`,
    11 seasons are smoothed by a constant and loess is evaluated at every tenth of its span.
    `hampel` with a window of 25 steps stands in for it where a season is 1 step, where there are
    values for fewer than 5 seasons (an outlier would bend the fit, and steps one season away be
    flagged in its place), and where more than half of the values are the same. It takes some
    30 ms for 1,000 steps.

    Args:
        y: `[T]` values of all series, finite, or NaN if missing.
        starts: `[S]` positions of their first steps.
        config: the method, its `threshold` and `window`.
        season_length: steps of a season, for `stl`.

    Returns:
        `[T]` bool; a missing step is never flagged, nor is a difference that is only rounding.

    Raises:
        ValueError: the season is shorter than a step, or `starts` does not fit `y`.

    Examples:
        >>> y = np.array([1.0, 2.0] * 15 + [3.0, 4.0] * 15)
        >>> y[[7, 50]] = 90.0, np.nan
        >>> flags = flag_outliers(y, np.array([0, 30]), OutlierConfig(method="hampel"))
        >>> np.flatnonzero(flags)
        array([7])
    """
    if season_length < 1:
        raise ValueError(f"season_length is {season_length}: a season has at least 1 step")
    ends = series_ends(y, starts)
    detect = _METHODS[config.method]
    flags = np.zeros(len(y), dtype=bool)
    half = (config.window or HAMPEL_WINDOW) // 2
    for low, high in _blocks(starts + half * np.arange(len(starts))):
        first, end = starts[low], ends[high - 1]
        flags[first:end] = detect(y[first:end], starts[low:high] - first, config, season_length)
    return flags


def robust_sigma(deviations: np.ndarray) -> float:
    """The standard deviation behind distances from a centre, of which a few may be extreme.

    1.4826 times their median. Where more than half of the values equal the centre (counts that
    are mostly 0, a signal that rests), that is 0 and would make an outlier of all that differs.
    Then it is 1.2533 times their mean (Iglewicz and Hoaglin, How to Detect and Handle Outliers,
    1993), but no less than 1.4826 times the median of the distances that are not 0, without the
    one that is judged: values that differ are compared with the others that do. So in a series of
    rare events the events do not stand out, only an unusual one; a single value that differs from
    an otherwise constant series does.

    Args:
        deviations: `[N]` distances, 0 or more, at least one.

    Returns:
        The standard deviation, in the unit of the distances; 0 if all of them are 0.

    Examples:
        >>> robust_sigma(np.array([1.0, 2.0, 2.0, 3.0, 1000.0]))
        2.9652
        >>> robust_sigma(np.array([0.0] * 99 + [8.0])) < 8 / 6
        True
        >>> robust_sigma(np.array([0.0] * 97 + [1.0, 1.0, 8.0]))
        1.4826
    """
    median = float(np.median(deviations))
    if median > 0:
        return _SIGMA_PER_MAD * median
    differing = np.sort(deviations[deviations > 0])
    # Without the one judged, the lower median of the others; it matters only to those above it.
    others = len(differing) // 2 - 1
    usual = float(differing[others]) if others >= 0 else 0.0
    return max(_SIGMA_PER_MEAN_DEVIATION * float(deviations.mean()), _SIGMA_PER_MAD * usual)


def _blocks(places: np.ndarray) -> Iterator[tuple[int, int]]:
    """First series and the one after the last, of so many at a time as memory should hold."""
    _, first = np.unique(places // _POINTS_AT_ONCE, return_index=True)
    bounds = [*first.tolist(), len(places)]
    yield from pairwise(bounds)


def _hampel(
    y: np.ndarray, starts: np.ndarray, config: OutlierConfig, season_length: int
) -> np.ndarray:
    window = config.window or HAMPEL_WINDOW
    half = window // 2
    lengths = series_ends(y, starts) - starts
    at = np.flatnonzero(~np.isnan(y))
    series = np.repeat(np.arange(len(starts)), lengths)[at]
    flags = np.zeros(len(y), dtype=bool)
    if not len(at):
        return flags
    # Missing steps between the series keep each window to its own.
    place = at + half * (series + 1)
    padded = np.full(len(y) + half * (len(starts) + 1), np.nan)
    padded[place] = y[at]
    windows = np.lib.stride_tricks.sliding_window_view(padded, window)
    deviation, sigma = np.empty(len(at)), np.empty(len(at))
    rows = max(1, _POINTS_AT_ONCE // window)
    for first in range(0, len(at), rows):
        part = slice(first, first + rows)
        deviation[part], sigma[part] = _window_sigma(
            windows[place[part] - half], y[at[part]], config.threshold
        )
    unvaried = np.flatnonzero(sigma == 0)
    bounds = np.searchsorted(series, np.arange(len(starts) + 1))
    for number in np.unique(series[unvaried]).tolist():
        own = slice(bounds[number], bounds[number + 1])
        sigma[own][sigma[own] == 0] = robust_sigma(deviation[own])
    flags[at] = deviation > config.threshold * sigma
    return flags


def _window_sigma(
    windows: np.ndarray, values: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each value from its window's median, and 1.4826 MAD of the window.

    Args:
        windows: `[N, window]`, a copy that is changed here, NaN where there is no value.
        values: `[N]`, those in the middle.
        threshold: what is nearer than this many MAD need not be known exactly.

    Returns:
        `[N]` distances and `[N]` standard deviations, infinite if they cannot matter.
    """
    width = windows.shape[1]
    windows.sort(axis=1)
    count = width - np.isnan(windows).sum(axis=1)
    centre = _middle(windows, count)
    rounding = _ROUNDING * np.abs(centre)
    deviation = np.abs(values - centre)
    deviation[deviation <= rounding] = 0
    # At least half of the values are within the MAD, so it reaches the nearer end of the middle
    # half; few values are far enough from the median for the MAD itself to matter.
    row = np.arange(len(windows))
    low = (count - (count + 1) // 2) // 2
    high = np.minimum(low + (count + 1) // 2, count - 1)
    least = np.minimum(centre - windows[row, low], windows[row, high] - centre)
    least[least <= rounding] = 0
    far = deviation > threshold * _SIGMA_PER_MAD * least
    matters = np.flatnonzero(far & (count >= min(_LEAST, width // 2 + 1)))
    distances = np.abs(windows[matters] - centre[matters, None])
    distances[distances <= rounding[matters, None]] = 0
    distances.sort(axis=1)
    sigma = np.full(len(windows), np.inf)
    sigma[matters] = _SIGMA_PER_MAD * _middle(distances, count[matters])
    return deviation, sigma


def _middle(ordered: np.ndarray, count: np.ndarray) -> np.ndarray:
    """`[N]` medians of the first `count` values in each ordered row."""
    row = np.arange(len(ordered))
    return 0.5 * ordered[row, (count - 1) // 2] + 0.5 * ordered[row, count // 2]


def _iqr(
    y: np.ndarray, starts: np.ndarray, config: OutlierConfig, season_length: int
) -> np.ndarray:
    flags = np.zeros(len(y), dtype=bool)
    for first, end in zip(starts.tolist(), series_ends(y, starts).tolist(), strict=True):
        own = y[first:end]
        values = own[~np.isnan(own)]
        if len(values) < _LEAST:
            continue
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
        spread = high - low
        rounding = _ROUNDING * abs(median)
        if spread <= rounding:
            distance = np.abs(values - median)
            distance[distance <= rounding] = 0
            spread = max(_IQR_PER_SIGMA * robust_sigma(distance), rounding)
        reach = config.threshold * spread
        flags[first:end] = (own < low - reach) | (own > high + reach)
    return flags


def _stl(
    y: np.ndarray, starts: np.ndarray, config: OutlierConfig, season_length: int
) -> np.ndarray:
    ends = series_ends(y, starts)
    filled = fill_gaps(y, starts, "seasonal", season_length)
    flags = np.zeros(len(y), dtype=bool)
    left_over = np.zeros(len(starts), dtype=bool)
    for number, (first, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        observed = ~np.isnan(y[first:end])
        remainder = None
        if season_length > 1 and observed.sum() >= max(_LEAST, _LEAST_SEASONS * season_length):
            remainder = _remainder(filled[first:end], observed, season_length, config.threshold)
        if remainder is None:
            left_over[number] = True
            continue
        sigma = _phase_sigma(remainder, observed, season_length)
        flags[first:end] = observed & (np.abs(remainder) > config.threshold * sigma)
    if left_over.any():
        lengths = ends - starts
        steps = np.repeat(left_over, lengths)
        offsets = np.cumsum(lengths[left_over]) - lengths[left_over]
        flags[steps] = _hampel(y[steps], offsets, config, season_length)
    return flags


def _remainder(
    values: np.ndarray, observed: np.ndarray, season_length: int, threshold: float
) -> np.ndarray | None:
    """What trend and season leave, its median 0, without rounding.

    `None` if more than half of the values are the same: no robust fit sees the others.
    """
    from statsmodels.tsa.seasonal import STL

    median = np.median(values[observed])
    if np.median(np.abs(values[observed] - median)) <= _ROUNDING * abs(median):
        return None
    drawn_in = _drawn_in(values - median, observed, season_length, threshold)
    trend = _next_odd(1.5 * season_length / (1 - 1.5 / _SEASONS_SMOOTHED))
    low_pass = _next_odd(season_length + 1)
    fitted = STL(
        drawn_in,
        period=season_length,
        seasonal=_SEASONS_SMOOTHED,
        seasonal_deg=0,
        trend=trend,
        low_pass=low_pass,
        robust=True,
        seasonal_jump=-(-_SEASONS_SMOOTHED // 10),
        trend_jump=-(-trend // 10),
        low_pass_jump=-(-low_pass // 10),
    ).fit()
    remainder = np.asarray(fitted.resid - np.median(fitted.resid[observed]))
    size = np.abs(fitted.trend + fitted.seasonal).max() + abs(median)
    finest = np.diff(np.unique(values[observed])).min()
    remainder[np.abs(remainder) <= max(finest / 2, _ROUNDING * size)] = 0
    return remainder


def _drawn_in(
    values: np.ndarray, observed: np.ndarray, season_length: int, threshold: float
) -> np.ndarray:
    """`[N]` values, those that are far from a level and season of medians drawn in towards them.

    What is drawn in is still far enough to be flagged. The weights of the robust fit come from a
    first fit to all values, which extreme ones, or several in a row, would spoil.
    """
    from scipy.ndimage import median_filter

    width = _next_odd(season_length)
    half = width // 2
    season = np.zeros(len(values))
    for _ in range(2):  # the second level is that of a series almost without season
        inner = median_filter(values - season, width)[half : len(values) - half]
        level = np.pad(inner, half, mode="edge")
        season = _of_phases(values - level, observed, season_length, np.median)
    usual = level + season
    sigma = _phase_sigma(values - usual, observed, season_length)
    reach = max(_LEAST_REACH, 2 * threshold) * sigma
    return np.clip(values, usual - reach, usual + reach)


def _phase_sigma(remainder: np.ndarray, observed: np.ndarray, season_length: int) -> np.ndarray:
    """`[N]` robust standard deviation at each step: of its phase, but at least of the series."""
    deviation = np.abs(remainder)
    of_phases = _of_phases(deviation, observed, season_length, robust_sigma)
    return np.maximum(of_phases, robust_sigma(deviation[observed]))


def _of_phases(
    values: np.ndarray,
    observed: np.ndarray,
    season_length: int,
    statistic: Callable[[np.ndarray], Any],
) -> np.ndarray:
    """`[N]` a statistic of the values in the same phase; 0 of fewer than 5 values."""
    phases = np.zeros(season_length)
    for phase in range(season_length):
        own = values[phase::season_length][observed[phase::season_length]]
        if len(own) >= _LEAST_SEASONS:
            phases[phase] = statistic(own)
    return np.resize(phases, len(values))


def _next_odd(number: float) -> int:
    whole = int(np.ceil(number))
    return whole + 1 - whole % 2


_Method = Callable[[np.ndarray, np.ndarray, OutlierConfig, int], np.ndarray]
_METHODS: dict[str, _Method] = {"hampel": _hampel, "iqr": _iqr, "stl": _stl}
