"""Covariates known in advance, as a forecast made earlier knew them."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["as_known"]

_KEYS = ["unique_id", "ds", "known_from", "known_until"]
_TIME = "datetime64[ns]"


def as_known(frame: pd.DataFrame, vintages: pd.DataFrame, at: pd.Timestamp) -> pd.DataFrame:
    """The frame with its columns known in advance as they were known at `at`.

    A step of which no version was there at `at` gets its earliest one, which no forecast can have
    known then; the quality report counts those that were collected after they had begun.

    Args:
        frame: `[N]` rows `unique_id`, `ds` (naive UTC) and other columns.
        vintages: `unique_id`, `ds`, `known_from`, `known_until`, then the columns: what was known
            of a step from `known_from` on and before `known_until`, when the next row of the step
            took its place, or what the frame holds. A column that the frame does not have is
            passed over.
        at: of a forecast, the first step that it does not know (naive UTC):
            `origins.first_unknown(cutoff, task)`.

    Returns:
        The same rows, index and columns. The frame itself if nothing has to be replaced.

    Examples:
        >>> noon = pd.Timestamp("2024-07-03 12:00")
        >>> frame = pd.DataFrame({"unique_id": ["a"], "ds": [noon], "celsius": [30.0]})
        >>> vintages = pd.DataFrame(
        ...     {
        ...         "unique_id": ["a", "a"],
        ...         "ds": [noon, noon],
        ...         "known_from": pd.to_datetime(["2024-07-01", "2024-07-02"]),
        ...         "known_until": pd.to_datetime(["2024-07-02", "2024-07-03"]),
        ...         "celsius": [25.0, 28.0],
        ...     }
        ... )
        >>> days = pd.to_datetime(["2024-06-30", "2024-07-01", "2024-07-02", "2024-07-03"])
        >>> [as_known(frame, vintages, day)["celsius"].item() for day in days]
        [25.0, 25.0, 28.0, 30.0]
    """
    if vintages.empty:
        return frame
    later = vintages[vintages["known_until"] > at]
    columns = [name for name in vintages.columns if name not in _KEYS and name in frame.columns]
    if later.empty or frame.empty or not columns:
        return frame
    # Numbers for the pairs of series and step: they sort and compare faster than the pairs do.
    ids, steps = pd.Index(later["unique_id"].unique()), pd.Index(later["ds"].unique().astype(_TIME))
    own = _pairs(later, ids, steps)
    order = np.lexsort((later["known_until"].to_numpy(), own))
    pairs, first = np.unique(own[order], return_index=True)
    wanted = _pairs(frame, ids, steps)
    place = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
    is_older = pairs[place] == wanted
    if not is_older.any():
        return frame
    rows = order[first][place[is_older]]
    replaced = {}
    for name in columns:
        values = frame[name].to_numpy(copy=True)
        values[is_older] = later[name].to_numpy()[rows]
        replaced[name] = values
    return frame.assign(**replaced)


def _pairs(frame: pd.DataFrame, ids: pd.Index, steps: pd.Index) -> np.ndarray:
    """`[N]` a number for series and step, -1 where either is none of those given."""
    series = ids.get_indexer(pd.Index(frame["unique_id"]))
    step = steps.get_indexer(pd.Index(frame["ds"].astype(_TIME)))
    return np.where((series < 0) | (step < 0), -1, series.astype(np.int64) * len(steps) + step)
