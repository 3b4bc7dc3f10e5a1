"""JSON documents and JSON lines to text batches; numbers keep the digits they were written with."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import polars as pl

from clepsydra.config import SourceConfig
from clepsydra.errors import SourceError
from clepsydra.row_columns import FILE, LINE, PROBLEM, TEXT
from clepsydra.sources.pieces import BATCH_ROWS, IGNORED, Piece, check_columns, text_batch

__all__ = ["parse", "read", "read_records"]

# Bounds of a batch beside its rows, and of what is taken for a line and for a table.
_BATCH_CHARS = 1 << 24
_BATCH_CELLS = 5_000_000
_LONGEST_LINE = 1 << 26
_MOST_COLUMNS = 100_000
_KEPT = {FILE, LINE, PROBLEM, TEXT}
_LITERALS = {None: "", True: "true", False: "false"}


def read(name: str, source: SourceConfig, piece: Piece) -> Iterator[pl.DataFrame]:
    """Read a JSON document, or JSON lines, as text, one row a record.

    Objects inside a record become columns `a.b`; lists inside a record become JSON text. A line
    that is no JSON object becomes a row of empty cells that says so in `_problem` and holds the
    line in `_text`; so do lines that begin as `ignore_lines` says, and records of a document that
    are no objects.

    Args:
        name: of the source, for errors.
        source: its `format` (`jsonl` is otherwise told by the name), `encoding` and `records`.
        piece: the file.

    Yields:
        Batches of `[N, columns]` strings, `_file` and `_line`: the line, or the number of the
        record in a document, from 1. Columns that come up later are missing in earlier batches.

    Raises:
        SourceError: the file is empty, in another encoding, no JSON, has no such `records`, or
            lacks a column that the configuration names.

    Examples:
        >>> load = SourceConfig(role="target", path="*", name="x", time="at.day", value="mw")
        >>> text = b'{"at": {"day": "2024-01-01"}, "mw": 1.50}'
        >>> [frame] = read("load", load, Piece("a.jsonl", "a.jsonl", lambda: io.BytesIO(text)))
        >>> frame.rows(named=True)
        [{'at.day': '2024-01-01', 'mw': '1.50', '_file': 'a.jsonl', '_line': 1}]
    """
    where = f"source '{name}', file '{piece.label}'"
    ending = PurePosixPath(piece.name).suffix.lower()
    is_lines = source.format == "jsonl" or (
        source.format is None and ending in (".jsonl", ".ndjson")
    )
    with piece.open() as stream:
        if is_lines:
            yield from _read_lines(where, source, piece.label, stream)
            return
        document = parse(where, source, stream.read())
    empty = True
    for batch in read_records(where, source, piece.label, document):
        empty = False
        yield batch
    if empty:
        raise SourceError(f"{where} is empty: it has no records")


def parse(where: str, source: SourceConfig, data: bytes) -> Any:
    """A JSON document as Python objects; its numbers are the bytes they were written with.

    Args:
        where: what errors begin with: the source and the file.
        source: its `encoding`.
        data: the document.

    Raises:
        SourceError: it is empty, in another encoding, or no JSON.

    Examples:
        >>> load = SourceConfig(role="target", path="*", name="x", time="day", value="mw")
        >>> parse("source 'load'", load, b'{"mw": [1.50, "2"], "more": true}')
        {'mw': [b'1.50', '2'], 'more': True}
    """
    if not data.strip():
        raise SourceError(f"{where} is empty: expected JSON")
    try:
        return _parse(data.decode(_encoding(source)))
    except (UnicodeError, LookupError) as error:
        raise _wrong_encoding(where, source, error) from None
    except (ValueError, RecursionError) as error:
        hint = "; if each line is a record, set 'format: jsonl'" if "Extra" in str(error) else ""
        raise SourceError(f"{where} is not valid JSON: {_reason(error)}{hint}") from None


def read_records(
    where: str, source: SourceConfig, label: str, document: Any, first: int = 1
) -> Iterator[pl.DataFrame]:
    """The records of a parsed document as text batches; none, if it has an empty list of them.

    Args:
        where: what errors begin with: the source and the file.
        source: its `records` say where they are; a number in it is a place in a list.
        label: of the piece.
        document: as `parse` gives it.
        first: number of the first record.

    Yields:
        Batches as `read` gives them.

    Raises:
        SourceError: no such `records`, they are no objects, or lack a column that the
            configuration names.

    Examples:
        >>> load = SourceConfig(
        ...     role="target", path="*", name="x", time="day", value="mw", records="data"
        ... )
        >>> document = parse("source 'load'", load, b'{"data": {"day": ["1", "2"], "mw": [3, 4]}}')
        >>> next(read_records("source 'load'", load, "a.json", document)).select("day", "mw").rows()
        [('1', '3'), ('2', '4')]
    """
    records, place = _find_records(where, source.records, document)
    if records and not any(isinstance(record, dict) for record in records):
        raise SourceError(
            f"{where}: {place} is a list of {_kind(records[0])}, not of objects; correct 'records'"
        )
    table = _Table(where, source, label)
    for number, record in enumerate(records, first):
        try:
            table.add(number, _flat(record))
        except (ValueError, RecursionError) as error:
            deep = isinstance(error, RecursionError)
            table.add_problem(number, _reason(error), "" if deep else _json(record))
        if table.is_full():
            yield table.take()
    yield from table.close()


def _read_lines(
    where: str, source: SourceConfig, label: str, stream: BinaryIO
) -> Iterator[pl.DataFrame]:
    table = _Table(where, source, label)
    ignored = tuple(source.ignore_lines)
    complaint = ""
    for number, line in _lines(where, source, stream):
        if not line or number <= source.skip_lines:
            continue
        if ignored and line.startswith(ignored):
            table.add_problem(number, IGNORED, line)
            continue
        try:
            table.add(number, _flat(_parse(line)), len(line))
        except (ValueError, RecursionError) as error:
            complaint = complaint or f"line {number}: {_reason(error)}"
            table.add_problem(number, _reason(error), line)
        if table.is_full():
            yield table.take()
    if complaint and not table.records:
        raise SourceError(
            f"{where} has no line that is a JSON object: {complaint}; if it is one document, set "
            f"'format: json'"
        )
    yield from table.close()
    if not table.records:
        raise SourceError(f"{where} is empty: it has no records")


def _lines(where: str, source: SourceConfig, stream: BinaryIO) -> Iterator[tuple[int, str]]:
    try:
        text = io.TextIOWrapper(stream, encoding=_encoding(source), newline="\n")
    except LookupError as error:
        raise _wrong_encoding(where, source, error) from None
    for number in itertools.count(1):
        try:
            line = text.readline(_LONGEST_LINE)
        except UnicodeError as error:
            raise _wrong_encoding(where, source, error) from None
        if len(line) >= _LONGEST_LINE:
            raise SourceError(f"{where}: line {number} is too long for JSON lines")
        if not line:
            return
        yield number, line.strip()


class _Table:
    """Cells by column, grown record by record, and given away batch by batch."""

    def __init__(self, where: str, source: SourceConfig, label: str) -> None:
        self.records = 0
        self._where, self._source, self._label = where, source, label
        self._seen: dict[str, None] = {}
        self._clear()

    def _clear(self) -> None:
        names = dict.fromkeys([*self._source.needed_columns(), *self._seen])
        self._cells: dict[str, list[str]] = {name: [] for name in names}
        self._lines: list[int] = []
        self._problems: list[tuple[int, str, str]] = []
        self._chars = 0

    def add(self, line: int, row: dict[str, str], chars: int = 0) -> None:
        height = len(self._lines)
        for name, cell in row.items():
            column = self._cells.get(name)
            if column is None:
                column = self._cells[name] = [""] * height
            column.append(cell)
        self._lines.append(line)
        if len(row) < len(self._cells):
            for column in self._cells.values():
                if len(column) == height:
                    column.append("")
        self._seen.update(dict.fromkeys(row))
        self.records += 1
        self._chars += chars

    def add_problem(self, line: int, reason: str, text: str) -> None:
        self._problems.append((len(self._lines), reason, text))
        self._lines.append(line)
        for column in self._cells.values():
            column.append("")
        self._chars += len(text)

    def is_full(self) -> bool:
        height = len(self._lines)
        return (
            height >= BATCH_ROWS
            or self._chars >= _BATCH_CHARS
            or height * len(self._cells) >= _BATCH_CELLS
        )

    def take(self) -> pl.DataFrame:
        if not self._cells:
            raise SourceError(f"{self._where} is empty: its records have no keys")
        if len(self._cells) > _MOST_COLUMNS:
            raise SourceError(
                f"{self._where} has more than {_MOST_COLUMNS} columns: its keys look like values"
            )
        if not _KEPT.isdisjoint(self._cells):
            check_columns(self._where, self._source, list(self._cells))
        if self._problems:
            for place, name in enumerate((PROBLEM, TEXT), 1):
                self._cells[name] = [""] * len(self._lines)
                for problem in self._problems:
                    self._cells[name][problem[0]] = str(problem[place])
        lines = pl.Series(LINE, self._lines, dtype=pl.Int64)
        frame = text_batch(_frame(self._cells), self._label, 1).with_columns(lines)
        self._clear()
        return frame

    def close(self) -> Iterator[pl.DataFrame]:
        """The last batch, if all columns that are needed have come up."""
        if self.records:
            check_columns(self._where, self._source, list(self._seen))
        if self._lines:
            yield self.take()


def _frame(cells: dict[str, list[str]]) -> pl.DataFrame:
    try:
        return pl.DataFrame(cells, schema=dict.fromkeys(cells, pl.String))
    except UnicodeEncodeError:  # JSON may escape halves of characters, which are no text
        whole = {_whole(name): list(map(_whole, column)) for name, column in cells.items()}
        return pl.DataFrame(whole, schema=dict.fromkeys(whole, pl.String))


def _whole(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _find_records(where: str, path: str | None, document: Any) -> tuple[Sequence[Any], str]:
    found, passed, left = document, "", path or ""
    while left:
        step, _, rest = (left, "", "") if _has(found, left) else left.partition(".")
        if not _has(found, step):
            place = f"'{passed}'" if passed else "the document"
            raise SourceError(f"{where} has no '{path}': {place} {_keys(found)}; correct 'records'")
        found = found[step] if isinstance(found, dict) else found[int(step)]
        passed, left = f"{passed}.{step}".lstrip("."), rest
    place = f"'{path}'" if path else "the document"
    if found is None:
        return [], place
    if isinstance(found, list):
        return found, place
    if isinstance(found, dict) and all(isinstance(column, list) for column in found.values()):
        return _from_columns(where, place, found), place
    raise SourceError(
        f"{where}: {place} {_keys(found)}, and is no list of records; "
        f"{'correct' if path else 'set'} 'records'"
    )


def _has(found: Any, step: str) -> bool:
    if isinstance(found, dict):
        return step in found
    return isinstance(found, list) and step.isdecimal() and int(step[:9]) < len(found)


def _from_columns(where: str, place: str, columns: dict[str, list[Any]]) -> Sequence[Any]:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise SourceError(
            f"{where}: the lists of {place} are not equally long: "
            f"{_some(f'{name!r} has {length}' for name, length in lengths.items())}"
        )
    cells = [cell for column in columns.values() for cell in column]
    if cells and all(isinstance(cell, dict) for cell in cells):
        raise SourceError(f"{where}: {place} {_keys(columns)}; set 'records' to one of them")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _flat(record: Any) -> dict[str, str]:
    if not isinstance(record, dict):
        raise ValueError(f"{_kind(record)}, not an object")
    into: dict[str, str] = {}
    _flatten(record, "", into)
    return into


def _flatten(record: dict[str, Any], prefix: str, into: dict[str, str]) -> None:
    for key, value in record.items():
        name = prefix + key
        kind = type(value)
        if kind is dict:
            _flatten(value, f"{name}.", into)
            continue
        if name in into:
            raise ValueError(f"two values for {name!r}")
        if kind is str:
            into[name] = value
        elif kind is bytes:
            into[name] = value.decode()
        elif kind is list:
            into[name] = _json(value)
        else:
            into[name] = _LITERALS[value]


def _parse(text: str) -> Any:
    # Bytes tell numbers from text, which may look like one.
    return json.loads(text, parse_int=str.encode, parse_float=str.encode, parse_constant=str.encode)


def _json(value: Any) -> str:
    """Compact JSON of what `_parse` gave."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return f"[{','.join(map(_json, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_json(key)}:{_json(cell)}' for key, cell in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)


def _encoding(source: SourceConfig) -> str:
    is_utf8 = source.encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    return "utf-8-sig" if is_utf8 else source.encoding


def _wrong_encoding(where: str, source: SourceConfig, error: Exception) -> SourceError:
    return SourceError(f"{where} is not in encoding '{source.encoding}': {error}; set 'encoding'")


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bytes: "a number", bool: "a truth"}
    return kinds.get(type(value), "null")


def _keys(value: Any) -> str:
    if isinstance(value, dict):
        return f"has the keys {_some(map(repr, value))}" if value else "has no keys"
    return f"is {_kind(value)} of {len(value)}" if isinstance(value, list) else f"is {_kind(value)}"


def _some(texts: Iterable[str]) -> str:
    every = list(texts)
    return ", ".join(every[:20]) + (", ..." if len(every) > 20 else "")
