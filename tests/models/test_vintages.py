"""What was known of a covariate: the row of a step that held then, else its earliest."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.models.vintages import as_known

START = pd.Timestamp("2024-07-01")
HOUR = pd.Timedelta("1h")


def frame_of(ids: list[str], steps: int) -> pd.DataFrame:
    """Series with `y`, a column that was revised, one that was not, and one of integers."""
    rows = len(ids) * steps
    return pd.DataFrame(
        {
            "unique_id": np.repeat(np.array(ids, dtype=object), steps),
            "ds": np.tile(pd.date_range(START, periods=steps, freq="h"), len(ids)),
            "y": np.arange(rows, dtype=float),
            "celsius": np.full(rows, 99, "float32"),
            "hour": np.arange(rows) % 24,
        }
    )


def vintages_of(rows: list[tuple[str, int, int, int, float]]) -> pd.DataFrame:
    """Series, step, day from and day until, value."""
    table = pd.DataFrame(rows, columns=["unique_id", "ds", "known_from", "known_until", "celsius"])
    for name, unit in (("ds", HOUR), ("known_from", 24 * HOUR), ("known_until", 24 * HOUR)):
        table[name] = (START + table[name].astype("int64") * unit).astype("datetime64[ns]")
    return table.astype({"celsius": "float32", "unique_id": object})


def day(number: int) -> pd.Timestamp:
    return START + number * 24 * HOUR


@pytest.mark.parametrize(
    ("at", "expected"), [(-9, 1.0), (1, 1.0), (2, 2.0), (3, 2.0), (4, 99.0), (9, 99.0)]
)
def test_a_value_holds_from_when_it_was_known_until_the_next(at: int, expected: float) -> None:
    frame = frame_of(["a", "b"], 3)
    vintages = vintages_of([("a", 1, 2, 4, 2.0), ("a", 1, 0, 2, 1.0)])
    found = as_known(frame, vintages, day(at))
    assert found["celsius"].tolist() == [99, expected, 99, 99, 99, 99]
    pd.testing.assert_frame_equal(found.drop(columns="celsius"), frame.drop(columns="celsius"))
    assert found["celsius"].dtype == "float32"


def test_a_missing_value_that_was_known_is_missing() -> None:
    found = as_known(frame_of(["a"], 2), vintages_of([("a", 0, 0, 2, np.nan)]), day(1))
    assert found["celsius"].isna().tolist() == [True, False]


def test_nothing_is_copied_if_nothing_was_revised() -> None:
    frame = frame_of(["a"], 5)
    revised = vintages_of([("a", 1, 0, 2, 1.0)])
    assert as_known(frame, revised.iloc[:0], day(0)) is frame
    assert as_known(frame, revised, day(2)) is frame
    assert as_known(frame, revised.assign(unique_id="other"), day(0)) is frame
    without = frame.drop(columns="celsius")
    assert as_known(without, revised, day(0)) is without
    empty = frame.iloc[:0]
    assert as_known(empty, revised, day(0)) is empty


def test_the_frame_that_is_given_stays_as_it_is() -> None:
    frame = frame_of(["a"], 3)
    before = frame.copy()
    as_known(frame, vintages_of([("a", 1, 0, 2, 1.0)]), day(0))
    pd.testing.assert_frame_equal(frame, before)


def test_the_index_and_other_units_of_time_do_not_matter() -> None:
    frame = frame_of(["a"], 4).astype({"ds": "datetime64[us]"}).iloc[[3, 1, 2]]
    vintages = vintages_of([("a", 1, 0, 2, 1.0)])
    found = as_known(frame, vintages.astype({"unique_id": "category"}), day(0))
    assert found.index.tolist() == [3, 1, 2]
    assert found["celsius"].tolist() == [99, 1, 99]
    assert found["ds"].dtype == frame["ds"].dtype
    again = as_known(frame.astype({"unique_id": "category"}), vintages, day(0))
    assert again["celsius"].tolist() == [99, 1, 99]


steps = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 5)),
    st.lists(st.integers(0, 9), min_size=2, max_size=5, unique=True),
    max_size=8,
)


@given(steps, st.integers(-1, 10), st.randoms())
def test_every_cell_is_what_a_search_through_its_versions_finds(
    versions: dict[tuple[str, int], list[int]], at: int, chance: object
) -> None:
    rows = []
    for (name, step), days in versions.items():
        days = sorted(days)
        for number, (since, until) in enumerate(itertools.pairwise(days)):
            rows.append((name, step, since, until, float(10 * step + number)))
    chance.shuffle(rows)  # type: ignore[attr-defined]
    frame = frame_of(["a", "b"], 5)
    found = as_known(frame, vintages_of(rows), day(at)).set_index(["unique_id", "ds"])["celsius"]
    for name in ("a", "b"):
        for step in range(5):
            own = sorted(row for row in rows if row[:2] == (name, step))
            held = [row[4] for row in own if row[2] <= at < row[3]]
            early = [row[4] for row in own[:1] if at < row[2]]
            assert found[name, START + step * HOUR] == (held or early or [99.0])[0]


def test_a_million_rows_take_well_under_a_second() -> None:
    frame = frame_of([f"s{number}" for number in range(100)], 10_000)
    own = frame.iloc[::10][["unique_id", "ds"]].assign(celsius=np.float32(1))
    vintages = own.assign(known_from=day(0), known_until=day(2))
    started = time.perf_counter()
    found = as_known(frame, vintages, day(1))
    assert time.perf_counter() - started < 1.5
    assert (found["celsius"] == 1).sum() == 100_000
