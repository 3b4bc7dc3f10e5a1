"""The series table and the panel's account, against slow code that takes one series at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import account_of, parse, sources_of

from clepsydra.config import CleaningConfig, TaskConfig
from clepsydra.pipelines.clean.parsing import Parsed
from clepsydra.pipelines.clean.regular import Regular, regularize, to_grid
from clepsydra.pipelines.clean.series import account_of_panel, empty_series, series_table
from clepsydra.timegrid import add_span, grid
from helpers import make_source, make_task

SOURCES = sources_of()
SOURCE = SOURCES.target[1]
END = pd.Timestamp("2013-07-10")
DAYS = pd.date_range("2013-06-01", "2013-07-09")


def regular_of(
    series: dict[str, dict[int, float]], task: TaskConfig, cleaning: CleaningConfig
) -> tuple[Regular | None, Parsed]:
    """Series by their values at days, some perhaps without any."""
    rows = [
        {"id": name, "time": str(DAYS[day].date()), "value": str(value)}
        for name, values in series.items()
        for day, value in (values or {0: "NA"}).items()
    ]
    parsed = parse(rows)
    observed = to_grid(parsed.rows, ["unique_id"], ["y"], SOURCE, task).drop_nulls("y")
    if observed.is_empty():
        return None, parsed
    return regularize(observed, END, task, cleaning), parsed


def slow_row(name: str, values: dict[int, float], task: TaskConfig) -> dict[str, Any]:
    """What the table says of one series, step by step."""
    season = task.season_length
    y = pd.Series({DAYS[day]: float(value) for day, value in sorted(values.items())}, dtype=float)
    first, last = (y.index[0], y.index[-1]) if len(y) else (pd.NaT, pd.NaT)
    if task.fill == "zero" and len(y):
        last = y.index[y != 0][-1] if (y != 0).any() else first
    length = len(grid(first, END, task.freq, task.timezone)) if len(y) else 0
    flags = {
        "empty": len(y) == 0,
        "single point": len(y) == 1,
        "constant": len(y) > 1
        and y.nunique() == 1
        and not (task.fill == "zero" and len(y) < length),
        "short": length < 2 * season,
        "ended": len(y) > 0 and last < add_span(END, -4 * season, task.freq, task.timezone),
    }
    return {
        "unique_id": name,
        "shard": 2,
        "freq": "D",
        "season_lengths": task.season_lengths,
        "first_ds": first,
        "last_ds": last,
        "n_observations": len(y),
        "flags": ", ".join(flag for flag, is_set in flags.items() if is_set),
        "id": name,
    }


values = st.dictionaries(
    st.integers(0, len(DAYS) - 1), st.sampled_from([0.0, 1.0, 2.5]), max_size=len(DAYS)
)


@settings(max_examples=50)
@given(
    st.dictionaries(st.sampled_from(["a", "b", "c-c", "ü"]), values, min_size=1),
    st.sampled_from(["zero", "interpolate"]),
    st.sampled_from([1, 3, 7]),
)
def test_every_series_is_described_as_it_would_be_alone(
    series: dict[str, dict[int, float]], fill: str, season: int
) -> None:
    task = make_task(freq="D", season_lengths=[season, 1], fill=fill, horizon=1)
    regular, parsed = regular_of(series, task, CleaningConfig())
    found = series_table(parsed.ids, regular, END, task, SOURCE, 2)
    expected = [slow_row(name, series[name], task) for name in sorted(series)]
    pd.testing.assert_frame_equal(found.to_pandas(), pd.DataFrame(expected), check_dtype=False)
    assert found.schema == empty_series(SOURCE).schema


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), values, min_size=1), st.booleans())
def test_the_account_of_the_panel_counts_what_pandas_counts(
    series: dict[str, dict[int, float]], cut: bool
) -> None:
    task = make_task(freq="D", season_lengths=[2], horizon=1)
    how = {"gap_limit": 3, "long_gaps": "cut"} if cut else {}
    cleaning = CleaningConfig.model_validate(how)
    regular, parsed = regular_of(series, task, cleaning)
    if regular is None:
        return
    account = account_of_panel(regular, parsed, SOURCES, task, cleaning)
    for name, chosen in series.items():
        y = pd.Series(dict(sorted(chosen.items())), dtype=float)
        y.index = DAYS[y.index.astype(int)]
        if y.empty:
            assert name not in set(account["unique_id"])
            continue
        before = 0
        if cut:
            # Days without a value between two values.
            long = np.flatnonzero(np.diff(y.index) > np.timedelta64(4, "D"))
            before = int(long[-1]) + 1 if len(long) else 0
            y = y.iloc[before:]
        steps = y.reindex(pd.date_range(y.index[0], END, inclusive="left"))
        missing = steps.isna()
        expected = {
            "grid steps": len(steps),
            "steps imputed": missing.sum(),
            "share imputed": pytest.approx(missing.mean()),
            "gaps filled": (missing & ~missing.shift(fill_value=False)).sum(),
            "outliers": 0,
            "steps since the last value": (END - y.index[-1]).days - 1,
        }
        if before:
            expected |= {
                "excluded: before a gap of more than 3 steps": before,
                "rows kept": -before,
            }
        assert account_of(account.filter(pl.col("unique_id") == name)) == expected


def test_a_unit_and_the_parts_of_the_id_are_columns() -> None:
    source = make_source(id=["site", "unit_no"], unit="MW")
    parsed = parse(
        [{"site": "a", "unit_no": "1", "time": "2013-07-01", "value": "1"}],
        id=["site", "unit_no"],
        unit="MW",
    )
    table = series_table(parsed.ids, None, END, make_task(freq="D"), source, 1)
    assert table.columns[-3:] == ["unit", "site", "unit_no"]
    assert table.select("unique_id", "unit", "site", "unit_no").rows() == [("a-1", "MW", "a", "1")]
    assert table["flags"].to_list() == ["empty, short"]
    assert table.schema == empty_series(source).schema


def test_without_a_series_the_table_is_empty() -> None:
    parsed = parse([{"id": "", "time": "2013-07-01", "value": "1"}])
    table = series_table(parsed.ids, None, END, make_task(freq="D"), SOURCE, 1)
    assert table.equals(empty_series(SOURCE))
