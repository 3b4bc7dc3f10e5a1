"""Databases: every row of every reading arrives, as text that loses nothing."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import re
import sqlite3
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop import fill, read, refused, source_of

from clepsydra.config import SourceConfig
from clepsydra.row_columns import WATERMARK
from clepsydra.sources import sql
from clepsydra.sources.sql import next_after, read_rows
from clepsydra.sources.watermarks import decode, encode

PLACE = ["_file", "_line"]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as connection:
        yield connection


# Cells


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", ""),
        ("ü 'x' \n", "ü 'x' \n"),
        (True, "true"),
        (-(2**70), "-1180591620717411303424"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (math.nan, "NaN"),
        (math.inf, "inf"),
        (Decimal("1E+5"), "100000"),
        (Decimal("1.50"), "1.50"),
        (Decimal("NaN"), "NaN"),
        (dt.datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05"),
        (dt.datetime(2024, 1, 2, 3, 4, 5, 60), "2024-01-02T03:04:05.000060"),
        (dt.datetime.fromisoformat("2024-01-02T03:04:05+02:00"), "2024-01-02T01:04:05+00:00"),
        (dt.datetime.fromisoformat("0001-01-01T00:00:00+02:00"), "0001-01-01T00:00:00+02:00"),
        (dt.date(2024, 1, 2), "2024-01-02"),
        (dt.time(23, 5), "23:05:00"),
        (dt.timedelta(hours=26, seconds=1), "26:00:01"),
        (-dt.timedelta(microseconds=1), "-00:00:00.000001"),
        (b"\x00\xff", "00ff"),
        (memoryview(b"\x01"), "01"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ip_address("::1"), "::1"),
        ({"a": [1, None, dt.date(2024, 1, 2)]}, '{"a": [1, null, "2024-01-02"]}'),
    ],
)
def test_every_cell_has_a_text(value: Any, text: str) -> None:
    assert sql._cell(value) == text


@given(st.floats(allow_nan=False))
def test_floats_come_back(value: float) -> None:
    assert float(sql._cell(value)) == value


def test_a_cell_without_a_text_form_is_an_error() -> None:
    with pytest.raises(ValueError, match="type complex have no text form here: take the column"):
        sql._cell(1j)


def test_a_table_comes_in_the_order_of_its_columns_and_key(database: sqlite3.Connection) -> None:
    database.execute(
        'CREATE TABLE "Daily %s ""Sales"".x" (sold REAL, day TEXT, "Shop: A.b" TEXT, raw BLOB,'
        " no INTEGER PRIMARY KEY DESC)"
    )
    database.executemany(
        'INSERT INTO "Daily %s ""Sales"".x" VALUES (?, ?, ?, ?, ?)',
        [(1.5, "2024-01-02", "ü", b"\x01", 7), (None, "2024-01-01", "", None, 3)],
    )
    frame = read(source_of(database, table='Daily %s "Sales".x'))
    assert frame.columns == ["sold", "day", "Shop: A.b", "raw", "no", *PLACE]
    assert frame.rows() == [
        ("", "2024-01-01", "", "", "3", 'Daily %s "Sales".x', 1),
        ("1.5", "2024-01-02", "ü", "01", "7", 'Daily %s "Sales".x', 2),
    ]
    assert set(frame.drop("_line").dtypes) == {pl.String}


def test_a_schema_and_a_view_are_found(database: sqlite3.Connection) -> None:
    fill(database, [("2024-01-01", 1, 5)])
    database.execute("CREATE VIEW latest AS SELECT day, sold FROM sales")
    assert read(source_of(database, table="main.sales"))["w"].to_list() == ["5"]
    assert read(source_of(database, table="latest")).columns == ["day", "sold", *PLACE]


def test_text_in_columns_declared_as_times_stays_as_it_is(database: sqlite3.Connection) -> None:
    database.execute("CREATE TABLE sales (day TIMESTAMP, sold BOOLEAN)")
    database.execute("INSERT INTO sales VALUES ('2024-01-01 5h', 1), ('2024-01-01T05:00Z', 0)")
    frame = read(source_of(database, table="sales"))
    assert frame["day"].to_list() == ["2024-01-01 5h", "2024-01-01T05:00Z"]
    assert frame["sold"].to_list() == ["1", "0"]


@pytest.mark.parametrize("watermark", [None, "w"])
def test_a_query_is_taken_as_it_is(database: sqlite3.Connection, watermark: str | None) -> None:
    fill(database, [("2024-01-02", 10, 2), ("2024-01-01", 5, 1)])
    query = """
        SELECT day, sold % 4 AS sold, w, 'a:b ::c \\:d 100%' AS "t.x" FROM sales
        WHERE day LIKE '%-0%' ORDER BY w -- all of them
        ;
    """
    frame = read(source_of(database, query=query, watermark=watermark))
    assert frame.drop(WATERMARK, strict=False).rows() == [
        ("2024-01-01", "1.0", "1", "a:b ::c \\:d 100%", "query", 1),
        ("2024-01-02", "2.0", "2", "a:b ::c \\:d 100%", "query", 2),
    ]


def test_no_rows_are_no_batch(database: sqlite3.Connection) -> None:
    fill(database, [])
    for changes in ({"table": "sales"}, {"table": "sales", "watermark": "w"}):
        assert list(read_rows("sales", source_of(database, **changes), None, encode(5))) == []


# Reading in part


def test_rows_from_the_last_watermark_less_look_back_are_read(database: sqlite3.Connection) -> None:
    fill(database, [("2024-01-01", n, n) for n in range(10, 0, -1)], "INTEGER")
    source = source_of(database, table="sales", watermark="w", look_back=2)
    frame = read(source, encode(7))
    assert frame["w"].to_list() == ["5", "6", "7", "8", "9", "10"]
    assert frame["_line"].to_list() == [1, 2, 3, 4, 5, 6]
    assert decode(frame[WATERMARK].max()) == 10
    assert read(source, encode(100)).height == 0
    assert read(source_of(database, table="sales"), encode(7)).height == 10


@pytest.mark.parametrize(
    ("marks", "after", "look_back", "expected"),
    [
        ([1, 2.5, 3, 2**63 - 1], 2.5, 0, [2.5, 3, 2**63 - 1]),
        ([0.1, 0.3, 0.7], 0.5, "0.2", [0.3, 0.7]),
        ([1, 2], 1, 1e30, [1, 2]),
        (["2024-01-01", "2024-01-02", "2024-01-03"], "2024-01-03", "1D", [1, 2]),
        (
            ["2024-01-01T23:00:00", "2024-01-02 05:00", "2024-01-02T00:59:59.9", "2024-01-02 01"],
            "2024-01-02T07:00:00",
            "6h",
            [1, 3],
        ),
        (
            ["2024-01-01T20:00:00-05:00", "2024-01-02T01:30:00.5Z", "2024-01-02T02:00:00+01:00"],
            "2024-01-02T01:00:00Z",
            0,
            [0, 1, 2],
        ),
        (["0001-01-02", "0001-01-03"], "0001-01-02", "5D", [0, 1]),
    ],
)
def test_watermarks_of_every_kind(
    database: sqlite3.Connection, marks: list[Any], after: Any, look_back: Any, expected: list[Any]
) -> None:
    fill(database, [(str(place), 0, mark) for place, mark in enumerate(marks)])
    if isinstance(marks[0], str):
        expected = [marks[place] for place in expected]
    for origin in ({"table": "sales"}, {"query": "SELECT * FROM sales"}):
        source = source_of(database, **origin, watermark="w", look_back=look_back)
        assert sorted(read(source, encode(after))["w"]) == sorted(map(str, expected))


@pytest.mark.parametrize("kind", ["", "TEXT", "TIMESTAMP"])
def test_rows_without_a_watermark_are_always_read(database: sqlite3.Connection, kind: str) -> None:
    marks = ["2024-01-01", None, "", " ", "2024-01-09"]
    fill(database, [(str(place), 0, mark) for place, mark in enumerate(marks)], kind)
    for origin in ({"table": "sales"}, {"query": "SELECT * FROM sales"}):
        frame = read(source_of(database, **origin, watermark="w"), encode("2024-01-05"))
        assert sorted(frame["day"]) == ["1", "2", "3", "4"]
        assert frame[WATERMARK].null_count() == 3


def test_only_rows_without_a_watermark(database: sqlite3.Connection) -> None:
    fill(database, [("2024-01-01", 1, None)])
    for after in (None, encode(5), encode("2024-01-01")):
        frame = read(source_of(database, table="sales", watermark="w"), after)
        assert frame[WATERMARK].to_list() == [None]


def test_a_late_row_is_read_when_it_is_known(database: sqlite3.Connection) -> None:
    """A row of tomorrow waits, however many later rows are read and kept meanwhile."""
    fill(database, [("2024-01-05", 1, 1), ("2024-01-01", 2, 2)], "INTEGER")
    source = source_of(database, table="sales", watermark="w")
    reader = Reader(source)
    reader.run("2024-01-02")
    assert decode(str(reader.after)) == 1
    database.execute("INSERT INTO sales VALUES ('2024-01-02', 3, 3)")
    reader.run("2024-01-03")
    assert decode(str(reader.after)) == 1
    reader.run("2024-01-06")
    assert decode(str(reader.after)) == 3
    assert reader.kept == {("2024-01-05", "1.0"), ("2024-01-01", "2.0"), ("2024-01-02", "3.0")}


class Reader:
    """What collects: keeps the rows of days before `as_of`, and the state between runs."""

    def __init__(self, source: SourceConfig):
        self.source = source
        self.after: str | None = None
        self.kept: set[tuple[str, str]] = set()

    def run(self, as_of: str) -> None:
        frame = read(self.source, self.after)
        if not frame.height:
            return
        known = pl.col("day") < as_of
        self.kept.update(frame.filter(known).select("day", "sold").rows())
        left = frame.filter(~known)[WATERMARK].min()
        self.after = next_after(self.after, frame[WATERMARK].max(), left)


def _real(tick: int) -> float:
    return tick / 10


def _naive(tick: int) -> str:
    moment = dt.datetime(2024, 1, 1) + tick * dt.timedelta(hours=5, microseconds=tick % 3)
    return moment.isoformat("T" if tick % 2 else " ")


def _aware(tick: int) -> str:
    zone = dt.timezone(dt.timedelta(hours=tick * 5 % 24 - 11))
    moment = dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + tick * dt.timedelta(hours=5)
    return moment.astimezone(zone).isoformat()


# An insertion, or a new version of the n-th row: its day, whether time has passed, by how much its
# watermark lags behind, and whether it has one. Or a run: its day; after 3 everything is known.
WRITES = st.tuples(
    st.just("write"),
    st.integers(0, 9),
    st.integers(1, 3),
    st.integers(0, 1),
    st.sampled_from([0, 2, 1]),
    st.sampled_from([True, True, True, False]),
)
RUNS = st.tuples(st.just("run"), st.sampled_from([4, 3, 2]))
HISTORIES = st.lists(st.one_of(WRITES, WRITES, RUNS), min_size=8, max_size=30)


@pytest.mark.parametrize(
    ("form", "look_back"), [(int, 2), (_real, "0.2"), (_naive, "11h"), (_aware, "10h")]
)
@given(history=HISTORIES)
def test_no_row_is_lost_over_any_history(
    tmp_path_factory: pytest.TempPathFactory,
    form: Callable[[int], Any],
    look_back: Any,
    history: list[tuple[Any, ...]],
) -> None:
    file = tmp_path_factory.mktemp("history") / "shop.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE sales (day TEXT, sold TEXT, w)")
        source = source_of(connection, table="sales", watermark="w", look_back=look_back)
        reader = Reader(source)
        versions = itertools.count()
        tick, rows = 5, 0
        for action, *details in [*history, ("run", 4)]:
            if action == "run":
                as_of = f"2024-01-0{details[0]}"
                reader.run(as_of)
                there = connection.execute("SELECT day, sold FROM sales WHERE day < ?", [as_of])
                assert set(there) <= reader.kept
                continue
            place, day, passed, lag, is_marked = details
            tick += passed
            mark = form(tick - lag) if is_marked else None
            new = (f"2024-01-0{day}", f"v{next(versions)}", mark)
            if place < rows:
                connection.execute(
                    "UPDATE sales SET day = ?, sold = ?, w = ? WHERE rowid = ?", (*new, place + 1)
                )
            else:
                connection.execute("INSERT INTO sales VALUES (?, ?, ?)", new)
                rows += 1


def test_the_next_reading_starts_from_what_was_left_behind() -> None:
    low, middle, high = encode(1), encode(2), encode(3)
    assert next_after(middle, high, low) == low
    assert next_after(None, high, None) == high
    assert next_after(high, middle, None) == high
    assert next_after(None, None, None) is None


# A watermark or state that is not what it should be


@pytest.mark.parametrize(
    ("mark", "look_back", "message"),
    [
        (5, "2D", "'look_back' is '2D', but its watermark 'w' holds numbers: write a number"),
        (5, "NaN", "'look_back' is 'NaN', but its watermark 'w' holds numbers: write a number"),
        (5, -1, "'look_back' is -1, .* a number that is not negative"),
        ("2024-01-01", 5, "'look_back' is 5, but .* holds times without an offset: .* '2D'"),
        ("2024-01-01", "5", "'look_back' is '5', .* write a duration such as '2D' or '6h'"),
        ("2024-01-01T00:00Z", "soon", "'look_back' is 'soon', .* times with an offset: write a"),
        ("2024-01-01", "-1D", "'look_back' is '-1D', .* write a duration"),
        ("2024-01-01", "NaT", "'look_back' is 'NaT', .* write a duration"),
        ("1 March", 0, "a watermark cannot be used, in column 'w': '1 March' is no ISO 8601 time"),
        ("2024-13-01", 0, "'2024-13-01' is no ISO 8601 time"),
        (b"1", 0, "b'1' is neither a number nor a time"),
        (math.inf, 0, "inf is not finite"),
    ],
)
def test_a_watermark_or_look_back_that_is_not_what_it_should_be(
    database: sqlite3.Connection, mark: Any, look_back: Any, message: str
) -> None:
    fill(database, [("2024-01-01", 1, mark)])
    source = source_of(database, table="sales", watermark="w", look_back=look_back)
    refusal = refused(source)
    assert refusal.startswith("source 'sales', table 'sales': ")
    assert re.search(message, refusal)


@pytest.mark.parametrize(
    "marks", [(5, "2024-01-01"), ("2024-01-01", "2024-01-01T00:00Z"), (5, b"1")]
)
def test_watermarks_of_two_kinds(database: sqlite3.Connection, marks: tuple[Any, Any]) -> None:
    fill(database, [("2024-01-01", 1, mark) for mark in marks])
    for after in (None, encode(marks[0])):
        for origin in ({"table": "sales"}, {"query": "SELECT * FROM sales"}):
            message = refused(source_of(database, **origin, watermark="w"), after)
            assert "watermark" in message


def test_a_watermark_that_is_no_time_is_never_passed_over(database: sqlite3.Connection) -> None:
    fill(database, [("2024-01-01", 1, "01/02/2024"), ("2024-01-01", 1, "2024-01-02")], "TEXT")
    source = source_of(database, table="sales", watermark="w")
    assert "'01/02/2024' is no ISO 8601 time" in refused(source, encode("2024-01-02"))


def test_a_state_of_another_column_or_kind(database: sqlite3.Connection) -> None:
    fill(database, [("2024-01-01", 1, "2024-01-02")], "TEXT")
    source = source_of(database, table="sales", watermark="w")
    message = refused(source, encode(5))
    assert "holds times without an offset; at the last reading it held numbers" in message
    assert "'nonsense' is no watermark" in refused(source, "nonsense")


# Memory and locks


def test_many_rows_are_held_few_at_a_time(database: sqlite3.Connection) -> None:
    database.execute("CREATE TABLE sales (day TEXT, sold REAL, w INTEGER PRIMARY KEY)")
    database.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) "
        "INSERT INTO sales SELECT '2024-01-01', i / 7.0, i FROM n"
    )
    for changes in ({"table": "sales"}, {"query": "SELECT * FROM sales"}):
        source = source_of(database, **changes, watermark="w", batch_rows=5000)
        batches = read_rows("sales", source)
        tracemalloc.start()
        heights = [next(batches).height for _ in range(3)]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # All 300,000 rows are over 50 MB in Python.
        assert peak < 10e6
        heights += [batch.height for batch in batches]
        assert heights == [5000] * 60


def test_a_reading_sees_one_state_and_lets_go(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    fill(database, [("2024-01-01", n, n) for n in range(10)])
    batches = read_rows("sales", source_of(database, table="sales", watermark="w", batch_rows=3))
    first = next(batches)
    database.execute("INSERT INTO sales VALUES ('2024-01-01', 10, 10)")
    assert first.height + sum(batch.height for batch in batches) == 10
    batches = read_rows("sales", source_of(database, table="sales", batch_rows=3))
    next(batches)
    batches.close()
    assert database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
