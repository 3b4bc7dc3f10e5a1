"""What is read of a database, and how far earlier readings came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from clepsydra.config import SourceConfig
from clepsydra.row_columns import WATERMARK
from clepsydra.sources.readings import Reading
from clepsydra.sources.sql import next_after, read_rows

__all__ = ["DatabaseReading"]


class DatabaseReading(Reading):
    """Rows of a database: all of them, or those written since the last reading."""

    def __init__(self, name: str, source: SourceConfig, credentials: Any, state: dict[str, Any]):
        assert source.sql is not None
        self.is_partial = source.sql.watermark is not None
        self._name = name
        self._source = source
        self._credentials = credentials
        self._after: str | None = state.get("after")
        self._highest: str | None = None
        self._left_behind: str | None = None

    def batches(self) -> Iterator[pl.DataFrame]:
        yield from read_rows(self._name, self._source, self._credentials, self._after)

    def took(self, taken: pl.DataFrame, left: pl.DataFrame) -> None:
        if not self.is_partial:
            return
        highest = (self._highest, taken[WATERMARK].max(), left[WATERMARK].max())
        lowest = (self._left_behind, left[WATERMARK].min())
        self._highest = max((str(mark) for mark in highest if mark is not None), default=None)
        self._left_behind = min((str(mark) for mark in lowest if mark is not None), default=None)

    def state(self) -> dict[str, Any]:
        if not self.is_partial:
            return {}
        after = next_after(self._after, self._highest, self._left_behind)
        return {"after": after} if after is not None else {}
