"""One source to text batches, whatever it is: files, an API or a database."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from clepsydra.config import SourceConfig
from clepsydra.errors import SourceError
from clepsydra.sources import columnar, delimited, documents, workbooks
from clepsydra.sources.files import find_pieces
from clepsydra.sources.http import days_to_ask, request_pieces
from clepsydra.sources.pieces import Piece
from clepsydra.sources.sql import WATERMARK, next_after, read_rows

__all__ = ["Reading", "read_piece", "read_source"]


class Reading(Protocol):
    """One reading of a source: its rows, and what the next reading needs to know.

    Attributes:
        is_partial: the rows are a part of their days, not all of them.
    """

    is_partial: bool

    def batches(self) -> Iterator[pl.DataFrame]:
        """Text rows, bounded in size."""

    def span(self) -> tuple[dt.date, dt.date] | None:
        """First and last day of which all rows are read, if there are rows of others as well."""

    def took(self, taken: pl.DataFrame, left: pl.DataFrame) -> None:
        """Be told which rows of a batch were taken, and which not, as they are not known yet."""

    def state(self) -> dict[str, Any]:
        """What the next reading needs to know, when all rows are read."""


def read_source(
    name: str,
    source: SourceConfig,
    as_of: dt.date,
    newest: dt.date | None,
    project_path: str,
    credentials: Mapping[str, Any],
    state: dict[str, Any],
) -> Reading:
    """Begin to read a source.

    Args:
        name: of the source.
        source: its description.
        as_of: the day of the run.
        newest: the newest day that earlier runs have collected.
        project_path: folder that relative paths start from.
        credentials: all of them by name; the source names its own.
        state: what the last reading left.

    Raises:
        SourceError: the credentials that it names are not there.
    """
    own = None
    if source.credentials is not None:
        if source.credentials not in credentials:
            raise SourceError(
                f"source '{name}': no credentials '{source.credentials}' under 'sources' in "
                f"credentials.yml of the environment that runs (conf/local without --env); "
                f"there are: {', '.join(sorted(credentials)) or 'none'}"
            )
        own = credentials[source.credentials]
    if source.http is not None:
        return _ApiReading(name, source, as_of, newest, own, state)
    if source.sql is not None:
        return _DatabaseReading(name, source, own, state)
    return _FileReading(name, source, Path(project_path), own)


class _FileReading:
    """Files, all of them at every reading."""

    is_partial = False

    def __init__(self, name: str, source: SourceConfig, project_path: Path, credentials: Any):
        self._name = name
        self._source = source
        self._project_path = project_path
        self._credentials = credentials

    def batches(self) -> Iterator[pl.DataFrame]:
        pieces = find_pieces(self._name, self._source, self._project_path, self._credentials)
        for piece in pieces:
            yield from read_piece(self._name, self._source, piece)

    def span(self) -> None:
        return None

    def took(self, taken: pl.DataFrame, left: pl.DataFrame) -> None:
        """Files are read again as a whole."""

    def state(self) -> dict[str, Any]:
        return {}


class _ApiReading:
    """The days that an API is asked for, each of them whole."""

    is_partial = False

    def __init__(
        self,
        name: str,
        source: SourceConfig,
        as_of: dt.date,
        newest: dt.date | None,
        credentials: Any,
        state: dict[str, Any],
    ):
        assert source.http is not None
        self._name = name
        self._source = source
        self._credentials = credentials
        window = source.http.window
        self._days = days_to_ask(window, newest, as_of) if window else None
        self._is_all = True
        # Days that begin at another hour than the source's own come in parts: a day more is asked
        # for on both sides, and only whole days are taken.
        self._is_cut = bool(window and (window.timezone or source.timezone) != source.timezone)
        self._description = hashlib.sha256(source.model_dump_json().encode()).hexdigest()
        if state.get("description") != self._description:
            # What was said to be unchanged may have been read in another way.
            state = {}
        self._validators = {url: dict(known) for url, known in state.get("validators", {}).items()}

    def batches(self) -> Iterator[pl.DataFrame]:
        days = self._days
        if days and self._is_cut:
            days = days[0] - dt.timedelta(days=1), days[1] + dt.timedelta(days=1)
        validators = None if self._is_cut else self._validators
        for piece in request_pieces(self._name, self._source, days, self._credentials, validators):
            yield from read_piece(self._name, self._source, piece)

    def span(self) -> tuple[dt.date, dt.date] | None:
        return self._days if self._is_cut else None

    def took(self, taken: pl.DataFrame, left: pl.DataFrame) -> None:
        # An answer of which rows were left must not be passed over as unchanged by the next run.
        self._is_all = self._is_all and left.is_empty()

    def state(self) -> dict[str, Any]:
        if not self._validators or not self._is_all:
            return {}
        return {"validators": self._validators, "description": self._description}


class _DatabaseReading:
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

    def span(self) -> None:
        return None

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


_Reader = Callable[[str, SourceConfig, Piece], Iterator[pl.DataFrame]]
_READERS: dict[str, _Reader] = {
    "csv": delimited.read,
    "json": documents.read,
    "jsonl": documents.read,
    "excel": workbooks.read,
    "parquet": columnar.read,
}
_ENDINGS = {
    ".json": "json",
    ".geojson": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "excel",
    ".xls": "excel",
    ".xlsm": "excel",
    ".ods": "excel",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def read_piece(name: str, source: SourceConfig, piece: Piece) -> Iterator[pl.DataFrame]:
    """Read one file in the format that the source says, or that its name tells; CSV if neither."""
    kind = source.format or _ENDINGS.get(Path(piece.name).suffix.lower(), "csv")
    yield from _READERS[kind](name, source, piece)
