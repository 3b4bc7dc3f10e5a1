"""The door to all sources: files, APIs and databases."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clepsydra.config import SourceConfig
from clepsydra.errors import SourceError
from clepsydra.sources.readings import FileReading, Reading

__all__ = ["Reading", "read_source"]


def read_source(
    name: str,
    source: SourceConfig,
    as_of: dt.date,
    newest: dt.date | None,
    project_path: str,
    credentials: Mapping[str, Any],
    state: dict[str, Any],
) -> Reading:
    """Begin to read a source.

    Args:
        name: of the source.
        source: its description.
        as_of: the day of the run.
        newest: the newest day that earlier runs have collected.
        project_path: folder that relative paths start from.
        credentials: all of them by name; the source names its own.
        state: what the last reading left.

    Raises:
        SourceError: the credentials that it names are not there.
    """
    own = None
    if source.credentials is not None:
        if source.credentials not in credentials:
            raise SourceError(
                f"source '{name}': no credentials '{source.credentials}' under 'sources' in "
                f"credentials.yml of the environment that runs (conf/local without --env); "
                f"there are: {', '.join(sorted(credentials)) or 'none'}"
            )
        own = credentials[source.credentials]
    # Imported when they are needed: what they stand on takes a quarter of a second of every start.
    if source.http is not None:
        from clepsydra.sources.api_reading import ApiReading

        return ApiReading(name, source, as_of, newest, own, state)
    if source.sql is not None:
        from clepsydra.sources.database_reading import DatabaseReading

        return DatabaseReading(name, source, own, state)
    return FileReading(name, source, Path(project_path), own)
