"""Shards: stable numbers, one namespaced copy of the template each, and nothing lost in between."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.runner import SequentialRunner

from clepsydra.datasets.atomic import ParquetDataset
from clepsydra.sharding import (
    ALL,
    balanced_bounds,
    gather,
    hash_range,
    of_kinds,
    per_shard,
    read_series,
    series_hash,
    sharded,
    split_by_shard,
)


@given(
    st.dictionaries(st.integers(0, ALL[1] - 1), st.integers(1, 1000), max_size=40),
    st.integers(1, 12),
)
def test_shards_cost_about_the_same_and_every_series_is_in_one(
    costs: dict[int, int], n_shards: int
) -> None:
    hashes = sorted(costs)
    weights = np.array([costs[its] for its in hashes], dtype=float)
    bounds = balanced_bounds(np.array(hashes, dtype=np.uint32), weights, n_shards)
    assert (bounds[0], bounds[-1], len(bounds)) == (*ALL, n_shards + 1)
    assert bounds == sorted(bounds)
    shards = [[its for its in hashes if low <= its < high] for low, high in pairs(bounds)]
    assert sorted(itertools.chain(*shards)) == hashes
    most = max((sum(costs[its] for its in shard) for shard in shards), default=0)
    assert most <= 1.1 * sum(costs.values()) / n_shards + max(costs.values(), default=0)


def test_series_of_one_length_are_shared_out_evenly() -> None:
    hashes = np.sort([series_hash(f"s{number}") for number in range(35)])
    bounds = balanced_bounds(hashes, np.ones(35), 4)
    sizes = [int(((hashes >= low) & (hashes < high)).sum()) for low, high in pairs(bounds)]
    assert sorted(sizes) == [8, 9, 9, 9]


def test_with_many_series_alike_a_new_one_moves_no_other() -> None:
    hashes = np.sort([series_hash(f"s{number}") for number in range(20_000)])
    even = [hash_range(number, 4)[0] for number in range(4)]
    for some in (hashes, hashes[1:]):
        assert balanced_bounds(some, np.ones(len(some)), 4) == [*even, ALL[1]]


def pairs(bounds: list[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(bounds))


@given(st.integers(1, 10_000), st.data())
def test_ranges_follow_each_other_from_the_first_hash_to_the_last(
    n_parts: int, data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, n_parts - 1))
    low, high = hash_range(number, n_parts)
    assert low < high
    assert high - low in {ALL[1] // n_parts, ALL[1] // n_parts + 1}
    before = hash_range(number - 1, n_parts)[1] if number else ALL[0]
    after = hash_range(number + 1, n_parts)[0] if number < n_parts - 1 else ALL[1]
    assert (before, after) == (low, high)


@given(
    st.tuples(st.integers(0, 100), st.integers(0, 100)).map(sorted),
    st.integers(1, 20),
    st.integers(0, 110),
)
def test_a_range_is_cut_into_parts_without_loss(
    within: list[int], n_parts: int, number: int
) -> None:
    """Also if there are more parts than hashes: some are empty then."""
    low, high = within
    parts = [hash_range(part, n_parts, within=(low, high)) for part in range(n_parts)]
    holders = [part for part in parts if part[0] <= number < part[1]]
    assert len(holders) == (low <= number < high)


def test_hashes_never_change() -> None:
    ids = ["EWR-OO", "JFK-B6", "LGA-DL", "Zürich", ""]
    hashes = [2759275766, 3116865489, 3687416508, 3540756798, 0]
    assert [series_hash(unique_id) for unique_id in ids] == hashes


def _scale(frame: pd.DataFrame, factor: int) -> pd.DataFrame:
    return frame.assign(y=frame["y"] * factor)


def _shift(frame: pd.DataFrame, shift: int) -> pd.DataFrame:
    return frame.assign(y=frame["y"] + shift)


def test_every_shard_runs_a_copy_of_the_template_on_its_own_data() -> None:
    template = Pipeline(
        [
            node(_scale, ["panel", "params:factor"], "scaled"),
            node(_shift, ["scaled", "shift"], "out"),
        ]
    )
    pipeline = per_shard(template, 3, shared={"shift", "unrelated"})
    assert pipeline.inputs() == {*sharded("panel", 3), "params:factor", "shift"}
    assert pipeline.outputs() == set(sharded("out", 3))
    inputs = {name: pd.DataFrame({"y": [n]}) for n, name in enumerate(sharded("panel", 3))}
    catalog = DataCatalog(
        {
            **{name: MemoryDataset(frame) for name, frame in inputs.items()},
            "params:factor": MemoryDataset(10),
            "shift": MemoryDataset(1),
        }
    )
    found = SequentialRunner().run(pipeline, catalog)
    assert [found[name].load()["y"].tolist() for name in sharded("out", 3)] == [[1], [11], [21]]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 5), st.integers(0, 100)),
        unique_by=lambda row: row[:2],
    ),
    st.integers(1, 5),
)
def test_gathered_shards_are_the_whole_in_order(
    rows: list[tuple[str, int, int]], n_shards: int
) -> None:
    whole = pd.DataFrame(rows, columns=["unique_id", "ds", "y"])
    shard = whole["unique_id"].map(lambda unique_id: series_hash(unique_id) % n_shards)
    found = gather(*(whole[shard == number] for number in range(n_shards)))
    expected = whole.sort_values(["unique_id", "ds"], ignore_index=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=bool(rows))


def test_gathering_empty_shards_keeps_the_columns() -> None:
    empty = pd.DataFrame({"unique_id": [], "y": []})
    assert list(gather(empty, empty).columns) == ["unique_id", "y"]


def test_tables_without_keys_stay_in_the_order_they_came() -> None:
    found = gather(pd.DataFrame({"a": [3, 1]}), pd.DataFrame({"a": [2]}))
    assert found["a"].tolist() == [3, 1, 2]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 100)), max_size=30),
    st.integers(1, 5),
)
def test_a_table_is_split_into_the_series_of_each_shard_in_their_order(
    rows: list[tuple[str, int]], n_shards: int
) -> None:
    table = pd.DataFrame(rows, columns=["unique_id", "y"]).astype({"unique_id": object, "y": int})
    ids = pd.Series([*"abcdefgh"])
    series = pd.DataFrame({"unique_id": ids, "shard": [series_hash(uid) % n_shards for uid in ids]})
    parts = split_by_shard(table, series.sample(frac=1, random_state=0), n_shards)
    assert len(parts) == n_shards
    for number, part in enumerate(parts):
        expected = [row for row in rows if series_hash(row[0]) % n_shards == number]
        assert list(part.itertuples(index=False, name=None)) == expected
        assert part.dtypes.to_dict() == table.dtypes.to_dict()
        assert part.index.tolist() == list(range(len(part)))


@pytest.mark.parametrize("number", [0, 3, 5, 6])
def test_datasets_of_other_than_all_shards_are_refused(number: int) -> None:
    told = f"{number} datasets for 2 shards: a node takes panel and vintages of every shard, 4 in"
    with pytest.raises(ValueError, match=told):
        of_kinds(["a"] * number, 2, "panel", "vintages")


def files(folder: Path, *frames: pd.DataFrame) -> list[Path]:
    paths = [folder / f"{number}.parquet" for number in range(len(frames))]
    for path, frame in zip(paths, frames, strict=True):
        ParquetDataset(filepath=str(path), save_args={"index": False}).save(frame)
    return paths


def test_some_series_are_read_from_the_files_of_all_shards(tmp_path: Path) -> None:
    frames = [
        pd.DataFrame({"unique_id": pd.Series([], dtype=object), "y": pd.Series([], dtype=float)}),
        pd.DataFrame({"unique_id": ["a", "a", "b"], "y": [1.0, 2.0, 3.0]}),
        pd.DataFrame({"unique_id": ["c"], "y": [4.0]}),
        pd.DataFrame({"unique_id": ["d"], "y": [5.0]}),
    ]
    found = read_series(files(tmp_path, *frames), ["d", "a", "unheard of"])
    assert found.to_dict("list") == {"unique_id": ["a", "a", "d"], "y": [1.0, 2.0, 5.0]}
    nothing = read_series(files(tmp_path, *frames), ["unheard of"])
    assert nothing.empty
    assert nothing.dtypes.to_dict() == found.dtypes.to_dict()
