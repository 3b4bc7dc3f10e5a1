"""What every reader of a source takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import polars as pl

from clepsydra.config import SourceConfig
from clepsydra.errors import SourceError
from clepsydra.row_columns import FILE, LINE, OWN

__all__ = [
    "BATCH_ROWS",
    "IGNORED",
    "Piece",
    "check_columns",
    "text_batch",
]

# Rows of a batch, at most about these: what bounds the memory of collecting.
BATCH_ROWS = 500_000

# The `_problem` of lines that are no rows, because `ignore_lines` says so.
IGNORED = "comment or footer"


@dataclass(frozen=True)
class Piece:
    """A file, or what stands for one: the body of an HTTP response.

    Attributes:
        label: what quarantine rows and errors call it.
        name: its file name, whose ending tells format and compression.
        open: opens it for reading, decompressed.
    """

    label: str
    name: str
    open: Callable[[], BinaryIO]


def text_batch(frame: pl.DataFrame, label: str, first_line: int) -> pl.DataFrame:
    """A batch as every reader gives it: all cells text, none null, and where each row stood.

    Args:
        frame: `[N, columns]` strings; null means an empty cell.
        label: of the piece.
        first_line: 1-based line (or number of the record) of the first row; the rest follow it.

    Examples:
        >>> text_batch(pl.DataFrame({"a": ["1", None]}), "a.csv", 2).rows()
        [('1', 'a.csv', 2), ('', 'a.csv', 3)]
    """
    lines = pl.int_range(first_line, first_line + frame.height, dtype=pl.Int64, eager=True)
    return frame.with_columns(pl.all().fill_null("")).with_columns(
        pl.lit(label).alias(FILE), lines.alias(LINE)
    )


def check_columns(where: str, source: SourceConfig, columns: list[str]) -> None:
    """See that a file has every column that its source refers to.

    Args:
        where: what the error begins with: the source and the file.
        source: its `needed_columns()` are looked for.
        columns: those that the file has.

    Raises:
        SourceError: a column is missing, or has a name that is kept.

    Examples:
        >>> load = SourceConfig(role="target", path="a.csv", name="x", time="day", value="mw")
        >>> check_columns("source 'load', file 'a.csv'", load, ["day", "mW"])
        Traceback (most recent call last):
        clepsydra.errors.SourceError: source 'load', ... has no column 'mw'; it has: 'day', 'mW'
    """
    lost = [column for column in source.needed_columns() if column not in columns]
    if lost:
        raise SourceError(
            f"{where} has no column {', '.join(map(repr, lost))}; "
            f"it has: {', '.join(map(repr, columns)) or 'none'}"
        )
    if kept := [name for name in OWN if name in columns]:
        raise SourceError(
            f"{where} has a column {', '.join(map(repr, kept))}, a name that is kept; rename it"
        )
