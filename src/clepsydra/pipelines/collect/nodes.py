"""Slice every source into immutable daily snapshots of what is known at `as_of`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from clepsydra.config import SourceConfig, SourcesConfig, parse_as_of
from clepsydra.datasets.raw_store import Snapshot
from clepsydra.errors import SourceError
from clepsydra.reading import find_files, local_times, read_text

__all__ = ["collect_sources"]


def collect_sources(sources: SourcesConfig, as_of: str, project_path: str) -> list[Snapshot]:
    """Read every source as text and cut it by local day.

    The rows of day D are known on the morning of D + 1, so a run at `as_of` takes the days before
    it; of a source that is known in advance it takes every day. Rows whose time cannot be read
    stay together in a snapshot without a day: `clean` accounts for them.

    Args:
        sources: what to read.
        as_of: the day of the run, or `latest`.
        project_path: folder that relative paths start from.

    Returns:
        Snapshots, ready for a `RawStoreDataset`.

    Raises:
        SourceError: a source cannot be read, or has nothing before `as_of`.
    """
    day = parse_as_of(as_of)
    target_name, target = sources.target
    target_rows = _read(target_name, target, project_path)
    if day is None:
        day = _last_day(target_name, target_rows[1]) + dt.timedelta(days=1)
    snapshots: list[Snapshot] = []
    for name, source in sources.items():
        is_target = source.role == "target"
        frame, days = target_rows if is_target else _read(name, source, project_path)
        if source.role == "attributes":
            snapshots.append(Snapshot(name, None, dt.date.min, day, frame))
            continue
        slices = list(_slice_by_day(name, source, frame, days, day))
        if is_target and not any(slice_.day for slice_ in slices):
            raise SourceError(
                f"as_of {day} is before the first data of source '{name}' "
                f"({days.min():%Y-%m-%d}): choose a later day"
            )
        snapshots += slices
    return snapshots


def _read(name: str, source: SourceConfig, project_path: str) -> tuple[pd.DataFrame, pd.Series]:
    frame = read_text(name, source, find_files(name, source, Path(project_path)))
    if source.role == "attributes":
        return frame, pd.Series(pd.NaT, index=frame.index)
    return frame, local_times(frame, source).dt.normalize()


def _last_day(name: str, days: pd.Series) -> dt.date:
    if days.notna().any():
        return days.max().date()
    raise SourceError(
        f"source '{name}': no row has a readable time; correct 'time', or give 'time_format'"
    )


def _slice_by_day(
    name: str, source: SourceConfig, frame: pd.DataFrame, days: pd.Series, as_of: dt.date
) -> Iterator[Snapshot]:
    _last_day(name, days)
    in_advance = source.known == "in_advance"
    undated = frame[days.isna()]
    if len(undated):
        yield Snapshot(name, None, dt.date.min, as_of, undated)
    known = days.notna() if in_advance else days < pd.Timestamp(as_of)
    for stamp, rows in frame[known].groupby(days[known]):
        day = stamp.date()
        known_from = dt.date.min if in_advance else day + dt.timedelta(days=1)
        yield Snapshot(name, day, known_from, as_of, rows)
