"""The raw store on disk: snapshots that never change, versions by day, and runs cut short."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clepsydra.config import SourcesConfig
from clepsydra.datasets.raw_store import RawStoreDataset, Snapshot
from clepsydra.errors import SourceError
from clepsydra.fingerprint import fingerprint
from clepsydra.pipelines.collect.nodes import collect_sources
from helpers import PROJECT, parameters, text_rows

JULY = [dt.date(2013, 7, number) for number in range(1, 11)]


def snapshot(day: dt.date | None, value: str, seen: dt.date, source: str = "load") -> Snapshot:
    known = day + dt.timedelta(1) if day else dt.date.min
    frame = text_rows([{"id": "a", "time": str(day), "value": value}])
    return Snapshot(source, day, known, seen, frame)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under the folder, with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def values(store: RawStoreDataset, as_of: dt.date | None = None) -> list[str]:
    frame = store.load().read("load", as_of)
    return frame["value"].tolist() if len(frame) else []


@pytest.fixture
def store(tmp_path: Path) -> RawStoreDataset:
    return RawStoreDataset(str(tmp_path / "raw"))


def test_what_is_saved_is_read_in_order_of_days(store: RawStoreDataset) -> None:
    seen = JULY[5]
    store.save([snapshot(JULY[2], "3", seen), snapshot(JULY[0], "1", seen)])
    store.save([snapshot(JULY[1], "2", seen), snapshot(JULY[0], "x", seen, "other")])
    assert values(store) == ["1", "2", "3"]
    assert store.load().days("load") == JULY[:3]
    assert store.load().days("other") == JULY[:1]
    assert store.load().read("nothing").empty
    assert store.load().days("nothing") == []


def test_a_store_is_there_once_it_was_saved(store: RawStoreDataset) -> None:
    assert not store.exists()
    assert store.load().read("load").empty
    store.save([])
    assert store.exists()


def test_saving_again_changes_no_byte(store: RawStoreDataset, tmp_path: Path) -> None:
    snapshots = [snapshot(day, "1", JULY[9]) for day in [None, *JULY]]
    store.save(snapshots)
    before = contents(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    store.save(snapshots)
    assert contents(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times
    assert len(before) == 12


def test_a_revised_day_is_added_and_the_old_one_kept(
    store: RawStoreDataset, tmp_path: Path
) -> None:
    store.save([snapshot(day, "old", JULY[3]) for day in JULY[:3]])
    before = contents(tmp_path)
    store.save([snapshot(JULY[0], "old", JULY[6]), snapshot(JULY[1], "new", JULY[6])])
    after = contents(tmp_path)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"raw/manifest.parquet"}
    assert len(after) == len(before) + 1
    assert values(store) == ["old", "new", "old"]


def test_a_reader_sees_the_version_that_was_known_then(store: RawStoreDataset) -> None:
    store.save([snapshot(JULY[0], "first", JULY[1])])
    store.save([snapshot(JULY[0], "second", JULY[4])])
    store.save([snapshot(JULY[0], "third", JULY[7])])
    found = [values(store, day) for day in JULY]
    assert found == [[], *[["first"]] * 3, *[["second"]] * 3, *[["third"]] * 3]


def test_a_day_is_not_known_before_the_next_morning(store: RawStoreDataset) -> None:
    store.save([snapshot(day, day.isoformat(), JULY[9]) for day in JULY])
    for number, day in enumerate(JULY):
        assert values(store, day) == [str(before) for before in JULY[:number]]


def test_rows_without_a_day_are_known_from_the_beginning_until_they_are_revised(
    store: RawStoreDataset,
) -> None:
    store.save([snapshot(None, "old", JULY[1])])
    store.save([snapshot(None, "new", JULY[5])])
    assert values(store, dt.date(1900, 1, 1)) == ["old"]
    assert values(store, JULY[4]) == ["old"]
    assert values(store, JULY[5]) == ["new"]


@settings(max_examples=12)
@given(
    st.lists(
        st.tuples(st.sampled_from(JULY[:3]), st.sampled_from("ABC"), st.integers(0, 2)),
        max_size=7,
    )
)
def test_any_history_of_revisions_is_read_back_as_it_was_known(
    tmp_path_factory: pytest.TempPathFactory, saves: list[tuple[dt.date, str, int]]
) -> None:
    store = RawStoreDataset(str(tmp_path_factory.mktemp("raw")))
    seen = JULY[3]
    log = []
    for day, value, wait in saves:
        seen += dt.timedelta(wait)
        store.save([snapshot(day, value, seen)])
        log.append((seen, day, value))
    for as_of in (JULY[3] + dt.timedelta(number) for number in range(0, 14, 2)):
        known = {day: value for when, day, value in log if when <= as_of}
        # What was collected first counts as known the morning after its day.
        for _, day, value in log:
            known.setdefault(day, value)
        assert values(store, as_of) == [known[day] for day in sorted(known)]


def test_the_manifest_names_every_file_with_its_size_and_hashes(
    store: RawStoreDataset, tmp_path: Path
) -> None:
    store.save([snapshot(day, str(day), JULY[9]) for day in [None, *JULY]])
    manifest = store.load().manifest
    files = {name for name in contents(tmp_path / "raw") if name != "manifest.parquet"}
    assert set(manifest["path"]) == files
    for row in manifest.itertuples():
        data = (tmp_path / "raw" / row.path).read_bytes()
        frame = pd.read_parquet(tmp_path / "raw" / row.path)
        assert hashlib.sha256(data).hexdigest() == row.sha256
        assert len(data) == row.bytes
        assert fingerprint(frame.drop(columns=["_file", "_line"])) == row.content
        assert row.content.startswith(Path(row.path).stem.rsplit("-", 1)[1])
        assert (len(frame), ",".join(frame.columns)) == (row.rows, row.columns)


def test_columns_that_came_later_are_empty_text_in_earlier_days(store: RawStoreDataset) -> None:
    early = text_rows([{"time": "1", "a": "1"}])
    late = text_rows([{"time": "2", "a": "2", "b": "2"}])
    store.save(
        Snapshot("load", day, day, day, frame)
        for day, frame in zip(JULY, (early, late), strict=False)
    )
    assert store.load().read("load")["b"].tolist() == ["", "2"]


class KilledError(Exception):
    """What stops a save half-way."""


@pytest.mark.parametrize("survivors", range(5))
def test_a_save_cut_short_and_run_again_gives_the_same_store(
    tmp_path: Path, survivors: int
) -> None:
    first = [snapshot(day, "old", JULY[4]) for day in JULY[:4]]
    second = [snapshot(day, "new", JULY[8]) for day in JULY[1:5]]

    def cut() -> Iterator[Snapshot]:
        yield from second[:survivors]
        raise KilledError("killed here")

    whole, broken = (RawStoreDataset(str(tmp_path / name)) for name in ("whole", "broken"))
    for one in (whole, broken):
        one.save(first)
    known = values(broken)
    with pytest.raises(Exception, match="killed here"):
        broken.save(cut())
    assert values(broken) == known, "nothing of the broken save is known"
    broken.save(second)
    whole.save(second)
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


# collect_sources, on the flights


@pytest.fixture(scope="module")
def collected() -> dict[str, list[Snapshot]]:
    sources = SourcesConfig.model_validate(parameters("collect")["sources"])
    return {
        as_of: collect_sources(sources, as_of, str(PROJECT))
        for as_of in ("2013-01-03", "2013-01-05")
    }


def test_collecting_twice_changes_nothing_and_a_later_day_only_adds(
    collected: dict[str, list[Snapshot]], tmp_path: Path
) -> None:
    store = RawStoreDataset(str(tmp_path))
    store.save(collected["2013-01-03"])
    before = contents(tmp_path)
    store.save(collected["2013-01-03"])
    assert contents(tmp_path) == before
    early = store.load().read("flights", dt.date(2013, 1, 3))
    store.save(collected["2013-01-05"])
    after = contents(tmp_path)
    assert {name for name in before if after[name] != before[name]} == {"manifest.parquet"}
    manifest = store.load().manifest
    assert not manifest.duplicated(["source", "day"]).any(), "no day counts as revised"
    assert store.load().days("flights") == [dt.date(2013, 1, day) for day in (1, 2, 3, 4)]
    pd.testing.assert_frame_equal(store.load().read("flights", dt.date(2013, 1, 3)), early)


def test_every_row_before_the_day_of_the_run_is_collected_once(
    collected: dict[str, list[Snapshot]],
) -> None:
    rows = pd.concat(one.frame for one in collected["2013-01-05"] if one.source == "flights")
    assert not rows.duplicated("_line").any()
    shipped = SourcesConfig.model_validate(parameters("collect")["sources"]).target[1]
    assert list(rows.columns) == [*rows.columns[:-2], "_file", "_line"]
    assert set(shipped.needed_columns()) <= set(rows.columns)
    assert rows.groupby(["year", "month", "day"]).size().to_dict() == {
        ("2013", "1", "1"): 842,
        ("2013", "1", "2"): 943,
        ("2013", "1", "3"): 914,
        ("2013", "1", "4"): 915,
    }


def test_undated_rows_stay_together_and_a_day_before_the_data_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,time,value\na,2013-07-01,1\na,soon,2\na,2013-07-02,3\n")
    target = {"role": "target", "path": "*.csv", "id": "id", "time": "time", "value": "value"}
    sources = SourcesConfig.model_validate({"load": target})
    found = collect_sources(sources, "latest", str(tmp_path))
    assert [(one.day, one.frame["value"].tolist()) for one in found] == [
        (None, ["2"]),
        (JULY[0], ["1"]),
        (JULY[1], ["3"]),
    ]
    assert {one.seen_on for one in found} == {JULY[2]}
    with pytest.raises(SourceError, match=r"as_of 2013-07-01 is before the first data of.*'load'"):
        collect_sources(sources, "2013-07-01", str(tmp_path))
