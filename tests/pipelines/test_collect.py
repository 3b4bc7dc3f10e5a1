"""Collecting: what was known on the morning of a day, every row of it, once."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from clepsydra.config import SourceConfig, SourcesConfig, TaskConfig
from clepsydra.datasets import arrivals
from clepsydra.datasets.raw_store import Feed, RawStoreDataset
from clepsydra.errors import ConfigError, SourceError
from clepsydra.pipelines.collect.nodes import collect_source, collect_target
from clepsydra.row_columns import DAY, HASH, LOCAL
from clepsydra.series_ids import key_of, make_hasher
from clepsydra.sharding import series_hash
from clepsydra.sources import delimited
from helpers import PROJECT, make_source, make_task, parameters

JULY = [dt.date(2013, 7, number) for number in range(1, 11)]
TASK = make_task(freq="D", season_lengths=[7], horizon=7)


def sources_of(target: SourceConfig | None = None, **others: Any) -> SourcesConfig:
    return SourcesConfig.model_validate({"load": target or make_source(), **others})


def write(folder: Path, rows: str, name: str = "a.csv", header: str = "id,time,value") -> None:
    (folder / name).write_text(f"{header}\n" + "\n".join(rows.split()) + "\n")


class Collector:
    """Collects into stores of its own, run after run."""

    def __init__(
        self,
        folder: Path,
        sources: SourcesConfig,
        project: Path | None = None,
        task: TaskConfig = TASK,
    ):
        self.project = project or folder
        self.task = task
        self.sources = sources
        self.stores = {
            name: RawStoreDataset(str(folder / "raw" / name)) for name, _ in sources.items()
        }

    def target(self, as_of: str = "latest", credentials: Any = None) -> tuple[Feed, str]:
        held = self.stores[self.sources.target[0]].load()
        feed, collected = collect_target(
            self.sources, as_of, str(self.project), credentials or {}, held, self.task
        )
        return feed, collected["as_of"]

    def source(self, name: str, as_of: str) -> Feed:
        held = self.stores[name].load()
        collected = {"as_of": as_of}
        how = (str(self.project), {}, held, self.task)
        return collect_source(self.sources, collected, *how, name=name)

    def run(self, as_of: str = "latest") -> None:
        feed, day = self.target(as_of)
        self.stores[self.sources.target[0]].save(feed)
        for name in self.stores.keys() - {self.sources.target[0]}:
            self.stores[name].save(self.source(name, day))

    def read(self, name: str = "load", as_of: dt.date | None = None) -> pl.DataFrame:
        return self.stores[name].load().read(as_of)


def rows_of(feed: Feed) -> list[tuple[Any, ...]]:
    frames = list(feed.batches)
    whole = pl.concat(frames).with_columns(pl.col(LOCAL).dt.date().alias(DAY))
    return whole.select(DAY, pl.last("_line").alias("_"), "value").drop("_").rows()


# The flights


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run, the same once more, and one two days later."""
    folder = tmp_path_factory.mktemp("flights")
    shipped = SourcesConfig.model_validate(parameters("collect")["sources"])
    only = SourcesConfig(root={"flights": shipped.root["flights"]})
    collector = Collector(folder, only, PROJECT)

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (folder / "raw/flights").iterdir()}

    collector.run("2013-01-03")
    found = {"store": collector.stores["flights"], "first": files()}
    found["early"] = collector.read("flights", dt.date(2013, 1, 3))
    collector.run("2013-01-03")
    found["again"] = files()
    collector.run("2013-01-05")
    return {**found, "later": files(), "source": only.root["flights"]}


def test_collecting_twice_changes_nothing_and_a_later_day_only_adds(
    two_runs: dict[str, Any],
) -> None:
    first, later, raw = two_runs["first"], two_runs["later"], two_runs["store"].load()
    assert two_runs["again"] == first
    assert {name for name in first if later[name] != first[name]} == {"manifest.parquet"}
    assert not raw.manifest["day"].duplicated().any(), "no day counts as revised"
    assert raw.days() == [dt.date(2013, 1, day) for day in (1, 2, 3, 4)]
    assert_frame_equal(raw.read(dt.date(2013, 1, 3)), two_runs["early"])


def test_every_row_before_the_day_of_the_run_is_collected_once(two_runs: dict[str, Any]) -> None:
    rows = two_runs["store"].load().read()
    assert not rows["_line"].is_duplicated().any()
    assert set(two_runs["source"].needed_columns()) <= set(rows.columns)
    assert set(rows["_file"]) == {"flights.csv.zip"}
    counts = rows.group_by("year", "month", "day").len().sort("day").rows()
    assert counts == [
        ("2013", "1", "1", 842),
        ("2013", "1", "2", 943),
        ("2013", "1", "3", 914),
        ("2013", "1", "4", 915),
    ]


def test_a_row_lies_where_the_hash_of_its_series_says(two_runs: dict[str, Any]) -> None:
    raw = two_runs["store"].load()
    rows = raw.read().select("origin", "carrier", HASH).unique()
    assert len(rows) > 20
    for origin, carrier, number in rows.iter_rows():
        assert number == series_hash(f"{origin}-{carrier}")
    assert set(raw.manifest["key"]) == {"origin,carrier"}


# The days that a run takes


def test_rows_without_a_readable_time_stay_together(tmp_path: Path) -> None:
    write(tmp_path, "a,2013-07-01,1 a,soon,2 a,2013-07-02,3 b,,4")
    collector = Collector(tmp_path, sources_of())
    feed, as_of = collector.target("latest")
    assert as_of == "2013-07-03"
    assert feed.seen_on == JULY[2]
    collector.run("latest")
    raw = collector.stores["load"].load()
    assert sorted(raw.read(days=[None])["value"]) == ["2", "4"]
    assert raw.read(days=[JULY[0]])["value"].to_list() == ["1"]
    assert raw.days() == JULY[:2]


def test_a_run_takes_the_days_before_it(tmp_path: Path) -> None:
    write(tmp_path, "a,2013-07-02T23:59:59.999999,1 a,2013-07-03,2 a,soon,3")
    collector = Collector(tmp_path, sources_of())
    feed, as_of = collector.target("2013-07-03")
    assert as_of == "2013-07-03"
    assert rows_of(feed) == [(JULY[1], "1"), (None, "3")]


def test_a_day_ends_on_the_clock_of_the_source(tmp_path: Path) -> None:
    write(tmp_path, "a,2013-07-01T21:59Z,1 a,2013-07-01T22:00Z,2 a,2013-07-02T23:00,3")
    collector = Collector(tmp_path, sources_of(make_source(timezone="Europe/Paris")))
    feed, _ = collector.target("2013-07-03")
    assert rows_of(feed) == [(JULY[0], "1"), (JULY[1], "2"), (JULY[1], "3")]


def test_latest_is_the_day_after_the_last_of_all_files(tmp_path: Path) -> None:
    write(tmp_path, "a,2013-07-05,1 a,2013-07-01,1", "a.csv")
    write(tmp_path, "a,2013-07-03,1 a,soon,1", "b.csv")
    _, as_of = Collector(tmp_path, sources_of()).target("latest")
    assert as_of == "2013-07-06"


def test_several_files_and_batches_are_one_feed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", 200)
    days = [day for day in JULY for _ in range(10)]
    write(tmp_path, " ".join(f"a,{day},{n}" for n, day in enumerate(days)), "b.csv")
    write(tmp_path, " ".join(f"b,{day},{n}" for n, day in enumerate(days)), "a.csv")
    collector = Collector(tmp_path, sources_of())
    feed, _ = collector.target("latest")
    assert len(list(feed.batches)) > 10
    collector.run("latest")
    rows = collector.read()
    for file, name in (("a.csv", "b"), ("b.csv", "a")):
        chosen = rows.filter(pl.col("id") == name)
        assert chosen.select("_file", "_line", "value").rows() == [
            (file, number + 2, str(number)) for number in range(100)
        ]


def test_a_day_before_the_data_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "a,2013-07-03,1 a,soon,2 a,2013-07-02,3")
    collector = Collector(tmp_path, sources_of())
    feed, _ = collector.target("2013-07-02")
    with pytest.raises(
        SourceError,
        match=r"as_of 2013-07-02 is before the first data of source 'load' \(2013-07-02\)",
    ):
        list(feed.batches)
    collector.run("2013-07-03")
    with pytest.raises(SourceError, match="before the first data"):
        collector.run("2013-07-02")
    (tmp_path / "a.csv").write_text("id,time,value\na,2013-07-09,4\n")
    collector.run("2013-07-08")
    assert collector.stores["load"].load().days() == [JULY[1]], "the rest is not known yet"


def test_a_target_without_rows_is_an_error(shop: Collector) -> None:
    said = r"as_of 2013-07-03 is before .* 'load' \(it has no row at all\)"
    with pytest.raises(SourceError, match=said):
        shop.run("2013-07-03")


def test_a_source_whose_times_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "a,soon,1 a,later,2")
    collector = Collector(tmp_path, sources_of())
    said = r"source 'load': no row has a readable time; correct 'time', or give 'time_format'"
    with pytest.raises(SourceError, match=said):
        collector.target("latest")
    feed, _ = collector.target("2013-07-03")
    with pytest.raises(SourceError, match=said):
        list(feed.batches)


@pytest.mark.parametrize(
    "origin", [{"sql": {"url": "sqlite://", "table": "t"}}, {"http": {"url": "https://x.example"}}]
)
def test_an_api_or_a_database_has_no_latest_day(tmp_path: Path, origin: dict[str, Any]) -> None:
    collector = Collector(tmp_path, sources_of(make_source(path=None, **origin)))
    with pytest.raises(ConfigError, match=r"as_of is 'latest'.*Write it as YYYY-MM-DD"):
        collector.target("latest")


def test_credentials_that_are_not_there_are_named(tmp_path: Path) -> None:
    write(tmp_path, "a,2013-07-03,1")
    collector = Collector(tmp_path, sources_of(make_source(credentials="mine")))
    with pytest.raises(SourceError, match=r"source 'load': no credentials 'mine'.*there are: your"):
        collector.target("2013-07-04", {"your": {}})


# The other sources

WEATHER = {
    "role": "covariate",
    "path": "weather/*.csv",
    "time": "time",
    "columns": ["temp"],
    "join": {"id": "town"},
}
SITES = {"role": "attributes", "path": "sites.csv", "join": {"id": "code"}, "columns": ["name"]}


@pytest.fixture
def with_others(tmp_path: Path) -> Collector:
    (tmp_path / "weather").mkdir()
    write(tmp_path, "a,2013-07-02,1")
    days = ["2013-07-01", "2013-07-02", "2013-07-03", "2013-07-09", "soon"]
    write(tmp_path / "weather", " ".join(f"x,{d},1" for d in days), header="town,time,temp")
    write(tmp_path, "a,one b,two", "sites.csv", header="code,name")
    ahead = WEATHER | {"known": "in_advance", "join": [], "columns": {"temp": "forecast"}}
    target = make_source(path="a.csv")
    return Collector(tmp_path, sources_of(target, past=WEATHER, ahead=ahead, sites=SITES))


def test_other_sources_follow_the_day_of_the_target(with_others: Collector) -> None:
    with_others.run("latest")
    past = with_others.stores["past"].load()
    assert past.days() == JULY[:2]
    assert past.read(days=[None])["time"].to_list() == ["soon"]
    assert past.manifest["known_from"].tolist() == ["0001-01-01", "2013-07-02", "2013-07-03"]
    assert with_others.read("past")[HASH].unique().to_list() == [series_hash("x")]
    assert set(past.manifest["key"]) == {"town"}


def test_of_what_is_known_in_advance_every_day_is_taken(with_others: Collector) -> None:
    with_others.run("latest")
    ahead = with_others.stores["ahead"].load()
    assert ahead.days() == [*JULY[:3], JULY[8]]
    assert ahead.read(dt.date(1900, 1, 1)).height == 5
    assert with_others.read("ahead")[HASH].unique().to_list() == [series_hash("")]


def test_attributes_are_undated(with_others: Collector) -> None:
    with_others.run("latest")
    sites = with_others.stores["sites"].load()
    assert sites.days() == []
    assert sorted(sites.read(dt.date(1900, 1, 1))["name"]) == ["one", "two"]


def test_a_covariate_that_has_nothing_yet_is_no_error(with_others: Collector) -> None:
    feed = with_others.source("past", "2013-07-01")
    assert pl.concat(feed.batches)["time"].to_list() == ["soon"]


def test_covariates_of_a_table_with_a_row_a_series_are_taken_whole(with_others: Collector) -> None:
    """Its last day follows from its first and the number of its columns."""
    (with_others.project / "a.csv").write_text("id,1,2,3\na,5,6,7\n")
    target = {"role": "target", "path": "a.csv", "layout": "rows", "id": "id", "start": JULY[0]}
    collector = Collector(with_others.project, sources_of(target, past=WEATHER))
    feed, as_of = collector.target("latest")
    assert as_of == "2013-07-04"
    assert [frame.height for frame in feed.batches] == [1]
    collector.run("latest")
    assert collector.stores["past"].load().days() == JULY[:3]


def test_a_series_without_a_column_of_its_own_has_the_hash_of_its_name(tmp_path: Path) -> None:
    write(tmp_path, "2013-07-02,1 2013-07-03,2", header="time,value")
    source = make_source(id=None, name="France")
    collector = Collector(tmp_path, sources_of(source))
    collector.run("latest")
    assert collector.read()[HASH].to_list() == [series_hash("France")] * 2
    renamed = make_source(id=None, name="Gaul")
    how = {"key": key_of(renamed), "rehash": make_hasher(renamed)}
    found = collector.stores["load"].load().read(**how)
    assert found[HASH].to_list() == [series_hash("Gaul")] * 2


# A database that is read in part


@pytest.fixture
def shop(tmp_path: Path) -> Collector:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database, database:
        database.execute(
            "CREATE TABLE sales (no INTEGER PRIMARY KEY, id TEXT, time TEXT, value REAL, seen INT)"
        )
    sql = {"url": f"sqlite:///{tmp_path}/shop.db", "table": "sales", "watermark": "seen"}
    source = make_source(path=None, sql=sql, unique=["no"], aggregate="sum")
    return Collector(tmp_path, sources_of(source))


def sell(shop: Collector, *rows: tuple[Any, ...]) -> None:
    with closing(sqlite3.connect(shop.project / "shop.db")) as database, database:
        database.executemany("INSERT OR REPLACE INTO sales VALUES (?, ?, ?, ?, ?)", rows)


def sold(shop: Collector, as_of: dt.date | None = None) -> list[tuple[str, str]]:
    return sorted(shop.read(as_of=as_of).select("no", "value").rows())


def test_rows_that_were_written_later_are_added_and_replace_their_older_versions(
    shop: Collector,
) -> None:
    sell(shop, (1, "a", "2013-07-01", 10, 1), (2, "a", "2013-07-01", 20, 2))
    shop.run("2013-07-03")
    first = shop.read()
    assert "_watermark" not in first.columns
    shop.run("2013-07-03")
    assert_frame_equal(shop.read(), first)
    assert len(shop.stores["load"].load().manifest) == 1
    sell(shop, (3, "a", "2013-07-01", 30, 3), (1, "a", "2013-07-01", 11, 4))
    shop.run("2013-07-05")
    assert sold(shop) == [("1", "11.0"), ("2", "20.0"), ("3", "30.0")]
    assert sold(shop, JULY[3]) == [("1", "10.0"), ("2", "20.0")], "what was known then"


def test_rows_that_are_not_known_yet_come_with_the_next_run(shop: Collector) -> None:
    sell(shop, (1, "a", "2013-07-01", 10, 1), (2, "a", "2013-07-04", 20, 2))
    sell(shop, (3, "a", "2013-07-02", 30, 3))
    shop.run("2013-07-03")
    assert sold(shop) == [("1", "10.0"), ("3", "30.0")]
    shop.run("2013-07-05")
    assert sold(shop) == [("1", "10.0"), ("2", "20.0"), ("3", "30.0")]


def test_a_run_that_finds_nothing_new_or_nothing_readable_keeps_what_there_is(
    shop: Collector,
) -> None:
    sell(shop, (1, "a", "2013-07-01", 10, 1), (2, "a", "2013-07-04", 20, 2))
    shop.run("2013-07-03")
    shop.run("2013-07-04")
    assert sold(shop) == [("1", "10.0")]
    shop.run("2013-07-05")
    sell(shop, (3, "a", "soon", 30, 3))
    shop.run("2013-07-06")
    shop.run("2013-07-07")
    assert sold(shop) == [("1", "10.0"), ("2", "20.0"), ("3", "30.0")]
    with pytest.raises(SourceError, match=r"as_of 2013-07-01 is before .* \(2013-07-01\)"):
        shop.run("2013-07-01")


def test_a_part_of_a_table_needs_the_key_of_its_rows(shop: Collector) -> None:
    source = shop.sources.target[1].model_copy(update={"unique": []})
    shop.sources = SourcesConfig(root={"load": source})
    with pytest.raises(ConfigError, match=r"'sql\.watermark' needs 'sql\.key', the columns that"):
        shop.run("2013-07-03")


def test_a_row_that_moves_to_another_day_leaves_the_old_one(shop: Collector) -> None:
    sell(shop, (1, "a", "2013-07-01", 10, 1), (2, "b", "2013-07-01", 20, 2))
    sell(shop, (3, "c", "2013-07-02", 30, 3))
    shop.run("2013-07-04")
    sell(shop, (1, "a", "2013-07-03", 11, 4), (3, "c", "2013-07-03", 31, 5))
    shop.run("2013-07-05")
    assert sold(shop) == [("1", "11.0"), ("2", "20.0"), ("3", "31.0")]
    before = shop.stores["load"].load().read(dt.date(2013, 7, 4))
    assert sorted(before["value"].to_list()) == ["10.0", "20.0", "30.0"]


def test_rows_of_one_series_and_time_are_told_apart_by_their_key(shop: Collector) -> None:
    """As the two copies of the hour that clocks repeat, or several sales at once."""
    sell(shop, (1, "a", "2013-07-01", 10, 1), (2, "a", "2013-07-01", 20, 2))
    shop.run("2013-07-03")
    sell(shop, (4, "a", "2013-07-01", 5, 4))
    shop.run("2013-07-04")
    assert sold(shop) == [("1", "10.0"), ("2", "20.0"), ("4", "5.0")]


# What is filed by day must stay filed as it was


def test_a_time_that_is_read_in_another_way_is_refused_on_what_was_collected(
    tmp_path: Path,
) -> None:
    write(tmp_path, "a,01/02/2013,1 a,02/02/2013,2")
    wrong = sources_of(make_source(time_format="%m/%d/%Y"))
    collector = Collector(tmp_path, wrong)
    collector.run("latest")
    collector.sources = sources_of(make_source(time_format="%d/%m/%Y"))
    with pytest.raises(SourceError, match=r"'time_format' was '%m/%d/%Y' when.*delete the folder"):
        collector.run("latest")


def test_undated_rows_that_a_file_has_no_longer_are_not_known_any_more(tmp_path: Path) -> None:
    write(tmp_path, "a,soon,1 a,2013-07-01,2")
    collector = Collector(tmp_path, sources_of())
    collector.run("2013-07-03")
    write(tmp_path, "a,2013-07-01,2")
    collector.run("2013-07-05")
    assert collector.read()["value"].to_list() == ["2"]
    assert sorted(collector.read(as_of=dt.date(2013, 7, 4))["value"].to_list()) == ["1", "2"]


def test_a_file_for_each_series_gives_few_files_and_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days go back with every file: none is written again and again."""
    monkeypatch.setattr(arrivals, "_FILE_ROWS", 5)
    for name in "abcd":
        rows = " ".join(f"{name},{day},{name}{day.day}" for day in JULY)
        write(tmp_path, rows, f"{name}.csv")
    collector = Collector(tmp_path, sources_of())
    collector.run("latest")
    assert collector.read().height == 40
    assert collector.stores["load"].load().manifest["path"].nunique() <= 10
    assert collector.read()["value"].n_unique() == 40


def test_a_run_of_an_earlier_day_does_not_know_what_was_revised_later(tmp_path: Path) -> None:
    collector = Collector(tmp_path, sources_of())
    for as_of, value in (("2013-07-05", "x"), ("2013-07-17", "x1"), ("2013-07-10", "x2")):
        write(tmp_path, f"a,2013-07-01,{value}")
        collector.run(as_of)
    known = [collector.read(as_of=dt.date(2013, 7, day))["value"].item() for day in (5, 10, 16, 17)]
    assert known == ["x", "x", "x", "x2"]


def test_a_day_that_shrinks_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, "a,2013-07-01,1 b,2013-07-01,2")
    collector = Collector(tmp_path, sources_of())
    collector.run("2013-07-03")
    write(tmp_path, "a,2013-07-01,1")
    collector.run("2013-07-03")
    assert "Source 'load', 2013-07-01: 1 rows where 2 were collected before" in caplog.text


class HourlyApi(BaseHTTPRequestHandler):
    """Every hour of the UTC days that it is asked for."""

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        at, last = (dt.datetime.fromisoformat(asked[key][0]) for key in ("from", "to"))
        hours = (at + dt.timedelta(hours=number) for number in range(24 * ((last - at).days + 1)))
        body = json.dumps([{"at": f"{hour:%Y-%m-%dT%H:%MZ}", "mw": 1} for hour in hours]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hourly_api() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), HourlyApi) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/load"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("timezone", ["Europe/Paris", "America/New_York", "UTC"])
def test_the_days_of_an_api_in_another_clock_are_taken_whole(
    tmp_path: Path, hourly_api: str, timezone: str
) -> None:
    window = {"since": "2013-07-01", "look_back": 2, "timezone": "UTC"}
    http = {"url": hourly_api, "params": {"from": "{start}", "to": "{end}"}, "window": window}
    feed = {"id": None, "name": "load", "time": "at", "value": "mw", "timezone": timezone}
    collector = Collector(tmp_path, sources_of(make_source(path=None, http=http, **feed)))
    for as_of in ("2013-07-05", "2013-07-06", "2013-07-08"):
        collector.run(as_of)
    manifest = collector.stores["load"].load().manifest
    assert manifest["day"].tolist() == [day.isoformat() for day in JULY[:7]]
    assert set(manifest["rows"]) == {24}
