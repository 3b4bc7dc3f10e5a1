"""CSV and its kin to text batches, a block at a time."""

from __future__ import annotations

import codecs
import csv
import io
import re
import uuid
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv

from clepsydra.config import SourceConfig
from clepsydra.errors import SourceError
from clepsydra.row_columns import FILE, LINE, PROBLEM, TEXT
from clepsydra.sources.pieces import IGNORED, Piece, check_columns

__all__ = ["read"]

_BLOCK_BYTES = 1 << 24
_LONGEST_HEADER = 1 << 20
_NEWLINE = r"\r\n|\r|\n"


def read(name: str, source: SourceConfig, piece: Piece) -> Iterator[pl.DataFrame]:
    """Read a delimited file as text, one row a record.

    A record with more or fewer cells than the header becomes a row of empty cells that says so in
    `_problem` and holds the text in `_text`. So do lines that begin as `ignore_lines` says.

    Args:
        name: of the source, for errors.
        source: how the file is written.
        piece: the file.

    Yields:
        Batches of `[N, columns]` strings, `_file` and `_line` (1-based, as an editor counts).

    Raises:
        SourceError: the file is empty, in another encoding, cut short, ends within quotes, or
            lacks a column that the configuration names.
    """
    where = f"source '{name}', file '{piece.label}'"
    separator = source.separator or ("\t" if piece.name.endswith(".tsv") else ",")
    try:
        with piece.open() as stream:
            header = _read_header(where, source, separator, stream)
        check_columns(where, source, header.names)
        with piece.open() as stream:
            records = _Records(header, source, separator, piece.label)
            found = False
            for frame in records.read(where, stream):
                if frame.height:
                    found = True
                    yield frame
            if not found:
                raise SourceError(f"{where} is empty: it has a header and no rows")
    except pa.ArrowInvalid as error:
        reason: Any = error
        if "straddling" in str(error):
            reason = f"a record is longer than {_BLOCK_BYTES} bytes; is a quote not closed?"
        raise SourceError(f"{where} cannot be split into columns: {reason}") from None
    except csv.Error as error:
        raise SourceError(f"{where} cannot be split into columns: header: {error}") from None
    except (UnicodeError, LookupError) as error:
        raise _wrong_encoding(where, source, error) from None
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{where} cannot be read: {error}") from None


def _wrong_encoding(where: str, source: SourceConfig, error: Exception) -> SourceError:
    return SourceError(f"{where} is not in encoding '{source.encoding}': {error}; set 'encoding'")


@dataclass(frozen=True)
class _Header:
    """Column names, and the last line of the record that holds them."""

    names: list[str]
    line: int


def _read_header(where: str, source: SourceConfig, separator: str, stream: BinaryIO) -> _Header:
    """The first record that is neither skipped, nor ignored, nor blank."""
    lines = _Lines(io.TextIOWrapper(stream, encoding=source.encoding, newline=None))
    for line in lines:
        bare = line.strip("\ufeff\r\n")
        if lines.number <= source.skip_lines or not bare.strip():
            continue
        if bare.startswith(tuple(source.ignore_lines)):
            continue
        cells = _first_record(bare, lines, separator)
        if not _begins(separator.join(cells), source):
            return _Header(_unique_names(where, cells), lines.number)
    raise SourceError(f"{where} is empty: expected a header and rows")


class _Lines:
    """The lines of a text, none longer than a header can be, and the number of the last one."""

    def __init__(self, text: io.TextIOWrapper):
        self._text = text
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(_LONGEST_HEADER):
            self.number += 1
            if len(line) == _LONGEST_HEADER:
                raise csv.Error(f"line {self.number} is longer than {_LONGEST_HEADER} characters")
            yield line


def _first_record(line: str, following: Iterable[str], separator: str) -> list[str]:
    """The cells of the record that begins with a line; within quotes it goes on in the next."""
    taken = [f"{line}\n"]

    def all_lines() -> Iterator[str]:
        yield taken[0]
        for one in following:
            taken.append(one)
            if sum(map(len, taken)) > _LONGEST_HEADER:
                raise csv.Error(f"it is longer than {_LONGEST_HEADER} characters")
            yield one

    cells = next(csv.reader(all_lines(), delimiter=separator))
    if len(taken) > 1:
        # A stray quote must not make a part of the header of the rows up to the next quote.
        cells = next(csv.reader(taken, delimiter=separator, strict=True))
    return cells


def _begins(text: str, source: SourceConfig) -> bool:
    """Whether a record begins as lines do that are no rows."""
    return text.startswith(tuple(source.ignore_lines))


def _unique_names(where: str, cells: list[str]) -> list[str]:
    """Column names without the spaces around them; a nameless column is `unnamed_N`."""
    names = [cell.strip() or f"unnamed_{number}" for number, cell in enumerate(cells, 1)]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise SourceError(f"{where} has several columns called {', '.join(map(repr, twice))}")
    return names


class _WithEnd:
    """A file in UTF-8, whatever its encoding, and one more line after its last one.

    It has what `pyarrow.csv` asks of a file, and no more.

    Attributes:
        has_quotes: whether there was any so far.
    """

    def __init__(self, stream: BinaryIO, encoding: str, end: str):
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._is_utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
        self._end = end.encode()
        self.has_quotes = self.closed = False
        self._pending = self._last = b""
        self._is_over = False

    def read(self, size: int) -> bytes:
        """The next `size` bytes, or fewer at the end."""
        parts = [self._pending]
        while sum(map(len, parts)) < size and not self._is_over:
            parts.append(self._following(size))
        # What comes in one part is not copied.
        parts = [part for part in parts if part]
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._pending = data[size:]
        return data[:size]

    def _following(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._is_over = not data
        data = self._in_utf8(data)
        self.has_quotes = self.has_quotes or b'"' in data
        self._last = data[-1:] or self._last
        if self._is_over:
            data += (b"" if self._last in (b"\r", b"\n") else b"\n") + self._end
        return data

    def _in_utf8(self, data: bytes) -> bytes:
        if (
            self._is_utf8
            and not self._is_over
            and data.isascii()
            and not self._decoder.getstate()[0]
        ):
            return data
        text = self._decoder.decode(data, self._is_over)
        return data if self._is_utf8 else text.encode()


class _Records:
    """The records of one file, numbered, those that cannot be split among them."""

    def __init__(self, header: _Header, source: SourceConfig, separator: str, label: str):
        self._header = header
        self._source = source
        self._separator = separator
        self._label = label
        self._invalid: list[pa.csv.InvalidRow] = []
        # pyarrow counts records from the top of the file, where the skipped lines are lines.
        self._next = header.line + 1
        self._newlines = 0
        self._last_line = 0
        # One more record, with a cell too many. Where it is not found after the last one, it has
        # become a part of it.
        self._end = separator * len(header.names) + uuid.uuid4().hex

    def read(self, where: str, stream: BinaryIO) -> Iterator[pl.DataFrame]:
        """Batches of rows, and among them the records that are set aside.

        Raises:
            SourceError: the last record has a quote that is not closed.
        """
        file = _WithEnd(stream, self._source.encoding, self._end)
        for batch in self._open(file):
            rows = pl.DataFrame(pl.from_arrow(batch))
            yield self._number(rows, file.has_quotes and _has_newlines(batch))
        is_whole = bool(self._invalid) and self._invalid[-1].text == self._end
        if is_whole:
            self._invalid.pop()
        nothing = pl.DataFrame(schema=dict.fromkeys(self._header.names, pl.String))
        rest = self._number(nothing, has_newlines=False, is_last=True)
        if not is_whole:
            raise SourceError(
                f"{where} cannot be split into columns: a quote is not closed in the record that "
                f"begins in line {self._last_line}"
            )
        yield rest

    def _open(self, file: _WithEnd) -> Iterator[pa.RecordBatch]:
        names = self._header.names
        return pyarrow.csv.open_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,
                block_size=_BLOCK_BYTES,
                skip_rows=self._header.line,
                column_names=names,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self._separator,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=self._set_aside,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={column: pa.string() for column in names}, strings_can_be_null=False
            ),
        )

    def _set_aside(self, row: pa.csv.InvalidRow) -> str:
        self._invalid.append(row)
        return "skip"

    def _number(
        self, rows: pl.DataFrame, has_newlines: bool, is_last: bool = False
    ) -> pl.DataFrame:
        """The rows with their lines, and the records set aside before the last of them.

        Args:
            rows: a batch.
            has_newlines: a cell holds a line break.
            is_last: take all the records set aside.
        """
        broken = np.array([row.number for row in self._invalid], dtype=np.int64)
        numbers = np.arange(self._next, self._next + rows.height + len(broken))
        if not is_last:
            # Records of the next batch may have been set aside already.
            whole = numbers[~np.isin(numbers, broken)][: rows.height]
            numbers = numbers[: int(whole[-1]) + 1 - self._next] if rows.height else numbers[:0]
        is_broken = np.isin(numbers, broken)
        taken, self._invalid = self._invalid[: is_broken.sum()], self._invalid[is_broken.sum() :]
        inside = np.zeros(len(numbers), dtype=np.int64)
        inside[is_broken] = [len(re.findall(_NEWLINE, row.text)) for row in taken]
        if has_newlines:
            inside[~is_broken] = _newlines_inside(rows)
        lines = numbers + self._newlines + np.cumsum(inside) - inside
        self._newlines += int(inside.sum())
        self._next += len(numbers)
        self._last_line = int(lines[-1]) if len(lines) else self._last_line
        frame = self._mark_ignored(
            rows.with_columns(
                pl.lit(self._label).alias(FILE),
                pl.Series(LINE, lines[~is_broken], dtype=pl.Int64),
            )
        )
        if not taken:
            return frame
        problems = self._problems(taken, lines[is_broken])
        both = pl.concat([frame, problems], how="diagonal").sort(LINE)
        return both.with_columns(pl.col(PROBLEM, TEXT).fill_null(""))

    def _mark_ignored(self, rows: pl.DataFrame) -> pl.DataFrame:
        prefixes = self._source.ignore_lines
        if not prefixes:
            return rows
        cells = 1 + max(prefix.count(self._separator) for prefix in prefixes)
        start = pl.concat_str(self._header.names[:cells], separator=self._separator)
        ignored = pl.any_horizontal(start.str.starts_with(prefix) for prefix in prefixes)
        return rows.with_columns(
            pl.when(ignored).then(pl.lit(IGNORED)).otherwise(pl.lit("")).alias(PROBLEM)
        )

    def _problems(self, rows: list[pa.csv.InvalidRow], lines: np.ndarray) -> pl.DataFrame:
        frame = pl.DataFrame(
            {
                LINE: pl.Series(lines, dtype=pl.Int64),
                PROBLEM: [
                    IGNORED if _begins(row.text, self._source) else _what_is_wrong(row)
                    for row in rows
                ],
                TEXT: [row.text for row in rows],
            }
        )
        empty = (pl.lit("").alias(column) for column in self._header.names)
        return frame.with_columns(*empty, pl.lit(self._label).alias(FILE))


def _what_is_wrong(row: pa.csv.InvalidRow) -> str:
    cells = "1 cell" if row.actual_columns == 1 else f"{row.actual_columns} cells"
    return f"{cells} where the header has {row.expected_columns}"


def _has_newlines(batch: pa.RecordBatch) -> bool:
    """Whether any cell holds a line break."""
    letters = (np.frombuffer(cells.buffers()[2] or b"", np.uint8) for cells in batch.columns)
    return any((letter == byte).any() for letter in letters for byte in b"\r\n")


def _newlines_inside(rows: pl.DataFrame) -> np.ndarray:
    """`[N]` line breaks within the cells of each row."""
    inside = np.zeros(rows.height, dtype=np.int64)
    for cells in rows.iter_columns():
        if cells.str.contains_any(["\n", "\r"]).any():
            inside += cells.str.count_matches(_NEWLINE).to_numpy()
    return inside
