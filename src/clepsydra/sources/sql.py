"""Rows of a database as text: all of them, or those that were written since the last reading.

A source with a `watermark` is read in part: the rows whose watermark is not below that of the
last reading, less `look_back`, and every row that has none. `_watermark` says how far each row
is; what the next reading starts from follows from the rows (`next_after`).

A row is missed if it appears with a watermark below that of rows already read, by more than
`look_back`: rows of long transactions do so, and naive local times when the clocks go back.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import math
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl
import sqlalchemy as sa

from clepsydra.config import SourceConfig, SqlConfig
from clepsydra.errors import SourceError
from clepsydra.row_columns import WATERMARK
from clepsydra.sources import watermarks
from clepsydra.sources.databases import find_table, reading
from clepsydra.sources.pieces import check_columns, text_batch

__all__ = ["next_after", "read_rows"]

# Names in the SQL that this module writes.
_QUERY, _LOWEST = "clepsydra_query", "clepsydra_lowest"
# Rows fetched at a time to find a first watermark in a query.
_FEW = 1_000
_SHOWN_AS_THEY_ARE = (
    uuid.UUID,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
)


def read_rows(
    name: str,
    source: SourceConfig,
    credentials: Mapping[str, Any] | None = None,
    after: str | None = None,
) -> Iterator[pl.DataFrame]:
    """Read a table or query in batches, in one transaction that writes nothing.

    Rows come in the order of the watermark, then of the table's primary key; without either, in
    the order that the database gives. An `ORDER BY` in a query without a watermark counts.

    Cells become text without loss: digits for whole numbers, the shortest digits for floats,
    plain digits for decimals, ISO 8601 for times (UTC, if they have an offset), `true` and
    `false`, hexadecimal digits for bytes, JSON for arrays and documents, and nothing for null.

    Args:
        name: of the source.
        source: its `sql` says what is read.
        credentials: `url`, `username` and `password`, each if needed; this `url` counts before
            the one in `sql`, and the others before those in a URL.
        after: what `next_after` gave at the last reading; None reads everything. Without
            `watermark` everything is always read.

    Returns:
        Frames of at most `batch_rows` rows: a string column for each of the table's, `_file` (the
        table, or `query`), `_line` (the number of the row in this reading, from 1), and, of a
        source with a `watermark`, `_watermark`: text that sorts as the watermarks do. No frame
        if there are no rows.

    Raises:
        SourceError: while iterating: the database cannot be reached; table, query or a column is
            wrong; `watermark` or `look_back` is not what it should be; a cell has no text form.

    Examples:
        >>> import sqlite3, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> shop = sqlite3.connect(f"{folder.name}/shop.db")
        >>> _ = shop.executescript(
        ...     "CREATE TABLE sales (id INTEGER PRIMARY KEY, day TEXT, sold REAL);"
        ...     "INSERT INTO sales VALUES (1, '2024-01-01', 5.5), (2, '2024-01-02', NULL);"
        ... )
        >>> shop.close()
        >>> database = {"url": f"sqlite:///{folder.name}/shop.db", "table": "sales"}
        >>> source = SourceConfig(
        ...     role="target",
        ...     name="all",
        ...     time="day",
        ...     value="sold",
        ...     sql={**database, "watermark": "id"},
        ... )
        >>> [batch] = read_rows("sales", source)
        >>> batch.drop("_watermark").rows()
        [('1', '2024-01-01', '5.5', 'sales', 1), ('2', '2024-01-02', '', 'sales', 2)]
        >>> after = next_after(None, batch["_watermark"].max(), None)
        >>> [batch["id"].to_list() for batch in read_rows("sales", source, None, after)]
        [['2']]
        >>> folder.cleanup()
    """
    sql = source.sql
    if sql is None:
        raise ValueError(f"source '{name}' is no database")
    where = f"source '{name}', " + ("its query" if sql.query else f"table '{sql.table}'")
    with reading(f"source '{name}'", sql, credentials) as connection:
        if sql.watermark:
            statement, marks = _new_rows(where, connection, source, sql, after)
        else:
            statement, marks = _all_rows(where, connection, sql), None
        with connection.execute(statement, execution_options=_streamed(sql.batch_rows)) as result:
            columns = _columns(where, source, result)
            count = 0
            for rows in result.partitions():
                if marks:
                    rows, texts = marks.new_of(rows, columns)
                batch = text_batch(_cells(where, columns, rows), sql.table or "query", count + 1)
                if marks:
                    batch = batch.with_columns(pl.Series(WATERMARK, texts, pl.String))
                count += batch.height
                if batch.height:
                    yield batch


def next_after(after: str | None, highest: str | None, left_behind: str | None) -> str | None:
    """What the next reading of a source starts from.

    Args:
        after: what this reading started from.
        highest: the highest `_watermark` of all the rows that it read.
        left_behind: the lowest `_watermark` of those that were read and not kept.

    Returns:
        The lowest that was left behind, so that it is read again; if there is none, the highest.

    Examples:
        >>> next_after("number 15000005", "number 15000007", None)
        'number 15000007'
        >>> next_after("number 15000005", "number 15000007", "number 15000006")
        'number 15000006'
        >>> next_after("number 15000005", None, None)
        'number 15000005'
    """
    if left_behind is not None:
        return left_behind
    return max((text for text in (after, highest) if text is not None), default=None)


@dataclass(frozen=True)
class _Marks:
    """The watermarks of a reading: all of one kind, none below the lowest.

    Attributes:
        where: what errors begin with.
        column: their name.
        sample: one of them, as the driver gives it; None if there is none.
        kind: of the sample.
        lowest: encoded; None if all rows are read.
    """

    where: str
    column: str
    sample: Any
    kind: str | None
    lowest: str | None

    def encoded(self, value: Any) -> str | None:
        text = _encoded(self.where, self.column, value)
        if text is not None and watermarks.kind_of(text) != self.kind:
            raise SourceError(
                f"{self.where}: its watermark '{self.column}' is {self.sample!r} in one row and "
                f"{value!r} in another: choose a column that holds one kind"
            )
        return text

    def new_of(
        self, rows: Sequence[sa.Row[Any]], columns: list[str]
    ) -> tuple[list[sa.Row[Any]], list[str | None]]:
        """The rows that have no watermark or one not below the lowest, and their watermarks."""
        place = columns.index(self.column)
        new, texts = [], []
        for row in rows:
            text = self.encoded(row[place])
            if text is None or self.lowest is None or text >= self.lowest:
                new.append(row)
                texts.append(text)
        return new, texts

    def condition(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool] | None:
        """What the database compares, which may let through some more rows; None if nothing."""
        bound = watermarks.parameter(self.lowest, self.sample) if self.lowest else None
        if bound is None:
            return None
        parameter = sa.bindparam(_LOWEST, bound, sa.types.NullType())
        condition = sa.or_(column.is_(None), column >= parameter)
        if isinstance(self.sample, str):
            # Blank texts, and texts that are an error, which is not to go unnoticed.
            condition = sa.or_(condition, column.not_like(watermarks.ISO_TEXT))
        return condition


def _all_rows(where: str, connection: sa.Connection, sql: SqlConfig) -> sa.Executable:
    if sql.query:
        return _as_text(sql.query)
    table, key = find_table(where, connection, str(sql.table))
    return sa.select(table).order_by(*(table.c[column] for column in key))


def _new_rows(
    where: str, connection: sa.Connection, source: SourceConfig, sql: SqlConfig, after: str | None
) -> tuple[sa.Executable, _Marks]:
    name = str(sql.watermark)
    if sql.query:
        table, sample = _sampled_query(where, connection, source, sql.query, name)
        order = [table.c[name]]
    else:
        table, key = find_table(where, connection, str(sql.table))
        _check_watermark(where, name, list(table.c.keys()))
        order = [table.c[column] for column in dict.fromkeys([name, *key])]
        highest = sa.select(table.c[name]).where(table.c[name].is_not(None))
        sample = connection.scalar(highest.order_by(table.c[name].desc()).limit(1))
    text = _encoded(where, name, sample)
    kind = watermarks.kind_of(text) if text else None
    marks = _Marks(where, name, sample, kind, _lowest(where, sql, text, after))
    statement = sa.select(*table.c).order_by(*order)
    condition = marks.condition(table.c[name])
    return statement if condition is None else statement.where(condition), marks


def _sampled_query(
    where: str, connection: sa.Connection, source: SourceConfig, query: str, watermark: str
) -> tuple[sa.FromClause, Any]:
    """The query as a table, and its first watermark that is not null or blank."""
    text = _as_text(query)
    with connection.execute(text, execution_options=_streamed(_FEW)) as result:
        columns = _columns(where, source, result)
        _check_watermark(where, watermark, columns)
        values = (row[columns.index(watermark)] for row in result)
        sample = next((v for v in values if _encoded(where, watermark, v) is not None), None)
    return text.columns(*map(sa.column, columns)).subquery(_QUERY), sample


def _lowest(where: str, sql: SqlConfig, sample: str | None, after: str | None) -> str | None:
    """The lowest watermark to read, encoded; `look_back` and `after` have to fit the column."""
    if after is not None:
        try:
            watermarks.decode(after)
        except ValueError as error:
            raise SourceError(f"{where}: {error}, but is kept as one of the last reading") from None
        if sample and watermarks.kind_of(sample) != watermarks.kind_of(after):
            raise SourceError(
                f"{where}: its watermark '{sql.watermark}' holds {watermarks.kind_of(sample)}; at "
                f"the last reading it held {watermarks.kind_of(after)}: name the column it was, "
                f"or collect the source afresh"
            )
    known = after or sample
    if known is None:
        return None
    try:
        lowest = watermarks.lowest_to_read(known, sql.look_back)
    except ValueError as error:
        raise SourceError(
            f"{where}: 'look_back' is {sql.look_back!r}, but its watermark '{sql.watermark}' holds "
            f"{watermarks.kind_of(known)}: {error}"
        ) from None
    return lowest if after else None


def _encoded(where: str, watermark: str, value: Any) -> str | None:
    try:
        return watermarks.encode(value)
    except ValueError as error:
        raise SourceError(
            f"{where}: a watermark cannot be used, in column '{watermark}': {error}"
        ) from None


def _as_text(query: str) -> sa.TextClause:
    """The query as it is: SQLAlchemy takes `:name` for a parameter. A comment may end it."""
    return sa.text(query.strip().rstrip("; \n").replace(":", r"\:") + "\n")


def _streamed(batch_rows: int) -> dict[str, Any]:
    """Options that hold no more than a batch, and leave column names alone."""
    return {"yield_per": batch_rows, "sqlite_raw_colnames": True}


def _columns(where: str, source: SourceConfig, result: sa.CursorResult[Any]) -> list[str]:
    if not result.returns_rows:
        raise SourceError(f"{where} gives no rows: it has to be a SELECT")
    columns = list(result.keys())
    if twice := sorted(name for name, count in Counter(columns).items() if count > 1):
        raise SourceError(
            f"{where} gives more than one column {', '.join(map(repr, twice))}: rename them with AS"
        )
    check_columns(where, source, columns)
    return columns


def _check_watermark(where: str, watermark: str, columns: list[str]) -> None:
    if watermark not in columns:
        raise SourceError(
            f"{where} has no column '{watermark}', its 'watermark'; "
            f"it has: {', '.join(map(repr, columns))}"
        )


def _cells(where: str, columns: list[str], rows: Sequence[sa.Row[Any]]) -> pl.DataFrame:
    """`[rows, columns]` strings."""
    values = zip(*rows, strict=True) if rows else ((),) * len(columns)
    cells = []
    for name, column in zip(columns, values, strict=True):
        try:
            texts = [value if type(value) is str else _cell(value) for value in column]
            cells.append(pl.Series(name, texts, pl.String))
        except ValueError as error:
            raise SourceError(f"{where}: column '{name}': {error}") from None
    return pl.DataFrame(cells)


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return "NaN" if math.isnan(value) else repr(value)
        case Decimal():
            return f"{value:f}" if value.is_finite() else str(value)
        case dt.datetime():
            return _moment(value)
        case dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return _duration(value)
        case bytes() | bytearray() | memoryview():
            return value.hex()
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, default=_cell)
        case _ if isinstance(value, (int, str, *_SHOWN_AS_THEY_ARE)):
            return str(value)
    raise ValueError(
        f"values of type {type(value).__name__} have no text form here: take the column out, or "
        f"turn it into text, in a 'query'"
    )


def _moment(value: dt.datetime) -> str:
    """A time with an offset in UTC: the offset depends on the session, not on the row."""
    try:
        return (value.astimezone(dt.UTC) if value.tzinfo else value).isoformat()
    except OverflowError:
        return value.isoformat()


def _duration(value: dt.timedelta) -> str:
    """Hours, minutes, seconds: what a driver gives so may also be a time of day."""
    seconds, micros = divmod(abs(value) // dt.timedelta(microseconds=1), 1_000_000)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return ("-" if value < dt.timedelta(0) else "") + text + (f".{micros:06d}" if micros else "")
