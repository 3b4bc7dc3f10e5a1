"""What a run knows of the target: the end of the panel."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator

import pandas as pd
import polars as pl

from clepsydra.config import SourceConfig, SourcesConfig, TaskConfig, parse_as_of
from clepsydra.datasets.raw_store import RawStore
from clepsydra.errors import SourceError
from clepsydra.layouts import row_steps
from clepsydra.origins import first_run_after, panel_end
from clepsydra.pipelines.clean.parsing import Parsed, parse_target
from clepsydra.timegrid import add_span, local_day_start, snap, to_wall

__all__ = ["set_clock"]

_LONGEST_SILENCE = pd.Timedelta(days=14)


def set_clock(
    raw: RawStore, sources: SourcesConfig, task: TaskConfig, as_of: str
) -> dict[str, str]:
    """When the panel ends, from the newest days of the target known at `as_of`.

    Without a gate that is where the day begins. With one it is the step that is not over at the
    gate, or the one after the last row, if that is earlier, but not before the day begins. As of
    `latest` it is the step after the last row.

    Returns:
        `as_of`, `panel_end` (first step not known), `cutoff` (last step known), and
        `known_until`: when the last day that has any row ended.

    Raises:
        SourceError: nothing is known at `as_of`, or no row is usable, or the last are too old.
    """
    name, source = sources.target
    day = parse_as_of(as_of)
    if raw.known(day).empty:
        first = min(raw.days(), default=None)
        raise SourceError(
            f"as_of {as_of}: nothing of source '{name}' is known then "
            f"(first day collected: {first}); run 'collect' or choose a later day"
        )
    gate = panel_end(day, task, source.timezone) if day and task.gate else None
    last_row, newest, rejected = _newest(name, source, task, raw, day, gate)
    last_step = snap(pd.Series([last_row]), task.freq, task.timezone).iloc[0]
    end = add_span(last_step, 1, task.freq, task.timezone)
    if gate is not None and day is not None:
        end = min(gate, max(end, _first_step(day, task)))
    elif day is not None:
        end = panel_end(day, task, source.timezone)
    two_seasons_ago = add_span(end, -2 * task.season_length, task.freq, task.timezone)
    if newest < min(two_seasons_ago, end - _LONGEST_SILENCE):
        raise SourceError(
            f"as_of {as_of}: the last data of source '{name}' are of {newest} UTC, two seasons or "
            f"more before"
            + (f" (of the rows after them: {rejected})" if rejected else "")
            + "; correct as_of, the source's description, or see why it has stopped"
        )
    last_day = to_wall(pd.Series([last_row]), source.timezone).iloc[0].date()
    known_until = local_day_start(last_day + dt.timedelta(days=1), source.timezone)
    return {
        "as_of": (day or _today(end, task)).isoformat(),
        "panel_end": end.isoformat(),
        "cutoff": add_span(end, -1, task.freq, task.timezone).isoformat(),
        "known_until": min(end, known_until).isoformat(),
    }


def _first_step(day: dt.date, task: TaskConfig) -> pd.Timestamp:
    """The first step that is no part of the local day before."""
    midnight = local_day_start(day, task.timezone)
    step = snap(pd.Series([midnight]), task.freq, task.timezone).iloc[0]
    return step if step == midnight else add_span(step, 1, task.freq, task.timezone)


def _today(end: pd.Timestamp, task: TaskConfig) -> dt.date:
    """The day of a run whose panel ends there: with a gate, that of the next one."""
    if task.gate is not None:
        return first_run_after(end - pd.Timedelta(1, "ns"), task)
    return to_wall(pd.Series([end]), task.timezone).iloc[0].date()


def _newest(
    name: str,
    source: SourceConfig,
    task: TaskConfig,
    raw: RawStore,
    as_of: dt.date | None,
    end: pd.Timestamp | None,
) -> tuple[pd.Timestamp, pd.Timestamp, str]:
    """Times (naive UTC) of the last row, and of the last row with a value, and what befell others.

    Days are read from the newest back, until one has a value before `end`, if that is given.
    """
    last_row: pd.Timestamp | None = None
    reasons: Counter[str] = Counter()
    for parsed in _days_backwards(name, source, task, raw, as_of, end):
        for measure, number in parsed.account.select("measure", "value").iter_rows():
            if measure.startswith(("excluded", "quarantined")):
                reasons[measure] += int(number)
        valued = parsed.rows.filter(pl.col("y").is_not_null())
        if parsed.rows.height and last_row is None:
            last_row = pd.Timestamp(parsed.rows["ds"].max())
        if valued.height and last_row is not None:
            return last_row, pd.Timestamp(valued["ds"].max()), _listed(reasons)
    raise SourceError(
        f"source '{name}': no row can be used ({_listed(reasons)}); "
        f"correct the source's description"
    )


def _listed(reasons: Counter[str]) -> str:
    return "; ".join(f"{number} {reason}" for reason, number in reasons.most_common())


def _days_backwards(
    name: str,
    source: SourceConfig,
    task: TaskConfig,
    raw: RawStore,
    as_of: dt.date | None,
    end: pd.Timestamp | None,
) -> Iterator[Parsed]:
    days = raw.known(as_of)["day"]
    for day in reversed(days.to_list()):
        rows = raw.read(as_of, days=[dt.date.fromisoformat(day) if day else None])
        yield parse_target(name, source, rows, end, steps=row_steps(source, task, rows.columns))
