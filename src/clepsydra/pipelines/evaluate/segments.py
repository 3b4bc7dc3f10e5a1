"""Which series are alike, and what was known of each when champions were chosen."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pandas as pd

from clepsydra.config import (
    CleaningConfig,
    EvaluateConfig,
    SourcesConfig,
    TaskConfig,
    WindowsConfig,
)
from clepsydra.errors import ConfigError
from clepsydra.models.base import History
from clepsydra.models.knowledge import Knowledge
from clepsydra.pipelines.explore.nodes import intermittency_class

__all__ = ["known_series", "segment_series"]


def segment_series(
    panel: pd.DataFrame,
    series: pd.DataFrame,
    windows: pd.DataFrame,
    clock: dict[str, str],
    sources: SourcesConfig,
    task: TaskConfig,
    windows_config: WindowsConfig,
    cleaning: CleaningConfig,
    evaluate: EvaluateConfig,
) -> pd.DataFrame:
    """The segment of every series, and what it was like, at the two times that champions begin.

    Those that are judged begin at the first cutoff that reports, those that are promoted at the
    end of the panel: nothing after it is read. A segment is a set of attributes' values, if
    `evaluate.segments` names some, else a class of demand (`intermittency_class`), which a handful
    of steps have; seasons and trends would take more than a short series has to tell.

    Returns:
        `cutoff` (last step known, naive UTC), `unique_id`, `segment` (missing where an attribute
        is, or no step is known), and the columns of `History.described`, `steps` 0 where none is
        known; a row for each cutoff and series of `series`.

    Raises:
        ConfigError: an attribute that the series do not have.
    """
    nothing_ahead = panel.loc[panel.index[:0], ["unique_id", "ds"]]
    knowledge = Knowledge.of(panel, nothing_ahead, series, sources, task, windows_config, cleaning)
    first_reported = windows.loc[windows["role"] == "report", "cutoff"].min()
    named = evaluate.segments
    parts = []
    for cutoff in (first_reported, pd.Timestamp(clock["cutoff"])):
        history = knowledge.at(cutoff).history()
        segment = _values_of(series, named) if named else _classes(history)
        table = series[["unique_id"]].assign(segment=series["unique_id"].map(segment))
        table.insert(0, "cutoff", cutoff)
        table = table.join(history.described, on="unique_id")
        parts.append(table.fillna({"steps": 0, "usable": 0}))
    types = {"segment": object, "steps": int, "usable": int}
    return pd.concat(parts, ignore_index=True).astype(types)


def known_series(
    segments: pd.DataFrame, windows: pd.DataFrame, roles: tuple[str, ...]
) -> pd.DataFrame:
    """The rows of `segment_series` that champions chosen from windows of these roles may know.

    Examples:
        >>> days = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-05"])
        >>> windows = pd.DataFrame({"role": ["select", "report"], "cutoff": days[:2]})
        >>> segments = pd.DataFrame({"cutoff": days[1:], "unique_id": "a", "segment": ["b", "c"]})
        >>> known_series(segments, windows, ("select",))["segment"].tolist()
        ['b']
        >>> known_series(segments, windows, ("select", "report"))["segment"].tolist()
        ['c']
    """
    last = windows.loc[windows["role"].isin(roles), "cutoff"].max()
    later = windows.loc[windows["cutoff"] > last, "cutoff"].min()
    cutoff = segments["cutoff"].max() if pd.isna(later) else later
    return segments[segments["cutoff"] == cutoff]


def _values_of(series: pd.DataFrame, attributes: list[str]) -> pd.Series:
    """`carrier=UA, origin=JFK` of every series; missing where one of them is."""
    if unknown := [name for name in attributes if name not in series]:
        raise ConfigError(
            f"evaluate.segments: the series have no attribute {unknown}; they have {list(series)}"
        )
    table = series.set_index("unique_id", drop=False)
    values = [f"{name}=" + table[name].astype("string") for name in attributes]
    return reduce(lambda left, right: left + ", " + right, values).astype(object)


def _classes(history: History) -> pd.Series:
    """The class of demand of every series."""
    y = history.rows.loc[np.isfinite(history.rows["y"]), ["unique_id", "y"]]
    return y.groupby("unique_id")["y"].agg(lambda its: intermittency_class(its.to_numpy()))
