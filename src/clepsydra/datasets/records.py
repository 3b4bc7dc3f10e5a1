"""What every node did when it last ended, in a small file of its own."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kedro.io import AbstractDataset

from clepsydra.datasets.partials import remove_left, whole

__all__ = ["NodeRecordsDataset"]

_LONGEST_NAME = 120


class NodeRecordsDataset(AbstractDataset[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]):
    """A folder with a JSON file a node.

    Several processes may save records of different nodes at the same time: a file appears whole or
    not at all, and others stay as they are. A file that cannot be read is as if it was not there.

    Args:
        filepath: the folder, on this machine or on a file system that all machines mount.
        metadata: free form, for plugins.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None):
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, dict[str, Any]]:
        """Node to its record."""
        remove_left(self._filepath)
        records = {}
        for path in self._filepath.glob("[!.]*.json"):
            try:
                record = json.loads(path.read_bytes())
                records[record["node"]] = record
            except (ValueError, KeyError, TypeError, FileNotFoundError):
                continue
        return records

    def save(self, data: dict[str, dict[str, Any]]) -> None:
        """Replace the records of these nodes; others stay."""
        self._filepath.mkdir(parents=True, exist_ok=True)
        for node, record in data.items():
            with whole(self._filepath / _file_name(node), removes_left=False) as partial:
                partial.write_text(json.dumps({**record, "node": node}), encoding="utf-8")

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": os.fspath(self._filepath)}


def _file_name(node: str) -> str:
    name = quote(node, safe="")
    if len(name) > _LONGEST_NAME:
        name = name[:_LONGEST_NAME] + hashlib.blake2b(node.encode(), digest_size=8).hexdigest()
    return f"{name}.json"
