"""Published forecasts in a SQL table, replaced as a whole, never duplicated."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa
from kedro.io import AbstractDataset, DatasetError

from clepsydra.environment import RUN_ID_VARIABLE

__all__ = ["ForecastStoreDataset"]

_TEXTS = ("unique_id", "model", "run_id")
_TIMES = ("cutoff", "ds", "published_at")
_KEY = ["unique_id", "cutoff", "ds", "model"]
_IDS_A_STATEMENT = 500


class ForecastStoreDataset(AbstractDataset[pd.DataFrame, pd.DataFrame]):
    """A table keyed by `unique_id`, `cutoff`, `ds`, `model`, written in one transaction.

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
        engine = self._engine()
        try:
            with engine.connect() as connection:
                frame = pd.read_sql(sa.text(f"SELECT * FROM {self._quoted(engine)}"), connection)
        finally:
            engine.dispose()
        for column in frame.columns:
            if column in _TIMES:
                frame[column] = pd.to_datetime(frame[column], format="ISO8601")
            elif column not in _TEXTS:
                frame[column] = frame[column].astype(float)
        return frame.sort_values(_KEY, ignore_index=True)

    def save(self, data: pd.DataFrame) -> None:
        if self._filepath:
            Path(self._filepath).parent.mkdir(parents=True, exist_ok=True)
        stamped = data.assign(
            run_id=os.environ.get(RUN_ID_VARIABLE, ""),
            published_at=datetime.now(UTC).replace(tzinfo=None, microsecond=0),
        )
        engine = self._engine()
        table = self._define(stamped)
        try:
            with engine.begin() as connection:
                table.create(connection, checkfirst=True)
                for cutoff, rows in stamped.groupby("cutoff"):
                    ids = rows["unique_id"].unique().tolist()
                    for start in range(0, len(ids), _IDS_A_STATEMENT):
                        connection.execute(
                            table.delete().where(
                                table.c.cutoff == cutoff.to_pydatetime(),
                                table.c.unique_id.in_(ids[start : start + _IDS_A_STATEMENT]),
                            )
                        )
                records = stamped.astype(object).where(stamped.notna(), None).to_dict("records")
                if records:
                    connection.execute(table.insert(), records)
        finally:
            engine.dispose()

    def _define(self, frame: pd.DataFrame) -> sa.Table:
        types: dict[str, type[sa.types.TypeEngine[Any]]]
        types = {**dict.fromkeys(_TEXTS, sa.Text), **dict.fromkeys(_TIMES, sa.DateTime)}
        columns = [
            sa.Column(name, types.get(name, sa.Double), primary_key=name in _KEY)
            for name in frame.columns
        ]
        return sa.Table(self._table, sa.MetaData(), *columns)

    def _engine(self) -> sa.Engine:
        url = self._credentials["url"] if self._credentials else f"sqlite:///{self._filepath}"
        return sa.create_engine(url)

    def _quoted(self, engine: sa.Engine) -> str:
        return engine.dialect.identifier_preparer.quote(self._table)

    def _exists(self) -> bool:
        if self._filepath and not Path(self._filepath).exists():
            return False
        engine = self._engine()
        try:
            return sa.inspect(engine).has_table(self._table)
        finally:
            engine.dispose()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "table": self._table}
