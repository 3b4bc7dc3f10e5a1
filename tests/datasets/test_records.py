"""A file a node: others stay as they are, and what cannot be read is as if it was not there."""

from __future__ import annotations

from pathlib import Path

from clepsydra.datasets.records import NodeRecordsDataset


def test_records_are_replaced_one_by_one(tmp_path: Path) -> None:
    store = NodeRecordsDataset(str(tmp_path / "records"))
    assert store.load() == {}
    long = "a node of a very long name " * 20
    store.save({"train.a": {"seconds": 1}, "f([x]) -> [y/z]": {}, long: {}, long + "other": {}})
    store.save({"train.a": {"seconds": 2}})
    found = NodeRecordsDataset(str(tmp_path / "records")).load()
    assert set(found) == {"train.a", "f([x]) -> [y/z]", long, long + "other"}
    assert found["train.a"] == {"node": "train.a", "seconds": 2}


def test_what_cannot_be_read_is_not_there(tmp_path: Path) -> None:
    store = NodeRecordsDataset(str(tmp_path))
    store.save({"a": {}, "b": {}})
    (tmp_path / "a.json").write_text('{"node": "a", ')
    (tmp_path / "c.json").write_text("[]")
    (tmp_path / ".1.d.json").write_text('{"node": "d"}')
    assert set(store.load()) == {"b"}
