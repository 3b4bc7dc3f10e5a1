"""Kedro's file datasets, with files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
from kedro.io import DatasetError
from kedro_datasets import json, pandas, pickle

from clepsydra.datasets.partials import whole
from clepsydra.datasets.spool import Spool

__all__ = [
    "AtomicSave",
    "JSONDataset",
    "ParquetDataset",
    "ParquetFileDataset",
    "ParquetPartsDataset",
    "PickleDataset",
]


class AtomicSave:
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
        try:
            with whole(Path(final)) as partial:
                self._partial = PurePosixPath(partial)
                super().save(data)  # type: ignore[misc]
        finally:
            self._partial = None


class ParquetDataset(AtomicSave, pandas.ParquetDataset):
    """`kedro_datasets.pandas.ParquetDataset`, saved atomically; takes a `Spool` as well.

    Args:
        sort_by: columns that rows are put in order of when they are loaded: of a table that is
            written in pieces, whose order means nothing.
        arguments: of `kedro_datasets.pandas.ParquetDataset`.
    """

    _save_args: dict[str, Any]

    def __init__(self, *, sort_by: list[str] | None = None, **arguments: Any):
        super().__init__(**arguments)
        self._sort_by = sort_by

    def load(self) -> pd.DataFrame:
        frame = super().load()
        return frame.sort_values(self._sort_by, ignore_index=True) if self._sort_by else frame

    def save(self, data: Any) -> None:
        if not isinstance(data, Spool):
            own = self._save_args
            try:
                self._save_args = {**own, **_types(data)}
                super().save(data)
            finally:
                self._save_args = own
            return
        with whole(Path(super()._get_save_path())) as partial:
            data.move_to(partial)


def _types(frame: pd.DataFrame) -> dict[str, pa.Schema]:
    """The schema, where Arrow would not know it: a column without a value is of texts."""
    objects = frame.select_dtypes(object)
    if not len(frame.columns) or not objects.isna().all().any():
        return {}
    fields = pa.Schema.from_pandas(frame, preserve_index=False)
    known = [f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in fields]
    return {"schema": pa.schema(known)}


class ParquetPartsDataset(ParquetDataset):
    """A table in the files of one folder. What is saved is the list of them.

    Files of the folder that are not in the list are left over from a run with more parts, and are
    deleted.
    """

    def save(self, data: list[Path]) -> None:
        folder = Path(super()._get_save_path())
        strange = [path for path in data if path.parent != folder]
        if strange:
            raise DatasetError(
                f"'{strange[0]}' is not in '{folder}': correct the 'filepath' of the catalog entry "
                f"of type {type(self).__name__} that has this folder, or that of the entries which "
                f"say where its files are written"
            )
        # Those with a dot are not yet whole: they are another process's.
        for path in set(folder.glob("[!.]*.parquet")) - set(data):
            path.unlink()


class ParquetFileDataset(pandas.ParquetDataset):
    """A Parquet file, loaded as its path: for nodes that read it piece by piece."""

    def load(self) -> Path:
        return Path(self._get_load_path())


class JSONDataset(AtomicSave, json.JSONDataset):
    """`kedro_datasets.json.JSONDataset`, saved atomically."""


class PickleDataset(AtomicSave, pickle.PickleDataset):
    """`kedro_datasets.pickle.PickleDataset`, saved atomically."""
