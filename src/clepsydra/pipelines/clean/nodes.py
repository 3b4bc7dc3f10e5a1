"""Raw snapshots to the `panel`, `series`, `quality_report` and `quarantine` tables."""

from __future__ import annotations

import datetime as dt
import logging

import pandas as pd

from clepsydra.calendars import calendar_columns
from clepsydra.config import CalendarConfig, SourceConfig, SourcesConfig, TaskConfig, parse_as_of
from clepsydra.datasets.raw_store import RawStore
from clepsydra.errors import PanelError, SourceError
from clepsydra.pipelines.clean.parsing import join_ids, parse_covariate, parse_target, series_ids
from clepsydra.pipelines.clean.regular import (
    covariates_to_grid,
    fill_covariate,
    regularize,
    to_grid,
)
from clepsydra.sharding import shard_of
from clepsydra.timegrid import add_span, grid, local_day_start, period_start, snap, to_wall

__all__ = [
    "build_panel",
    "build_series",
    "clean_covariates",
    "clean_target",
    "report_quality",
    "split_observations",
]

_LOGGER = logging.getLogger(__name__)
_MANY_REJECTED = 0.1
_LONGEST_SILENCE = pd.Timedelta(days=14)


def clean_target(
    raw: RawStore, sources: SourcesConfig, task: TaskConfig, as_of: str
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """Type the target's rows known at `as_of`, put them on the grid, and set the run's clock.

    Returns:
        observations: `unique_id`, `ds`, `y` on the grid, gaps still open.
        series_ids: every series that a row names, usable or not: `unique_id` and the id columns.
        account, quarantine: the fate of every raw row.
        clock: `as_of`, `panel_end` (first step not known), `cutoff` (last step known), and
            `known_until`: when the last day that has any row ended.

    Raises:
        SourceError: nothing is known at `as_of`, or no row is usable.
    """
    name, source = sources.target
    day = parse_as_of(as_of)
    known = raw.read(name, day)
    if known.empty:
        first = min(raw.days(name), default=None)
        raise SourceError(
            f"as_of {as_of}: nothing of source '{name}' is known then "
            f"(first day collected: {first}); run 'collect' or choose a later day"
        )

    def end(ds: pd.Series) -> pd.Timestamp:
        if day is None:
            last = snap(ds.iloc[[ds.argmax()]], task.freq, task.timezone).iloc[0]
            return add_span(last, 1, task.freq, task.timezone)
        # The source's last day may end before the day does on the clock of the forecasts.
        ends = [local_day_start(day, zone) for zone in (task.timezone, source.timezone)]
        return snap(pd.Series([min(ends)]), task.freq, task.timezone).iloc[0]

    rows, account, quarantine = parse_target(
        name, source, known, lambda ds: period_start(end(ds), task.freq, task.timezone)
    )
    if rows["y"].notna().sum() == 0:
        reasons = sorted(set(account["measure"]) - {"rows in", "rows kept"})
        raise SourceError(
            f"source '{name}': no row can be used ({'; '.join(reasons)}); "
            f"correct the source's description"
        )
    panel_end = end(rows["ds"])
    newest = rows.loc[rows["y"].notna(), "ds"].max()
    two_seasons_ago = add_span(panel_end, -2 * task.season_length, task.freq, task.timezone)
    if newest < min(two_seasons_ago, panel_end - _LONGEST_SILENCE):
        raise SourceError(
            f"as_of {as_of}: the last data of source '{name}' are of {newest} UTC, two seasons or "
            f"more before; correct as_of, write 'latest', or see why the source has stopped"
        )
    last_row = to_wall(rows["ds"].iloc[[rows["ds"].argmax()]], source.timezone).iloc[0]
    known_until = local_day_start(last_row.date() + dt.timedelta(days=1), source.timezone)
    today = to_wall(pd.Series([panel_end]), task.timezone).iloc[0].date()
    clock = {
        "as_of": (day or today).isoformat(),
        "panel_end": panel_end.isoformat(),
        "cutoff": add_span(panel_end, -1, task.freq, task.timezone).isoformat(),
        "known_until": min(panel_end, known_until).isoformat(),
    }
    ids = series_ids(name, source, known)
    return to_grid(rows, source, task), ids, account, quarantine, clock


def clean_covariates(
    raw: RawStore, sources: SourcesConfig, task: TaskConfig, as_of: str
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Type the rows of every covariate source known at `as_of`.

    Returns:
        covariates: `source`, `join_key`, `ds` (naive UTC, on the grid), then every covariate
            column.
        account, quarantine: the fate of every raw row, and how many grid steps between a key's
            first and last row have none.
    """
    day = parse_as_of(as_of)
    parts = [
        parse_covariate(name, source, known)
        for name, source in sources.of_role("covariate").items()
        if not (known := raw.read(name, day)).empty
    ]
    if not parts:
        empty = pd.DataFrame({"source": [], "join_key": [], "ds": pd.to_datetime([])})
        return empty, pd.DataFrame(), pd.DataFrame()
    covariates, accounts, quarantines = (
        pd.concat(frames, ignore_index=True) for frames in zip(*parts, strict=True)
    )
    missing = [
        {
            "source": source,
            "unique_id": key,
            "measure": "grid steps without a row",
            "value": len(_steps_between(ds, task)) - snap(ds, task.freq, task.timezone).nunique(),
        }
        for (source, key), ds in covariates.groupby(["source", "join_key"])["ds"]
    ]
    covariates = pd.concat(
        [
            covariates_to_grid(covariates[covariates["source"] == name], source, task)
            for name, source in sources.of_role("covariate").items()
            if (covariates["source"] == name).any()
        ],
        ignore_index=True,
    )
    return covariates, pd.concat([accounts, pd.DataFrame(missing)], ignore_index=True), quarantines


def _steps_between(ds: pd.Series, task: TaskConfig) -> pd.DatetimeIndex:
    ends = snap(ds, task.freq, task.timezone).agg(["min", "max"])
    return grid(
        ends["min"], add_span(ends["max"], 1, task.freq, task.timezone), task.freq, task.timezone
    )


def build_series(
    observations: pd.DataFrame,
    series_ids: pd.DataFrame,
    raw: RawStore,
    sources: SourcesConfig,
    task: TaskConfig,
    clock: dict[str, str],
    n_shards: int,
) -> pd.DataFrame:
    """One row a series: its shard, its grid, its static attributes and its quality flags.

    Returns:
        `unique_id`, `shard`, `freq`, `season_lengths`, `first_ds`, `last_ds`, `n_observations`,
        `flags` (any of `empty`, `single point`, `constant`, `short`: less than two seasons,
        `ended`: silent for more than four seasons), then id columns and attributes.
    """
    season = task.season_length
    end = pd.Timestamp(clock["panel_end"])
    rows = []
    valued = observations[observations["y"].notna()]
    groups = dict(iter(valued.groupby("unique_id")))
    for unique_id in series_ids["unique_id"]:
        values = groups.get(unique_id, valued.iloc[:0])
        seen = values[values["y"] != 0] if task.fill == "zero" else values
        first = values["ds"].min()
        last = seen["ds"].max() if len(seen) else first
        silent_since = add_span(end, -4 * season, task.freq, task.timezone)
        length = len(grid(first, end, task.freq, task.timezone)) if len(values) else 0
        is_zero_filled = task.fill == "zero" and len(values) < length
        flags = {
            "empty": values.empty,
            "single point": len(values) == 1,
            "constant": len(values) > 1 and values["y"].nunique() == 1 and not is_zero_filled,
            "short": length < 2 * season,
            "ended": bool(len(seen)) and last < silent_since,
        }
        rows.append(
            {
                "unique_id": unique_id,
                "shard": shard_of(str(unique_id), n_shards),
                "freq": task.freq,
                "season_lengths": task.season_lengths,
                "first_ds": first,
                "last_ds": last,
                "n_observations": len(values),
                "flags": ", ".join(name for name, is_set in flags.items() if is_set),
            }
        )
    series = pd.DataFrame(rows)
    series = series.merge(series_ids, on="unique_id", how="left")
    for name, source in sources.of_role("attributes").items():
        series = _join_attributes(series, name, source, raw.read(name, parse_as_of(clock["as_of"])))
    return series


def _check_join(name: str, source: SourceConfig, series: pd.DataFrame) -> None:
    unknown = [key for key in source.join_on if key not in series.columns]
    if unknown:
        raise SourceError(
            f"source '{name}': 'join' names {unknown}, which the series do not have; "
            f"they have: {', '.join(series.columns)}"
        )


def split_observations(
    observations: pd.DataFrame, series: pd.DataFrame, n_shards: int
) -> list[pd.DataFrame]:
    """One frame a shard: its series' observations with a value."""
    shard = observations["unique_id"].map(
        dict(zip(series["unique_id"], series["shard"], strict=True))
    )
    valued = observations["y"].notna()
    return [observations[valued & (shard == number)] for number in range(n_shards)]


def _join_attributes(
    series: pd.DataFrame, name: str, source: SourceConfig, raw: pd.DataFrame
) -> pd.DataFrame:
    keys = source.join_on
    _check_join(name, source, series)
    table = raw[[*keys.values(), *source.renames]].rename(columns=source.renames)
    table = table.drop_duplicates(list(keys.values()))
    joined = series.merge(
        table, left_on=list(keys), right_on=list(keys.values()), how="left", suffixes=("", "_raw")
    )
    return joined.drop(columns=[c for c in keys.values() if c not in series.columns])


def build_panel(
    observations: pd.DataFrame,
    covariates: pd.DataFrame,
    series: pd.DataFrame,
    sources: SourcesConfig,
    task: TaskConfig,
    calendar: CalendarConfig,
    clock: dict[str, str],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Regular series of one shard, with every exogenous column.

    Returns:
        panel: `unique_id`, `ds` (naive UTC), `y`, `is_imputed`, then exogenous columns.
        future: `unique_id`, `ds` of the steps after the panel up to the end of the horizon, and
            the columns known in advance only.
        account: grid steps filled, by series.
    """
    end = pd.Timestamp(clock["panel_end"])
    members = series[series["unique_id"].isin(observations["unique_id"])]
    target_end = add_span(
        add_span(end, task.gap, task.freq, task.timezone), task.horizon, task.freq, task.timezone
    )
    ahead = grid(end, target_end, task.freq, task.timezone)
    if observations.empty:
        panel = pd.DataFrame(
            {"unique_id": pd.Series(dtype=str), "ds": ahead[:0], "y": 0.0, "is_imputed": False}
        )
        future = panel[["unique_id", "ds"]]
    else:
        panel = regularize(observations, end, task, pd.Timestamp(clock["known_until"]))
        future = pd.MultiIndex.from_product(
            [members["unique_id"], ahead], names=["unique_id", "ds"]
        ).to_frame(index=False)
    for name, source in sources.of_role("covariate").items():
        panel = _with_covariates(panel, members, covariates, name, source)
        if source.known == "in_advance":
            future = _with_covariates(future, members, covariates, name, source)
    panel = pd.concat([panel, calendar_columns(panel["ds"], calendar, task.timezone)], axis=1)
    future = pd.concat([future, calendar_columns(future["ds"], calendar, task.timezone)], axis=1)
    counts = panel.groupby("unique_id")["is_imputed"].agg(["size", "sum"])
    account = pd.concat(
        [
            pd.DataFrame(
                {"unique_id": counts.index, "measure": measure, "value": values.to_numpy()}
            )
            for measure, values in (
                ("grid steps", counts["size"]),
                ("steps imputed", counts["sum"]),
            )
        ]
    )
    account.insert(0, "source", "panel")
    return panel, future, account


def _with_covariates(
    frame: pd.DataFrame,
    members: pd.DataFrame,
    covariates: pd.DataFrame,
    name: str,
    source: SourceConfig,
) -> pd.DataFrame:
    columns = list(source.renames.values())
    keys = list(source.join_on)
    _check_join(name, source, members)
    covariates = covariates[covariates["source"] == name]
    key_of = dict(zip(members["unique_id"], join_ids(members[keys]), strict=True))
    steps = pd.DatetimeIndex(frame["ds"].unique()).sort_values()
    tables = [
        fill_covariate(covariates[covariates["join_key"] == key], steps, columns).assign(_key=key)
        for key in sorted(set(key_of.values()))
    ]
    if not tables or frame.empty:
        return frame.assign(**{column: pd.Series(dtype="float32") for column in columns})
    table = pd.concat(tables).reset_index()
    keyed = frame.assign(_key=frame["unique_id"].map(key_of))
    return keyed.merge(table, on=["_key", "ds"], how="left").drop(columns="_key")


def report_quality(
    target_account: pd.DataFrame,
    covariate_account: pd.DataFrame,
    target_quarantine: pd.DataFrame,
    covariate_quarantine: pd.DataFrame,
    series: pd.DataFrame,
    *panel_accounts: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Gather every account and every rejected row.

    Returns:
        quality_report: `source`, `unique_id`, `measure`, `value`.
        quarantine: `source`, `file`, `line`, `unique_id`, `reason`, `row` (JSON).

    Raises:
        PanelError: no series has a single value.
    """
    if (series["n_observations"] == 0).all():
        raise PanelError("no series has a value: see the quarantine")
    flagged = series.assign(flag=series["flags"].str.split(", ")).explode("flag")
    flagged = flagged[flagged["flag"] != ""]
    flags = pd.DataFrame(
        {
            "source": "panel",
            "unique_id": flagged["unique_id"],
            "measure": "flag: " + flagged["flag"],
            "value": 1,
        }
    )
    accounts = [target_account, covariate_account, *panel_accounts, flags]
    report = pd.concat([part for part in accounts if len(part)], ignore_index=True)
    rejected = [part for part in (target_quarantine, covariate_quarantine) if len(part)]
    quarantine = pd.concat(rejected or [target_quarantine], ignore_index=True)
    rows_in = report[report["measure"] == "rows in"].groupby("source")["value"].sum()
    for name, number in quarantine.groupby("source").size().items():
        reason = quarantine.loc[quarantine["source"] == name, "reason"].mode()[0]
        log = _LOGGER.warning if number > _MANY_REJECTED * rows_in[name] else _LOGGER.info
        log(
            "Source '%s': %d of %d rows are quarantined, most for '%s' (dataset 'quarantine')",
            name,
            number,
            rows_in[name],
            reason,
        )
    return report.astype({"value": "int64"}), quarantine
