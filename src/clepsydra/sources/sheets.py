"""The rows of one sheet of a workbook, as text; a program of its own.

The library that reads workbooks makes a table of every cell between the corners of a sheet, filled
or not. One stray cell, or one wrong byte in an .xls file, can make that more than there is memory;
the library then ends its process, so this is not the one that runs the line. It is run as a file
and imports nothing of the project, to begin quickly.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import sys
from collections.abc import Iterator
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook, PasswordError

__all__ = ["END", "cell_text", "sheet_rows"]

# The last line of what is written, by which an early end is told.
END = "end"
_MOST_SECONDS = 900
# Floats from this on are written with a power of ten.
_BIGGEST_WHOLE = 1e15


def sheet_rows(data: bytes, sheet: str | int) -> Iterator[dict[str, Any] | list[str]]:
    """What there is to say of a sheet, then its rows from the first on; a blank row is empty.

    Args:
        data: the workbook.
        sheet: its name, or its number from 0.

    Yields:
        First `{"title": ...}`, or `{"titles": [...]}` if there is no such sheet, or `{"error":
        ...}`. Then the rows, each as long as the others.
    """
    try:
        with CalamineWorkbook.from_filelike(io.BytesIO(data)) as workbook:
            titles = workbook.sheet_names
            number = titles.index(sheet) if sheet in titles else sheet
            if not isinstance(number, int) or not 0 <= number < len(titles):
                yield {"titles": titles}
                return
            found = workbook.get_sheet_by_name(titles[number])
    except PasswordError:
        yield {"error": "it is protected by a password; save it without one"}
        return
    except CalamineError as error:
        yield {"error": str(error)}
        return
    yield {"title": titles[number]}
    for row in found.iter_rows():
        blank = row.count("") == len(row)
        texts = [] if blank else list(map(cell_text, row))
        yield texts if any(map(str.strip, texts)) else []


def cell_text(cell: Any) -> str:
    """The canonical text of a typed cell.

    Examples:
        >>> [cell_text(cell) for cell in (1.0, 0.1, True, dt.date(2024, 1, 1), "x")]
        ['1', '0.1', 'true', '2024-01-01', 'x']
        >>> cell_text(dt.datetime(2024, 1, 1, 5)), cell_text(dt.timedelta(hours=30))
        ('2024-01-01T05:00:00', '30:00:00')
    """
    kind = type(cell)
    if kind is str:
        return cell
    if kind is float:
        return str(int(cell)) if cell.is_integer() and abs(cell) < _BIGGEST_WHOLE else repr(cell)
    if kind is bool:
        return "true" if cell else "false"
    if kind is dt.timedelta:
        minutes, seconds = divmod(abs(cell), dt.timedelta(minutes=1))
        sign = "-" if cell < dt.timedelta(0) else ""
        return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}:{str(seconds)[5:]}"
    if isinstance(cell, dt.date | dt.time):
        return cell.isoformat()
    return str(cell)


def _limit(memory: int) -> None:
    """Do not take more memory than that, or for ever. Not every system can be asked to."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (_MOST_SECONDS, _MOST_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _main(sheet: str, memory: str) -> None:
    _limit(int(memory))
    for row in sheet_rows(sys.stdin.buffer.read(), json.loads(sheet)):
        sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.write(json.dumps(END) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
