"""Raw files to text cells, and text cells to times: what `collect` and `clean` both need."""

from __future__ import annotations

import csv
import glob
import importlib.util
from pathlib import Path

import pandas as pd

from clepsydra.config import SourceConfig
from clepsydra.errors import SourceError

__all__ = ["find_files", "local_times", "read_text"]


def find_files(name: str, source: SourceConfig, project_path: Path) -> list[Path]:
    """Files that the source's `path` names, sorted.

    A package's folder is found without importing the package.

    Raises:
        SourceError: no such package, or no file matches.
    """
    root = project_path
    if source.package:
        spec = importlib.util.find_spec(source.package)
        if spec is None or not spec.submodule_search_locations:
            raise SourceError(
                f"source '{name}': the package '{source.package}' is not installed; "
                f"install it or correct 'package'"
            )
        root = Path(spec.submodule_search_locations[0])
    files = sorted(Path(found) for found in glob.glob(str(root / source.path)))
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
        except OSError as error:
            raise SourceError(f"{where} cannot be read: {error}") from None
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
    if isinstance(source.time, dict):
        parts = {
            part: pd.to_numeric(frame[column], errors="coerce")
            for part, column in source.time.items()
        }
        missing: dict[str, int] = {part: 1 for part in ("month", "day") if part not in parts}
        table = pd.DataFrame(parts).assign(**missing)
        return pd.to_datetime(table, errors="coerce")
    text = frame[source.time_columns[0]]
    if source.time_format:
        return _naive(pd.to_datetime(text, format=source.time_format, errors="coerce"), source)
    iso = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
    if text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True).any():
        return _naive(iso, source)
    return iso.dt.tz_localize(None)


def _naive(times: pd.Series, source: SourceConfig) -> pd.Series:
    if times.dt.tz is None:
        return times
    return times.dt.tz_convert(source.timezone).dt.tz_localize(None)
