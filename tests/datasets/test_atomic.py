"""A table in the files of a folder: the list of them decides which stay."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DatasetError

from clepsydra.datasets.atomic import ParquetPartsDataset


def test_files_left_over_go_and_those_that_another_process_writes_stay(tmp_path: Path) -> None:
    kept, left, partial = (tmp_path / f"{name}.parquet" for name in ("a", "b", ".partial-x.c"))
    for path in (kept, left, partial):
        path.write_text("")
    ParquetPartsDataset(filepath=str(tmp_path)).save([kept])
    assert set(tmp_path.iterdir()) == {kept, partial}


def test_files_of_another_folder_are_refused(tmp_path: Path) -> None:
    parts = ParquetPartsDataset(filepath=str(tmp_path / "here"))
    with pytest.raises(DatasetError, match="'filepath' of the catalog entry of type ParquetParts"):
        parts.save([tmp_path / "there" / "a.parquet"])
