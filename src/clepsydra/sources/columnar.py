"""Parquet files to text batches: every type has one canonical text."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clepsydra.config import SourceConfig
from clepsydra.errors import SourceError
from clepsydra.sources.pieces import BATCH_ROWS, Piece, check_columns, text_batch
from clepsydra.sources.streams import as_seekable

__all__ = ["read"]

_BATCH_CELLS = 5_000_000
# Times as Arrow writes them; of the fraction, the last group is what counts.
_TIME = r"(\d\d:\d\d:\d\d)(?:(\.\d*[1-9])0*|\.0*)?$"
_TIMESTAMP = rf"^(\S+-\d\d-\d\d) {_TIME}"


def read(name: str, source: SourceConfig, piece: Piece) -> Iterator[pl.DataFrame]:
    """Read a Parquet file as text, a batch of rows at a time.

    Times are ISO 8601, those with a time zone in UTC with a `Z`; fractions of a second are written
    if they are not zero. Numbers are the shortest text that reads back as the same number, whole
    ones without decimals; NaN and null are empty cells. Lists and structs are JSON text, bytes
    that are no UTF-8 text are hexadecimal.

    Args:
        name: of the source, for errors.
        source: if it names `columns`, no others are read than it needs.
        piece: the file.

    Yields:
        Batches of `[N, columns]` strings, `_file` and `_line` (the number of the row, from 1).

    Raises:
        SourceError: the file is empty, no Parquet, damaged, has a column of a type without a text,
            or lacks a column that the configuration names.
    """
    where = f"source '{name}', file '{piece.label}'"
    with as_seekable(piece.open()) as stream:
        if not stream.read(1):
            raise SourceError(f"{where} is empty: expected Parquet")
        stream.seek(0)
        first = 1
        for batch in _batches(where, source, stream):
            columns = {
                column: _column(where, column, cells)
                for column, cells in zip(batch.schema.names, batch.columns, strict=True)
            }
            frame = pl.DataFrame(pl.from_arrow(pa.table(columns)))
            yield text_batch(frame, piece.label, first)
            first += batch.num_rows
    if first == 1:
        raise SourceError(f"{where} is empty: it has no rows")


def _batches(where: str, source: SourceConfig, stream: Any) -> Iterator[pa.RecordBatch]:
    try:
        # Without a buffer it would hold all of a row group.
        file = pq.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False)
        names = file.schema_arrow.names
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(where, error) from None
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise SourceError(f"{where} has several columns called {', '.join(map(repr, twice))}")
    check_columns(where, source, names)
    wanted = source.needed_columns() if source.columns else names
    rows = max(1, min(BATCH_ROWS, _BATCH_CELLS // max(1, len(wanted))))
    batches = file.iter_batches(rows, columns=wanted, use_threads=False)
    while True:
        try:
            batch = next(batches, None)
            if batch is None:
                return
            # Parquet does not say that its text is UTF-8; what follows relies on it.
            batch.validate(full=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(where, error) from None
        if batch.num_rows:
            # A name with a dot brings the member of a struct along.
            yield batch.select(wanted)


def _damaged(where: str, error: Exception) -> SourceError:
    return SourceError(f"{where} cannot be read as Parquet: {' '.join(str(error).split())}")


def _column(where: str, name: str, cells: pa.Array) -> pa.Array:
    try:
        return _text(cells)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise SourceError(
            f"{where}: column {name!r} has the type {cells.type} and cannot be read as text: "
            f"{error}; take others with 'columns'"
        ) from None


def _text(cells: pa.Array) -> pa.Array:
    """The canonical text of typed cells, null where there is none."""
    kind = cells.type
    if isinstance(kind, pa.BaseExtensionType):
        return _text(cells.storage)
    if pa.types.is_dictionary(kind):
        return _text(cells.dictionary_decode())
    if pa.types.is_run_end_encoded(kind):
        return _text(pc.run_end_decode(cells))
    if pa.types.is_nested(kind) or pa.types.is_interval(kind):
        return _from_objects(cells, _json)
    if pa.types.is_timestamp(kind):
        return _timestamps(cells)
    if pa.types.is_floating(kind):
        cells = pc.cast(cells, pa.float32()) if pa.types.is_float16(kind) else cells
        cells = pc.if_else(pc.is_nan(cells), None, cells)
    if pa.types.is_fixed_size_binary(kind):
        return _from_objects(cells, bytes.hex)
    if pa.types.is_date64(kind):
        cells = pc.cast(cells, pa.date32())
    try:
        text = pc.cast(cells, pa.large_string())
    except pa.ArrowInvalid:
        if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            raise
        return _from_objects(cells, bytes.hex)
    if pa.types.is_time(kind):
        return pc.replace_substring_regex(text, _TIME, r"\1\2")
    if pa.types.is_decimal(kind) and pc.any(pc.match_substring(text, "E")).as_py():
        return _from_objects(cells, lambda value: format(value, "f"))
    return text


def _timestamps(cells: pa.Array) -> pa.Array:
    unit, zone = cells.type.unit, cells.type.tz
    # What is stored is UTC already, wherever the zone is.
    naive = cells.cast(pa.timestamp(unit, "UTC")).view(pa.timestamp(unit)) if zone else cells
    text = pc.cast(naive, pa.large_string())
    return pc.replace_substring_regex(text, _TIMESTAMP, r"\1T\2\3" + ("Z" if zone else ""))


def _from_objects(cells: pa.Array, write: Callable[[Any], str]) -> pa.Array:
    return pa.array(
        [None if value is None else write(value) for value in cells.to_pylist()], pa.large_string()
    )


def _json(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """What JSON can hold, of a value inside a list or a struct."""
    if isinstance(value, dict):
        return {str(key): _plain(cell) for key, cell in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(cell) for cell in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if value is None or isinstance(value, str | bool | int | float):
        return None if value != value else value
    return str(value)
