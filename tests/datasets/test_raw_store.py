"""The raw store on disk: snapshots that never change, versions by day, and runs cut short."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from feeds import JULY, Row, batch_of, contents, feed_of, rows_in, snapshots, values
from hypothesis import given, settings
from hypothesis import strategies as st
from kedro.io import DataCatalog
from polars.testing import assert_frame_equal

from clepsydra.datasets import arrivals, raw_files
from clepsydra.datasets.raw_files import SnapshotWriter
from clepsydra.datasets.raw_store import Feed, RawStore, RawStoreDataset
from clepsydra.errors import SourceError
from clepsydra.fingerprint import fingerprint_texts
from clepsydra.row_columns import DAY, HASH, LOCAL
from clepsydra.series_ids import key_of, make_hasher
from clepsydra.sharding import hash_range, series_hash
from helpers import make_source

IDS = ["a", "b", "c", "ü", ""]
DAYS = st.sampled_from([None, *JULY[:5]])
ROWS = st.lists(st.tuples(st.sampled_from(IDS), DAYS, st.sampled_from("123")), max_size=25)


@pytest.fixture
def store(tmp_path: Path) -> RawStoreDataset:
    return RawStoreDataset(str(tmp_path / "raw"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "raw"


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is full with four rows, and a row group with two."""
    monkeypatch.setattr(arrivals, "_FILE_ROWS", 4)
    monkeypatch.setattr(raw_files, "_GROUP_ROWS", 2)


def new_store(factory: pytest.TempPathFactory) -> tuple[RawStoreDataset, Path]:
    folder = factory.mktemp("raw")
    return RawStoreDataset(str(folder)), folder


# Reading what was saved


def test_what_is_saved_is_read(store: RawStoreDataset) -> None:
    store.save(feed_of([("a", JULY[2], "3"), ("a", JULY[0], "1")]))
    store.save(feed_of([("a", JULY[1], "2")]))
    assert rows_in(store.load().read()) == [
        ("a", JULY[0], "1"),
        ("a", JULY[2], "3"),
        ("a", JULY[1], "2"),
    ]
    assert store.load().days() == JULY[:3]
    frame = store.load().read(days=[JULY[2]])
    assert frame.select("time", "value", "_file", "_line").rows() == [
        ("2013-07-03", "3", "a.csv", 2)
    ]
    assert LOCAL not in frame.columns


def test_a_store_is_there_once_it_was_saved(store: RawStoreDataset) -> None:
    assert not store.exists()
    assert store.load().read().is_empty()
    store.save(feed_of())
    assert store.exists()
    assert store.load().read().is_empty()
    assert store.load().known().empty
    assert store.load().days() == []
    store.save(feed_of(batch_of([])))
    assert store.load().manifest.empty


def test_chosen_days_are_read_and_no_other(store: RawStoreDataset) -> None:
    store.save(feed_of([("a", day, str(day)) for day in [None, *JULY[:4]]]))
    raw = store.load()
    assert rows_in(raw.read(days=[JULY[1], JULY[3], JULY[9]])) == [
        ("a", JULY[1], "2013-07-02"),
        ("a", JULY[3], "2013-07-04"),
    ]
    assert rows_in(raw.read(days=[None])) == [("a", None, "None")]
    assert raw.read(days=[]).is_empty()
    assert raw.read(JULY[2], days=[JULY[2]]).is_empty(), "not known yet"


@settings(max_examples=25)
@given(ROWS, st.integers(1, 3))
def test_every_row_is_read_once_whatever_part_of_the_series_is_asked_for(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], n_parts: int
) -> None:
    store, _ = new_store(tmp_path_factory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrivals, "_FILE_ROWS", 4)
        patch.setattr(raw_files, "_GROUP_ROWS", 2)
        store.save(feed_of(rows))
    raw = store.load()
    parts = [raw.read(hashes=hash_range(number, n_parts)) for number in range(n_parts)]
    assert Counter(itertools.chain(*map(rows_in, parts))) == Counter(rows)
    for number, part in enumerate(parts):
        low, high = hash_range(number, n_parts)
        assert all(low <= series_hash(row[0]) < high for row in rows_in(part))


@settings(max_examples=25)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=30), st.integers(1, 40))
def test_ranges_of_hashes_cut_a_store_without_loss(
    tmp_path_factory: pytest.TempPathFactory, hashes: list[int], n_parts: int
) -> None:
    store, _ = new_store(tmp_path_factory)
    edges = [edge for number in range(n_parts) for edge in hash_range(number, n_parts)]
    hashes = [*hashes, *(edge for edge in edges if edge < 2**32)]
    frame = batch_of(("a", JULY[0], str(number)) for number in range(len(hashes)))

    def hasher(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(pl.Series(HASH, hashes, pl.UInt32))

    store.save(feed_of(frame, hasher=hasher))
    raw = store.load()
    parts = [raw.read(hashes=hash_range(number, n_parts)) for number in range(n_parts)]
    found = [value for part in parts for _, _, value in rows_in(part)]
    assert sorted(found, key=int) == [str(number) for number in range(len(hashes))]


def test_rows_that_were_hashed_on_other_columns_are_hashed_again(store: RawStoreDataset) -> None:
    shops = make_source(id=["shop", "item"])
    ids = list(itertools.product("abc", "xyz"))
    frame = batch_of(("", JULY[0], "-".join(pair)) for pair in ids)
    frame = frame.with_columns(
        pl.Series("shop", [shop for shop, _ in ids]), pl.Series("item", [item for _, item in ids])
    )
    old = make_source(id="shop")
    store.save(feed_of(frame, source=old))
    later = frame.with_columns(pl.lit(JULY[1]).cast(pl.Datetime("ns")).alias(LOCAL))
    store.save(feed_of(later, source=shops))
    raw = store.load()
    assert list(raw.manifest["key"]) == ["shop", "shop,item"]
    for number in range(4):
        low, high = hash_range(number, 4)
        frame = raw.read(hashes=(low, high), key=key_of(shops), rehash=make_hasher(shops))
        expected = [name for name in map("-".join, ids) if low <= series_hash(name) < high]
        for day in JULY[:2]:
            chosen = frame.filter(pl.col(DAY) == day)
            assert sorted(chosen["value"]) == expected
            assert chosen[HASH].to_list() == [series_hash(name) for name in chosen["value"]]
    assert raw.read()[HASH].unique().sort().to_list() == sorted(
        {series_hash(name) for name in [*"abc", *map("-".join, ids)]}
    ), "who asks for no key gets the hashes as they were made"


def test_rows_of_a_series_keep_their_order_however_many_there_are(store: RawStoreDataset) -> None:
    rows = [("ab"[number % 2], JULY[number % 3], str(number)) for number in range(30_000)]
    store.save(feed_of(rows[:20_000], rows[20_000:]))
    frame = store.load().read()
    assert frame.height == len(rows)
    for (name, day), part in frame.group_by("id", DAY):
        expected = [value for one, when, value in rows if (one, when) == (name, day)]
        assert part["value"].to_list() == expected


# Versions


def test_saving_again_changes_no_byte(store: RawStoreDataset, root: Path) -> None:
    rows = [(name, day, "1") for day in [None, *JULY[:9]] for name in "ab"]
    store.save(feed_of(rows, state=lambda: {"after": 1}))
    before = contents(root)
    times = {name: (root / name).stat().st_mtime_ns for name in before if name != ".lock"}
    store.save(feed_of(rows, state=lambda: {"after": 1}))
    assert contents(root) == before
    assert {name: (root / name).stat().st_mtime_ns for name in times} == times
    assert set(before) == {"manifest.parquet", "state.json", ".lock", *snapshots(root)}
    assert len(snapshots(root)) == 2, "undated rows are by themselves"
    assert not any(before[".lock"])


def test_a_revised_day_is_added_and_the_old_one_kept(store: RawStoreDataset, root: Path) -> None:
    store.save(feed_of([("a", day, "old") for day in JULY[:3]], seen_on=JULY[3]))
    before = contents(root)
    store.save(feed_of([("a", JULY[0], "old"), ("a", JULY[1], "new")], seen_on=JULY[6]))
    after = contents(root)
    assert {name for name in before if after[name] != before[name]} == {"manifest.parquet"}
    assert len(after) == len(before) + 1
    raw = store.load()
    assert values(raw) == ["old", "new", "old"]
    assert values(raw, JULY[5]) == ["old", "old", "old"]
    assert list(raw.known()["path"]) == [
        "2013-07-01_2013-07-03" + raw.manifest["path"][0][-21:],
        "2013-07-02" + raw.manifest["path"][3][-21:],
        "2013-07-01_2013-07-03" + raw.manifest["path"][0][-21:],
    ]
    newest = pl.read_parquet(root / raw.manifest["path"].iloc[-1])
    assert rows_in(newest) == [("a", JULY[1], "new")], "only the day that changed"


def test_a_revised_day_of_many_in_a_file_is_read_in_its_place(store: RawStoreDataset) -> None:
    names = ["a", "b", "c"]
    store.save(feed_of([(name, day, "1") for day in JULY[:9] for name in names], seen_on=JULY[9]))
    store.save(feed_of([(name, JULY[4], "2") for name in names[1:]], seen_on=JULY[12]))
    store.save(feed_of([(name, JULY[7], "3") for name in names], seen_on=JULY[14]))
    raw = store.load()

    def expected(revised: dict[dt.date, list[Row]]) -> list[Row]:
        days = {day: [(name, day, "1") for name in names] for day in JULY[:9]} | revised
        return sorted(itertools.chain(*days.values()))

    second = {JULY[4]: [("b", JULY[4], "2"), ("c", JULY[4], "2")]}
    third = second | {JULY[7]: [(name, JULY[7], "3") for name in names]}
    assert sorted(rows_in(raw.read(JULY[11]))) == expected({})
    assert sorted(rows_in(raw.read(JULY[13]))) == expected(second)
    assert sorted(rows_in(raw.read())) == expected(third)
    assert raw.known(JULY[13])["rows"].sum() == 26


def test_a_reader_sees_the_version_that_was_known_then(store: RawStoreDataset) -> None:
    store.save(feed_of([("a", JULY[0], "first")], seen_on=JULY[1]))
    store.save(feed_of([("a", JULY[0], "second")], seen_on=JULY[4]))
    store.save(feed_of([("a", JULY[0], "third")], seen_on=JULY[7]))
    found = [values(store.load(), day) for day in JULY[:10]]
    assert found == [[], *[["first"]] * 3, *[["second"]] * 3, *[["third"]] * 3]


def test_a_day_that_is_as_it_was_before_is_a_version_of_its_own(
    store: RawStoreDataset, root: Path
) -> None:
    """The old rows stay where they are, though the new file stands for the same cells."""
    lines = itertools.count(2)
    for number, value in enumerate(["1", "2", "1", "2", "1"]):
        frame = batch_of([("a", JULY[0], value)])
        frame = frame.with_columns(pl.lit(next(lines), pl.Int64).alias("_line"))
        store.save(feed_of(frame, seen_on=JULY[1 + number]))
    raw = store.load()
    assert len(snapshots(root)) == raw.manifest["path"].nunique() == 5
    for number, value in enumerate(["1", "2", "1", "2", "1"]):
        frame = raw.read(JULY[1 + number])
        assert frame.select("value", "_line").rows() == [(value, number + 2)]


def test_a_day_is_not_known_before_the_next_morning(store: RawStoreDataset) -> None:
    store.save(feed_of([("a", day, day.isoformat()) for day in JULY], seen_on=JULY[9]))
    for number, day in enumerate(JULY):
        assert values(store.load(), day) == [str(before) for before in JULY[:number]]
    store.save(feed_of([("a", JULY[4], "new")], seen_on=JULY[1]))
    assert values(store.load(), JULY[4]) == [str(before) for before in JULY[:4]]
    assert values(store.load(), JULY[5])[-1] == "new"


def test_a_day_known_in_advance_is_known_from_the_beginning_until_it_is_revised(
    store: RawStoreDataset,
) -> None:
    store.save(feed_of([("a", JULY[9], "old")], seen_on=JULY[1], in_advance=True))
    store.save(feed_of([("a", JULY[9], "new")], seen_on=JULY[4], in_advance=True))
    found = [values(store.load(), day) for day in (dt.date(1900, 1, 1), *JULY[2:6])]
    assert found == [["old"], ["old"], ["old"], ["new"], ["new"]]


def test_rows_without_a_day_are_known_from_the_beginning_until_they_are_revised(
    store: RawStoreDataset,
) -> None:
    store.save(feed_of([("a", None, "old"), ("a", JULY[0], "1")], seen_on=JULY[1]))
    store.save(feed_of([("a", None, "new"), ("a", JULY[0], "1")], seen_on=JULY[5]))
    raw = store.load()
    assert values(raw, dt.date(1900, 1, 1)) == ["old"]
    assert values(raw, JULY[4]) == ["old", "1"]
    assert values(raw, JULY[5]) == ["new", "1"]
    assert raw.days() == [JULY[0]]


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(DAYS, st.lists(st.sampled_from("AB"), min_size=1, max_size=2)),
            st.integers(0, 2),
            st.sampled_from([3, 100]),
        ),
        max_size=6,
    )
)
def test_any_history_of_revisions_is_read_back_as_it_was_known(
    tmp_path_factory: pytest.TempPathFactory,
    saves: list[tuple[dict[dt.date | None, list[str]], int, int]],
) -> None:
    store, folder = new_store(tmp_path_factory)
    seen = JULY[5]
    log: list[tuple[dt.date, dt.date | None, list[str]]] = []
    for days, wait, file_rows in saves:
        seen += dt.timedelta(wait)
        rows = [("a", day, value) for day, cells in days.items() for value in cells]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(arrivals, "_FILE_ROWS", file_rows)
            store.save(feed_of(rows, seen_on=seen))
        log += [(seen, day, cells) for day, cells in days.items()]
    raw = store.load()
    assert len(snapshots(folder)) == raw.manifest["path"].nunique()
    first = next((dict.fromkeys(days, log[0][0]) for days, *_ in saves if days), {})
    for as_of in (JULY[5] + dt.timedelta(number) for number in range(0, 14, 2)):
        known = {day: cells for when, day, cells in log if when <= as_of}
        # What the first run found counts as known the morning after its day.
        for when, day, cells in log:
            if day in first and when == first[day]:
                known.setdefault(day, cells)
        found: dict[dt.date | None, list[str]] = {}
        for _, day, value in rows_in(raw.read(as_of)):
            found.setdefault(day, []).append(value)
        assert found == known


# What is a revision


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda rows: rows.reverse(), id="series in another order"),
        pytest.param(lambda rows: rows.with_columns(pl.lit("").alias("note")), id="empty column"),
        pytest.param(lambda rows: rows.with_columns(pl.col("_line") + 7), id="other lines"),
        pytest.param(lambda rows: rows.with_columns(pl.lit("b").alias("_file")), id="other file"),
        pytest.param(lambda rows: rows.select(reversed(rows.columns)), id="columns in other order"),
    ],
)
def test_rows_that_only_moved_are_no_revision(
    store: RawStoreDataset, root: Path, change: Any
) -> None:
    rows = batch_of((name, day, f"{name}{day}") for day in [None, *JULY[:3]] for name in IDS)
    store.save(feed_of(rows))
    before = contents(root)
    store.save(feed_of(change(rows), seen_on=JULY[20]))
    assert contents(root) == before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda rows: rows.head(-1), id="a row less"),
        pytest.param(lambda rows: pl.concat([rows, rows.tail(1)]), id="a row twice"),
        pytest.param(lambda rows: rows.with_columns(pl.lit("x").alias("note")), id="a column"),
        pytest.param(lambda rows: rows.rename({"value": "v"}), id="another name"),
        pytest.param(lambda rows: rows.with_columns(pl.lit("9").alias("value")), id="values"),
        pytest.param(lambda rows: rows.reverse(), id="rows of a series in another order"),
    ],
)
def test_anything_else_is_a_revision(store: RawStoreDataset, change: Any) -> None:
    rows = batch_of([("a", JULY[0], "1"), ("a", JULY[0], "2")])
    store.save(feed_of(rows))
    store.save(feed_of(change(rows), seen_on=JULY[20]))
    raw = store.load()
    assert raw.manifest["day"].tolist() == ["2013-07-01"] * 2
    assert raw.manifest["known_from"].tolist() == ["2013-07-02", "2013-07-21"]


# The manifest


@pytest.mark.usefixtures("small_files")
def test_the_manifest_says_what_is_in_every_file(store: RawStoreDataset, root: Path) -> None:
    rows = [(name, day, "1.5") for day in [None, *JULY[:5]] for name in "ab"]
    store.save(feed_of(rows, seen_on=JULY[9]))
    store.save(feed_of([("a", JULY[1], "x")], seen_on=JULY[10]))
    manifest = store.load().manifest
    assert sorted(set(manifest["path"])) == snapshots(root)
    assert manifest["day"].tolist() == ["", *map(str, JULY[:5]), "2013-07-02"]
    assert manifest["rows"].tolist() == [2, 2, 2, 2, 2, 2, 1]
    assert manifest["seen_on"].tolist() == [*["2013-07-10"] * 6, "2013-07-11"]
    assert set(manifest["key"]) == {"id"}
    for path, days in manifest.groupby("path"):
        data = (root / str(path)).read_bytes()
        frame = pl.read_parquet(root / str(path))
        (entry,) = (
            days[["file_rows", "bytes", "sha256", "first_day", "last_day"]]
            .drop_duplicates()
            .itertuples(index=False)
        )
        assert entry.file_rows == frame.height == days["rows"].sum() <= 4
        assert entry.bytes == len(data)
        assert entry.sha256 == hashlib.sha256(data).hexdigest()
        assert (entry.first_day, entry.last_day) == (days["day"].min(), days["day"].max())
        assert frame[HASH].is_sorted()
        counts = {str(day or ""): size for day, size in frame[DAY].value_counts().iter_rows()}
        assert counts == dict(zip(days["day"], days["rows"], strict=True))
        kinds = {"id": "text", "time": "time", "value": "number"}
        if days["day"].iloc[0] == "":
            kinds["time"] = "text"
        if days["rows"].sum() == 1:
            kinds["value"] = "text"
        assert [json.loads(text) for text in set(days["columns"])] == [kinds]


def test_the_manifest_knows_equal_days_by_their_content(store: RawStoreDataset) -> None:
    rows = batch_of([("a", JULY[0], "1"), ("a", JULY[1], "1"), ("a", JULY[2], "2")])
    store.save(feed_of(rows.with_columns(pl.lit("same").alias("time"))))
    first, second, third = store.load().manifest["content"]
    assert first == second != third


def test_the_manifest_says_how_far_the_times_of_a_day_are_apart(store: RawStoreDataset) -> None:
    hours = [dt.datetime(2013, 7, 1, hour) for hour in range(24)]
    halves = [dt.datetime(2013, 7, 2) + dt.timedelta(minutes=30 * number) for number in range(48)]
    times = pl.Series(LOCAL, [*hours, *halves], pl.Datetime("ns"))
    rows = batch_of([("a", None, "1")] * len(times)).with_columns(times)
    store.save(feed_of(rows, batch_of([("a", None, "1"), ("a", JULY[2], "1")])))
    steps = store.load().manifest.set_index("day")["step_s"]
    assert steps.dropna().to_dict() == {"2013-07-01": 3600.0, "2013-07-02": 1800.0}


def test_columns_that_came_later_are_empty_text_in_earlier_days(store: RawStoreDataset) -> None:
    early = batch_of([("a", JULY[0], "1")])
    late = batch_of([("a", JULY[1], "2")]).with_columns(pl.lit("n").alias("note"))
    store.save(feed_of(early))
    store.save(feed_of(early, late))
    assert store.load().read()["note"].to_list() == ["", "n"]
    assert len(store.load().manifest) == 2
    store.save(feed_of(batch_of([("a", JULY[2], "3")]), late.with_columns(value=pl.lit("4"))))
    raw = store.load()
    assert raw.read(days=JULY[1:3]).sort(DAY)["note"].to_list() == ["n", ""]


# Feeds of several batches


FEW_ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from([None, *JULY[:3]]), st.sampled_from("12")),
    max_size=3,
)


@settings(max_examples=40)
@given(
    st.lists(FEW_ROWS, max_size=7),
    st.sampled_from([1, 2, 100]),
    st.sampled_from([0, 3, 100]),
    st.sampled_from([None, *JULY[:3]]),
)
def test_several_batches_are_stored_as_one(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[Row]],
    file_rows: int,
    held_rows: int,
    known: dt.date | None,
) -> None:
    """In whatever order the days come, on disk or in memory; the rows of a series keep theirs."""
    (one, _), (many, folder) = (new_store(tmp_path_factory) for _ in range(2))
    frames = [batch_of(rows, file=f"{number}.csv") for number, rows in enumerate(batches)]
    # What is stored already: the first rows of a day.
    first = pl.concat([batch_of([]), *frames[:2]]).filter(pl.col(LOCAL).eq_missing(pl.lit(known)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrivals, "_FILE_ROWS", file_rows)
        patch.setattr(arrivals, "_HELD_ROWS", held_rows)
        for store, parts in ((one, [pl.concat([batch_of([]), *frames])]), (many, frames)):
            store.save(feed_of(first, seen_on=JULY[6]))
            store.save(feed_of(*parts))
        before = contents(folder)
        many.save(feed_of(*frames))
        assert contents(folder) == before
    versions = ["day", "known_from", "seen_on", "rows", "content"]
    as_one, as_many = (
        store.load().manifest.sort_values(["day", "seen_on"], ignore_index=True)[versions]
        for store in (one, many)
    )
    pd.testing.assert_frame_equal(as_many, as_one)
    if any(batches):
        cells = ["id", DAY, "value", "_file", "_line"]
        by_series = [
            store.load().read().sort("id", DAY, maintain_order=True).select(cells)
            for store in (one, many)
        ]
        assert_frame_equal(*by_series)
        assert by_series[0].height == sum(map(len, batches))


def test_rows_that_come_late_stand_after_those_of_their_day(
    store: RawStoreDataset, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two days are given out as a file; then one of them gets two rows more."""
    monkeypatch.setattr(arrivals, "_FILE_ROWS", 4)
    times = [dt.datetime(2013, 7, 1), *(dt.datetime(2013, 7, 2, hour) for hour in range(3))]
    rows = batch_of([("a", JULY[0], "1"), *(("a", None, str(n)) for n in range(3))])
    rows = rows.with_columns(pl.Series(LOCAL, times, pl.Datetime("ns")))
    late = [batch_of([("a", JULY[1], value)]) for value in "34"]
    feed = [rows, batch_of([("a", JULY[2], "x")]), *late]
    store.save(feed_of(*feed))
    raw = store.load()
    assert raw.read(days=[JULY[1]])["value"].to_list() == ["0", "1", "2", "3", "4"]
    assert sorted(raw.read(days=[JULY[0], JULY[2]])["value"]) == ["1", "x"]
    days = raw.manifest.set_index("day")
    assert days["rows"].to_dict() == {"2013-07-01": 1, "2013-07-02": 5, "2013-07-03": 1}
    assert days["step_s"].dropna().to_dict() == {"2013-07-02": 3600}
    assert sorted(set(days["path"])) == snapshots(root)
    store.save(feed_of(rows, batch_of([("a", JULY[2], "x")]), seen_on=JULY[10]))
    assert store.load().read(days=[JULY[1]])["value"].to_list() == ["0", "1", "2"]
    store.save(feed_of(*feed, seen_on=JULY[11]))
    again = store.load()
    assert again.read(days=[JULY[1]])["value"].to_list() == ["0", "1", "2", "3", "4"]
    assert again.manifest["day"].tolist() == [*raw.manifest["day"], *["2013-07-02"] * 2]
    assert again.manifest["step_s"].iloc[-1] == 3600


def test_rows_that_come_late_are_added_to_a_day_that_was_hashed_on_other_columns(
    store: RawStoreDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "_FILE_ROWS", 1)
    first, second = batch_of([("a", JULY[0], "1")]), batch_of([("b", JULY[1], "1")])
    late = batch_of([("a", JULY[0], "2")])
    store.save(feed_of(first, source=make_source(id="value")))
    store.save(feed_of(first, second, late))
    rows = store.load().read()
    assert sorted(rows_in(rows)) == [("a", JULY[0], "1"), ("a", JULY[0], "2"), ("b", JULY[1], "1")]
    assert rows[HASH].to_list() == [series_hash(name) for name in rows["id"]]


def test_batches_with_different_columns_are_put_together(store: RawStoreDataset) -> None:
    frames = [
        batch_of([("a", JULY[1], "1")]).with_columns(pl.lit("x").alias("left")),
        batch_of([("a", JULY[0], "2"), ("a", JULY[1], "3")]),
        batch_of([("a", JULY[1], "4")]).with_columns(pl.lit("y").alias("right")),
    ]
    store.save(feed_of(*frames))
    found = store.load().read().sort("value").select("value", "left", "right").rows()
    assert found == [("1", "x", ""), ("2", "", ""), ("3", "", ""), ("4", "", "y")]


@pytest.mark.usefixtures("small_files")
def test_a_file_is_full_with_so_many_rows_and_a_day_is_never_cut(
    store: RawStoreDataset, root: Path
) -> None:
    sizes = [1, 2, 1, 7, 1, 3, 2]
    rows = [("a", day, "1") for day, size in zip(JULY, sizes, strict=False) for _ in range(size)]
    store.save(feed_of(rows))
    spans = [name.rsplit("-", 1)[0] for name in snapshots(root)]
    assert spans == ["2013-07-01_2013-07-03", "2013-07-04", "2013-07-05_2013-07-06", "2013-07-07"]
    assert pl.scan_parquet(root / snapshots(root)[1]).collect().height == 7


def test_nothing_is_left_beside_the_files(store: RawStoreDataset, root: Path) -> None:
    store.save(feed_of([("a", JULY[0], "1")], [("a", JULY[1], "1")], state=lambda: {"a": 1}))
    found = {path.name for path in root.iterdir()}
    assert found == {"manifest.parquet", "state.json", ".lock", *snapshots(root)}


# Feeds that hold a part of their days

IDENTITY = ["id", "time"]


def partial_feed(*batches: Any, seen_on: dt.date = JULY[9]) -> Feed:
    return feed_of(*batches, seen_on=seen_on, identity=IDENTITY)


def test_rows_of_a_part_replace_those_of_the_same_identity(store: RawStoreDataset) -> None:
    store.save(partial_feed([(name, day, "1") for day in [None, *JULY[:2]] for name in "ab"]))
    store.save(partial_feed([("b", JULY[1], "2"), ("c", JULY[1], "2")], seen_on=JULY[11]))
    raw = store.load()
    assert sorted(rows_in(raw.read(days=[JULY[1]]))) == [
        ("a", JULY[1], "1"),
        ("b", JULY[1], "2"),
        ("c", JULY[1], "2"),
    ]
    assert len(raw.manifest) == 4, "the other days are as they were"
    assert sorted(rows_in(raw.read(JULY[10], days=[JULY[1]]))) == [
        ("a", JULY[1], "1"),
        ("b", JULY[1], "1"),
    ]
    store.save(partial_feed([("b", None, "2")], seen_on=JULY[12]))
    assert sorted(rows_in(store.load().read(days=[None]))) == [("a", None, "1"), ("b", None, "2")]


def test_a_part_that_is_known_already_is_no_revision(store: RawStoreDataset, root: Path) -> None:
    """Whatever place its rows had: a reading that looks back brings some rows again."""
    hours = [f"2013-07-01 0{hour}:00" for hour in range(5)]
    times = pl.Series(LOCAL, [dt.datetime.fromisoformat(hour) for hour in hours], pl.Datetime("ns"))
    rows = batch_of([("a", None, str(number)) for number in range(5)])
    rows = rows.with_columns(times, pl.Series("time", hours))
    store.save(partial_feed(rows))
    before = contents(root)
    for some in (rows[1:3], rows[4:], rows[:1], rows[[0, 2, 4]], rows):
        store.save(partial_feed(some, seen_on=JULY[11]))
        assert contents(root) == before


def test_columns_that_a_part_lacks_stay_in_the_other_rows(store: RawStoreDataset) -> None:
    wide = batch_of([("a", JULY[0], "1"), ("b", JULY[0], "1")])
    store.save(partial_feed(wide.with_columns(pl.lit("x").alias("note"))))
    store.save(partial_feed([("b", JULY[0], "2")]))
    found = store.load().read().select("id", "value", "note").sort("id").rows()
    assert found == [("a", "1", "x"), ("b", "2", "")]


def test_the_step_of_a_day_is_not_taken_from_a_part_of_it(store: RawStoreDataset) -> None:
    hours = [f"2013-07-01 {hour:02}:00" for hour in range(24)]
    times = pl.Series(LOCAL, [dt.datetime.fromisoformat(hour) for hour in hours], pl.Datetime("ns"))
    rows = batch_of([("a", None, "1")] * 24).with_columns(times, pl.Series("time", hours))
    store.save(partial_feed(rows))
    store.save(partial_feed(rows[[0, 6, 12]].with_columns(pl.lit("2").alias("value"))))
    first, second = store.load().manifest["step_s"]
    assert first == 3600
    assert second != 6 * 3600


UNIQUE_ROWS = st.lists(
    st.tuples(st.sampled_from(IDS), DAYS, st.sampled_from("123")),
    max_size=8,
    unique_by=lambda row: row[:2],
)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(UNIQUE_ROWS, st.integers(1, 4)), max_size=4),
    st.sampled_from([1, 4, 100]),
)
def test_any_parts_add_up_to_the_newest_row_of_every_identity(
    tmp_path_factory: pytest.TempPathFactory,
    feeds: list[tuple[list[Row], int]],
    file_rows: int,
) -> None:
    store, folder = new_store(tmp_path_factory)
    known: dict[tuple[str, dt.date | None], str] = {}
    for number, (rows, n_batches) in enumerate(feeds):
        # No identity twice in one feed: its rows replace those of the store, not each other.
        batches = [rows[start::n_batches] for start in range(n_batches)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(arrivals, "_FILE_ROWS", file_rows)
            store.save(partial_feed(*batches, seen_on=JULY[9 + number]))
            before = contents(folder)
            store.save(partial_feed(*reversed(batches), seen_on=JULY[9 + number]))
            assert contents(folder) == before
        known |= {row[:2]: row[2] for row in rows}
    found = Counter(rows_in(store.load().read()))
    assert found == Counter((*key, value) for key, value in known.items())


BY_ID = st.lists(
    st.tuples(st.sampled_from("abcd"), DAYS, st.sampled_from("12")),
    min_size=1,
    max_size=4,
    unique_by=lambda row: row[0],
)


@settings(max_examples=20)
@given(st.lists(st.tuples(BY_ID, st.integers(1, 3)), max_size=5))
def test_rows_that_move_between_days_are_in_one_of_them_at_every_time(
    tmp_path_factory: pytest.TempPathFactory, feeds: list[tuple[list[Row], int]]
) -> None:
    store, folder = new_store(tmp_path_factory)
    known: dict[str, Row] = {}
    history = {}
    for number, (rows, n_batches) in enumerate(feeds):
        batches = [rows[start::n_batches] for start in range(n_batches)]
        seen = JULY[10 + 2 * number]
        store.save(feed_of(*batches, seen_on=seen, identity=["id"]))
        before = contents(folder)
        store.save(feed_of(*batches, seen_on=seen, identity=["id"]))
        assert contents(folder) == before
        known |= {row[0]: row for row in rows}
        history[seen] = sorted(known.values(), key=str)
    raw = store.load()
    for as_of, rows in history.items():
        assert sorted(rows_in(raw.read(as_of)), key=str) == rows


# State


def test_the_state_is_asked_for_after_the_rows_and_kept(store: RawStoreDataset, root: Path) -> None:
    seen: list[str] = []

    def batches() -> Iterator[pl.DataFrame]:
        for day in JULY[:2]:
            seen.append(str(day))
            yield batch_of([("a", day, "1")])

    assert store.load().state == {}
    feed = feed_of()
    how = {"hasher": feed.hasher, "key": feed.key, "state": lambda: {"after": list(seen)}}
    store.save(Feed("load", batches(), JULY[9], **how))
    assert store.load().state == {"after": ["2013-07-01", "2013-07-02"]}
    before = contents(root)
    store.save(feed_of(state=lambda: {"after": ["ü"]}))
    assert store.load().state == {"after": ["ü"]}
    assert {name for name, data in contents(root).items() if data != before[name]} == {"state.json"}


# What goes wrong


@pytest.mark.parametrize("harm", ["delete", "cut"])
def test_a_file_that_is_not_as_the_manifest_says_is_an_error(
    store: RawStoreDataset, root: Path, harm: str
) -> None:
    store.save(feed_of([("a", day, "1") for day in JULY[:3]], seen_on=JULY[3]))
    store.save(feed_of([("a", day, "2") for day in JULY[1:4]], seen_on=JULY[4]))
    name = next(name for name in snapshots(root) if name.startswith("2013-07-02"))
    file = root / name
    if harm == "delete":
        file.unlink()
        said = "is missing"
    else:
        size = file.stat().st_size
        file.write_bytes(file.read_bytes()[:-10])
        said = f"has {size - 10} bytes instead of {size}"
    raw = store.load()
    with pytest.raises(SourceError) as error:
        raw.read()
    assert str(error.value) == (
        f"raw snapshot '{file}' {said}; restore it, or delete the folder '{root}' and collect again"
    )
    assert values(raw, JULY[3]) == ["1", "1", "1"], "what does not need the file can be read"


class KilledError(Exception):
    """What stops a save half-way."""


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("survivors", range(5))
def test_a_save_cut_short_and_run_again_gives_the_same_store(
    tmp_path: Path, survivors: int
) -> None:
    first = [[("a", day, "old"), ("b", day, "old")] for day in JULY[:4]]
    second = [[("a", day, "new"), ("b", day, "old")] for day in JULY[1:5]]

    def cut() -> Iterator[pl.DataFrame]:
        yield from map(batch_of, second[:survivors])
        raise KilledError("killed here")

    whole, broken = (RawStoreDataset(str(tmp_path / name)) for name in ("whole", "broken"))
    for one in (whole, broken):
        one.save(feed_of(*first, seen_on=JULY[4]))
    before = contents(tmp_path / "broken")
    feed = feed_of()
    with pytest.raises(KilledError, match="killed here"):
        broken.save(Feed("load", cut(), JULY[8], feed.hasher, feed.key))
    assert contents(tmp_path / "broken") == before, "nothing of the broken save is left"
    for one in (whole, broken):
        one.save(feed_of(*second, seen_on=JULY[8]))
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")
    assert len(snapshots(tmp_path / "whole")) == 4


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("files", range(5))
def test_a_save_that_fails_while_it_writes_leaves_nothing(
    tmp_path: Path, files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = (RawStoreDataset(str(tmp_path / name)) for name in ("whole", "broken"))
    rows = [(name, day, "1") for day in JULY[:8] for name in "ab"]
    whole.save(feed_of(rows))
    real, written = pl.DataFrame.write_parquet, []

    def failing(frame: pl.DataFrame, path: Path, **how: Any) -> None:
        if len(written) == files:
            path.write_text("half of")
            raise KilledError("disk full")
        written.append(path)
        real(frame, path, **how)

    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "write_parquet", failing)
        if files < 4:
            with pytest.raises(KilledError, match="disk full"):
                broken.save(feed_of(rows))
            assert contents(tmp_path / "broken") == {".lock": b""}
            assert not broken.exists()
            assert broken.load().read().is_empty()
        else:
            broken.save(feed_of(rows))
        assert len(written) == files
    broken.save(feed_of(rows))
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


def test_two_runs_at_once_do_not_mix(store: RawStoreDataset, root: Path) -> None:
    other = RawStoreDataset(str(root))

    def batches() -> Iterator[pl.DataFrame]:
        with pytest.raises(SourceError, match=r"^source 'load' is being collected by another run"):
            other.save(feed_of([("a", JULY[0], "other")]))
        yield batch_of([("a", JULY[1], "1")])

    feed = feed_of()
    store.save(Feed("load", batches(), JULY[9], feed.hasher, feed.key))
    assert values(store.load()) == ["1"]
    other.save(feed_of([("a", JULY[0], "other")]))
    assert values(store.load()) == ["other", "1"], "the lock is free again"


def test_what_is_wrong_with_a_source_comes_through_as_it_is(store: RawStoreDataset) -> None:
    """Kedro makes other errors of those of datasets; this one is for the user."""

    def batches() -> Iterator[pl.DataFrame]:
        yield batch_of([("a", JULY[0], "1")])
        raise SourceError("file 'b.csv' is empty")

    feed = feed_of()
    with pytest.raises(SourceError, match=r"^file 'b.csv' is empty$"):
        DataCatalog({"load.raw": store}).save(
            "load.raw", Feed("load", batches(), JULY[9], feed.hasher, feed.key)
        )


def test_a_store_is_read_while_it_is_written(store: RawStoreDataset) -> None:
    store.save(feed_of([("a", JULY[0], "1")]))
    held = store.load()

    def batches() -> Iterator[pl.DataFrame]:
        yield batch_of([("a", JULY[0], "2")])
        assert values(held) == values(store.load()) == ["1"]

    feed = feed_of()
    store.save(Feed("load", batches(), JULY[9], feed.hasher, feed.key))
    assert (values(held), values(store.load())) == (["1"], ["2"])


def test_a_store_that_has_no_manifest_has_no_rows(tmp_path: Path) -> None:
    empty = RawStore(tmp_path, RawStoreDataset(str(tmp_path)).load().manifest)
    assert isinstance(empty.manifest, pd.DataFrame)
    assert empty.read(JULY[0], hashes=(0, 5)).is_empty()


def test_writers_that_end_in_another_order_write_the_same_store(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    (one, _), (many, _) = (new_store(tmp_path_factory) for _ in range(2))
    days = [[("a", day, "1"), ("b", day, "2")] for day in JULY[:6]]
    write, second_is_over = SnapshotWriter._write_group, threading.Event()

    def first_last(self: SnapshotWriter, rows: pl.DataFrame, folder: Path) -> list[dict[str, Any]]:
        is_first = rows[DAY].min() == JULY[0]
        if is_first:
            assert second_is_over.wait(10)
        entries = write(self, rows, folder)
        second_is_over.set()
        return entries

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrivals, "_FILE_ROWS", 2)
        patch.setattr(raw_files, "_WRITERS", 1)
        one.save(feed_of(*days))
        patch.setattr(raw_files, "_WRITERS", 2)
        patch.setattr(SnapshotWriter, "_write_group", first_last)
        many.save(feed_of(*days))
    assert len(one.load().manifest) == 6
    pd.testing.assert_frame_equal(many.load().manifest, one.load().manifest)


def test_a_writer_that_fails_fails_the_run(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = new_store(tmp_path_factory)
    write = SnapshotWriter._write_group

    def failing(self: SnapshotWriter, rows: pl.DataFrame, folder: Path) -> list[dict[str, Any]]:
        if rows[DAY].min() == JULY[1]:
            raise OSError("no space left on device")
        return write(self, rows, folder)

    monkeypatch.setattr(arrivals, "_FILE_ROWS", 1)
    monkeypatch.setattr(SnapshotWriter, "_write_group", failing)
    with pytest.raises(OSError, match="no space"):
        store.save(feed_of(*([("a", day, "1")] for day in JULY[:5])))
    assert store.load().manifest.empty


def test_the_content_of_a_day_is_told_by_the_same_hash_as_ever() -> None:
    rows = pl.DataFrame({"a": ["x", "", "éé"], "b": ["1", "1", "2"]})
    assert (
        fingerprint_texts(rows)
        == "cb622a844df374537b32ff31166ce2b5eb60454f83b356275aa1ffb9befdeaf1"
    )


# Every version of a day


def revised(folder: Path) -> RawStoreDataset:
    """Two days, the first of which is revised twice, once while another day comes."""
    store = RawStoreDataset(str(folder))
    how = {"in_advance": True}
    store.save(feed_of([("a", JULY[0], "1"), ("a", JULY[1], "2")], seen_on=JULY[0], **how))
    store.save(feed_of([("a", JULY[0], "3"), ("a", JULY[2], "4")], seen_on=JULY[4], **how))
    store.save(feed_of([("a", JULY[0], "5"), ("b", JULY[0], "6")], seen_on=JULY[6], **how))
    return store


def test_the_versions_of_days_are_all_there_in_order(tmp_path: Path) -> None:
    raw = revised(tmp_path).load()
    found = raw.versions()
    assert list(zip(found["day"], found["known_from"], strict=True)) == [
        ("2013-07-01", "0001-01-01"),
        ("2013-07-01", "2013-07-05"),
        ("2013-07-01", "2013-07-07"),
        ("2013-07-02", "0001-01-01"),
        ("2013-07-03", "2013-07-05"),
    ]
    assert raw.versions(JULY[5])["known_from"].max() == "2013-07-05"
    assert raw.versions(JULY[3]).empty
    assert raw.first_known().to_dict() == {
        "2013-07-01": "0001-01-01",
        "2013-07-02": "0001-01-01",
        "2013-07-03": "2013-07-05",
    }


def test_rows_of_versions_say_which_they_are_of(tmp_path: Path) -> None:
    raw = revised(tmp_path).load()
    versions = raw.versions()
    versions = versions.assign(version=[f"v{number}" for number in range(len(versions))])
    rows = raw.read_versions(versions)
    assert sorted(rows.select("_version", "id", "value").rows()) == [
        *(("v0", "a", "1"), ("v1", "a", "3"), ("v2", "a", "5"), ("v2", "b", "6")),
        *(("v3", "a", "2"), ("v4", "a", "4")),
    ]
    some = raw.read_versions(versions.iloc[[1]])
    assert some["value"].to_list() == ["3"]
    assert raw.read_versions(versions.iloc[:0]).is_empty()


def test_of_versions_of_the_same_morning_the_last_counts(tmp_path: Path) -> None:
    store = revised(tmp_path)
    store.save(feed_of([("a", JULY[0], "7")], seen_on=JULY[6], in_advance=True))
    raw = store.load()
    versions = raw.versions()
    assert not versions.duplicated(["day", "known_from"]).any()
    rows = raw.read_versions(versions.assign(version=versions["known_from"]))
    assert rows.filter(pl.col("_version") == "2013-07-07")["value"].to_list() == ["7"]


def test_undated_rows_and_days_with_one_version_are_no_versions(tmp_path: Path) -> None:
    store = RawStoreDataset(str(tmp_path))
    store.save(feed_of([("a", None, "1"), ("a", JULY[0], "1")], seen_on=JULY[0]))
    store.save(feed_of([("a", None, "2"), ("a", JULY[1], "1")], seen_on=JULY[4]))
    assert len(store.load().manifest) == 4
    assert store.load().versions().empty


def test_a_part_of_a_day_does_not_replace_what_a_later_run_has_seen(tmp_path: Path) -> None:
    store = RawStoreDataset(str(tmp_path))
    whole = feed_of([("a", JULY[0], "1"), ("b", JULY[0], "1")], seen_on=JULY[1])
    store.save(whole)
    part = feed_of([("a", JULY[0], "1")], seen_on=JULY[0], unfinished=JULY[0])
    store.save(part)
    assert store.load().read().height == 2
    store.save(dataclasses.replace(part, seen_on=JULY[2]))
    assert store.load().read().height == 1


def test_a_day_is_known_from_the_first_run_that_can_know_it(tmp_path: Path) -> None:
    store = RawStoreDataset(str(tmp_path))
    same_day = {"first_run": lambda day: day}
    store.save(feed_of([("a", day, "1") for day in JULY[:2]], seen_on=JULY[1], **same_day))
    store.save(feed_of([("a", JULY[1], "2"), ("a", JULY[2], "1")], seen_on=JULY[3], **same_day))
    late = feed_of([("a", JULY[3], "1")], seen_on=JULY[5], **same_day)
    store.save(late)
    assert store.load().manifest[["day", "known_from"]].to_numpy().tolist() == [
        ["2013-07-01", "2013-07-01"],
        ["2013-07-02", "2013-07-02"],
        ["2013-07-02", "2013-07-04"],
        ["2013-07-03", "2013-07-03"],
        # The run of the 4th did not see it.
        ["2013-07-04", "2013-07-06"],
    ]
