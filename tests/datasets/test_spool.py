"""Tables made piece by piece: every piece arrives once, and nothing is left behind."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.datasets.atomic import ParquetDataset, ParquetFileDataset
from clepsydra.datasets.spool import Batches, Spool, copy_pieces

SCHEMA = pa.schema([("unique_id", pa.string()), ("y", pa.float64()), ("n", pa.int16())])


def piece(ids: list[str], start: int = 0) -> pa.Table:
    y = [float(start + number) for number in range(len(ids))]
    return pa.table({"unique_id": ids, "y": y, "n": pa.array([1] * len(ids), pa.int64())})


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where spools and batches are kept."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=5), max_size=5))
def test_all_pieces_arrive_in_their_order(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[list[str]]
) -> None:
    spool = Spool(SCHEMA)
    for number, ids in enumerate(pieces):
        spool.add(piece(ids, 100 * number))
    path = tmp_path_factory.mktemp("spool") / "deeper/table.parquet"
    spool.move_to(path)
    filled = [piece(ids, 100 * n) for n, ids in enumerate(pieces) if ids]
    assert spool.rows == sum(table.num_rows for table in filled)
    assert pq.read_schema(path) == SCHEMA
    assert [one.to_pylist() for one in copy_pieces([path])] == [one.to_pylist() for one in filled]


def test_pieces_take_the_columns_and_types_of_the_schema() -> None:
    spool = Spool(SCHEMA)
    ids = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1], pa.int32()), ["a", "b"])
    spool.add(pa.table({"n": [1, 2, 3], "extra": [0, 0, 0], "y": [1, 2, 3], "unique_id": ids}))
    (found,) = spool.pieces()
    assert found.schema == SCHEMA
    assert found["unique_id"].to_pylist() == ["b", "a", "b"]
    with pytest.raises(pa.ArrowInvalid):
        Spool(SCHEMA).add(pa.table({"unique_id": ["a"], "y": [1.0], "n": [1 << 20]}))


def test_the_pieces_can_be_looked_at_before_the_file_is_taken(tmp_path: Path) -> None:
    spool = Spool(SCHEMA)
    spool.add(piece(["a"]))
    spool.add(piece(["b", "c"]))
    assert [one.num_rows for one in spool.pieces()] == [1, 2]
    assert [one.num_rows for one in spool.pieces()] == [1, 2]
    spool.move_to(tmp_path / "table.parquet")
    assert pd.read_parquet(tmp_path / "table.parquet")["unique_id"].tolist() == ["a", "b", "c"]


def test_pieces_of_several_files_follow_each_other(tmp_path: Path) -> None:
    for name in "xy":
        spool = Spool(SCHEMA)
        spool.add(piece([name]))
        spool.add(piece([name, name]))
        spool.move_to(tmp_path / name)
    found = [one["unique_id"].to_pylist() for one in copy_pieces([tmp_path / "y", tmp_path / "x"])]
    assert found == [["y"], ["y", "y"], ["x"], ["x", "x"]]
    assert list(copy_pieces([])) == []


def test_what_nobody_takes_is_deleted(scratch: Path) -> None:
    spool = Spool(SCHEMA)
    spool.add(piece(["a"]))
    assert list(scratch.rglob("*.parquet"))
    del spool
    gc.collect()
    assert list(scratch.iterdir()) == []


def test_a_dataset_takes_the_file_of_a_spool(tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "data/table.parquet"
    dataset = ParquetDataset(filepath=str(path), save_args={"index": False})
    dataset.save(pd.DataFrame({"old": [1]}))
    spool = Spool(SCHEMA)
    spool.add(piece(["b", "a"]))
    dataset.save(spool)
    expected = pd.DataFrame({"unique_id": ["b", "a"], "y": [0.0, 1.0]}).assign(n=1)
    expected = expected.astype({"n": "int16"})
    pd.testing.assert_frame_equal(dataset.load(), expected)
    assert [file.name for file in path.parent.iterdir()] == ["table.parquet"]
    in_order = ParquetDataset(filepath=str(path), sort_by=["unique_id"])
    pd.testing.assert_frame_equal(in_order.load(), expected[::-1].reset_index(drop=True))
    assert ParquetFileDataset(filepath=str(path)).load() == path
    del spool
    gc.collect()
    assert list(scratch.iterdir()) == []


def test_a_spool_that_cannot_be_saved_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.parquet"
    dataset = ParquetDataset(filepath=str(path), save_args={"index": False})
    dataset.save(pd.DataFrame({"old": [1]}))
    before = path.read_bytes()
    spool = Spool(SCHEMA)

    def fail(self: Spool, target: Path) -> None:
        target.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(Spool, "move_to", fail)
    with pytest.raises(Exception, match="disk full"):
        dataset.save(spool)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.glob("*.parquet")] == ["table.parquet"]


# Batches


def counted(log: list[int], number: int = 3) -> Iterator[pl.DataFrame]:
    for at in range(number):
        log.append(at)
        yield pl.DataFrame({"a": [at], "t": pl.Series([None], dtype=pl.Datetime("ns"))})


def test_batches_are_asked_for_when_they_are_needed_and_once() -> None:
    log: list[int] = []
    batches = Batches(counted(log))
    assert log == []
    assert [frame["a"].item() for frame in batches] == [0, 1, 2]
    assert log == [0, 1, 2]
    assert list(batches) == []


def test_batches_that_are_held_can_be_read_again(scratch: Path) -> None:
    log: list[int] = []
    batches = Batches(counted(log))
    batches.hold()
    batches.hold()
    assert log == [0, 1, 2]
    for _ in range(2):
        frames = list(batches)
        assert [frame["a"].item() for frame in frames] == [0, 1, 2]
        assert frames[0].schema == {"a": pl.Int64, "t": pl.Datetime("ns")}
    assert len(list(scratch.rglob("*.arrow"))) == 3
    del batches, frames
    gc.collect()
    assert list(scratch.iterdir()) == []


def test_no_batches_can_be_held_too() -> None:
    batches = Batches([])
    batches.hold()
    assert list(batches) == []
