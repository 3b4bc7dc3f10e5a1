"""A real PostgreSQL: its types, names, logins and transactions."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from importlib.util import find_spec
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from postgres import PostgresServer, execute

from clepsydra.config import SourceConfig
from clepsydra.errors import SourceError
from clepsydra.sources.sql import WATERMARK, next_after, read_rows
from clepsydra.sources.watermarks import decode, encode
from helpers import make_source

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(find_spec("psycopg") is None, reason="needs psycopg"),
]

PLACE = ["_file", "_line"]


def source_of(database: sa.Connection, **changes: Any) -> SourceConfig:
    columns = changes.pop("source", {"name": "all", "id": None, "time": "day", "value": "sold"})
    url = database.engine.url._replace(username=None, password=None)
    return make_source(path=None, sql={"url": str(url), **changes}, **columns)


def login_of(database: sa.Connection) -> dict[str, Any]:
    url = database.engine.url
    return {"username": url.username, "password": url.password}


def batches_of(
    database: sa.Connection, source: SourceConfig, after: str | None = None
) -> Iterator[pl.DataFrame]:
    return read_rows("sales", source, login_of(database), after)


def read(database: sa.Connection, source: SourceConfig, after: str | None = None) -> pl.DataFrame:
    batches = list(batches_of(database, source, after))
    return pl.concat(batches) if batches else pl.DataFrame({WATERMARK: []})


def refused(database: sa.Connection, source: SourceConfig, **credentials: str) -> str:
    with pytest.raises(SourceError) as caught:
        list(read_rows("sales", source, {**login_of(database), **credentials}))
    message = str(caught.value)
    assert message.startswith("source 'sales'")
    assert "\n" not in message
    assert str(database.engine.url.password) not in message
    return message


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("bigint", "-9223372036854775808", "-9223372036854775808"),
        ("numeric", "12345678901234567890123456789012345678901234567890.10", None),
        ("numeric", "1e20", "100000000000000000000"),
        ("numeric", "NaN", "NaN"),
        ("double precision", "0.1", "0.1"),
        ("double precision", "-Infinity", "-inf"),
        ("real", "0.7", "0.7"),
        ("boolean", "true", "true"),
        ("text", "ü '%s :x \\ \U0001f4a7\n", None),
        ("char(3)", "a", "a  "),
        ("date", "2024-02-29", None),
        ("timestamp", "2024-02-29 23:59:59.000001", "2024-02-29T23:59:59.000001"),
        ("timestamp", "2024-02-29", "2024-02-29T00:00:00"),
        ("timestamptz", "2024-03-31 03:00+02", "2024-03-31T01:00:00+00:00"),
        ("time", "05:06:07.5", "05:06:07.500000"),
        ("interval", "26 hours", "26:00:00"),
        ("bytea", "\\x00ff", "00ff"),
        ("uuid", "00000000-0000-0000-0000-000000000001", None),
        ("jsonb", '{"a": [1, null, "ü"]}', None),
        ("integer[]", "{1,NULL}", "[1, null]"),
        ("inet", "10.0.0.1", None),
        ("cidr", "10.0.0.0/8", None),
        ("mood", "good", None),
    ],
)
def test_a_value_of_every_type_has_a_text(
    database: sa.Connection, kind: str, value: str, text: str | None
) -> None:
    execute(
        database,
        "CREATE TYPE mood AS ENUM ('good', 'bad')",
        f"CREATE TABLE sales (day date, sold {kind})",
        # What a text shows must not depend on it.
        f"ALTER DATABASE {database.engine.url.database} SET timezone = 'America/New_York'",
    )
    insert = sa.text(f"INSERT INTO sales VALUES (NULL, CAST(:value AS {kind})), (NULL, NULL)")
    database.execute(insert, {"value": value})
    frame = read(database, source_of(database, table="sales"))
    assert frame["sold"].to_list() == [value if text is None else text, ""]
    assert frame["day"].to_list() == ["", ""]


def test_a_type_without_a_text_form_is_an_error(database: sa.Connection) -> None:
    execute(database, "CREATE TABLE sales AS SELECT 1 AS day, int4range(1, 2) AS sold")
    message = refused(database, source_of(database, table="sales"))
    assert "column 'sold': values of type Range have no text form here: take the column" in message


def test_a_value_that_python_cannot_hold_is_an_error(database: sa.Connection) -> None:
    execute(database, "CREATE TABLE sales AS SELECT 'infinity'::timestamptz AS day, 1 AS sold")
    assert "year 10K" in refused(database, source_of(database, table="sales"))


def test_names_are_quoted_and_views_found(database: sa.Connection) -> None:
    execute(
        database,
        'CREATE SCHEMA "Shop"',
        'CREATE TABLE "Shop"."Daily %% Sales.x" ("Day" date, "is ""Sold"" %%" int, w int,'
        ' PRIMARY KEY (w, "Day"))',
        """INSERT INTO "Shop"."Daily %% Sales.x" VALUES ('2024-01-02', 3, 1), ('2024-01-01', 2, 1)
        """,
        'CREATE MATERIALIZED VIEW late AS SELECT * FROM "Shop"."Daily %% Sales.x"',
        'CREATE VIEW "Shop".later AS SELECT * FROM late',
    )
    columns = {"name": "all", "id": None, "time": "Day", "value": 'is "Sold" %'}
    for table in ("Shop.Daily % Sales.x", "late", "public.late", "Shop.later"):
        source = source_of(database, table=table, watermark="w", source=columns)
        frame = read(database, source, encode(1))
        assert frame.columns == ["Day", 'is "Sold" %', "w", *PLACE, WATERMARK]
        assert frame["_file"].unique().to_list() == [table]
        assert sorted(frame["Day"]) == ["2024-01-01", "2024-01-02"]
    frame = read(database, source_of(database, table="Shop.Daily % Sales.x", source=columns))
    assert frame["Day"].to_list() == ["2024-01-01", "2024-01-02"]
    for table, there in (
        ("Shop.late", "'Shop.Daily % Sales.x', 'Shop.later'; its schemas: 'Shop', "),
        ("Late", "'late'; its schemas: 'Shop', "),
        ("shop.Late", "'late'; its schemas: 'Shop', "),
    ):
        message = refused(database, source_of(database, table=table, source=columns))
        assert f"no such table; the database has: {there}" in message


@pytest.mark.parametrize("watermark", [None, "w"])
def test_a_query_is_taken_as_it_is(database: sa.Connection, watermark: str | None) -> None:
    query = """
        SELECT '2024-01-01'::date AS day, 7 %  4 AS sold, 5::bigint AS w, 'a:b \\:c %s' AS "T"
        WHERE 'x' LIKE '%' -- a comment: the end
    """
    frame = read(database, source_of(database, query=query, watermark=watermark))
    assert frame.drop(WATERMARK, strict=False).rows() == [
        ("2024-01-01", "3", "5", "a:b \\:c %s", "query", 1)
    ]


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("kind", "values", "after", "look_back", "first"),
    [
        ("bigint", ["-5", "3", "9223372036854775806", "9223372036854775807"], 2**63 - 1, 1, 2),
        ("smallint", ["-5", "3", "8"], 10**6, 10**6 - 3, 1),
        ("numeric", ["0.1", "0.3", "0.30000000000000000000000000000000001"], 0.3, 0, 1),
        ("double precision", ["0.1", "0.3", "0.7"], 0.7, "0.4", 1),
        ("real", ["0.1", "0.3", "0.7"], 0.7, 0, 2),
        ("date", ["2024-02-28", "2024-02-29", "2024-03-02"], dt.date(2024, 3, 2), "2D", 1),
        ("date", ["2024-02-29", "2024-03-01", "2024-03-02"], dt.date(2024, 3, 2), "47h", 1),
        (
            "timestamp",
            ["2024-01-01 05:59:59.999999", "2024-01-01 06:00", "2024-01-02"],
            moment("2024-01-01T12:00"),
            "6h",
            1,
        ),
        (
            "timestamptz",
            ["2024-01-01 05:59:59.999999Z", "2024-01-01 01:00-05", "2024-01-02 00:00Z"],
            moment("2024-01-01T12:00Z"),
            "6h",
            1,
        ),
        (
            "text",
            ["2024-01-01T05:59:59Z", "2024-01-01 01:00:00.5-05:00", "2024-01-01T07:00:00+01:00"],
            moment("2024-01-01T12:00Z"),
            "6h",
            1,
        ),
    ],
)
@pytest.mark.parametrize("origin", [{"table": "sales"}, {"query": "SELECT * FROM sales"}])
def test_watermarks_of_every_type(
    database: sa.Connection,
    origin: dict[str, str],
    kind: str,
    values: list[str],
    after: Any,
    look_back: Any,
    first: int,
) -> None:
    execute(
        database,
        f"ALTER DATABASE {database.engine.url.database} SET timezone = 'Asia/Kolkata'",
        f"CREATE TABLE sales (day int, sold int, w {kind})",
        "INSERT INTO sales VALUES (99, 0, NULL)",
        *(f"INSERT INTO sales VALUES ({day}, 0, '{value}')" for day, value in enumerate(values)),
    )
    source = source_of(database, **origin, watermark="w", look_back=look_back)
    frame = read(database, source, encode(after))
    expected = [str(day) for day in range(first, len(values))]
    marked = frame.filter(pl.col(WATERMARK).is_not_null())
    assert sorted(marked["day"]) == expected
    assert frame.filter(pl.col(WATERMARK).is_null())["day"].to_list() == ["99"]
    if kind != "text":
        assert marked["day"].to_list() == expected
        assert marked[WATERMARK].is_sorted()
    whole = read(database, source)
    assert whole.height == len(values) + 1
    again = read(database, source, next_after(None, whole[WATERMARK].max(), None))
    assert str(len(values) - 1) in again["day"].to_list()


def test_rows_left_behind_and_late_rows_are_read_later(database: sa.Connection) -> None:
    execute(
        database,
        "CREATE TABLE sales (day date PRIMARY KEY, sold numeric, w timestamptz)",
        "INSERT INTO sales VALUES ('2024-01-01', 1, '2024-01-02 05:00Z')",
        "INSERT INTO sales VALUES ('2024-01-09', 9, '2024-01-02 06:00Z')",
        "INSERT INTO sales VALUES ('2024-01-02', 2, '2024-01-03 05:00Z')",
    )
    source = source_of(database, table="sales", watermark="w", look_back="1h")

    def run(after: str | None, as_of: str) -> tuple[list[str], str | None]:
        frame = read(database, source, after)
        known = pl.col("day") < as_of
        left = frame.filter(~known)[WATERMARK].min()
        return frame.filter(known)["sold"].to_list(), next_after(
            after, frame[WATERMARK].max(), left
        )

    kept, after = run(None, "2024-01-03")
    assert kept == ["1", "2"]
    assert decode(str(after)) == moment("2024-01-02T06:00Z")
    execute(
        database,
        "INSERT INTO sales VALUES ('2024-01-03', 3, '2024-01-03 04:30Z')",
        "UPDATE sales SET sold = 1.50, w = '2024-01-04 05:00Z' WHERE day = '2024-01-01'",
    )
    kept, after = run(after, "2024-01-04")
    assert kept == ["3", "2", "1.50"]
    kept, after = run(after, "2024-01-10")
    assert kept == ["9", "3", "2", "1.50"]
    assert decode(str(after)) == moment("2024-01-04T05:00Z")
    assert run(after, "2024-01-10") == (["1.50"], after)


def test_mismatches_are_errors(database: sa.Connection) -> None:
    execute(
        database,
        "CREATE TABLE sales (day date, sold numeric, w timestamptz, ok boolean)",
        "INSERT INTO sales VALUES ('2024-01-02', 'NaN', now(), true)",
    )
    source = source_of(database, table="sales", watermark="w", look_back=5)
    assert "'look_back' is 5, but its watermark 'w' holds times" in refused(database, source)
    with pytest.raises(SourceError, match="holds times with an offset; at the last reading it"):
        read(database, source_of(database, table="sales", watermark="w"), encode(5))
    for column, message in (
        ("sold", "column 'sold': Decimal('NaN') is not finite"),
        ("ok", "column 'ok': True is neither a number nor a time"),
        ("W", "has no column 'W', its 'watermark'; it has: 'day', 'sold', 'w', 'ok'"),
    ):
        assert message in refused(database, source_of(database, table="sales", watermark=column))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT sol FROM sales", 'column "sol" does not exist HINT: Perhaps you meant .*sold"'),
        ("SELECT * FROM sale", 'relation "sale" does not exist$'),
        ("SELEC 1", 'syntax error at or near "SELEC"$'),
        ("SELECT day, sold, 1 AS day FROM sales", "gives more than one column 'day'"),
        ("SELECT 1 / (sold - 1) AS sold, day FROM sales", "division by zero$"),
        ("SELECT setval('ids', 5) AS sold, 1 AS day", "cannot execute setval.* in a read-only"),
        ("SELECT pg_read_file('/x') AS sold, 1 AS day", "No such file or directory$"),
    ],
)
def test_a_query_that_is_wrong(database: sa.Connection, query: str, message: str) -> None:
    execute(
        database,
        "CREATE SEQUENCE ids",
        "CREATE TABLE sales (day int, sold int)",
        "INSERT INTO sales VALUES (1, 1)",
    )
    refusal = refused(database, source_of(database, query=query))
    with pytest.raises(SourceError, match=message):
        raise SourceError(refusal)


def test_no_error_shows_a_password(database: sa.Connection, postgres: PostgresServer) -> None:
    execute(database, "CREATE TABLE sales (day int, sold int)")
    source = source_of(database, table="sales")
    assert read(database, source).height == 0
    message = refused(database, source, password="not-the-secret")
    assert "password authentication failed" in message
    assert f"cannot connect to 'postgresql+psycopg://tester:***@127.0.0.1:{postgres.port}/" in (
        message
    )
    assert "not-the-secret" not in message
    with pytest.raises(SourceError, match="cannot connect"):
        list(read_rows("sales", source))
    for change in (
        {"port": 1},
        {"database": "nothing"},
        {"query": {"sslmode": "nonsense", "sslpassword": "not-the-secret"}},
        {"query": {"nonsense": "1", "password": "not-the-secret"}},
    ):
        url = database.engine.url.set(**change).render_as_string(hide_password=False)
        message = refused(database, source, url=url)
        assert "cannot connect" in message
        assert "not-the-secret" not in message


def test_many_rows_are_fetched_batch_by_batch(database: sa.Connection) -> None:
    execute(
        database,
        "CREATE TABLE sales (day int, sold int, w int PRIMARY KEY)",
        "INSERT INTO sales SELECT n, n, n FROM generate_series(1, 100000) AS n",
    )
    others = (
        "SELECT state, query FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    for changes in (
        {"table": "sales"},
        {"table": "sales", "watermark": "w"},
        {"query": "SELECT * FROM sales", "watermark": "w"},
    ):
        source = source_of(database, **changes, batch_rows=5000)
        with closing(batches_of(database, source)) as batches:
            heights = [next(batches).height]
            [(state, query)] = database.exec_driver_sql(others).all()
            assert state == "idle in transaction"
            assert re.match("FETCH FORWARD (4999|5000) FROM", query)
            heights += [batch.height for batch in batches]
        assert heights == [5000] * 20
        with closing(batches_of(database, source)) as batches:
            next(batches)
        states = {state for state, _ in database.exec_driver_sql(others)}
        assert states <= {"idle"}, "a connection that is closed may take its time to go"


def test_a_reading_sees_one_state(database: sa.Connection) -> None:
    execute(
        database,
        "CREATE TABLE sales AS SELECT n AS day, n AS sold FROM generate_series(1, 9000) AS n",
    )
    with closing(
        batches_of(database, source_of(database, table="sales", batch_rows=10))
    ) as batches:
        height = next(batches).height
        execute(database, "INSERT INTO sales VALUES (0, 0)", "DELETE FROM sales WHERE day > 5000")
        assert height + sum(batch.height for batch in batches) == 9000


def test_a_lost_connection_is_an_error(database: sa.Connection) -> None:
    execute(
        database,
        "CREATE TABLE sales AS SELECT n AS day, n AS sold FROM generate_series(1, 9000) AS n",
    )
    batches = batches_of(database, source_of(database, table="sales", batch_rows=1000))
    next(batches)
    execute(
        database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    with pytest.raises(SourceError, match="source 'sales': terminating connection"):
        list(batches)


def test_numbers_that_only_decimals_hold_come_back(database: sa.Connection) -> None:
    number = "-98765432109876543210.000000000000000000000000000001"
    execute(
        database,
        "CREATE TABLE sales (day int, sold numeric)",
        f"INSERT INTO sales VALUES (1, {number})",
    )
    frame = read(database, source_of(database, table="sales", watermark="sold"))
    assert decode(frame[WATERMARK][0]) == Decimal(number) == Decimal(frame["sold"][0])
