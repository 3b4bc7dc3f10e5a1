"""The contenders of the ETL benchmark make the same of the same raw files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import etl
import etl_pandas
import etl_polars
from etl_feed import Feed, make_feed
from line_runner import build_line

AS_OF = dt.date(2014, 3, 15)
BY_HAND = """meter,time,kwh
twice,2013-11-03 01:00,1
twice,2013-11-03 01:00,2
twice,2013-11-03 01:00,9
once,2013-11-03 01:00,5
broken once,2013-11-03 01:00,error
broken once,2013-11-03 01:00,8
gap,2013-11-03 00:00,error
gap,2013-11-03 00:00,3
gap,2013-11-03 03:00,7
gap,2013-11-03 04:00,NA
gap,2013-11-03 04:00,4
no value,2013-11-03 05:00,
no hour,2014-03-09 02:30,1
no time,yesterday,1
NA,2013-11-03 01:00,1
,2013-11-03 01:00,1
no number,2013-11-03 05:00,inf
no number,2013-11-03 06:00,nan
no number,2013-11-03 07:00,"1,5"
"""
BY_HAND_REJECTED = {
    4: "duplicate of an earlier row",
    6: "not a number",
    8: "not a number",
    12: "duplicate of an earlier row",
    14: "time skipped by the clock change",
    15: "time not readable",
    16: "no series id",
    17: "no series id",
    18: "not a number",
    19: "not a number",
    20: "not a number",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, etl.Outcome]:
    """What each contender makes of a winter with both clock changes, and of rows by hand."""
    feed, line = tmp_path_factory.mktemp("feed"), tmp_path_factory.mktemp("line")
    make_feed(feed, rows=12_500, series=4, as_of=AS_OF, files="month")
    (feed / "written_by_hand.csv").write_text(BY_HAND)
    found = {}
    for script in (etl_pandas, etl_polars):
        out = tmp_path_factory.mktemp("out")
        script.clean(feed, out, AS_OF.isoformat())
        found[script.__name__] = etl.script_outcome(out)
    project = build_line(line, etl.line_parameters(feed, AS_OF, shards=2))
    project.run("--pipelines=collect,clean", "--runner=SequentialRunner")
    found["clepsydra"] = etl.line_outcome(project.data)
    return found


@pytest.mark.parametrize("name", ["etl_polars", "clepsydra"])
def test_all_make_the_same(outcomes: dict[str, etl.Outcome], name: str) -> None:
    assert etl.differences(outcomes["etl_pandas"], outcomes[name]) == []


def test_every_row_has_a_fate(outcomes: dict[str, etl.Outcome]) -> None:
    counts = outcomes["etl_pandas"].counts
    assert counts.pop("rows in") == sum(counts.values())
    assert set(counts) == {
        "rows kept",
        "excluded: no value",
        *(f"quarantined: {reason}" for reason in BY_HAND_REJECTED.values()),
    }


def test_rows_by_hand(outcomes: dict[str, etl.Outcome]) -> None:
    outcome = outcomes["etl_pandas"]
    rejected = outcome.quarantine.filter(pl.col("file") == "written_by_hand.csv")
    assert dict(rejected.select("line", "reason").rows()) == BY_HAND_REJECTED
    expected = {
        "twice": ("05:00", [1, 2, 2, 2, 2, 2]),
        "once": ("06:00", [5, 5, 5, 5, 5, 5]),
        "broken once": ("06:00", [8, 8, 8, 8, 8, 8]),
        "gap": ("04:00", [3, 4, 5, 6, 7, 7]),
    }
    made = outcome.panel.filter(~pl.col("unique_id").str.starts_with("NY"))
    assert set(made["unique_id"]) == set(expected)
    for name, (first, values) in expected.items():
        steps = made.filter(pl.col("unique_id") == name)
        assert f"{steps['ds'][0]}" == f"2013-11-03 {first}:00"
        assert f"{steps['ds'][-1]}" == "2014-03-15 03:00:00"
        assert steps["y"][:6].to_list() == values
    gap = made.filter(pl.col("unique_id") == "gap")
    assert gap["is_imputed"][:6].to_list() == [False, True, True, True, False, True]


def _change(column: str, value: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def change(panel: pl.DataFrame) -> pl.DataFrame:
        return panel.with_columns(
            pl.when(pl.int_range(pl.len()) == 100).then(value).otherwise(column).alias(column)
        )

    return change


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (_change("y", pl.col("y") * (1 + 1e-8)), "panel, column y"),
        (_change("y", None), "panel, column y"),
        (_change("is_imputed", ~pl.col("is_imputed")), "panel, column is_imputed"),
        (lambda panel: panel[:-1], "panel: "),
    ],
)
def test_differences_are_found(
    outcomes: dict[str, etl.Outcome],
    change: Callable[[pl.DataFrame], pl.DataFrame],
    found: str,
) -> None:
    one = outcomes["etl_pandas"]
    other = etl.Outcome(change(one.panel), one.quarantine, one.counts)
    for pair in ((one, other), (other, one)):
        (difference,) = etl.differences(*pair)
        assert difference.startswith(found)


def test_a_feed_can_be_made_again(tmp_path: Path) -> None:
    """The same numbers, the same bytes: a day a file, with the repeated hour in the middle."""
    feeds = [make_feed(tmp_path / name, rows=3_000, series=30) for name in ("a", "b")]
    assert feeds[0] == feeds[1] == Feed(feeds[0].as_of, feeds[0].rows, 30, 103, 5)
    files = {
        name: {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}
        for name in ("a", "b")
    }
    assert files["a"] == files["b"]
    assert sum(text.count(b"\n") - 1 for text in files["a"].values()) == feeds[0].rows >= 2_900
    assert b"2013-11-03 01:00" in files["a"]["readings_2013-11-03.csv"]
    assert b"2013-03-10 02:" in files["a"][min(files["a"])]
