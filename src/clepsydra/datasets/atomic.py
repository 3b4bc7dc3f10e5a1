"""Kedro's file datasets, with files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

from kedro_datasets import json, pandas, pickle

__all__ = ["JSONDataset", "ParquetDataset", "PickleDataset"]


class _AtomicSave:
    """Write beside the file, then put it in its place in one step.

    A run that is killed while it saves leaves the old file, never half of a new one. Object stores
    do this by themselves.
    """

    _partial: PurePosixPath | None = None

    def _get_save_path(self) -> PurePosixPath:
        return self._partial or super()._get_save_path()  # type: ignore[misc]

    def save(self, data: Any) -> None:
        if self._protocol != "file":  # type: ignore[attr-defined]
            super().save(data)  # type: ignore[misc]
            return
        final = super()._get_save_path()  # type: ignore[misc]
        self._partial = final.with_name(f".{os.getpid()}.{final.name}")
        try:
            super().save(data)  # type: ignore[misc]
            Path(self._partial).replace(final)
        finally:
            Path(self._partial).unlink(missing_ok=True)
            self._partial = None


class ParquetDataset(_AtomicSave, pandas.ParquetDataset):
    """`kedro_datasets.pandas.ParquetDataset`, saved atomically."""


class JSONDataset(_AtomicSave, json.JSONDataset):
    """`kedro_datasets.json.JSONDataset`, saved atomically."""


class PickleDataset(_AtomicSave, pickle.PickleDataset):
    """`kedro_datasets.pickle.PickleDataset`, saved atomically."""
