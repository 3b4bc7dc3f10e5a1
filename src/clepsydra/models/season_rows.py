"""Rows of a regression: what is known at the origins of one series, and of the steps ahead."""

from __future__ import annotations

import numpy as np

from clepsydra.models.season_columns import Expanded

__all__ = ["SeasonRows"]

_NEWEST = (0, 1, 2, 4, 6, 8)
# Seasons back, of the mean of the newest third of a season.
_RECENT = (0, 1, 6, 7)
_MEANS = (0, 1, 2, 3, 4, 5, 6, 7, 13)
_SEASONS_BACK = 7
_LONG_SEASONS_BACK = 2
# Seasons back at which columns count, too.
_ECHOES = (1, 2, 7)


class SeasonRows:
    """The features of some origins, all values relative to the level at the origin.

    The level is the mean over the longest season up to it, as in `models.anchored`.

    Args:
        value: `[N]`, of one series; not looked at after an origin.
        expanded: the known columns of the same steps and those ahead.
        seasons: season lengths, in steps.
        origin: `[R]`, places of the last known steps; `needs` steps are before each.
        lead: steps ahead there are.

    Attributes:
        level: `[R]`.
    """

    def __init__(
        self,
        value: np.ndarray,
        expanded: Expanded,
        seasons: list[int],
        origin: np.ndarray,
        lead: int,
    ) -> None:
        self._value, self._expanded, self._origin, self._lead = value, expanded, origin, lead
        self._short, self._long = min(seasons), max(seasons)
        self._sum = np.concatenate([[0.0], np.cumsum(value)])
        self.level = self._mean(self._sum, origin, self._long)
        echoes = np.concatenate(
            [np.zeros((1, expanded.echo.shape[1])), np.cumsum(expanded.echo, axis=0)]
        )
        third = max(self._short // 3, 1)
        newest = [value[origin - lag] for lag in _NEWEST if lag < self._short]
        self._newest = len(newest) + len(_RECENT) + len(_MEANS)
        recent = [self._mean(self._sum, origin - back * self._short, third) for back in _RECENT]
        means = [self._mean(self._sum, origin - back * self._short, self._short) for back in _MEANS]
        self._of_origin = np.column_stack(
            [
                np.column_stack([*newest, *recent, *means]) - self.level[:, None],
                self._mean(echoes, origin, self._long),
                self._mean(echoes, origin, third),
            ]
        )

    @staticmethod
    def needs(seasons: list[int]) -> int:
        """Steps that must be before an origin."""
        short, long = min(seasons), max(seasons)
        back = max(max(_MEANS) + 1, max(_RECENT) + 1, max(_ECHOES), _SEASONS_BACK) * short
        return max(back, _LONG_SEASONS_BACK * long, long)

    def step(self, step: int) -> np.ndarray:
        """`[R, P]`, of so many steps ahead."""
        place, short = self._origin + step, self._short
        own = [self._value[place - lag] - self.level for lag in self._lags(step)]
        # Seasons are counted back from the last step there is.
        end = self._origin + self._lead - (self._lead - step) // short * short
        echo = [self._expanded.echo[np.maximum(place - back * short, 0)] for back in _ECHOES]
        return np.column_stack(
            [
                self._of_origin,
                *own,
                self._expanded.now[place],
                self._expanded.season[end],
                *echo,
            ]
        )

    def groups(self, step: int) -> list[str]:
        """`[P]`, what each of these features is of."""
        expanded = self._expanded
        return [
            *["recent values"] * self._newest,
            *2 * expanded.of_echo,
            *["earlier seasons"] * len(self._lags(step)),
            *expanded.of_now,
            *expanded.of_season,
            *len(_ECHOES) * expanded.of_echo,
        ]

    def _lags(self, step: int) -> list[int]:
        """Of the values at the same place in earlier seasons, from the newest known one."""
        first = -(-step // self._short)
        lags = [self._short * (first + back) for back in range(_SEASONS_BACK)]
        nearest = -(-step // self._long)
        lags += [self._long * (nearest + back) for back in range(_LONG_SEASONS_BACK)]
        return list(dict.fromkeys(lags))

    @staticmethod
    def _mean(sums: np.ndarray, last: np.ndarray, steps: int) -> np.ndarray:
        return (sums[last + 1] - sums[last + 1 - steps]) / steps
