"""One file to text batches, whatever its format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from clepsydra.config import SourceConfig
from clepsydra.sources import columnar, delimited, documents, workbooks
from clepsydra.sources.pieces import Piece

__all__ = ["read_piece"]

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
