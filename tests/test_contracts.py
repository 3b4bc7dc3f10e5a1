"""Contracts: what breaks them is named, whole tables and batches alike."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.contracts import Contract, ContractError
from clepsydra.datasets.raw_store import Feed
from clepsydra.datasets.spool import Batches, Spool
from clepsydra.errors import ConfigError
from line_runner import Line


def raw_feed(*batches: pl.DataFrame) -> Feed:
    return Feed("load", Batches(iter(batches)), dt.date(2024, 1, 2), hasher=lambda rows: rows)


def broken(data: Any, **options: Any) -> str:
    with pytest.raises(ContractError) as caught:
        Contract(**options).validate(data)
    return str(caught.value)


@pytest.mark.parametrize(
    ("rule", "cells", "said"),
    [
        ({"kind": "number"}, ["1", "2.5", "x"], "1 of 3 rows break 'kind: number', e.g. 'x'"),
        ({"kind": "integer"}, ["1", "2.5"], "1 of 2 rows break 'kind: integer', e.g. '2.5'"),
        ({"kind": "time"}, ["2024-01-01", "soon"], "1 of 2 rows break 'kind: time', e.g. 'soon'"),
        ({"pattern": "^FR$"}, ["FR", "DE"], "e.g. 'DE'"),
        ({"allowed": ["FR"]}, ["FR", "DE", "ES"], "2 of 3 rows break 'allowed: ['FR']', e.g. 'DE'"),
        ({"minimum": 0}, ["1", "-1"], "break 'minimum: 0', e.g. '-1.0'"),
        ({"maximum": 10}, ["1", "11"], "break 'maximum: 10', e.g. '11.0'"),
        ({"filled": True}, ["1", "NA"], "break 'filled: true'"),
    ],
)
def test_a_broken_rule_is_named_with_a_value(
    rule: dict[str, Any], cells: list[str], said: str
) -> None:
    feed = raw_feed(pl.DataFrame({"mw": cells}))
    message = broken(feed, columns={"mw": rule})
    assert message.startswith("column 'mw': ")
    assert said in message
    good = raw_feed(pl.DataFrame({"mw": cells[:1]}))
    assert Contract(columns={"mw": rule}).validate(good) is good


def test_missing_cells_break_only_the_rule_that_they_are_filled() -> None:
    feed = raw_feed(pl.DataFrame({"mw": ["", " NA ", "5"]}))
    Contract(columns={"mw": {"kind": "number", "minimum": 0, "maximum": 9}}).validate(feed)
    assert "filled: true" in broken(feed, columns={"mw": {"filled": True}})


def test_columns_of_codes_are_checked_as_the_texts_that_they_stand_for() -> None:
    """Rows of many series come with numbers for the ids and times that repeat."""
    feed = raw_feed(pl.DataFrame({"id": ["a", "", "a"]}).cast(pl.Categorical))
    assert "1 of 3 rows break 'filled: true'" in broken(feed, columns={"id": {"filled": True}})
    assert "2 of 3 rows break 'pattern" in broken(feed, columns={"id": {"pattern": "^b$"}})
    assert "kind: number" in broken(feed, columns={"id": {"kind": "number"}})


def test_decimal_commas_are_numbers_if_said() -> None:
    feed = raw_feed(pl.DataFrame({"mw": ["1,5", "-2,0"]}))
    message = broken(feed, columns={"mw": {"minimum": 0}}, decimal=",")
    assert "1 of 2 rows" in message
    assert "-2.0" in message


def test_the_shape_of_the_table_is_a_part_of_the_contract() -> None:
    frame = pl.DataFrame({"mw": ["1"], "extra": ["x"]})
    assert "no column 'time'" in broken(raw_feed(frame), columns={"time": {}})
    Contract(columns={"time": {"required": False}}).validate(raw_feed(frame))
    assert "'extra'" in broken(raw_feed(frame), columns={"mw": {}}, only_these=True)
    assert "1 rows where at least 5 are expected" in broken(raw_feed(frame), min_rows=5)


def test_all_broken_rules_are_named_at_once() -> None:
    frame = pl.DataFrame({"a": ["x"], "b": ["-1"]})
    message = broken(raw_feed(frame), columns={"a": {"kind": "number"}, "b": {"minimum": 0}})
    assert "column 'a'" in message
    assert "column 'b'" in message


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 7), st.floats(0, 0.9))
def test_batches_are_counted_together(good: list[bool], size: int, tolerance: float) -> None:
    """The share of bad rows decides, however the rows are cut; the rows can be read afterwards."""
    cells = ["1" if is_good else "bad" for is_good in good]
    frames = [pl.DataFrame({"mw": cells[at : at + size]}) for at in range(0, len(cells), size)]
    feed = raw_feed(*frames)
    contract = Contract(columns={"mw": {"kind": "number", "tolerance": tolerance}})
    if good.count(False) > tolerance * len(good):
        with pytest.raises(ContractError, match=f"{good.count(False)} of {len(good)} rows"):
            contract.validate(feed)
    else:
        contract.validate(feed)
    assert pl.concat(feed.batches)["mw"].to_list() == cells


def test_typed_tables_and_tables_in_pieces() -> None:
    options = {"columns": {"y": {"filled": True, "minimum": 0}}}
    assert "filled: true" in broken(pd.DataFrame({"y": [1.0, np.nan]}), **options)
    spool = Spool(pa.schema([("y", pa.float64())]))
    spool.add(pa.table({"y": [1.0, 2.0]}))
    spool.add(pa.table({"y": [-1.0]}))
    assert "1 of 3 rows" in broken(spool, **options)


def test_a_checked_spool_can_still_be_saved(tmp_path: Path) -> None:
    spool = Spool(pa.schema([("y", pa.float64())]))
    spool.add(pa.table({"y": [1.0]}))
    Contract(columns={"y": {"filled": True}}).validate(spool)
    spool.move_to(tmp_path / "y.parquet")
    assert pd.read_parquet(tmp_path / "y.parquet")["y"].tolist() == [1.0]


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(ConfigError, match=r"columns\.mw\.minimun\s+unknown key"):
        Contract(columns={"mw": {"minimun": 0}})
    with pytest.raises(ConfigError, match="not for int"):
        Contract().validate(5)


@pytest.fixture
def contracted(tmp_path: Path, make_line: Callable[..., Line]) -> Callable[[str], Line]:
    """A function from a severity to a line whose raw values must be at most 100."""
    days = pd.date_range("2024-01-01", periods=60).strftime("%Y-%m-%d")
    values = [*range(59), 500]
    pd.DataFrame({"day": days, "mw": values}).to_csv(tmp_path / "load.csv", index=False)

    def make(severity: str) -> Line:
        line = make_line(
            as_of="latest",
            n_shards=1,
            sources={
                "load": {
                    "role": "target",
                    "path": f"{tmp_path}/load.csv",
                    "name": "france",
                    "time": "day",
                    "value": "mw",
                }
            },
            task={"freq": "D", "season_lengths": [7], "horizon": 7},
            calendar={},
        )
        validator = {
            "class": "clepsydra.contracts.Contract",
            "on": "save",
            "severity": severity,
            "options": {"columns": {"mw": {"maximum": 100}}},
        }
        entry = {
            "type": "clepsydra.datasets.raw_store.RawStoreDataset",
            "filepath": f"{line.data}/01_raw/load",
            "validator": validator,
        }
        (line.conf / "test/catalog.yml").write_text(yaml.safe_dump({"load.raw": entry}))
        return line

    return make


def test_a_broken_raw_contract_stops_the_run_and_stores_nothing(contracted) -> None:
    line = contracted("error")
    done = line.run("--pipelines=collect", check=False)
    assert done.returncode == 1
    assert "column 'mw': 1 of 60 rows break" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(line.data.glob("01_raw/load/*.parquet"))


def test_a_contract_for_a_source_that_there_is_not_is_refused(contracted) -> None:
    line = contracted("error")
    catalog = (line.conf / "test/catalog.yml").read_text()
    (line.conf / "test/catalog.yml").write_text(catalog.replace("load.raw:", "laod.raw:"))
    done = line.run("--pipelines=collect", check=False)
    assert done.returncode == 1
    assert "catalog entry 'laod.raw': there is no source 'laod'; there are: load" in done.stderr


def test_a_contract_that_warns_lets_the_run_go_on(contracted) -> None:
    line = contracted("warn")
    done = line.run("--pipelines=collect,clean")
    assert "column 'mw': 1 of 60 rows break" in done.stdout + done.stderr
    panel = line.read("03_primary/panel.parquet")
    assert panel["y"].max() == 500
