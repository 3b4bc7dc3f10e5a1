"""Sheets of Excel and OpenDocument workbooks to text batches."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any

import polars as pl

from clepsydra.config import SourceConfig
from clepsydra.errors import SourceError
from clepsydra.row_columns import PROBLEM, TEXT
from clepsydra.sources import sheets
from clepsydra.sources.pieces import BATCH_ROWS, IGNORED, Piece, check_columns, text_batch

__all__ = ["read"]

_BATCH_CELLS = 5_000_000
# Bytes that reading a workbook may take.
_MOST_MEMORY = 4 << 30


def read(name: str, source: SourceConfig, piece: Piece) -> Iterator[pl.DataFrame]:
    """Read one sheet of a workbook (.xlsx, .xlsm, .xls, .ods) as text, one row a row.

    The header is the first row that is not blank after `skip_lines`. Dates are ISO 8601 text,
    whole numbers have no decimals, formulas are the values they were saved with, cells with an
    error (#N/A) are empty. Blank rows are kept if others follow.

    Args:
        name: of the source, for errors.
        source: its `sheet`, `skip_lines` and `ignore_lines`.
        piece: the file.

    Yields:
        Batches of `[N, columns]` strings, `_file` and `_line` (the sheet's row number). Rows that
        begin as `ignore_lines` says have that in `_problem`, and their cells in `_text`.

    Raises:
        SourceError: it is no workbook, or protected; it has no such sheet; the sheet is empty, or
            lacks a column that the configuration names.
    """
    where = f"source '{name}', file '{piece.label}'"
    with contextlib.closing(_run(where, source.sheet, piece)) as said:
        first = next(said)
        if "error" in first:
            raise SourceError(f"{where} cannot be read as a workbook: {first['error']}")
        if "title" not in first:
            there = ", ".join(
                f"{number}: '{title}'" for number, title in enumerate(first["titles"])
            )
            raise SourceError(
                f"{where} has no sheet {source.sheet!r}; it has {there or 'none'}; correct 'sheet'"
            )
        yield from _batches(f"{where}, sheet '{first['title']}'", source, piece.label, said)


def _run(where: str, sheet: str | int, piece: Piece) -> Generator[Any, None, None]:
    """What the program says of the sheet, and its rows."""
    program = [sys.executable, "-P", sheets.__file__, json.dumps(sheet), str(_MOST_MEMORY)]
    with (
        piece.open() as stream,
        subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process,
    ):
        try:
            assert process.stdin
            assert process.stdout
            with contextlib.suppress(BrokenPipeError), process.stdin as sink:
                if not (beginning := stream.read(1)):
                    raise SourceError(f"{where} is empty: expected a workbook")
                sink.write(beginning)
                shutil.copyfileobj(stream, sink)
            for line in process.stdout:
                said = json.loads(line)
                if said == sheets.END:
                    return
                yield said
        finally:
            process.kill()
    raise SourceError(
        f"{where} cannot be read as a workbook: it is damaged, or needs more than "
        f"{_MOST_MEMORY >> 30} GB of memory; if a cell stands far from the table, clear it"
    )


def _batches(
    where: str, source: SourceConfig, label: str, rows: Iterator[list[str]]
) -> Iterator[pl.DataFrame]:
    line, header = 0, None
    for line, row in enumerate(rows, 1):
        if line > source.skip_lines and row and not _is_ignored(source, row):
            header = row
            break
    if header is None:
        raise SourceError(f"{where} is empty: expected a header and rows")
    names = _names(where, header)
    check_columns(where, source, names)
    blank, waiting, empty = [""] * len(names), 0, True
    size = max(1, min(BATCH_ROWS, _BATCH_CELLS // len(names)))
    while chunk := list(itertools.islice(rows, size)):
        last = next((i for i in range(len(chunk), 0, -1) if chunk[i - 1]), 0)
        if last:
            # Blank rows have waited to see whether others follow.
            batch = [blank] * waiting + [row or blank for row in chunk[:last]]
            yield _frame(source, header, names, batch, label, line + 1)
            line, waiting, empty = line + len(batch), 0, False
        waiting += len(chunk) - last
    if empty:
        raise SourceError(f"{where} is empty: it has a header and no rows")


def _names(where: str, header: list[str]) -> list[str]:
    """Column names without the spaces around them; a nameless column is `unnamed_N`."""
    names = [cell.strip() or f"unnamed_{number}" for number, cell in enumerate(header, 1)]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise SourceError(f"{where} has several columns called {', '.join(map(repr, twice))}")
    return names


def _frame(
    source: SourceConfig,
    header: list[str],
    names: list[str],
    rows: list[list[str]],
    label: str,
    first: int,
) -> pl.DataFrame:
    cells = {
        name: list(column)
        for name, title, column in zip(names, header, zip(*rows, strict=True), strict=True)
        # A column without a name and without cells is the sheet's margin.
        if title.strip() or any(map(str.strip, column))
    }
    ignored = [_is_ignored(source, row) for row in rows]
    if any(ignored):
        cells[PROBLEM] = [IGNORED if is_ignored else "" for is_ignored in ignored]
        cells[TEXT] = [
            "\t".join(row).strip() if is_ignored else ""
            for row, is_ignored in zip(rows, ignored, strict=True)
        ]
    return text_batch(pl.DataFrame(cells, schema=dict.fromkeys(cells, pl.String)), label, first)


def _is_ignored(source: SourceConfig, row: list[str]) -> bool:
    if not source.ignore_lines:
        return False
    first = next((cell for cell in row if cell.strip()), "")
    return first.startswith(tuple(source.ignore_lines))
