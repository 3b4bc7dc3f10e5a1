"""Immutable raw snapshots with a manifest: one per source and day.

Kedro's `IncrementalDataset` compares one largest id and reads eagerly, so late or revised days are
lost. Here every snapshot stays as it was written; a day whose content changed gets a new snapshot
beside the old one, and a reader asks for what was known at a day.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset

from clepsydra.fingerprint import fingerprint

__all__ = ["RawStore", "RawStoreDataset", "Snapshot"]

# Where a row stood is kept, but a row that only moved is not a revision.
_PLACE = ["_file", "_line"]
_MANIFEST = "manifest.parquet"
_COLUMNS = ["source", "day", "known_from", "path", "rows", "bytes", "sha256", "content", "columns"]


@dataclass(frozen=True)
class Snapshot:
    """The rows of one source for one day, as text, exactly as they came.

    Attributes:
        source: name of the source in the configuration.
        day: the local day the rows belong to; `None` for tables without time and undated rows.
        known_from: first `as_of` at which the rows may be used.
        seen_on: the `as_of` that collected them; a revision is not known before.
        frame: `[N, columns]` strings, with `_file` and `_line` saying where each row stood.
    """

    source: str
    day: date | None
    known_from: date
    seen_on: date
    frame: pd.DataFrame


@dataclass(frozen=True)
class RawStore:
    """Read access to the snapshots; opens a file only when its rows are asked for."""

    root: Path
    manifest: pd.DataFrame

    def read(self, source: str, as_of: date | None = None) -> pd.DataFrame:
        """All rows of `source` known at `as_of`: of each day the newest snapshot known by then.

        Args:
            source: name of the source.
            as_of: the day of the run; `None` reads everything.

        Returns:
            `[N, columns]` strings, days in order; empty if nothing was known.
        """
        known = self.manifest[self.manifest["source"] == source]
        if as_of is not None:
            known = known[known["known_from"] <= as_of.isoformat()]
        newest = known.groupby("day", sort=True).tail(1).sort_values("day")
        frames = [pd.read_parquet(self.root / path) for path in newest["path"]]
        return pd.concat(frames, ignore_index=True).fillna("") if frames else pd.DataFrame()

    def days(self, source: str) -> list[date]:
        """Days of `source` that have a snapshot, in order."""
        days = self.manifest.loc[self.manifest["source"] == source, "day"]
        return sorted(date.fromisoformat(day) for day in set(days) if day)


class RawStoreDataset(AbstractDataset[Iterable[Snapshot], RawStore]):
    """Saves snapshots that are new, keeps those it has, loads a `RawStore`.

    Every file appears whole or not at all, the manifest last: a run killed in the middle leaves
    files that the next one writes again.

    Args:
        filepath: folder of the store.
        metadata: free form, for plugins.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None):
        self._root = Path(filepath)
        self.metadata = metadata

    def load(self) -> RawStore:
        return RawStore(self._root, self._read_manifest())

    def save(self, data: Iterable[Snapshot]) -> None:
        manifest = self._read_manifest()
        newest = {(row.source, row.day): row.content for row in manifest.itertuples()}
        added = []
        for snapshot in data:
            day = snapshot.day.isoformat() if snapshot.day else ""
            content = fingerprint(snapshot.frame.drop(columns=_PLACE, errors="ignore"))
            previous = newest.get((snapshot.source, day))
            if previous == content:
                continue
            newest[snapshot.source, day] = content
            added.append(self._write(snapshot, day, content, revised=previous is not None))
        if added or not (self._root / _MANIFEST).exists():
            merged = pd.concat([manifest, pd.DataFrame(added, columns=_COLUMNS)], ignore_index=True)
            _write_atomically(
                self._root / _MANIFEST,
                _parquet_bytes(merged.astype({"rows": "int64", "bytes": "int64"})),
            )

    def _write(self, snapshot: Snapshot, day: str, content: str, revised: bool) -> dict[str, Any]:
        path = Path(snapshot.source) / f"{day or 'undated'}-{content[:12]}.parquet"
        data = _parquet_bytes(snapshot.frame)
        _write_atomically(self._root / path, data)
        known_from = snapshot.known_from
        if revised:
            known_from = max(known_from, snapshot.seen_on)
        return {
            "source": snapshot.source,
            "day": day,
            "known_from": known_from.isoformat(),
            "path": path.as_posix(),
            "rows": len(snapshot.frame),
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "content": content,
            "columns": ",".join(snapshot.frame.columns),
        }

    def _read_manifest(self) -> pd.DataFrame:
        path = self._root / _MANIFEST
        return pd.read_parquet(path) if path.exists() else pd.DataFrame(columns=_COLUMNS)

    def _exists(self) -> bool:
        return (self._root / _MANIFEST).exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._root)}


def _parquet_bytes(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _write_atomically(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(path)
