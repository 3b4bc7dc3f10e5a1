"""Which series are summed to which: the levels of the hierarchy."""

from __future__ import annotations

import pandas as pd

from clepsydra.config import HierarchyConfig
from clepsydra.config.hierarchy import TOTAL, level_name
from clepsydra.errors import ConfigError, PanelError

__all__ = ["find_levels"]


def find_levels(series: pd.DataFrame, hierarchy: HierarchyConfig) -> pd.DataFrame:
    """Every sum and what it is the sum of: the ones of the summing matrix, a row each.

    Args:
        series: `unique_id`, `n_observations` and the columns that levels name. A series without an
            observation is part of no sum: it has no forecast.
        hierarchy: the levels, coarse to fine; the last tells all series apart.

    Returns:
        `level`, `unique_id` (`total`, or columns and values such as `origin=EWR`; on the last level
        the series' own) and `bottom_id`: a series of the last level. In the order of the levels,
        then of the ids.

    Raises:
        ConfigError: levels that do not nest, or are alike on these series; an attribute that has
            the name of the column that they get.
        PanelError: there is nothing to sum, or a series has no value for a level, or the name of a
            sum.

    Examples:
        >>> series = pd.DataFrame(
        ...     {"unique_id": ["E-A", "E-B"], "n_observations": 9, "origin": "E"}
        ... ).assign(carrier=["A", "B"])
        >>> levels = HierarchyConfig(levels=["origin", ["origin", "carrier"]])
        >>> find_levels(series, levels)["unique_id"].tolist()
        ['origin=E', 'origin=E', 'E-A', 'E-B']
    """
    if "level" in series.columns:
        raise ConfigError(
            "hierarchy: the series have an attribute 'level', which is the name of the column that "
            "says the level of each: give the attribute another name"
        )
    used = series[series["n_observations"] > 0].sort_values("unique_id", ignore_index=True)
    if len(used) < 2:
        raise PanelError(
            f"hierarchy.levels: there are {len(used)} series with a value, and nothing to sum; "
            f"leave 'hierarchy' out"
        )
    _check_values(used, hierarchy.columns)
    *upper, bottom = hierarchy.levels
    _check_bottom(used, bottom)
    parts: list[pd.DataFrame] = []
    seen: dict[tuple[int, ...], str] = {}
    for level in upper:
        groups = _groups(used, level)
        partition = tuple(pd.factorize(groups)[0])
        if partition in seen or groups.nunique() == len(used):
            alike = seen.get(partition, level_name(bottom))
            raise ConfigError(
                f"hierarchy.levels: '{level_name(level)}' and '{alike}' group the series alike: "
                f"leave one of the two out"
            )
        seen[partition] = level_name(level)
        parts.append(_rows(level_name(level), groups, used["unique_id"]))
    parts.append(_rows(level_name(bottom), used["unique_id"], used["unique_id"]))
    table = pd.concat(parts, ignore_index=True)
    named = table.drop_duplicates(["level", "unique_id"])
    if (twice := named["unique_id"].duplicated()).any():
        raise PanelError(
            f"hierarchy.levels: '{named.loc[twice, 'unique_id'].iloc[0]}' is the name of a sum and "
            f"of a series, or of two sums: give the series another id"
        )
    return table


def _groups(series: pd.DataFrame, level: tuple[str, ...]) -> pd.Series:
    """The name of the sum that each series is part of."""
    if not level:
        return pd.Series(TOTAL, index=series.index, dtype=object)
    parts = [column + "=" + series[column].astype(str) for column in level]
    return parts[0].str.cat(parts[1:], sep=",") if len(parts) > 1 else parts[0]


def _rows(name: str, groups: pd.Series, bottom: pd.Series) -> pd.DataFrame:
    table = pd.DataFrame({"level": name, "unique_id": groups, "bottom_id": bottom}, dtype=object)
    return table.sort_values(["unique_id", "bottom_id"])


def _check_values(series: pd.DataFrame, columns: list[str]) -> None:
    for column in columns:
        if column not in series.columns:
            raise ConfigError(
                f"hierarchy.levels: the series have no column '{column}'; they have: "
                f"{', '.join(series.columns)}"
            )
        lacking = series.loc[series[column].isna() | (series[column] == ""), "unique_id"]
        if len(lacking):
            raise PanelError(
                f"hierarchy.levels: {len(lacking)} series have no '{column}', e.g. "
                f"'{lacking.iloc[0]}': give them one in the source of '{column}', or leave it out "
                f"of the levels"
            )


def _check_bottom(series: pd.DataFrame, bottom: tuple[str, ...]) -> None:
    groups = _groups(series, bottom)
    if (shared := groups.duplicated(keep=False)).any():
        name = groups[shared].iloc[0]
        several = series.loc[groups == name, "unique_id"].tolist()
        raise ConfigError(
            f"hierarchy.levels: the last level, '{level_name(bottom)}', does not tell the series "
            f"apart: {len(several)} of them are '{name}', e.g. {several[:2]}. Write as the last "
            f"one the columns that do, such as those of the target's 'id'"
        )
