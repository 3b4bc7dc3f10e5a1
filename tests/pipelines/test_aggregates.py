"""Sums of series as series of their own."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.config import HierarchyConfig, SourcesConfig
from clepsydra.errors import ConfigError
from clepsydra.models.vintages import as_known
from clepsydra.pipelines.clean.aggregate_vintages import mean_vintages
from clepsydra.pipelines.clean.aggregates import aggregate_series, gather_series
from helpers import flights, make_task, table_of

IDS = ("EWR-UA", "EWR-OO", "JFK-AA", "LGA-AA", "LGA-OO")
LEVELS = HierarchyConfig(levels=["total", "origin", "carrier", ["origin", "carrier"]])
TARGET = {"role": "target", "path": "*", "id": ["origin", "carrier"], "time": "t", "value": "v"}
SOURCES = SourcesConfig.model_validate({"x": TARGET})
CLOCK = {"panel_end": "2024-01-04T00:00:00"}


def summed(
    folder: Path, parts: list[dict[str, pd.DataFrame]], hierarchy: HierarchyConfig, **how: Any
) -> list[Any]:
    """Run the node on shards, each of which is a panel, `future`, `series` and `vintages`."""
    files = []
    for number, part in enumerate(parts):
        files.append(folder / f"shard_{number}.parquet")
        table = pa.Table.from_pandas(part["panel"], preserve_index=False)
        ids = table.column("unique_id").dictionary_encode()
        pq.write_table(table.set_column(0, "unique_id", ids), files[-1])
    tables = [part[name] for name in ("future", "series", "vintages") for part in parts]
    how = {"sources": SOURCES, "task": make_task(), "clock": CLOCK} | how
    panel, *others = aggregate_series(
        hierarchy, how["sources"], how["task"], how["clock"], len(parts), *files, *tables
    )
    return [table_of(panel).astype({"unique_id": object}), *others]


def test_real_flights_add_up_at_every_airport_and_carrier(tmp_path: Path) -> None:
    found = flights("2013-11-01", "2013-12-01", IDS)
    vintages = found["panel"].iloc[:0][["unique_id", "ds"]].assign(known_from=[], known_until=[])
    parts = [
        {
            name: found[name][found[name]["unique_id"].isin(ids)]
            for name in ("panel", "future", "series")
        }
        | {"vintages": vintages}
        for ids in (IDS[:2], IDS[2:])
    ]
    how = {name: found[name] for name in ("sources", "task", "clock")}
    panel, future, series, none, levels = summed(tmp_path, parts, LEVELS, **how)
    bottom = found["panel"]
    for unique_id, part in panel.groupby("unique_id"):
        members = levels.loc[levels["unique_id"] == unique_id, "bottom_id"]
        rows = bottom[bottom["unique_id"].isin(members)]
        expected = rows.groupby("ds")["y"].sum()
        pd.testing.assert_series_equal(
            part.set_index("ds")["y"], expected, check_freq=False, check_exact=True
        )
        means = rows.groupby("ds")["temperature_f"].mean()
        np.testing.assert_allclose(part["temperature_f"], means, rtol=1e-5)
        assert part["hour"].tolist() == rows.groupby("ds")["hour"].first().tolist()
    assert list(panel.columns) == list(bottom.columns)
    assert (panel.dtypes.drop("unique_id") == bottom.dtypes.drop("unique_id")).all()
    assert set(future["unique_id"]) == set(series["unique_id"]) == set(panel["unique_id"])
    assert (future.dtypes.drop("unique_id") == found["future"].dtypes.drop("unique_id")).all()
    assert len(future) == 7 * found["future"].groupby("unique_id").size().iloc[0]
    assert none.empty
    described = series.set_index("unique_id")
    assert described.loc["origin=EWR", "airport"] == "Newark Liberty Intl"
    assert described.loc["origin=EWR", ["carrier", "airline"]].isna().all()
    assert described.loc["carrier=UA", "origin"] == "EWR"
    assert (described["shard"] == 2).all()
    whole = gather_series(levels, found["series"], series).set_index("unique_id")
    assert whole.loc["EWR-UA", "level"] == "origin, carrier"
    assert whole.loc["total", "level"] == "total"
    assert list(whole.columns[:-1]) == list(found["series"].columns[1:])


def hours(first: int, values: list[float], **columns: Any) -> pd.DataFrame:
    ds = pd.date_range("2024-01-01", periods=72, freq="h")[first:]
    assert len(values) == len(ds)
    table = {"y": values, "is_imputed": False, "is_outlier": False, **columns}
    return pd.DataFrame({"ds": ds, **table})


def shard(**series: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """A shard of these series, named `origin_carrier`."""
    names = {key: key.replace("_", "-") for key in series}
    panel = pd.concat([rows.assign(unique_id=names[key]) for key, rows in series.items()])
    described = pd.DataFrame({"unique_id": list(names.values()), "shard": 0, "freq": "h"})
    described["season_lengths"] = [[24]] * len(series)
    described["first_ds"], described["last_ds"] = panel["ds"].min(), panel["ds"].max()
    described = described.assign(n_observations=9, flags="")
    described[["origin", "carrier"]] = described["unique_id"].str.split("-", expand=True)
    future = pd.DataFrame({"unique_id": list(names.values()), "ds": pd.Timestamp("2024-01-04")})
    vintages = future.iloc[:0].assign(known_from=[], known_until=[])
    panel = panel[["unique_id", *panel.columns.drop("unique_id")]]
    return {"panel": panel, "future": future, "series": described, "vintages": vintages}


def test_a_sum_starts_with_its_first_member(tmp_path: Path) -> None:
    part = shard(E_A=hours(0, [1.0] * 72), E_B=hours(48, [5.0] * 24))
    levels = HierarchyConfig(levels=["total", ["origin", "carrier"]])
    panel, _, series, *_ = summed(tmp_path, [part], levels)
    assert panel["y"].tolist() == [1.0] * 48 + [6.0] * 24
    assert series["first_ds"].tolist() == [pd.Timestamp("2024-01-01")]
    assert series["n_observations"].tolist() == [72]


@pytest.mark.parametrize(("limit", "imputed"), [(0.0, 10), (0.5, 4)])
def test_a_sum_is_imputed_where_enough_of_its_members_are(
    tmp_path: Path, limit: float, imputed: int, caplog: pytest.LogCaptureFixture
) -> None:
    made = np.arange(72)
    part = shard(
        E_A=hours(0, [1.0] * 72, is_imputed=made < 10),
        E_B=hours(0, [5.0] * 72, is_imputed=made < 4),
    )
    levels = HierarchyConfig(levels=["total", ["origin", "carrier"]], max_imputed=limit)
    panel, *_ = summed(tmp_path, [part], levels)
    assert panel["is_imputed"].tolist() == [True] * imputed + [False] * (72 - imputed)
    assert (panel["y"] == 6.0).all()
    assert not caplog.messages


def test_a_sum_that_is_hardly_ever_observed_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    part = shard(E_A=hours(0, [1.0] * 72, is_imputed=np.arange(72) < 60), E_B=hours(0, [5.0] * 72))
    summed(tmp_path, [part], HierarchyConfig(levels=["total", ["origin", "carrier"]]))
    assert "83% of the steps of 'total' are imputed" in caplog.text
    assert "'hierarchy.max_imputed'" in caplog.text


def test_what_was_observed_of_a_sum_is_known_only_where_all_members_were(tmp_path: Path) -> None:
    observed = np.where(np.arange(72) < 5, np.nan, 2.0)
    outlier = np.arange(72) < 10
    part = shard(
        E_A=hours(0, [1.0] * 72, is_imputed=np.isnan(observed), y_observed=observed),
        E_B=hours(0, [5.0] * 72, is_outlier=outlier, is_imputed=outlier, y_observed=[9.0] * 72),
    )
    levels = HierarchyConfig(levels=["total", ["origin", "carrier"]])
    panel, *_ = summed(tmp_path, [part], levels)
    assert panel["y_observed"].isna().tolist() == [True] * 5 + [False] * 67
    assert panel["y_observed"].dropna().unique().tolist() == [11.0]
    assert panel["is_outlier"].tolist() == [False] * 5 + [True] * 5 + [False] * 62


def test_a_minimum_that_sums_need_not_keep_to_is_refused(tmp_path: Path) -> None:
    part = shard(E_A=hours(0, [1.0] * 72), E_B=hours(0, [1.0] * 72))
    levels = HierarchyConfig(levels=["total", ["origin", "carrier"]])
    with pytest.raises(ConfigError, match=r"task.minimum is -5.*leave it out, or write 0"):
        summed(tmp_path, [part], levels, task=make_task(minimum=-5))


STEPS = pd.date_range("2024-01-03", periods=2, freq="h")
DAYS = pd.date_range("2024-01-01", periods=5, freq="D")


@st.composite
def revised(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is known now of three series, and what was known of them before."""
    values = st.integers(0, 9).map(float) | st.just(np.nan)
    now, older = [], []
    for unique_id in "abc":
        for ds in STEPS:
            now.append((unique_id, ds, draw(values)))
            moments = sorted(draw(st.sets(st.sampled_from(list(DAYS)), max_size=4)))
            for start, end in itertools.pairwise(moments):
                older.append((unique_id, ds, start, end, draw(values)))
    columns = ["unique_id", "ds", "known_from", "known_until", "celsius"]
    vintages = pd.DataFrame(older, columns=columns)
    times = dict.fromkeys(columns[1:4], "datetime64[ns]")
    return (
        pd.DataFrame(now, columns=["unique_id", "ds", "celsius"]).astype({"celsius": "float32"}),
        vintages.astype({"unique_id": object, "celsius": "float32", **times}),
    )


@given(tables=revised())
def test_what_was_known_of_a_sum_is_the_mean_of_what_was_known_of_its_members(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    now, vintages = tables
    members = pd.DataFrame(
        {"unique_id": ["all", "all", "all", "ab", "ab"], "bottom_id": [*"abc", *"ab"]}
    )

    def means(frame: pd.DataFrame) -> pd.DataFrame:
        joined = members.merge(frame.rename(columns={"unique_id": "bottom_id"}), on="bottom_id")
        return joined.groupby(["unique_id", "ds"])["celsius"].mean().reset_index()

    of_sums = mean_vintages(vintages, members, [now])
    for at in [*DAYS, DAYS[-1] + pd.Timedelta(1, "D"), DAYS[0] - pd.Timedelta(1, "D")]:
        expected = means(as_known(now, vintages, at))
        found = as_known(means(now), of_sums, at)
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)
