"""Databases that are not there, or not as described: errors that help and show no password."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from shop import fill, read, refused, source_of

from clepsydra.sources import databases
from helpers import make_source


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as connection:
        yield connection


def test_columns_that_are_not_there(database: sqlite3.Connection) -> None:
    fill(database, [])
    for origin, where in (
        ({"table": "sales"}, "source 'sales', table 'sales'"),
        ({"query": "SELECT * FROM sales"}, "source 'sales', its query"),
    ):
        there = "it has: 'day', 'sold', 'w'"
        missing = refused(source_of(database, **origin, watermark="W"))
        assert missing == f"{where} has no column 'W', its 'watermark'; {there}"
        columns = {"name": "all", "id": None, "time": "date", "value": "sold"}
        missing = refused(source_of(database, **origin, source=columns))
        assert missing == f"{where} has no column 'date'; {there}"


def test_tables_that_are_not_there(database: sqlite3.Connection) -> None:
    fill(database, [])
    database.execute("CREATE VIEW latest AS SELECT * FROM sales")
    for table in ("sale", "shop.sales", "", "."):
        message = refused(source_of(database, table=table))
        there = "no such table; the database has: 'latest', 'sales'"
        assert message == f"source 'sales', table '{table}': {there}"
    for number in range(60):
        database.execute(f"CREATE TABLE t{number} (a)")
    assert refused(source_of(database, table="sale")).endswith(" and 12 more")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT x FROM sales", "source 'sales': no such column: x"),
        ("SELEC 1", "source 'sales': near \"SELEC\": syntax error"),
        ("SELECT 1; SELECT 2", "source 'sales': You can only execute one statement at a time."),
        ("DELETE FROM sales", "source 'sales': attempt to write a readonly database"),
        (
            "PRAGMA case_sensitive_like = 0",
            "source 'sales', its query gives no rows: it has to be a SELECT",
        ),
        (
            "SELECT day, sold, sold, day, w FROM sales",
            "source 'sales', its query gives more than one column 'day', 'sold': rename them "
            "with AS",
        ),
        (
            "SELECT day, sold, w, 1 AS _watermark FROM sales",
            "source 'sales', its query has a column '_watermark', a name that is kept; rename it",
        ),
    ],
)
@pytest.mark.parametrize("watermark", [None, "w"])
def test_a_query_that_is_wrong(
    database: sqlite3.Connection, query: str, message: str, watermark: str | None
) -> None:
    fill(database, [("2024-01-01", 1, 1)])
    assert refused(source_of(database, query=query, watermark=watermark)) == message
    assert database.execute("SELECT count(*) FROM sales").fetchone() == (1,)


def test_cells_that_the_database_cannot_read(database: sqlite3.Connection) -> None:
    fill(database, [])
    database.execute("INSERT INTO sales VALUES (CAST(x'ff' AS TEXT), 1, 1)")
    assert "Could not decode to UTF-8" in refused(source_of(database, table="sales"))


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    source = make_source(path=None, sql={"table": "sales"})
    assert "no database is named: give 'url' under 'sql'" in refused(source)
    assert f"no database file '{missing}'" in refused(source, url=f"sqlite:///{missing}")
    assert not missing.exists()
    assert "no database file" in refused(source, url=f"sqlite:///{tmp_path}")
    missing.write_bytes(b"no database " * 100)
    assert "file is not a database" in refused(source, url=f"sqlite:///{missing}")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "the 'url' of its database cannot be read"),
        ("postgresql://u:p@hid:den@db/x", "the 'url' of its database cannot be read"),
        ("postgresql://u:p@hidden@db/x", "the 'url' of its database cannot be read"),
        ("postgresql://u:p@hid/den@db/x", "the 'url' of its database cannot be read"),
        ("postgresql://u:hidden@[::1", "cannot"),
        ("sqlite+aiosqlite:///x.db", "'sqlite.aiosqlite' is (asynchronous|not .* 'aiosqlite')"),
        ("nosuch://u:hidden@db/x", "SQLAlchemy knows no 'nosuch', .*: correct it, or install"),
        ("duckdb:///x", "SQLAlchemy knows no 'duckdb', .*: pip install 'duckdb-engine'"),
        ("sqlite://u:hidden@db/x", r"Invalid SQLite URL: sqlite://u:\*\*\*@db/x"),
        ("mssql+pymssql://u:hidden@db/x", "driver of 'mssql.pymssql' is not .* 'pymssql'"),
        ("mysql+mysqldb://u:hidden@db/x", "driver of 'mysql.mysqldb' is not .* 'mysqlclient'"),
    ],
)
def test_a_url_that_is_wrong_is_shown_without_its_password(url: str, message: str) -> None:
    source = make_source(path=None, sql={"url": url, "table": "sales"})
    refusal = refused(source)
    assert re.search(message, refusal)
    assert "hid" not in refusal


def test_credentials_count_before_the_url(database: sqlite3.Connection) -> None:
    fill(database, [("2024-01-01", 1, 1)])
    source = source_of(database, table="sales")
    url = source.sql.url
    source = source.model_copy(
        update={"sql": source.sql.model_copy(update={"url": "sqlite:///missing.db"})}
    )
    assert "no database file 'missing.db'" in refused(source)
    assert read(source, url=url).height == 1
    assert "'token'; those of a database are 'url'" in refused(source, url=url, token="hidden")
    parts = {"url": "postgresql://db/x?a=1&b=2", "username": "me", "password": "p@ss/1"}
    merged = databases._url("source 'x'", source.sql, parts)
    assert merged.render_as_string(hide_password=False) == (
        "postgresql://me:p%40ss%2F1@db/x?a=1&b=2"
    )
