"""One reading of a source: its rows, and what the next reading needs to know."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from clepsydra.config import SourceConfig
from clepsydra.sources.files import find_pieces
from clepsydra.sources.formats import read_piece

__all__ = ["FileReading", "Reading"]


class Reading:
    """A source that is read as a whole, and of which nothing is to be remembered.

    Attributes:
        is_partial: the rows are a part of their days, not all of them.
    """

    is_partial = False

    def batches(self) -> Iterator[pl.DataFrame]:
        """Text rows, bounded in size."""
        raise NotImplementedError

    def span(self) -> tuple[dt.date, dt.date] | None:
        """First and last day of which all rows are read, if there are rows of others as well."""
        return None

    def took(self, taken: pl.DataFrame, left: pl.DataFrame) -> None:
        """Be told which rows of a batch were taken, and which not, as they are not known yet."""

    def state(self) -> dict[str, Any]:
        """What the next reading needs to know, when all rows are read."""
        return {}


class FileReading(Reading):
    """Files, all of them at every reading."""

    def __init__(self, name: str, source: SourceConfig, project_path: Path, credentials: Any):
        self._name = name
        self._source = source
        self._project_path = project_path
        self._credentials = credentials

    def batches(self) -> Iterator[pl.DataFrame]:
        pieces = find_pieces(self._name, self._source, self._project_path, self._credentials)
        for piece in pieces:
            yield from read_piece(self._name, self._source, piece)
