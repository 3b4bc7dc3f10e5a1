"""A row a node, whatever ran and wherever."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.pipeline import Pipeline, node

from clepsydra import profile as module
from clepsydra.profile import (
    NodeWatch,
    dependencies_of,
    explained,
    parallel_efficiency,
    profile_table,
    seconds_of_path,
    usage,
)
from profiles import profile_of

OLD = ["run_id", "node", "stage", "pid", "start", "seconds", "cpu_seconds", "peak_mb"]
NEW = ["bytes_read", "bytes_written", "waited_seconds", "on_critical_path"]
EMPTY = profile_table([], Pipeline([]), "run-1")


def _copy(value: str) -> str:
    return value


PIPELINE = Pipeline(
    [
        node(_copy, "a", "b", name="first", namespace="clean"),
        node(_copy, "b", "c", name="second", namespace="train.shard_0"),
        node(_copy, "b", "d", name="third", namespace="train.shard_1"),
    ]
)


def event(name: str, pid: int, start: float, seconds: float, **counts: int) -> dict[str, Any]:
    begin = {"time": start, "cpu": 1.0, **dict.fromkeys(counts, 5)}
    end = {"time": start + seconds, "cpu": 1.0 + seconds / 2, "peak_mb": 1234.56}
    end |= {key: 5 + value for key, value in counts.items()}
    return {"node": name, "pid": pid, "start": begin, "end": end}


FIRST = event("clean.first", 1, 1_000.0, 2.0, read=70, written=9)
SECOND = event("train.shard_0.second", 2, 1_002.5, 6.0)
THIRD = event("train.shard_1.third", 1, 1_002.0, 1.0)


def test_a_row_a_node_in_order_of_time() -> None:
    table = profile_table([SECOND, THIRD, FIRST], PIPELINE, "run-1")
    assert table.columns.tolist() == OLD + NEW
    assert table["node"].str.split(".").str[-1].tolist() == ["first", "third", "second"]
    assert table["run_id"].tolist() == ["run-1"] * 3
    assert table["stage"].tolist() == ["clean", "train", "train"]
    assert table["start"].tolist()[0] == pd.Timestamp(1_000, unit="s")
    assert table["seconds"].tolist() == [2.0, 1.0, 6.0]
    assert table["cpu_seconds"].tolist() == [1.0, 0.5, 3.0]
    assert table["peak_mb"].tolist() == [1234.6] * 3
    assert table["bytes_read"].tolist() == [70, pd.NA, pd.NA]
    assert table["bytes_written"].tolist() == [9, pd.NA, pd.NA]
    assert table["waited_seconds"].tolist() == [0.0, 0.0, 0.5]
    assert table["on_critical_path"].tolist() == [True, False, True]
    assert seconds_of_path(table) == 8.0


def test_a_part_of_the_nodes_is_a_profile_too(tmp_path: Path) -> None:
    """Some nodes failed, or were skipped: those before them count."""
    table = profile_table([SECOND], PIPELINE, "run-1")
    assert table["waited_seconds"].tolist() == [0.0]
    assert table["on_critical_path"].tolist() == [True]
    unknown = profile_table([event("gone", 1, 0.0, 1.0)], PIPELINE, "run-1")
    assert unknown["stage"].tolist() == [""]


def test_no_nodes_are_a_profile_that_can_be_kept_and_put_before_others(tmp_path: Path) -> None:
    assert EMPTY.columns.tolist() == OLD + NEW
    assert seconds_of_path(EMPTY) == 0.0
    EMPTY.to_parquet(tmp_path / "empty.parquet", index=False)
    back = pd.read_parquet(tmp_path / "empty.parquet")
    assert back.columns.tolist() == OLD + NEW
    full = profile_table([FIRST], PIPELINE, "run-1")
    assert pd.concat([back, full], ignore_index=True)["bytes_read"].tolist() == [70]


def test_counts_of_bytes_survive_the_file(tmp_path: Path) -> None:
    table = profile_table([FIRST, SECOND], PIPELINE, "run-1")
    table.to_parquet(tmp_path / "profile.parquet", index=False)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "profile.parquet"), table)


def test_what_is_explained_can_be_explained_anew_with_more_nodes() -> None:
    parts = [profile_table([its], PIPELINE, "run-1") for its in (FIRST, THIRD, SECOND)]
    whole = explained(pd.concat(parts, ignore_index=True), dependencies_of(PIPELINE))
    expected = profile_table([FIRST, THIRD, SECOND], PIPELINE, "run-1")
    pd.testing.assert_frame_equal(whole, expected)


def test_dependencies_are_those_of_the_data() -> None:
    assert dependencies_of(PIPELINE) == {
        "clean.first": set(),
        "train.shard_0.second": {"clean.first"},
        "train.shard_1.third": {"clean.first"},
    }


def test_processes_are_busy_for_a_share_of_the_time() -> None:
    profile = profile_of(("clean.a", 1, 0.0, 2.0), ("clean.b", 2, 4.0, 10.0))
    assert parallel_efficiency(profile, 10.0) == (2, pytest.approx(0.4))
    assert parallel_efficiency(EMPTY, 0.0) == (1, 0.0)


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts bytes")
def test_a_node_is_charged_what_it_uses_and_nothing_before(tmp_path: Path) -> None:
    path, size = tmp_path / "numbers.parquet", 4_000_000
    np.ones(300_000_000, dtype=np.uint8).sum()
    pd.DataFrame({"x": np.random.default_rng(0).normal(size=size // 8)}).to_parquet(path)
    pd.read_parquet(path)
    watch = NodeWatch()
    pd.read_parquet(path)
    (tmp_path / "copy").write_bytes(bytes(1_000_000))
    found = watch.event("first")
    table = profile_table([found], PIPELINE, "run-1").iloc[0]
    assert table["pid"] == os.getpid()
    assert size < table["bytes_read"] < 1.2 * size
    assert 1_000_000 <= table["bytes_written"] < 1_010_000
    assert watch._memory.before <= found["end"]["peak_mb"] < watch._memory.before + 100
    assert 0 < table["seconds"] < 30


def test_without_counts_of_bytes_they_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IO", Path("/nowhere/at/all"))
    table = profile_table([NodeWatch().event("first")], PIPELINE, "run-1")
    assert table["bytes_read"].isna().all()
    assert table["peak_mb"].min() > 10


def test_usage_counts_up() -> None:
    before = usage()
    sum(number * number for number in range(200_000))
    after = usage()
    assert all(after[name] >= value for name, value in before.items())
    assert after["cpu"] > 0


def test_watching_a_node_costs_next_to_nothing() -> None:
    begun = time.perf_counter()
    for _ in range(100):
        NodeWatch().event("first")
    assert (time.perf_counter() - begun) / 100 < 0.01
