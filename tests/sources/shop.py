"""A SQLite database of sales, and what tests of databases ask of it."""

from __future__ import annotations

import pickle
import sqlite3
from typing import Any

import polars as pl
import pytest

from clepsydra.config import SourceConfig
from clepsydra.errors import SourceError
from clepsydra.row_columns import WATERMARK
from clepsydra.sources.sql import read_rows
from helpers import make_source


def source_of(connection: sqlite3.Connection, **changes: Any) -> SourceConfig:
    (_, _, file), *_ = connection.execute("PRAGMA database_list")
    columns = changes.pop("source", {"name": "all", "id": None, "time": "day", "value": "sold"})
    return make_source(path=None, sql={"url": f"sqlite:///{file}", **changes}, **columns)


def read(source: SourceConfig, after: str | None = None, **credentials: str) -> pl.DataFrame:
    batches = list(read_rows("sales", source, credentials or None, after))
    return pl.concat(batches) if batches else pl.DataFrame({WATERMARK: []})


def refused(source: SourceConfig, after: str | None = None, **credentials: str) -> str:
    with pytest.raises(SourceError) as caught:
        read(source, after, **credentials)
    message = str(caught.value)
    assert message.startswith("source 'sales'")
    assert "\n" not in message
    assert str(pickle.loads(pickle.dumps(caught.value))) == message
    return message


def fill(connection: sqlite3.Connection, rows: list[tuple[Any, ...]], kind: str = "") -> None:
    """A table `sales` of day, sold, and a watermark `w`."""
    connection.execute(f"CREATE TABLE sales (day TEXT, sold REAL, w {kind})")
    connection.executemany("INSERT INTO sales VALUES (?, ?, ?)", rows)
