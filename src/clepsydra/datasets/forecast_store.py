"""Published forecasts in a SQL table, replaced as a whole, never duplicated."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from kedro.io import AbstractDataset, DatasetError
from more_itertools import chunked

from clepsydra.environment import RUN_ID_VARIABLE

__all__ = ["ForecastQueryDataset", "ForecastStore", "ForecastStoreDataset"]

_TEXTS = ("unique_id", "model", "run_id")
_TIMES = ("cutoff", "ds", "published_at")
_KEY = ["unique_id", "cutoff", "ds", "model"]
_IDS_A_STATEMENT = 500
_ROWS_A_STATEMENT = 50_000


class ForecastStore:
    """A table of forecasts, of which some rows are read at a time.

    Args:
        url: of the database, as SQLAlchemy has it.
        table: name of the table.
    """

    def __init__(self, url: str, table: str):
        self._url = url
        self._table = table

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A transaction, which is rolled back if the body raises."""
        engine = sa.create_engine(self._url)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    def all(self) -> pd.DataFrame:
        """Every forecast there is."""
        with self.connect() as connection:
            return _typed(pd.read_sql(self._select(connection), connection))

    def before(self, cutoff: pd.Timestamp, ids: Sequence[str]) -> pd.DataFrame:
        """The forecasts of some series that were made at earlier cutoffs (naive UTC)."""
        with self.connect() as connection:
            every = self._select(connection)
            columns = every.selected_columns
            earlier = every.where(columns["cutoff"] < cutoff.to_pydatetime())
            parts = [
                pd.read_sql(earlier.where(columns["unique_id"].in_(some)), connection)
                for some in chunked([str(uid) for uid in ids], _IDS_A_STATEMENT)
            ]
            parts = parts or [pd.read_sql(every.where(sa.false()), connection)]
        filled = [part for part in parts if len(part)] or parts[:1]
        return _typed(pd.concat(filled, ignore_index=True))

    def _select(self, connection: sa.Connection) -> sa.Select[Any]:
        return sa.select(sa.Table(self._table, sa.MetaData(), autoload_with=connection))


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    for column in frame.columns:
        if column in _TIMES:
            frame[column] = pd.to_datetime(frame[column])
        elif column not in _TEXTS:
            frame[column] = frame[column].astype(float)
    return frame.sort_values(_KEY, ignore_index=True)


class ForecastStoreDataset(AbstractDataset[pd.DataFrame | list[Path], pd.DataFrame]):
    """A table keyed by `unique_id`, `cutoff`, `ds`, `model`, written in one transaction.

    What is saved is a frame, or the Parquet files of one, which are read one after the other.

    Saving replaces every earlier forecast of the same series and cutoff, so that a run repeated
    with another champion leaves one forecast, not two. `run_id` (from the environment variable
    `CLEPSYDRA_RUN_ID`) and `published_at` (UTC) are added here, at the edge: nodes know neither.

    Args:
        filepath: a SQLite file; or
        credentials: `{"url": ...}`, any SQLAlchemy URL.
        table: name of the table.
        metadata: free form, for plugins.

    Raises:
        DatasetError: neither a file nor a URL is given.
    """

    def __init__(
        self,
        filepath: str | None = None,
        credentials: dict[str, str] | None = None,
        table: str = "forecasts",
        metadata: dict[str, Any] | None = None,
    ):
        if not filepath and not (credentials or {}).get("url"):
            raise DatasetError("give 'filepath' (SQLite) or 'credentials' with a 'url'")
        self._filepath = filepath
        self._credentials = credentials
        self._table = table
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        return self._store().all()

    def save(self, data: pd.DataFrame | list[Path]) -> None:
        if self._filepath:
            Path(self._filepath).parent.mkdir(parents=True, exist_ok=True)
        stamp = {
            "run_id": os.environ.get(RUN_ID_VARIABLE, ""),
            "published_at": datetime.now(UTC).replace(tzinfo=None, microsecond=0),
        }
        frames = [data] if isinstance(data, pd.DataFrame) else map(pd.read_parquet, data)
        with self._store().connect() as connection:
            for frame in frames:
                stamped = frame.assign(**stamp)
                table = self._define(stamped)
                table.create(connection, checkfirst=True)
                for cutoff, rows in stamped.groupby("cutoff"):
                    for some in chunked(rows["unique_id"].unique().tolist(), _IDS_A_STATEMENT):
                        connection.execute(
                            table.delete().where(
                                table.c.cutoff == cutoff.to_pydatetime(),
                                table.c.unique_id.in_(some),
                            )
                        )
                for start in range(0, len(stamped), _ROWS_A_STATEMENT):
                    _insert(connection, table, stamped[start : start + _ROWS_A_STATEMENT])

    def _define(self, frame: pd.DataFrame) -> sa.Table:
        types: dict[str, type[sa.types.TypeEngine[Any]]]
        types = {**dict.fromkeys(_TEXTS, sa.Text), **dict.fromkeys(_TIMES, sa.DateTime)}
        columns = [
            sa.Column(name, types.get(name, sa.Double), primary_key=name in _KEY)
            for name in frame.columns
        ]
        return sa.Table(self._table, sa.MetaData(), *columns)

    def _store(self) -> ForecastStore:
        url = self._credentials["url"] if self._credentials else f"sqlite:///{self._filepath}"
        return ForecastStore(url, self._table)

    def _exists(self) -> bool:
        if self._filepath and not Path(self._filepath).exists():
            return False
        with self._store().connect() as connection:
            return sa.inspect(connection).has_table(self._table)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "table": self._table}


class ForecastQueryDataset(ForecastStoreDataset):
    """The same table, loaded as a `ForecastStore`: for nodes that read a part of it."""

    def load(self) -> ForecastStore:
        return self._store()


def _insert(connection: sa.Connection, table: sa.Table, frame: pd.DataFrame) -> None:
    if connection.dialect.name != "sqlite":
        records = frame.astype(object).where(frame.notna(), None).to_dict("records")
        connection.execute(table.insert(), records)
        return
    # SQLAlchemy takes ten times as long to convert the values of every row.
    columns = []
    for name in frame.columns:
        column = frame[name]
        if name in _TIMES:
            codes, times = pd.factorize(column)
            texts = pd.DatetimeIndex(times).strftime("%Y-%m-%d %H:%M:%S.%f").to_numpy(dtype=object)
            # A time that is missing has the code -1.
            columns.append(np.append(texts, [None])[codes].tolist())
        elif column.isna().any():
            columns.append(column.astype(object).where(column.notna(), None).tolist())
        else:
            columns.append(column.tolist())
    names = ", ".join(connection.dialect.identifier_preparer.quote(name) for name in frame.columns)
    marks = ", ".join("?" * frame.shape[1])
    target = connection.dialect.identifier_preparer.format_table(table)
    connection.exec_driver_sql(
        f"INSERT INTO {target} ({names}) VALUES ({marks})", list(zip(*columns, strict=True))
    )
