"""Hashes of what datasets hold: of files, of folders, and of what is on other machines."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import fsspec
import pytest
from kedro_datasets import json

from clepsydra.datasets.atomic import JSONDataset, ParquetPartsDataset
from clepsydra.runners.contents import MISSING, Contents


def test_a_folder_is_its_files_but_for_hidden_ones(tmp_path: Path) -> None:
    parts = ParquetPartsDataset(filepath=str(tmp_path))
    (tmp_path / "a.parquet").write_text("1")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/b.parquet").write_text("2")
    contents = Contents()
    first, files = contents.of(parts)
    assert len(files) == 2
    (tmp_path / ".lock").write_text("")
    assert contents.of(parts)[0] == first
    (tmp_path / "a.parquet").rename(tmp_path / "c.parquet")
    renamed = contents.of(parts)[0]
    assert renamed != first
    (tmp_path / "deep/b.parquet").write_text("3")
    assert contents.of(parts)[0] not in (first, renamed)


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = JSONDataset(filepath=str(tmp_path / "a.json"))
    assert Contents().of(dataset) == (MISSING, {})
    dataset.save({"a": 1})
    first, files = Contents().of(dataset)
    later = Contents()
    later.learn(files)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("it is read again")

    with monkeypatch.context() as patched:
        patched.setattr(builtins, "open", refuse)
        assert later.of(dataset) == (first, files)
    dataset.save({"a": 2})
    assert later.of(dataset)[0] != first


def test_files_of_another_file_system() -> None:
    files = fsspec.filesystem("memory")
    dataset = json.JSONDataset(filepath="memory://clepsydra/a.json")
    contents = Contents()
    assert contents.of(dataset) == (MISSING, {})
    dataset.save({"a": 1})
    first, _ = contents.of(dataset)
    assert contents.of(dataset)[0] == first
    dataset.save({"a": 1})
    assert contents.of(dataset)[0] == first, "the same content, written again"
    dataset.save({"a": 2})
    assert contents.of(dataset)[0] != first
    files.store.clear()


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "parts", tmp_path / "elsewhere"
    for folder in (root, elsewhere):
        folder.mkdir()
    (elsewhere / "a.parquet").write_text("1")
    (elsewhere / "around").symlink_to(root)
    for name in ("one", "two"):
        (root / name).symlink_to(elsewhere)
    (root / "self").symlink_to(root)
    (root / "lost").symlink_to(tmp_path / "nowhere")
    parts = ParquetPartsDataset(filepath=str(root))
    before, files = Contents().of(parts)
    found = {str(Path(file).relative_to(root)) for file in files}
    assert {"one/a.parquet", "two/a.parquet"} <= found
    assert {Path(name).name for name in found} == {"a.parquet"}
    (elsewhere / "a.parquet").write_text("2")
    assert Contents().of(parts)[0] != before
