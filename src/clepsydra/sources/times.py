"""Text cells to times: what `collect` needs to cut by day and `clean` to put rows on the grid."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import polars as pl

from clepsydra.config import Part, SourceConfig
from clepsydra.distinct import ByText
from clepsydra.row_columns import INSTANT, LOCAL

__all__ = ["TimeReader"]

_BETWEEN = "\x1f"
# A time of day and its distance from UTC, such as Z, +02, -0330.
_OFFSET = r"[T ].*[Z+-]"
# Microseconds of a unit.
_EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000}
# Times nearer to the limits of nanoseconds than any offset from UTC are none.
_FIRST, _LAST = (
    pd.Timestamp.min.ceil("D") + pd.Timedelta(1, "D"),
    pd.Timestamp.max.floor("D") - pd.Timedelta(1, "D"),
)
# A year of two digits can mean several.
_RANGES: dict[Part, tuple[int, int]] = {
    "year": (1000, 9999),
    "month": (1, 12),
    "day": (1, 31),
    "hour": (0, 23),
    "minute": (0, 59),
}


class TimeReader:
    """Reads the time of every row. Each different text is read once, however many rows share it.

    Args:
        source: its `time` is a column, several to be joined, or a column for each part.
        meanings: adds columns to a table of different times, for the rows to have them too.

    Examples:
        >>> load = SourceConfig(
        ...     role="target", path="x", name="load", time="at", value="mw", timezone="Europe/Paris"
        ... )
        >>> rows = pl.DataFrame({"at": ["2024-07-01 12:00", "2024-07-01T12:00Z", "soon"]})
        >>> TimeReader(load)(rows)["_local"].dt.hour().to_list()
        [12, 14, None]
    """

    def __init__(
        self,
        source: SourceConfig,
        meanings: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
    ):
        self._source = source
        self._meanings = meanings
        self._times = ByText(self._read)

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Read the times of some rows.

        Args:
            frame: `[N, columns]` strings.

        Returns:
            The frame with `_local` (naive time on the source's clock) and `_instant` (naive UTC,
            of texts that carry an offset or `Z` only); null where there is none.
        """
        texts = frame.select(_time_text(self._source)).to_series()
        return frame.with_columns(self._times(texts))

    def _read(self, texts: pl.Series) -> pl.DataFrame:
        bare = pd.Series(_bare(texts, self._source).to_list(), dtype=object)
        times = pl.DataFrame(_read(bare, self._source))
        return times if self._meanings is None else self._meanings(times)


def _time_text(source: SourceConfig) -> pl.Expr:
    if len(source.time_columns) == 1:
        return pl.col(source.time_columns[0])
    between = _BETWEEN if isinstance(source.time, dict) else " "
    return pl.concat_str([pl.col(name) for name in source.time_columns], separator=between)


def _bare(texts: pl.Series, source: SourceConfig) -> pl.Series:
    """The part of the texts that is a time."""
    if source.interval:
        texts = texts.str.split_exact(source.interval, 1).struct.field("field_0")
    return texts if isinstance(source.time, dict) else texts.str.strip_chars()


def _read(texts: pd.Series, source: SourceConfig) -> dict[str, pl.Series]:
    naive, aware = _read_texts(texts, source)
    naive = naive.where(naive.between(_FIRST, _LAST))
    if not aware.notna().any():
        never = pl.Series(INSTANT, [None], pl.Datetime("ns")).new_from_index(0, len(texts))
        return {LOCAL: pl.Series(LOCAL, naive.to_numpy("datetime64[ns]")), INSTANT: never}
    aware = aware.where(aware.between(_FIRST.tz_localize("UTC"), _LAST.tz_localize("UTC")))
    local = aware.dt.tz_convert(source.timezone).dt.tz_localize(None)
    return {
        LOCAL: pl.Series(LOCAL, local.where(aware.notna(), naive).to_numpy("datetime64[ns]")),
        INSTANT: pl.Series(INSTANT, aware.dt.tz_localize(None).to_numpy("datetime64[ns]")),
    }


def _read_texts(texts: pd.Series, source: SourceConfig) -> tuple[pd.Series, pd.Series]:
    """Naive times of the texts without an offset, and aware ones of the texts with one."""
    never = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[ns, UTC]")
    if isinstance(source.time, dict):
        return _from_parts(texts, source.time), never
    style = source.time_format
    if style in _EPOCHS:
        return never.dt.tz_localize(None), _from_epoch(texts, _EPOCHS[style])
    # pandas takes 'now' and 'today' for times.
    texts = texts.where(texts.str.contains(r"\d", regex=True))
    if style and "%z" not in style.lower():
        return pd.to_datetime(texts, format=style, errors="coerce"), never
    has_offset = texts.str.contains(_OFFSET, regex=True, na=False) | bool(style)
    # Apart from each other: pandas gives the offset of a text to those after it that have none.
    style = style or "ISO8601"
    naive = pd.to_datetime(texts.where(~has_offset), format=style, errors="coerce")
    if not has_offset.any():
        return naive, never
    aware = pd.to_datetime(texts.where(has_offset), format=style, errors="coerce", utc=True)
    return naive, aware.astype("datetime64[ns, UTC]")


def _from_epoch(texts: pd.Series, unit: int) -> pd.Series:
    """Aware times from counts of a unit of so many microseconds, to the microsecond."""
    cells = pl.Series(texts.to_list(), dtype=pl.String)
    counts = pd.Series(cells.cast(pl.Float64, strict=False).to_numpy(), index=texts.index)
    micros = (counts * unit).round()
    micros = micros.where(micros.between(_FIRST.value // 1_000, _LAST.value // 1_000))
    return pd.to_datetime(micros.astype("Int64"), unit="us", utc=True).astype("datetime64[ns, UTC]")


def _from_parts(texts: pd.Series, columns: dict[Part, str]) -> pd.Series:
    cells = texts.str.split(_BETWEEN, expand=True).reindex(columns=range(len(columns)))
    cells = cells.where(texts.str.count(_BETWEEN) == len(columns) - 1)
    parts = pd.DataFrame({"month": 1, "day": 1}, index=texts.index)
    for number, part in enumerate(columns):
        values = pd.to_numeric(cells[number], errors="coerce")
        low, high = _RANGES[part]
        parts[part] = values.where((values % 1 == 0) & (values >= low) & (values <= high))
    return pd.to_datetime(parts, errors="coerce")
