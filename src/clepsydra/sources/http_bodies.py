"""Bodies of HTTP responses: their format, whether they are whole, and the records in them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from clepsydra.config import SourceConfig
from clepsydra.errors import SourceError
from clepsydra.sources.streams import open_stream, plain_name

__all__ = ["BodyError", "dig", "ending_of", "parse", "records_in", "unpack"]

_ENDINGS = {"csv": ".csv", "json": ".json", "jsonl": ".jsonl", "excel": ".xlsx"}
_TYPES = {
    "application/json": ".json",
    "application/jsonl": ".jsonl",
    "application/jsonlines": ".jsonl",
    "application/x-jsonlines": ".jsonl",
    "application/ndjson": ".jsonl",
    "application/x-ndjson": ".jsonl",
    "application/csv": ".csv",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/vnd.apache.parquet": ".parquet",
    "application/x-parquet": ".parquet",
}
_KNOWN = {
    ".csv",
    ".tsv",
    ".json",
    ".geojson",
    ".jsonl",
    ".ndjson",
    ".xlsx",
    ".xls",
    ".xlsm",
    ".ods",
    ".parquet",
    ".pq",
}
_ARCHIVES = {
    b"\x1f\x8b": ".gz",
    b"BZh": ".bz2",
    b"\xfd7zXZ\x00": ".xz",
    b"\x28\xb5\x2f\xfd": ".zst",
}
_WEB_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html)", re.IGNORECASE)


class BodyError(Exception):
    """A body is not what was expected; it may be when it is asked for again."""


def ending_of(source: SourceConfig, content_type: str, *paths: str) -> str:
    """The ending of a file with that body: of the source's format, else as the API says, else JSON.

    Args:
        source: its `format`.
        content_type: the header; empty if there is none.
        paths: of the URL, and of where it redirects to; they count where the header does not tell.

    Examples:
        >>> api = SourceConfig(
        ...     role="target",
        ...     http={"url": "https://api.org/load"},
        ...     name="load",
        ...     time="at",
        ...     value="mw",
        ... )
        >>> ending_of(api, "text/csv; charset=utf-8", "/load")
        '.csv'
        >>> ending_of(api, "text/plain", "/load.tsv.gz"), ending_of(api, "text/plain", "/load")
        ('.tsv', '.json')
    """
    if source.format:
        return _ENDINGS.get(source.format, f".{source.format}")
    media = content_type.partition(";")[0].strip().lower()
    if media.endswith("+json"):
        return ".json"
    if media in _TYPES:
        return _TYPES[media]
    names = (plain_name(PurePosixPath(path).name)[0] for path in paths)
    suffixes = (PurePosixPath(name).suffix.lower() for name in names)
    return next((suffix for suffix in suffixes if suffix in _KNOWN), ".json")


def unpack(body: bytes, content_type: str, *paths: str) -> bytes:
    """The body decompressed, if it is a packed file.

    Raises:
        BodyError: it is cut short or damaged.

    Examples:
        >>> import gzip
        >>> unpack(gzip.compress(b"day,mw"), "application/gzip", "/load.csv.gz")
        b'day,mw'
    """
    ending = next((end for magic, end in _ARCHIVES.items() if body.startswith(magic)), "")
    # A workbook is a zip file too, and is to stay one.
    is_zip = "/zip" in content_type or any(path.lower().endswith(".zip") for path in paths)
    if is_zip and body.startswith(b"PK"):
        ending = ".zip"
    if not ending:
        return body
    try:
        with open_stream("the body", partial(io.BytesIO, body), ending) as stream:
            return stream.read()
    except SourceError as error:
        raise BodyError(str(error)) from None


def parse(source: SourceConfig, body: bytes, ending: str) -> Any:
    """The JSON document in a body; `None` for other formats, which their readers check.

    Raises:
        BodyError: the body is no JSON, or a web page in place of data.
    """
    if _WEB_PAGE.match(body):
        raise BodyError("the body is a web page, not data")
    if ending not in (".json", ".geojson"):
        return None
    try:
        text = body if source.encoding == "utf-8" else body.decode(source.encoding)
        return json.loads(text, parse_float=str)
    except LookupError:
        raise SourceError(f"unknown encoding '{source.encoding}'; correct 'encoding'") from None
    except UnicodeDecodeError as error:
        raise BodyError(f"the body is not in encoding '{error.encoding}', or damaged") from None
    except (ValueError, RecursionError) as error:
        raise BodyError(f"the body is not JSON ({error})") from None


def dig(document: Any, path: str) -> Any:
    """The value at a dotted path: keys of mappings, and numbers in lists, from the end if negative.

    A key may have dots itself.

    Raises:
        LookupError: there is nothing.

    Examples:
        >>> dig({"data": [{"id": 7}, {"id": 8}], "@odata.next": "b"}, "data.-1.id")
        8
        >>> dig({"@odata.next": "b"}, "@odata.next")
        'b'
    """
    if isinstance(document, dict) and path in document:
        return document[path]
    key, _, rest = path.partition(".")
    if isinstance(document, list) and re.fullmatch(r"-?\d+", key):
        inner = document[int(key)]
    elif isinstance(document, dict):
        inner = document[key]
    else:
        raise LookupError(path)
    return dig(inner, rest) if rest else inner


def records_in(source: SourceConfig, document: Any, body: bytes, ending: str) -> Iterator[Any]:
    """The records of a body, as far as they are needed to be counted and compared.

    Args:
        source: its `records` says where they are in a JSON document.
        document: of JSON.
        body: of CSV or JSON lines.
        ending: of the body.

    Returns:
        An iterator over values, cells or lines.

    Raises:
        LookupError: what is to be counted is not there; the message says why.
    """
    if ending in (".json", ".geojson"):
        return iter(_list_in(source, document))
    if ending not in (".csv", ".tsv", ".jsonl", ".ndjson"):
        raise LookupError(f"a {ending} file, whose records are not counted; use 'style: link'")
    text = io.StringIO(body.decode(source.encoding, "replace").lstrip("\ufeff"), newline=None)
    ignored = tuple(source.ignore_lines)
    lines = (
        line
        for number, line in enumerate(text)
        if line.strip()
        and (ending in (".jsonl", ".ndjson") or number >= source.skip_lines)
        and not (ignored and line.startswith(ignored))
    )
    if ending in (".jsonl", ".ndjson"):
        return lines
    separator = source.separator or ("\t" if ending == ".tsv" else ",")
    return _after_header(csv.reader(lines, delimiter=separator))


def _list_in(source: SourceConfig, document: Any) -> list[Any]:
    found = document
    if source.records:
        try:
            found = dig(document, source.records)
        except LookupError:
            raise LookupError(f"nothing at '{source.records}'; correct 'records'") from None
    if found is None:
        return []
    if not isinstance(found, list):
        what = f"no list at '{source.records}'" if source.records else "no list"
        keys = (
            f", but a mapping of {', '.join(map(repr, found))}" if isinstance(found, dict) else ""
        )
        raise LookupError(f"{what}{keys}; say in 'records' where the records are")
    return found


def _after_header(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        next(rows, None)
        yield from rows
    except csv.Error as error:
        raise LookupError(f"rows that cannot be told apart ({error})") from None
