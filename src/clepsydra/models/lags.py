"""Which earlier values a regression learns from, by the lead and the seasons."""

from __future__ import annotations

__all__ = [
    "autoregressive_lags",
    "default_lags",
    "default_rolling_means",
    "recursive_lags",
    "recursive_rolling_means",
]

_NEWEST = (1, 2, 3)


def default_lags(season_lengths: list[int], lead: int) -> list[int]:
    """Lags of a direct model: none is shorter than the lead, so none has to be forecast first.

    Every shortest season from the lead to a little over the longest season, two and three longest
    seasons, and the newest steps where a season is longer than the lead.

    Examples:
        >>> default_lags([24, 168], lead=48)
        [48, 72, 96, 120, 144, 168, 192, 216, 336, 504]
        >>> default_lags([52], lead=8)
        [8, 9, 10, 52, 104, 156]
    """
    short, long = min(season_lengths), max(season_lengths)
    last = max(long, lead) + 2 * short
    lags = {lag for lag in range(short, last + 1, short) if lag >= lead}
    lags |= {long * number for number in (2, 3) if long * number >= lead}
    if lead < short:
        lags |= {lead, lead + 1, lead + 2}
    return sorted(lags)


def default_rolling_means(season_lengths: list[int], lead: int) -> dict[int, list[int]]:
    """Means over each season at the lead, and over the shortest one or two longest seasons ago.

    Examples:
        >>> default_rolling_means([24, 168], lead=48)
        {48: [24, 168], 168: [24], 336: [24]}
    """
    short, long = min(season_lengths), max(season_lengths)
    means = {lead: sorted(set(season_lengths))}
    for lag in (long, 2 * long):
        if lag > lead:
            means[lag] = [short]
    return {lag: [size for size in sizes if size > 1] for lag, sizes in means.items()}


def recursive_lags(season_lengths: list[int]) -> list[int]:
    """Lags of a recursive model: the newest steps, and those around each season, once and twice.

    Examples:
        >>> recursive_lags([24, 168])
        [1, 2, 3, 23, 24, 25, 48, 167, 168, 169, 336]
        >>> recursive_lags([1])
        [1, 2, 3]
    """
    lags = set(_NEWEST)
    for length in season_lengths:
        lags |= {length - 1, length, length + 1, 2 * length}
    return sorted(lag for lag in lags if lag >= 1)


def recursive_rolling_means(season_lengths: list[int]) -> dict[int, list[int]]:
    """Means over the newest steps of each season.

    Examples:
        >>> recursive_rolling_means([24, 168])
        {1: [24, 168]}
    """
    return {1: [size for size in sorted(set(season_lengths)) if size > 1]}


def autoregressive_lags(season_lengths: list[int]) -> list[int]:
    """Lags of a regression of one series on its own past.

    Every step of the shortest season and one more, those around twice it, each of the shortest
    seasons up to the longest one, and those around each season.

    Examples:
        >>> autoregressive_lags([4, 12])
        [1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13]
        >>> autoregressive_lags([1])
        [1, 2, 3]
    """
    short, long = min(season_lengths), max(season_lengths)
    lags = {*range(1, short + 2), *range(2 * short - 1, 2 * short + 2)}
    lags |= set(range(short, long, short))
    for length in season_lengths:
        lags |= {length - 1, length, length + 1}
    return sorted(lag for lag in lags if lag >= 1)
