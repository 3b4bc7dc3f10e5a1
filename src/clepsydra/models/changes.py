"""Features of a step, relative to its place a long season before.

Where a series repeats itself until a timetable, a range of goods or a habit changes, most of what
can be learnt is when not to believe the season before: that the newest steps differ from theirs,
that it differs from the seasons before it, that a holiday was then and is not now. Seen from the
seasonal naive forecast, these look alike in all series and at all hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from clepsydra.models.anchored import Layout

__all__ = ["Changes", "Targets"]

_RECENT = 5
_LONG_SEASONS = 4
_LAST_SEASONS = 7
_USUAL = 14
_LEVEL = 28


@dataclass(frozen=True)
class Targets:
    """Steps to be forecast, and from where.

    Attributes:
        series: `[R]` number of the series.
        origin: `[R]` place of the last known step.
        step: `[R]` steps ahead of it.
    """

    series: np.ndarray
    origin: np.ndarray
    step: np.ndarray

    @property
    def place(self) -> np.ndarray:
        """`[R]` of the steps themselves."""
        return self.origin + self.step

    def __getitem__(self, chosen: np.ndarray) -> Targets:
        return Targets(self.series[chosen], self.origin[chosen], self.step[chosen])


class Changes:
    """What is known at the origins of some targets.

    A value of a step that is not known, or before the first one, is missing.

    Args:
        layout: the series, with `value` in the unit that is regressed on.
        seasons: season lengths, in steps.
    """

    def __init__(self, layout: Layout, seasons: list[int]) -> None:
        self.layout = layout
        self.short, self.long = min(seasons), max(seasons)
        room = np.diff([*layout.start, len(layout.value)])
        self._start = np.repeat(layout.start, room)
        number = np.arange(len(layout.value))
        earlier = number - self.long
        there = earlier >= self._start
        change = layout.value - layout.value[np.where(there, earlier, 0)]
        self._change = np.where(there, change, np.nan)
        self._sums = {
            name: np.concatenate([[0.0], np.cumsum(np.nan_to_num(values))])
            for name, values in {
                "value": layout.value,
                "change": self._change,
                "size": np.abs(self._change),
            }.items()
        }

    def base(self, targets: Targets) -> np.ndarray:
        """The seasonal naive forecast: the newest known value at the place in the long season."""
        return self._at(self.layout.value, targets, self._back(self.long, targets))

    def blank(self, targets: Targets) -> np.ndarray:
        """Where every earlier value that is looked at is zero, so that there is nothing to see."""
        seen = np.stack([*self._recent(targets), *self._long(targets)])
        return (np.nan_to_num(seen) == 0).all(axis=0)

    def columns(self, targets: Targets) -> np.ndarray:
        """`[R, P]`, missing where it is not known."""
        columns = [part.astype(np.float32) for _, part in self._columns(targets)]
        return np.column_stack(columns)

    def groups(self, known: Sequence[str]) -> list[str]:
        """`[P]`, what each of the columns is of; `known` are the names of those of the layout."""
        one = np.zeros(1, dtype=int)
        names = [name for name, _ in self._columns(Targets(one, one, one + 1))]
        return [*names[: len(names) - 3 * len(known)], *known, *known, *known]

    def _columns(self, targets: Targets) -> Iterator[tuple[str, np.ndarray]]:
        """What it is of and its values, one after the other."""
        for name, values in self._parts(targets):
            for column in np.atleast_2d(values):
                yield name, column

    def _parts(self, targets: Targets) -> Iterator[tuple[str, np.ndarray | list[np.ndarray]]]:
        newest, base_lag = self._back(self.short, targets), self._back(self.long, targets)
        base = self.base(targets)
        recent, longs = self._recent(targets), self._long(targets)
        changes = [
            self._at(self._change, targets, newest + self.short * back) for back in range(_RECENT)
        ]
        yield "step ahead", targets.step.astype(float)
        yield "season before", base
        yield "recent values", recent - base
        yield "earlier seasons", longs[1:] - base
        yield "recent values", changes
        yield "recent values", np.sum(changes, axis=0)
        yield "recent values", (recent == base).sum(axis=0)
        yield "recent values", np.logical_and.accumulate(recent == recent[:1]).sum(axis=0)
        yield "earlier seasons", (longs[1:] == base).sum(axis=0)
        # The median of the newest, and of the longer seasons, and how far those reach.
        middle, middle_of_long = _median(recent) - base, _median(longs) - base
        yield "recent values", middle
        yield "earlier seasons", [middle_of_long, np.nanmean(_safe(longs), axis=0) - base]
        yield (
            "recent values",
            [extreme(_safe(recent), axis=0) - base for extreme in (np.nanmax, np.nanmin)],
        )
        for side in (-1, 1):
            beside = self._at(self.layout.value, targets, base_lag - side)
            yield "neighbouring steps", beside - base
            for back in range(2):
                yield (
                    "neighbouring steps",
                    self._at(self._change, targets, newest + self.short * back - side),
                )
            its_newest = self._at(self.layout.value, targets, newest - side)
            yield "neighbouring steps", its_newest - beside
        usual = [
            self._at(self._change, targets, newest + self.short * back) for back in range(_USUAL)
        ]
        yield "usual changes", np.nanmean(_safe(np.abs(usual)), axis=0)
        earlier = [
            self._at(self._change, targets, base_lag + self.long * back)
            for back in range(_LONG_SEASONS, 2 * _LONG_SEASONS)
        ]
        yield "usual changes", np.nanmean(_safe(np.abs(earlier)), axis=0)
        yield from self._of_origin(targets)
        known = self.layout.known
        for lag in (0 * newest, newest, base_lag):
            place = np.maximum(targets.place - lag, self.layout.start[targets.series])
            for column in known[place].T:
                yield "known columns", column

    def _of_origin(self, targets: Targets) -> Iterator[tuple[str, np.ndarray]]:
        """How the last short seasons differed in all, in units of the level."""
        level = self._mean("value", targets, 0, _LEVEL * self.short)
        unit = np.abs(level) + self._mean("size", targets, 0, _LEVEL * self.short)
        unit = np.where(unit > 0, unit, 1.0)
        for back in range(_LAST_SEASONS):
            yield (
                "changes lately",
                self._mean("size", targets, back * self.short, self.short) / unit,
            )
        for back in range(_RECENT):
            yield (
                "changes lately",
                self._mean("change", targets, back * self.short, self.short) / unit,
            )
        yield "usual changes", self._mean("size", targets, 0, _LEVEL * self.short) / unit
        # How seldom the series has ever differed from a season before: then a change is to stay.
        yield "usual changes", self._mean("size", targets, 0, len(self.layout.value)) / unit
        yield "level", level
        yield "usual changes", np.log(targets.origin + 1.0 - self.layout.start[targets.series])

    def _recent(self, targets: Targets) -> np.ndarray:
        """`[_RECENT, R]` newest known values at the place in the short season."""
        newest = self._back(self.short, targets)
        lags = [newest + self.short * back for back in range(_RECENT)]
        return np.stack([self._at(self.layout.value, targets, lag) for lag in lags])

    def _long(self, targets: Targets) -> np.ndarray:
        """`[_LONG_SEASONS, R]` newest known values at the place in the long season."""
        base = self._back(self.long, targets)
        lags = [base + self.long * back for back in range(_LONG_SEASONS)]
        return np.stack([self._at(self.layout.value, targets, lag) for lag in lags])

    @staticmethod
    def _back(season: int, targets: Targets) -> np.ndarray:
        """The newest lag of whole seasons that is known at the origin."""
        return season * -(-targets.step // season)

    def _at(self, values: np.ndarray, targets: Targets, lag: np.ndarray) -> np.ndarray:
        place = targets.place - lag
        there = (self.layout.start[targets.series] <= place) & (place <= targets.origin)
        return np.where(there, values[np.where(there, place, 0)], np.nan)

    def _mean(self, name: str, targets: Targets, skipped: int, size: int) -> np.ndarray:
        """Over so many steps that end so many before the origin, as far as there are any."""
        start = self.layout.start[targets.series]
        last = np.maximum(targets.origin + 1 - skipped, start)
        first = np.maximum(last - size, start)
        total = self._sums[name][last] - self._sums[name][first]
        return total / np.maximum(last - first, 1)


def _safe(values: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """With zeros where all that there is of a column is missing, so that nothing warns."""
    values = np.asarray(values)
    return np.where(np.isnan(values).all(axis=0), 0.0, values)


def _median(values: np.ndarray) -> np.ndarray:
    return np.nanmedian(_safe(values), axis=0)
