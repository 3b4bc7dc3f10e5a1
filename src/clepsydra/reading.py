"""Raw files to text cells, and text cells to times: what `collect` and `clean` both need."""

from __future__ import annotations

import csv
import glob
import importlib.util
import zipfile
import zlib
from pathlib import Path

import pandas as pd

from clepsydra.config import Part, SourceConfig
from clepsydra.errors import SourceError

__all__ = ["find_files", "local_times", "read_text", "utc_instants"]

# A time of day that ends in Z, +02, +0200 or +02:00.
_OFFSET = r"\d\d:\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)$"
_RANGES: dict[Part, tuple[int, int]] = {
    "year": (1, 9999),
    "month": (1, 12),
    "day": (1, 31),
    "hour": (0, 23),
    "minute": (0, 59),
}


def find_files(name: str, source: SourceConfig, project_path: Path) -> list[Path]:
    """Files that the source's `path` names, sorted.

    A package's folder is found without importing the package.

    Raises:
        SourceError: no such package, or no file matches.
    """
    root = project_path
    if source.package:
        try:
            spec = importlib.util.find_spec(source.package)
        except ModuleNotFoundError:
            spec = None
        if spec is None or not spec.submodule_search_locations:
            raise SourceError(
                f"source '{name}': the package '{source.package}' is not installed; "
                f"install it or correct 'package'"
            )
        root = Path(spec.submodule_search_locations[0])
    pattern = source.path
    if not Path(pattern).is_absolute():
        pattern = f"{glob.escape(str(root))}/{pattern}"
    files = sorted(Path(found) for found in glob.glob(pattern))
    if not files:
        raise SourceError(
            f"source '{name}': no file matches '{root / source.path}'; correct 'path'"
        )
    return files


def read_text(name: str, source: SourceConfig, files: list[Path]) -> pd.DataFrame:
    """Read delimited files as text, one row a record, with where each row stood.

    Returns:
        `[N, columns]` strings plus `_file` (name) and `_line` (1-based, the header is line 1).

    Raises:
        SourceError: a file is empty, not in that encoding, not delimited as described, or lacks a
            column that the configuration names.
    """
    frames = []
    for file in files:
        where = f"source '{name}', file '{file}'"
        try:
            frame = pd.read_csv(
                file,
                sep=source.separator,
                encoding=source.encoding,
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=False,
            )
        except pd.errors.EmptyDataError:
            raise SourceError(f"{where} is empty: expected a header and rows") from None
        except (pd.errors.ParserError, csv.Error) as error:
            raise SourceError(f"{where} cannot be split into columns: {error}") from None
        except (UnicodeDecodeError, LookupError) as error:
            raise SourceError(
                f"{where} is not in encoding '{source.encoding}': {error}; set 'encoding'"
            ) from None
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, ValueError) as error:
            raise SourceError(f"{where} cannot be read: {error}") from None
        if not isinstance(frame.index, pd.RangeIndex):
            raise SourceError(
                f"{where} cannot be split into columns: its rows have more fields than its header"
            )
        lost = [column for column in source.needed_columns() if column not in frame.columns]
        if lost:
            raise SourceError(
                f"{where} has no column {', '.join(map(repr, lost))}; "
                f"it has: {', '.join(map(repr, frame.columns))}"
            )
        if frame.empty:
            raise SourceError(f"{where} is empty: it has a header and no rows")
        frame = frame.fillna("")
        frame["_file"] = file.name
        frame["_line"] = range(2, len(frame) + 2)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True).fillna("")


def local_times(frame: pd.DataFrame, source: SourceConfig) -> pd.Series:
    """The naive local time of each row; `NaT` where the cells do not hold one.

    Args:
        frame: `[N, columns]` strings.
        source: its `time` is a column, or a column for each of year, month, day, hour, minute.

    Returns:
        `[N]` naive timestamps. Text that carries an offset or `Z` is converted to `timezone`.
    """
    naive, instants = _read_times(frame, source)
    local = instants.dt.tz_convert(source.timezone).dt.tz_localize(None)
    return local.where(instants.notna(), naive)


def utc_instants(frame: pd.DataFrame, source: SourceConfig) -> pd.Series:
    """The naive UTC time of the rows whose text carries an offset or `Z`; `NaT` for all others."""
    return _read_times(frame, source)[1].dt.tz_localize(None)


def _read_times(frame: pd.DataFrame, source: SourceConfig) -> tuple[pd.Series, pd.Series]:
    """Naive times of the rows without an offset, and aware ones of the rows with one."""
    never = pd.Series(pd.NaT, index=frame.index, dtype="datetime64[ns, UTC]")
    if isinstance(source.time, dict):
        return _from_parts(frame, source.time), never
    text, style = frame[source.time_columns[0]], source.time_format
    if style and "%z" not in style:
        return pd.to_datetime(text, format=style, errors="coerce"), never
    times = pd.to_datetime(text, format=style or "ISO8601", errors="coerce", utc=True)
    has_offset = text.str.contains(_OFFSET, regex=True) | bool(style)
    return times.dt.tz_localize(None).where(~has_offset), times.where(has_offset)


def _from_parts(frame: pd.DataFrame, columns: dict[Part, str]) -> pd.Series:
    parts = pd.DataFrame({"month": 1, "day": 1}, index=frame.index)
    for part, column in columns.items():
        values = pd.to_numeric(frame[column], errors="coerce")
        low, high = _RANGES[part]
        parts[part] = values.where((values % 1 == 0) & (values >= low) & (values <= high))
    return pd.to_datetime(parts, errors="coerce")
