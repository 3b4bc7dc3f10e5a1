"""Steps without a value: where they are, and what is put there; many series at once.

All functions take `y`, `[T]` values of all series one after the other, missing (NaN) where there
is no observation, and `starts`, `[S]` positions in `y`: series `s` is `y[starts[s]:starts[s + 1]]`,
and the last one goes to the end. A series is never filled from another.
"""

from __future__ import annotations

from typing import NamedTuple, get_args

import numpy as np

from clepsydra.config.cleaning import GapMethod

__all__ = ["Gaps", "fill_gaps", "find_gaps", "series_ends", "start_after_long_gaps"]


class Gaps(NamedTuple):
    """Runs of missing steps, `[G]` each, in the order of `y`."""

    series: np.ndarray
    """Number of the series, from 0."""
    first: np.ndarray
    """Position in `y` of the first missing step."""
    last: np.ndarray
    """Position in `y` of the last missing step."""


def series_ends(y: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """`[S]` positions in `y` after the last step of each series.

    Args:
        y: `[T]` values of all series.
        starts: `[S]` positions of their first steps.

    Raises:
        ValueError: the series are not laid one after the other from 0 to the end.

    Examples:
        >>> series_ends(np.zeros(5), np.array([0, 2]))
        array([2, 5])
    """
    ends = np.append(starts[1:], len(y)).astype(np.intp)
    if len(starts) == 0:
        if len(y):
            raise ValueError(f"there are {len(y)} values, but no series that they belong to")
        return ends[:0]
    if starts[0] != 0 or np.any(ends < starts):
        raise ValueError(
            f"starts must begin with 0 and rise up to at most {len(y)}, the number of values"
        )
    return ends


def find_gaps(y: np.ndarray, starts: np.ndarray) -> Gaps:
    """The runs of missing steps; one that goes over the end of a series counts as two.

    Args:
        y: `[T]` values of all series, NaN if missing.
        starts: `[S]` positions of their first steps.

    Returns:
        Number of the series, first and last position of every run, `[G]` each.

    Raises:
        ValueError: `starts` does not fit `y`.

    Examples:
        >>> y = np.array([1.0, np.nan, np.nan, 4.0, np.nan, np.nan, 7.0])
        >>> series, first, last = find_gaps(y, np.array([0, 5]))
        >>> series, first, last
        (array([0, 0, 1]), array([1, 4, 5]), array([2, 4, 5]))
    """
    series_ends(y, starts)
    return _runs(np.flatnonzero(np.isnan(y)), starts)


def _runs(missing: np.ndarray, starts: np.ndarray) -> Gaps:
    begins = np.ones(len(missing), dtype=bool)
    begins[1:] = missing[1:] != missing[:-1] + 1
    at_starts = np.searchsorted(missing, starts)
    begins[at_starts[at_starts < len(missing)]] = True
    numbers = np.flatnonzero(begins)
    first = missing[numbers]
    last = missing[np.append(numbers[1:], len(missing)) - 1] if len(missing) else first
    return Gaps(np.searchsorted(starts, first, side="right") - 1, first, last)


def start_after_long_gaps(y: np.ndarray, starts: np.ndarray, limit: int) -> np.ndarray:
    """Where each series starts if nothing before its last long gap is kept.

    Only gaps between two values count: what is missing before the first or after the last value
    of a series cuts nothing.

    Args:
        y: `[T]` values of all series, NaN if missing.
        starts: `[S]` positions of their first steps.
        limit: steps of the longest gap that does not cut; 0 or more.

    Returns:
        `[S]` positions in `y` of the first steps to keep: `starts` where no gap is longer.

    Raises:
        ValueError: `limit` is negative, or `starts` does not fit `y`.

    Examples:
        >>> y = np.array([1.0, np.nan, np.nan, 4.0, 5.0, np.nan, 7.0])
        >>> start_after_long_gaps(y, np.array([0, 4]), limit=1)
        array([3, 4])
    """
    if limit < 0:
        raise ValueError(f"limit is {limit}: write the steps of a gap, 0 or more")
    ends = series_ends(y, starts)
    gaps = find_gaps(y, starts)
    inner = (gaps.first > starts[gaps.series]) & (gaps.last + 1 < ends[gaps.series])
    cuts = inner & (gaps.last - gaps.first + 1 > limit)
    kept = np.array(starts, dtype=np.intp)
    np.maximum.at(kept, gaps.series[cuts], gaps.last[cuts] + 1)
    return kept


def fill_gaps(
    y: np.ndarray, starts: np.ndarray, method: GapMethod = "linear", season_length: int = 1
) -> np.ndarray:
    """All values, with one made up for every missing step.

    What is missing before the first value of a series gets that value. What is missing after the
    last gets the last value, or with `seasonal` the last season again and again.

    Args:
        y: `[T]` values of all series, NaN if missing.
        starts: `[S]` positions of their first steps.
        method: `linear`, on a straight line between the values around the gap; `previous`, the
            value before it; `seasonal`, the newest value that was observed a whole number of
            seasons before, and as `linear` where there is none (the seasonal naive method:
            Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, 2021,
            sections 5.2 and 13.9).
        season_length: steps of a season, for `seasonal`.

    Returns:
        `[T]`, a copy; a series without any value stays missing.

    Raises:
        ValueError: the method is unknown, the season is shorter than a step, or `starts` does not
            fit `y`.

    Examples:
        >>> y = np.array([1.0, 2.0, np.nan, np.nan, 5.0, np.nan, 7.0, 8.0, np.nan, np.nan])
        >>> starts = np.array([0, 5])
        >>> fill_gaps(y, starts)
        array([1., 2., 3., 4., 5., 7., 7., 8., 8., 8.])
        >>> fill_gaps(y, starts, "seasonal", season_length=2)
        array([1., 2., 1., 2., 5., 7., 7., 8., 7., 8.])
    """
    if method not in get_args(GapMethod):
        raise ValueError(f"unknown method {method!r}: use one of {', '.join(get_args(GapMethod))}")
    if season_length < 1:
        raise ValueError(f"season_length is {season_length}: a season has at least 1 step")
    ends = series_ends(y, starts)
    filled = np.array(y, dtype=np.float64)
    missing = np.flatnonzero(np.isnan(filled))
    if not len(missing):
        return filled
    gaps = _runs(missing, starts)
    steps = gaps.last - gaps.first + 1
    left = np.where(gaps.first > starts[gaps.series], filled[gaps.first - 1], np.nan)
    after = np.minimum(gaps.last + 1, len(filled) - 1)
    right = np.where(gaps.last + 1 < ends[gaps.series], filled[after], np.nan)
    left, right = np.where(np.isnan(left), right, left), np.where(np.isnan(right), left, right)
    if method == "previous":
        filled[missing] = np.repeat(left, steps)
        return filled
    nth = missing - np.repeat(gaps.first - 1, steps)
    filled[missing] = np.repeat(left, steps) + nth * np.repeat((right - left) / (steps + 1), steps)
    if method == "seasonal":
        source = _season_before(missing, np.repeat(starts[gaps.series], steps), season_length)
        found = source >= 0
        filled[missing[found]] = filled[source[found]]
    return filled


def _season_before(missing: np.ndarray, start: np.ndarray, season_length: int) -> np.ndarray:
    """Position of the newest value whole seasons before each missing step; -1 if there is none."""
    before = missing - season_length
    inside = before >= start
    place = np.minimum(np.searchsorted(missing, before), len(missing) - 1)
    own = np.arange(len(missing))
    # A step whose step one season before is missing too gets what that one gets; following these
    # links two, four, eight, ... seasons at a time needs few rounds.
    link = np.where(inside & (missing[place] == before), place, own)
    while True:
        further = link[link]
        if np.array_equal(further, link):
            break
        link = further
    return np.where(inside[link], before[link], -1)
