"""Where multiprocessing begins to be worth it: crossovers, estimates, timings, the figure."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _results import in_another_process
from crossover import crossover, draw, duration, estimate, rows_of, speedups
from crossover_tasks import ALONE, SIZES, TASKS, WAYS, Timings, costs, measure_task, timings

ITEM = 0.001
START_UP = {"threads": 0.0001, "fresh pool": 0.02, "warm pool": 0.001, "joblib": 0.01}
TRANSFER = {"threads": 0.00001, "fresh pool": 0.000002, "warm pool": 0.000002, "joblib": 0.0006}


def by_the_model(task: str, processes: int = 2) -> Timings:
    """Times as the estimate takes them to be."""
    items = list(SIZES[:12])
    seconds = {
        way: [START_UP[way] + size * (TRANSFER[way] + ITEM / processes) for size in items]
        for way in WAYS
    }
    seconds[ALONE] = [size * ITEM for size in items]
    return Timings(task, items, seconds, START_UP, TRANSFER)


@given(exponent=st.floats(0.1, 3), where=st.floats(2.5, 900_000))
def test_a_crossover_is_found_where_the_speedup_is_one(exponent: float, where: float) -> None:
    """Between sizes it is exact where the speedup is a power of the size."""
    found = crossover(SIZES, [(size / where) ** exponent for size in SIZES[:-1]] + [100.0])
    if where < SIZES[-2]:
        assert found == pytest.approx(where, rel=1e-3)
    else:
        assert found is not None and SIZES[-2] <= found <= SIZES[-1]


@given(start_up=st.floats(0, 10), transfer=st.floats(0, 0.4), processes=st.integers(2, 64))
def test_at_the_estimate_the_saving_is_what_it_costs(
    start_up: float, transfer: float, processes: int
) -> None:
    items = estimate(start_up, transfer, item=1.0, processes=processes)
    assert items is not None
    saved, paid = items * (1 - 1 / processes), start_up + items * transfer
    assert saved == pytest.approx(paid, abs=1e-4) if items > 2 else saved >= paid


def test_nobody_gains_where_an_item_costs_less_than_its_transfer_or_nothing_is_shared() -> None:
    assert estimate(0.0, 0.5, item=1.0, processes=2) is None
    assert estimate(0.0, 0.0, item=1.0, processes=1) is None


def test_a_way_counts_as_quicker_only_if_it_is_so_at_the_longest_list_by_more_than_noise() -> None:
    assert crossover([2, 5, 10], [0.5, 0.9, 1.04]) is None
    assert crossover([2, 5, 10], [0.5, 1.9, 0.9]) is None
    assert crossover([2, 5, 10], [1.2, 0.9, 1.9]) == pytest.approx(5.5, abs=0.2)


def test_times_by_the_model_cross_where_it_says() -> None:
    rows = {row["way"]: row for row in rows_of(by_the_model("solve"), processes=2)}
    assert list(rows) == list(WAYS)
    for way in ("fresh pool", "warm pool"):
        exact = START_UP[way] / (ITEM / 2 - TRANSFER[way])
        assert rows[way]["estimated"] == math.ceil(exact)
        # Interpolation between neighbours is not exact.
        assert rows[way]["crossover"] == pytest.approx(exact, rel=0.15, abs=1)
        assert rows[way]["best_speedup"] == pytest.approx(2, abs=0.05)
        assert rows[way]["best_items"] == 10_000
    assert rows["warm pool"]["estimated_to_measured"] == pytest.approx(1, abs=0.05)
    assert rows["joblib"]["crossover"] is None
    assert rows["joblib"]["estimated"] is None
    assert rows["joblib"]["estimated_to_measured"] is None
    assert rows["threads"]["crossover"] == rows["threads"]["estimated"] == 2
    assert {row["item_us"] for row in rows.values()} == {1000.0}


def test_threads_are_not_expected_to_gain_where_the_lock_is_held() -> None:
    held, released = (rows_of(by_the_model(task), processes=2) for task in ("digits", "solve"))
    assert held[0]["way"] == released[0]["way"] == "threads"
    assert (held[0]["lock"], held[0]["estimated"]) == ("held", None)
    assert (released[0]["lock"], released[0]["estimated"]) == ("released", 2)
    assert held[1]["estimated"] == released[1]["estimated"]


def test_every_task_gives_the_same_every_time() -> None:
    for name, task in TASKS.items():
        if name != "fit":  # Of which the import takes seconds.
            first, second = ([task.function(item) for item in task.items(3)] for _ in range(2))
            assert first == second


def test_every_way_is_timed_until_lists_take_long_enough() -> None:
    """Real processes, for some hundredths of a second."""
    measured = in_another_process(measure_task, "digits", processes=2, rounds=1, limit=0.01)
    assert measured.items == list(SIZES[: len(measured.items)])
    assert set(measured.seconds) == {ALONE, *WAYS}
    for seconds in measured.seconds.values():
        assert len(seconds) == len(measured.items)
        assert min(seconds) > 0
    assert measured.item_seconds == pytest.approx(3e-5, rel=20)
    # A pool that must be forked starts later than one that is there.
    assert measured.seconds["fresh pool"][0] > measured.seconds["warm pool"][0]
    assert speedups(measured, "fresh pool")[0] < 1


def _alone(function: Any, items: Any) -> list[Any]:
    return [function(item) for item in items]


def test_a_way_that_gives_other_results_stops_the_benchmark() -> None:
    ways = {ALONE: _alone, "backwards": lambda function, items: _alone(function, items)[::-1]}
    with pytest.raises(RuntimeError, match="backwards: abs of 2 items gives other results"):
        timings(abs, [[1, 2]], ways, rounds=1)


def test_no_list_follows_one_that_took_long() -> None:
    found = timings(abs, [range(2), range(200_000), range(200_001)], {ALONE: _alone}, 1, 0.0005)
    assert len(found[ALONE]) == 2
    assert found[ALONE][1] > 100 * found[ALONE][0]


@given(start_up=st.floats(0, 1), transfer=st.floats(0, 1))
def test_costs_are_those_of_a_line(start_up: float, transfer: float) -> None:
    sizes = (2, 500)
    found = costs(sizes, (start_up + 2 * transfer, start_up + 500 * transfer))
    assert found == (pytest.approx(start_up, abs=1e-9), pytest.approx(transfer, abs=1e-9))


def test_the_figure_has_a_panel_a_task_and_a_line_a_way() -> None:
    every = [by_the_model(task) for task in TASKS]
    figure = draw(every, processes=2)
    assert len(figure.data) == len(TASKS) * len(WAYS)
    titles = [annotation.text for annotation in figure.layout.annotations]
    assert all(
        title.startswith(f"{task.title}: 1.0 ms an item")
        for title, task in zip(titles, TASKS.values(), strict=True)
    )
    for number in range(len(TASKS)):
        lines = figure.data[number * len(WAYS) : (number + 1) * len(WAYS)]
        assert [line.name for line in lines] == list(WAYS)
        assert len({line.xaxis for line in lines}) == 1
        assert len({(line.line.color, line.marker.symbol) for line in lines}) == len(WAYS)
        assert list(lines[2].y) == pytest.approx(speedups(every[number], "warm pool"), rel=1e-3)
    assert sum(line.showlegend for line in figure.data) == len(WAYS)
    assert {axis.type for axis in (*figure.select_xaxes(), *figure.select_yaxes())} == {"log"}
    ones = [shape for shape in figure.layout.shapes if shape.y0 == shape.y1 == 1]
    assert len({shape.yref for shape in ones}) == len(TASKS)


@given(st.floats(1e-9, 1e3))
def test_a_duration_reads_as_what_it_is(seconds: float) -> None:
    number, unit = duration(seconds).split()
    size = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit]
    assert float(number) * size == pytest.approx(seconds, rel=0.051)
