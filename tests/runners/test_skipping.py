"""A node runs again if and only if what it was made of has changed."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.pipeline import Node, Pipeline
from kedro_datasets import json as versioned_json
from kedro_datasets import pandas as plain_pandas
from kedro_datasets.pandas import CSVDataset
from kedro_datasets.partitions import PartitionedDataset
from pydantic import BaseModel
from small_lines import catalog_of, mix, reasons, run, values

from clepsydra.binding import bind, reads
from clepsydra.datasets.atomic import JSONDataset, ParquetDataset
from clepsydra.datasets.forecast_store import ForecastStoreDataset
from clepsydra.runners.history import ALWAYS, History


class Options(BaseModel):
    """A typed parameter."""

    size: int


def chain() -> Pipeline:
    return Pipeline(
        [
            Node(mix, ["start", "params:size"], "one", name="first"),
            Node(mix, "one", "two", name="second"),
            Node(_look, "two", None, name="check"),
        ]
    )


def _look(value: int) -> None:
    assert value < 5


def test_nothing_changed(catalog: Callable[..., Any]) -> None:
    assert run(chain(), catalog()) == {"first", "second", "check"}
    assert set(reasons(catalog()).values()) == {"first run"}
    assert run(chain(), catalog(), run_id="second") == set()
    assert set(reasons(catalog()).values()) == {"nothing changed"}
    manifest = catalog().load("run_manifest")
    assert manifest.columns.tolist() == ["run_id", "node", "stage", "action", "reason"]
    assert set(manifest["run_id"]) == {"second"}


def test_what_changes_is_named(catalog: Callable[..., Any], tmp_path: Path) -> None:
    run(chain(), catalog())
    (tmp_path / "start.json").write_text("2")
    assert "first" in run(chain(), catalog())
    assert reasons(catalog())["first"] == "input changed: start"
    run(chain(), catalog(2))
    assert reasons(catalog())["first"] == "parameter changed: size"
    (tmp_path / "two.json").unlink()
    assert run(chain(), catalog(2)) == {"second"}
    assert reasons(catalog())["second"] == "output missing: two"
    (tmp_path / "two.json").write_text("999")
    assert run(chain(), catalog(2)) == {"second"}
    assert reasons(catalog())["second"] == "output altered: two"
    assert run(chain(), catalog(2), force=True) == {"first", "second", "check"}
    assert set(reasons(catalog()).values()) == {"forced"}


def test_the_same_output_ends_what_follows(catalog: Callable[..., Any]) -> None:
    run(chain(), catalog(1))
    assert run(chain(), catalog(6)) == {"first"}, "the sizes 1 and 6 give the same numbers"


def test_a_file_that_is_touched_or_copied_is_the_same(
    catalog: Callable[..., Any], tmp_path: Path
) -> None:
    run(chain(), catalog())
    for name in ("start", "one"):
        path = tmp_path / f"{name}.json"
        copy = path.with_suffix(".copy")
        copy.write_bytes(path.read_bytes())
        copy.replace(path)
        os.utime(path, (1, 1))
    assert run(chain(), catalog()) == set()


def test_an_edit_that_keeps_size_and_time_is_seen(
    catalog: Callable[..., Any], tmp_path: Path
) -> None:
    run(chain(), catalog())
    path = tmp_path / "start.json"
    before = path.stat()
    path.write_text("3")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "first" in run(chain(), catalog())


def test_typed_parameters(catalog: Callable[..., Any]) -> None:
    line = Pipeline([Node(_size, "params:size", "one", name="first")])
    assert run(line, catalog(Options(size=1))) == {"first"}
    assert run(line, catalog(Options(size=1))) == set()
    assert run(line, catalog(Options(size=2))) == {"first"}


def _size(options: Options) -> int:
    return options.size


def test_the_entry_of_the_catalog_belongs_to_it_but_not_the_place(
    catalog: Callable[..., Any], tmp_path: Path
) -> None:
    line = Pipeline([Node(_frame, "start", "table", name="first")])

    def table(**options: Any) -> ParquetDataset:
        return ParquetDataset(filepath=str(tmp_path / "table.parquet"), **options)

    assert run(line, catalog(table=table())) == {"first"}
    assert run(line, catalog(table=table(metadata={"seen": 1}))) == set()
    changed = catalog(table=table(save_args={"compression": "gzip"}))
    assert run(line, changed) == {"first"}
    assert reasons(changed) == {"first": "catalog entry changed: table"}
    secret = {"credentials": {"key": "open sesame"}}
    run(line, catalog(table=table(**secret)))
    kept = "".join(path.read_text() for path in (tmp_path / "records").iterdir())
    assert "sesame" not in kept


def test_how_the_bytes_are_read_belongs_to_the_entry_at_any_depth(
    catalog: Callable[..., Any], tmp_path: Path
) -> None:
    line = Pipeline([Node(_frame, "start", "table", name="first")])

    def table(**options: Any) -> CSVDataset:
        return CSVDataset(filepath=str(tmp_path / "table.csv"), **options)

    def elsewhere(**options: Any) -> PartitionedDataset:
        return PartitionedDataset(path=str(tmp_path), **options)

    def read(encoding: str) -> dict[str, Any]:
        return {"open_args_load": {"encoding": encoding}}

    def entry(dataset: Any) -> str | None:
        return History(line, catalog(table=dataset))._entry("table")

    makes = (
        (table, {"fs_args": read("latin-1")}),
        (table, {"fs_args": read("utf-8")}),
        (table, {"save_args": {"path": "a"}}),
        (table, {"save_args": {"version": "1.0"}}),
        (elsewhere, {"dataset": "pandas.CSVDataset"}),
        (elsewhere, {"dataset": {"type": "pandas.CSVDataset", "load_args": {"sep": ";"}}}),
        (elsewhere, {"dataset": {"type": "pandas.CSVDataset", "fs_args": read("latin-1")}}),
    )
    found = [entry(make(**options)) for make, options in makes]
    assert len({entry(table()), *found}) == len(makes) + 1
    assert entry(table(fs_args={"auto_mkdir": True})) == entry(table())
    secret = {"type": "pandas.CSVDataset", "credentials": {"key": "open sesame"}}
    plain = {"type": "pandas.CSVDataset"}
    assert entry(elsewhere(dataset=secret)) == entry(elsewhere(dataset=plain))


@pytest.mark.parametrize("key", ["format", "packages", "files", "outputs"])
def test_a_record_that_this_version_has_not_written_is_none(
    catalog: Callable[..., Any], tmp_path: Path, key: str
) -> None:
    run(chain(), catalog())
    path = tmp_path / "records" / "first.json"
    record = json.loads(path.read_text())
    del record[key]
    path.write_text(json.dumps(record))
    assert run(chain(), catalog()) == {"first"}
    assert reasons(catalog())["first"] == "first run"


def test_what_was_found_in_code_is_found_anew_by_another_version(
    catalog: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(chain(), catalog())
    assert History(chain(), catalog())._scans
    monkeypatch.setattr("clepsydra.runners.history._FORMAT", 0)
    assert History(chain(), catalog())._scans == {}
    assert run(chain(), catalog()) == {"first", "second", "check"}


def _frame(value: int) -> pd.DataFrame:
    return pd.DataFrame({"a": [value]})


def test_nodes_that_read_the_world_always_run(catalog: Callable[..., Any]) -> None:
    line = Pipeline(
        [
            Node(mix, "start", "one", name="first", tags=ALWAYS),
            Node(mix, "one", "two", name="second"),
        ]
    )
    run(line, catalog())
    assert run(line, catalog()) == {"first"}
    assert reasons(catalog()) == {"first": "always runs", "second": "nothing changed"}


def test_a_run_of_some_nodes_follows_the_same_rules(
    catalog: Callable[..., Any], tmp_path: Path
) -> None:
    run(chain(), catalog())
    assert run(chain().only_nodes("second"), catalog()) == set()
    (tmp_path / "start.json").write_text("2")
    assert run(chain().only_nodes("second"), catalog()) == set()
    assert run(chain().only_nodes("first"), catalog()) == {"first"}
    assert run(chain().only_nodes("second"), catalog()) == {"second"}
    assert "first" not in run(chain(), catalog())


def test_the_newest_version_counts(catalog: Callable[..., Any], tmp_path: Path) -> None:
    from kedro.io import Version

    line = Pipeline(
        [
            Node(mix, "start", "kept", name="first"),
            Node(mix, "kept", "two", name="second"),
        ]
    )

    def at(version: str) -> Any:
        path, saved = str(tmp_path / "kept.json"), Version(None, version)
        return catalog(kept=versioned_json.JSONDataset(filepath=path, version=saved))

    assert run(line, at("2024-01-01T00.00.00.000Z")) == {"first", "second"}
    assert run(line, at("2024-01-02T00.00.00.000Z")) == set()
    assert len(list((tmp_path / "kept.json").iterdir())) == 1
    (tmp_path / "start.json").write_text("2")
    assert run(line, at("2024-01-03T00.00.00.000Z")) == {"first", "second"}
    newest = tmp_path / "kept.json" / "2024-01-03T00.00.00.000Z" / "kept.json"
    newest.unlink()
    assert "first" in run(line, at("2024-01-04T00.00.00.000Z")), "an older version is none"


def test_a_table_of_a_database_is_never_known_to_be_the_same(
    catalog: Callable[..., Any], tmp_path: Path
) -> None:
    """Anybody may have written to it, and its address may be that of another one."""
    url = {"con": f"sqlite:///{tmp_path / 'store.db'}"}
    table = plain_pandas.SQLTableDataset(
        table_name="its", credentials=url, save_args={"if_exists": "replace"}
    )
    line = Pipeline(
        [
            Node(_table, ["start", "params:size"], "table", name="writer"),
            Node(_total, "table", "two", name="reader"),
            Node(mix, "two", "one", name="last"),
        ]
    )
    assert run(line, catalog(3, table=table)) == {"writer", "reader", "last"}
    for _ in range(2):
        found = catalog(3, table=table)
        assert run(line, found) == {"writer", "reader"}
        assert reasons(found) == {
            "writer": "output cannot be compared: table",
            "reader": "input cannot be compared: table",
            "last": "nothing changed",
        }


def _table(start: int, size: int) -> pd.DataFrame:
    return pd.DataFrame({"a": range(size)})


def _total(table: pd.DataFrame) -> int:
    return int(table["a"].sum())


def test_publishing_is_not_skipped_when_another_day_was_published_between(
    catalog: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Pipeline([Node(_forecast, "params:size", "forecasts", name="publish")])
    path = str(tmp_path / "store.db")

    def publish(day: int, run_id: str) -> set[str]:
        monkeypatch.setenv("CLEPSYDRA_RUN_ID", run_id)
        return run(line, catalog(day, forecasts=ForecastStoreDataset(filepath=path)))

    def published() -> dict[int, str]:
        table = ForecastStoreDataset(filepath=path).load()
        return dict(zip(table["cutoff"].dt.day, table["run_id"], strict=True))

    assert publish(15, "first") == {"publish"}
    assert publish(15, "again") == set()
    assert published() == {15: "first"}
    assert publish(17, "later") == {"publish"}
    assert publish(15, "back") == {"publish"}
    assert published() == {15: "back", 17: "later"}
    assert publish(15, "last") == set()
    # Another project publishes into the same file, of which our records know nothing.
    other = _forecast(16).assign(unique_id="other")
    ForecastStoreDataset(filepath=path).save(other)
    assert publish(15, "after") == {"publish"}


def _forecast(day: int) -> pd.DataFrame:
    cutoff = pd.Timestamp(2013, 12, day)
    return pd.DataFrame(
        {"unique_id": "a", "cutoff": [cutoff], "ds": cutoff, "model": "naive", "y_hat": 1.0}
    )


NODES = st.lists(
    st.tuples(st.sets(st.integers(0, 7), min_size=1, max_size=3), st.booleans()),
    min_size=2,
    max_size=6,
)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["source", "parameter", "delete", "alter", "touch", "nothing"]),
        st.integers(0, 7),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(NODES, st.lists(EDITS, min_size=1, max_size=3))
def test_a_run_ends_as_from_scratch_and_runs_what_it_must_and_no_more(
    shapes: list[tuple[set[int], bool]], rounds: list[list[tuple[str, int, int]]]
) -> None:
    """Random graphs and random edits, against a model of both in memory."""
    sources = {"s0": 1, "s1": 2}
    graph: dict[str, tuple[list[str], bool]] = {}
    for number, (picks, takes_parameter) in enumerate(shapes):
        there = [*sources, *graph]
        inputs = sorted({there[pick % len(there)] for pick in picks})
        graph[f"n{number}"] = (inputs, takes_parameter)
    line = Pipeline(
        [
            Node(
                bind(mix, salt=number),
                [*inputs, *(["params:p"] if takes else [])],
                name,
                name=name,
            )
            for number, (name, (inputs, takes)) in enumerate(graph.items())
        ]
    )
    parameter = 1
    seen: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        wrong: set[str] = set()
        for edits in [[], *rounds]:
            for kind, place, value in edits:
                name = list(graph)[place % len(graph)]
                path = folder / f"{name}.json"
                if kind == "source":
                    sources[f"s{place % 2}"] = value
                elif kind == "parameter":
                    parameter = value
                elif kind == "delete":
                    path.unlink(missing_ok=True)
                    wrong.add(name)
                elif kind == "alter":
                    path.write_text("-1")
                    wrong.add(name)
                elif kind == "touch" and path.exists():
                    os.utime(path, (value, value))
            for name, number in sources.items():
                (folder / f"{name}.json").write_text(json.dumps(number))
            expected, must = dict(sources), set()
            for salt, (name, (inputs, takes)) in enumerate(graph.items()):
                arguments = [expected[each] for each in inputs] + ([parameter] if takes else [])
                expected[name] = mix(*arguments, salt=salt)
                if seen.get(name) != arguments or name in wrong:
                    must.add(name)
                seen[name] = arguments
            catalog = catalog_of(folder, [*sources, *graph], {"p": parameter})
            assert run(line, catalog) == must
            assert values(folder) == expected
            wrong = set()


def _files(parameters: dict[str, Any], kind: str) -> list[Path] | None:
    if parameters["folder"] is None:
        return None
    return sorted(Path(parameters["folder"]).glob(f"*.{kind}"))


@reads(_files)
def _count(folder: str, held: int | None, *, kind: str) -> int:
    return sum(len(path.read_text()) for path in Path(folder or ".").glob(f"*.{kind}"))


class Held(JSONDataset):
    """As the raw store: what is there, if anything is."""

    def load(self) -> int | None:
        return super().load() if self.exists() else None


def test_a_node_that_says_which_files_it_reads_runs_when_one_changes(tmp_path: Path) -> None:
    """It also writes in its place what it reads, as collecting does."""
    feed = tmp_path / "feed"
    feed.mkdir()
    (feed / "a.txt").write_text("1")
    function = bind(_count, kind="txt")
    line = Pipeline([Node(function, ["params:folder", "held"], "raw", name="collect", tags=ALWAYS)])

    def collect(folder: str | None) -> set[str]:
        store = Held(filepath=str(tmp_path / "raw.json"))
        return run(line, catalog_of(tmp_path, [], {"folder": folder}, held=store, raw=store))

    assert collect(str(feed)) == {"collect"}
    assert collect(str(feed)) == set()
    (feed / "b.txt").write_text("22")
    (feed / "c.csv").write_text("22")
    assert collect(str(feed)) == {"collect"}
    (feed / "c.csv").write_text("333")
    assert collect(str(feed)) == set()
    (feed / "a.txt").write_text("4")
    assert collect(str(feed)) == {"collect"}
    (tmp_path / "raw.json").write_text("0")
    assert collect(str(feed)) == {"collect"}
    for _ in range(2):
        assert collect(None) == {"collect"}, "what is not a file can always be another"
