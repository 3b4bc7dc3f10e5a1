"""Windows in the right order and of the right length; marts that add up to the panel."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clepsydra.config import WindowsConfig
from clepsydra.errors import ConfigError, PanelError
from clepsydra.origins import run_time
from clepsydra.pipelines.split.nodes import cut_sets, make_marts, make_windows
from clepsydra.timegrid import add_span, local_day_start, snap
from helpers import NEW_YORK, make_series, make_task


def clock(panel_end: pd.Timestamp) -> dict[str, str]:
    return {"panel_end": panel_end.isoformat()}


def windows_of(first: pd.Timestamp, end: pd.Timestamp, task: Any, **changes: Any) -> pd.DataFrame:
    config = {"calibrate": 2, "select": 3, "report": 3, **changes}
    series = pd.DataFrame({"unique_id": ["a"], "first_ds": [first]})
    return make_windows(series, task, WindowsConfig.model_validate(config), clock(end))


def midnight(*day: int) -> pd.Timestamp:
    return local_day_start(dt.date(*day), NEW_YORK)


@given(
    st.integers(0, 4),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from(["1D", "2D", 24, 30]),
    st.sampled_from([0, "1D", 5]),
    st.sampled_from([None, "1D", "2D", 24, 48]),
    st.integers(0, 364),
)
def test_windows_that_report_are_later_than_all_that_select(
    calibrate: int,
    select: int,
    report: int,
    horizon: int | str,
    gap: int | str,
    step: int | str | None,
    day: int,
) -> None:
    task = make_task(timezone=NEW_YORK, horizon=horizon, gap=gap)
    end = local_day_start(dt.date(2013, 1, 1) + dt.timedelta(day), NEW_YORK)
    table = windows_of(
        end - pd.Timedelta("90D"),
        end,
        task,
        calibrate=calibrate,
        select=select,
        report=report,
        step=step,
    )
    assert table["cutoff"].is_monotonic_increasing
    assert table["cutoff"].is_unique
    assert table["target_end"].iloc[-1] == end
    roles = table["role"].tolist()
    assert roles == sorted(roles, key=["calibrate", "select", "report"].index)
    assert 1 <= roles.count("report") <= report
    assert 1 <= roles.count("select") <= select
    chosen, judged = table[table["role"] == "select"], table[table["role"] == "report"]
    assert judged["target_start"].min() >= chosen["target_end"].max()
    for row in table.itertuples():
        origin = row.cutoff + pd.Timedelta("1h")
        assert add_span(origin, gap, "h", NEW_YORK) == row.target_start
        assert add_span(row.target_start, horizon, "h", NEW_YORK) == row.target_end


@pytest.mark.parametrize(
    ("end", "hours", "gaps"),
    [
        ((2013, 3, 13), [24, 24, 23, 24], [24, 24, 24, 24]),
        ((2013, 3, 12), [24, 24, 24, 24], [24, 24, 24, 23]),
        ((2013, 11, 6), [24, 24, 25, 24], [24, 24, 24, 24]),
        ((2013, 11, 5), [24, 24, 24, 24], [24, 24, 24, 25]),
    ],
)
def test_gap_and_horizon_are_local_days_when_the_clocks_change(
    end: tuple[int, int, int], hours: list[int], gaps: list[int]
) -> None:
    task = make_task(timezone=NEW_YORK, horizon="1D", gap="1D")
    table = windows_of(midnight(2013, 1, 1), midnight(*end), task, calibrate=2, select=1, report=1)
    length = (table["target_end"] - table["target_start"]) / pd.Timedelta("1h")
    assert length.tolist() == hours
    gap = (table["target_start"] - table["cutoff"]) / pd.Timedelta("1h") - 1
    assert gap.tolist() == gaps
    local = table["target_start"].dt.tz_localize("UTC").dt.tz_convert(NEW_YORK)
    assert (local.dt.hour == 0).all()


@settings(max_examples=30)
@given(
    st.integers(0, 2),
    st.integers(1, 2),
    st.integers(1, 2),
    st.sampled_from(["1D", "2D"]),
    st.sampled_from([None, "1D", "2D", "3D"]),
    st.sampled_from(["00:00", "09:00", "09:20", "23:59"]),
    st.sampled_from(["30min", "h"]),
    st.sampled_from([NEW_YORK, "America/Sao_Paulo", "Asia/Kathmandu"]),
    st.integers(0, 364),
    st.integers(0, 47),
)
def test_with_a_gate_every_window_is_what_a_run_of_the_day_before_would_do(
    calibrate: int,
    select: int,
    report: int,
    horizon: str,
    step: str | None,
    gate: str,
    freq: str,
    zone: str,
    number: int,
    halves: int,
) -> None:
    task = make_task(timezone=zone, horizon=horizon, gate=gate, freq=freq)
    day = dt.date(2013, 1, 1) + dt.timedelta(number)
    end = snap(pd.Series([local_day_start(day, zone) + halves * pd.Timedelta("30min")]), freq, zone)
    roles = {"calibrate": calibrate, "select": select, "report": report}
    table = windows_of(end[0] - pd.Timedelta("60D"), end[0], task, step=step, **roles)
    assert table["role"].value_counts().to_dict() == {k: v for k, v in roles.items() if v}
    steps = pd.Timedelta(pd.tseries.frequencies.to_offset(freq))
    for row in table.itertuples():
        first = local_day(row.target_start + steps - pd.Timedelta("1ns"), zone)
        assert snapped(first, task) == row.target_start
        assert snapped(first + dt.timedelta(int(horizon[0])), task) == row.target_end
        run = run_time(first - dt.timedelta(days=1), task)
        assert row.cutoff + steps <= run < row.cutoff + 2 * steps
    assert table["target_end"].iloc[-1] <= end[0]
    assert end[0] - table["target_end"].iloc[-1] < pd.Timedelta("25h")
    for earlier, later in (("calibrate", "select"), ("select", "report")):
        ends = table.loc[table["role"] == earlier, "target_end"]
        made = table.loc[table["role"] == later, "cutoff"].min() + steps
        assert not len(ends) or ends.max() <= made


def local_day(utc: pd.Timestamp, zone: str) -> dt.date:
    return utc.tz_localize("UTC").tz_convert(zone).date()


def snapped(day: dt.date, task: Any) -> pd.Timestamp:
    return snap(pd.Series([local_day_start(day, task.timezone)]), task.freq, task.timezone)[0]


@pytest.mark.parametrize(
    ("end", "cutoffs"),
    [
        # The first that reports is made at 9:00 on the 9th, when the 8th is known as a whole.
        ((2013, 3, 12), ["03-07 13:00", "03-09 13:00", "03-10 12:00"]),
        ((2013, 11, 5), ["10-31 12:00", "11-02 12:00", "11-03 13:00"]),
    ],
)
def test_the_gate_is_local_when_the_clocks_change(end: tuple[int, int, int], cutoffs: Any) -> None:
    task = make_task(timezone=NEW_YORK, horizon="1D", gate="09:00")
    last = midnight(*end) + pd.Timedelta("9h")
    table = windows_of(midnight(2013, 1, 1), last, task, calibrate=0, select=1, report=2)
    assert table["cutoff"].dt.strftime("%m-%d %H:%M").tolist() == cutoffs
    assert table["target_end"].iloc[-1] == midnight(*end)
    assert table["target_end"].iloc[1] == table["target_start"].iloc[2]


def test_with_a_gate_windows_are_days_apart() -> None:
    task = make_task(horizon="1D", gate="09:00")
    with pytest.raises(ConfigError, match=r"windows.step is 24 steps, .*write days, e.g. step: 1D"):
        windows_of(pd.Timestamp("2013-01-01"), pd.Timestamp("2013-07-01"), task, step=24)


def test_too_short_a_panel_with_a_gate_does_not_speak_of_a_gap() -> None:
    task = make_task(horizon="1D", gate="09:00")
    with pytest.raises(PanelError, match="shorten 'horizon' or 'season_lengths'"):
        windows_of(pd.Timestamp("2013-06-29"), pd.Timestamp("2013-07-01"), task)


def roles_with_room_for(number: int, **config: int) -> dict[str, int]:
    """How many windows of each role there are with history for `number` of them."""
    task = make_task(horizon=24, season_lengths=[24])
    first = pd.Timestamp("2013-01-01")
    table = windows_of(first, first + pd.Timedelta(days=number + 1), task, **config)
    assert len(table) <= number
    return table["role"].value_counts().to_dict()


def test_with_enough_history_all_windows_are_made() -> None:
    config = {"calibrate": 7, "select": 14, "report": 14}
    assert roles_with_room_for(40, **config) == config
    assert roles_with_room_for(35, **config) == config


@given(st.integers(3, 60), st.integers(0, 8), st.integers(1, 15), st.integers(1, 15))
def test_with_less_history_no_role_gets_more_than_was_asked_for(
    room: int, calibrate: int, select: int, report: int
) -> None:
    config = {"calibrate": calibrate, "select": select, "report": report}
    found = roles_with_room_for(room, **config)
    for role, number in found.items():
        assert number <= config[role], f"{role}: {found}"
    assert found["select"] >= 1
    assert found["report"] >= 1


def test_calibration_gives_way_first_then_both_others_alike() -> None:
    config = {"calibrate": 7, "select": 14, "report": 14}
    almost = roles_with_room_for(34, **config)
    assert (almost["select"], almost["report"], almost["calibrate"]) == (14, 14, 6)
    few = roles_with_room_for(12, **config)
    assert abs(few["select"] - few["report"]) <= 1


def test_one_window_to_select_and_one_to_report_are_enough_if_no_more_are_asked_for() -> None:
    found = roles_with_room_for(30, calibrate=0, select=1, report=1)
    assert found == {"select": 1, "report": 1}


def test_too_short_a_panel_says_how_much_room_there_is_and_what_to_change() -> None:
    with pytest.raises(PanelError, match=r"room for 1 windows of horizon 24.*shorten 'horizon'"):
        roles_with_room_for(1, calibrate=1, select=1, report=1)


def test_months_and_quarters_are_cut_as_well() -> None:
    for freq, first, end in (
        ("MS", "2010-01-01", "2014-01-01"),
        ("QE", "2005-03-31", "2014-03-31"),
    ):
        task = make_task(freq=freq, season_lengths=[4], horizon=3, gap=1)
        table = windows_of(pd.Timestamp(first), pd.Timestamp(end), task, calibrate=0)
        steps = pd.date_range(first, end, freq=freq)
        for row in table.itertuples():
            place = [steps.get_loc(t) for t in (row.cutoff, row.target_start, row.target_end)]
            assert [place[1] - place[0], place[2] - place[1]] == [2, 3]


def test_sets_hold_the_panel_by_role_and_do_not_overlap() -> None:
    task = make_task(horizon=24, gap=24)
    panel = make_series("a", "2013-01-01", range(24 * 20)).assign(is_imputed=False)
    end = panel["ds"].max() + pd.Timedelta("1h")
    table = windows_of(panel["ds"].min(), end, task)
    train, validation, test = cut_sets(panel, table)
    assert train["ds"].max() == table["cutoff"].min()
    assert len(validation) == len(test) == 3 * 24
    assert set(validation["cutoff"]) == set(table.loc[table["role"] == "select", "cutoff"])
    assert train["ds"].max() < validation["ds"].min()
    assert validation["ds"].max() < test["ds"].min()
    assert test["ds"].max() == panel["ds"].max()
    values = panel.set_index("ds")["y"]
    assert (test["y"].to_numpy() == values[test["ds"]].to_numpy()).all()


@pytest.mark.parametrize("start", ["2013-03-08 05:00", "2013-11-01 04:00"])
def test_marts_add_up_to_the_panel_also_when_clocks_change(start: str) -> None:
    panel = pd.concat(
        [make_series("a", start, range(24 * 9)), make_series("b", start, [1] * (24 * 5))]
    ).assign(is_imputed=lambda frame: frame["y"] % 5 == 0)
    task = make_task(timezone=NEW_YORK, mart_aggregate="sum")
    totals = panel.groupby("unique_id").agg(y=("y", "sum"), imputed=("is_imputed", "sum"))
    for mart, length in zip(make_marts(panel, task), ("1h", "1D", "1D"), strict=True):
        sums = mart.groupby("unique_id")[["y", "steps", "imputed"]].sum()
        assert sums["y"].to_dict() == totals["y"].to_dict()
        assert sums["imputed"].to_dict() == totals["imputed"].to_dict()
        assert sums["steps"].to_dict() == {"a": 24 * 9, "b": 24 * 5}
        assert not mart.duplicated(["unique_id", "local_time"]).any()
        assert (mart["local_time"] == mart["local_time"].dt.floor(length)).all()
    day = make_marts(panel, task)[1].query("unique_id == 'a'")
    assert set(day["steps"][:-1]) == ({23, 24} if "03-" in start else {24, 25})
    assert (make_marts(panel, task)[2]["local_time"].dt.dayofweek == 0).all()


def test_a_mart_of_means_is_a_mean() -> None:
    panel = make_series("a", "2013-07-01", range(48)).assign(is_imputed=False)
    assert make_marts(panel, make_task())[1]["y"].tolist() == [11.5, 35.5]
