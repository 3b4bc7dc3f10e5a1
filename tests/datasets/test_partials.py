"""Partial files: of one process each, and not there for ever."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from clepsydra.datasets.atomic import JSONDataset, ParquetDataset
from clepsydra.datasets.partials import whole
from clepsydra.datasets.records import NodeRecordsDataset


def killed(final: Path) -> Path:
    """What is left of a process that was killed while it wrote the file."""
    with pytest.raises(ValueError, match="the end"), whole(final) as partial:
        raise ValueError("the end")
    partial.write_text("half")
    return partial


def age(path: Path, hours: float) -> None:
    then = time.time() - 3600 * hours
    os.utime(path, (then, then))


def test_what_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    final = tmp_path / "a.txt"
    final.write_text("old")
    with pytest.raises(ValueError, match="no more"), whole(final) as partial:
        partial.write_text("half")
        raise ValueError("no more")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert final.read_text() == "old"


def test_two_writers_have_files_of_their_own(tmp_path: Path) -> None:
    final = tmp_path / "a.txt"
    with whole(final) as one, whole(final) as other:
        assert one != other
        assert one.name.startswith(".")
        one.write_text("1")
        other.write_text("2")
    assert final.read_text() == "1"


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("a[1].json", lambda path: JSONDataset(filepath=str(path)).save({"a": 1})),
        (
            "a.parquet",
            lambda path: ParquetDataset(filepath=str(path)).save(pd.DataFrame({"a": [1]})),
        ),
        ("a.json", lambda path: NodeRecordsDataset(str(path.parent)).save({"a": {}})),
    ],
)
def test_what_was_left_a_day_ago_is_removed(
    tmp_path: Path, name: str, save: Callable[[Path], Any]
) -> None:
    old, young, others = (killed(tmp_path / its) for its in (name, name, f"b-{name}x"))
    age(old, 25)
    age(others, 25)
    age(young, 23)
    save(tmp_path / name)
    if name == "a.json":
        NodeRecordsDataset(str(tmp_path)).load()
    assert not old.exists()
    assert young.exists()
    assert (tmp_path / name).exists()
    assert others.exists() == (name != "a.json"), "records are read as a whole folder"
