"""When is multiprocessing worth it? `python benchmarks/crossover.py`.

The tasks of `crossover_tasks.py`, from the square of a number to the fit of a model, are mapped
over ever longer lists: by a list comprehension, and in four other ways.

| way | what it is | what a worker is given at a time |
|---|---|---|
| `threads` | a `ThreadPoolExecutor`, started for the list | an item |
| `fresh pool` | a `multiprocessing.Pool`, forked and ended for the list | a quarter of its share |
| `warm pool` | one that was there already | a quarter of its share |
| `joblib` | `Parallel`, whose processes stay after the first call | batches that grow: `auto` |

These are the defaults of `map` and of `Parallel`. Where processes are not forked but spawned, as on
macOS and Windows, a fresh pool also has to import all that its task needs.

With `p` processes a list of `N` items of `t` seconds saves `N * t * (1 - 1/p)`, and costs a
start-up `s` and for every item a transfer `c`. The crossover lies where they are equal, at
`N = s / (t * (1 - 1/p) - c)`, and nowhere if an item's transfer costs more than sharing saves.
Threads that hold the interpreter's lock save nothing.

`s` and `c` are measured with a task that does nothing, on two lists of the same kind of items, and
`estimated` is what follows from them. It takes for granted that `p` processes are `p` times as
quick, that transfer and work never overlap, and that a batch of joblib's has always the same size.

A row is a task and a way: microseconds of an item, of start-up and of transfer; `crossover`, the
items from which on the way is quicker than the list comprehension, between two sizes by
interpolation of the logarithms (the shortest list, if it always was; missing if it never is); the
estimate, and its ratio to what was measured; the best speedup, and the items of that list. Times
are medians of rounds that take every way in turn. A task has a process of its own, with one thread
for linear algebra, as all processes have; results must be those of the list comprehension.

Prints the table, and writes `benchmarks/results/crossover.json` and the figure
`benchmarks/results/crossover_figure.json` (Plotly); with `--quick`, or not all tasks, neither.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from _results import RESULTS, format_table, in_another_process, say, write_results
from clepsydra.environment import ONE_THREAD
from crossover_tasks import ALONE, SIZES, TASKS, WAYS, Timings, measure_task

PACKAGES = ["joblib", "numpy", "statsforecast", "plotly"]
# A way that is never quicker by more is not quicker: so much is noise.
_NOISE = 1.05
# Colours of Okabe and Ito (2008), which colour-blind readers can tell apart, and symbols.
_STYLES = {
    "threads": ("#E69F00", "diamond"),
    "fresh pool": ("#D55E00", "square"),
    "warm pool": ("#0072B2", "circle"),
    "joblib": ("#009E73", "triangle-up"),
}
_GREY = "#6E6E6E"
_COLUMNS = 2


def speedups(timings: Timings, way: str) -> list[float]:
    """How many times as quick as the list comprehension a way is, for each list."""
    pairs = zip(timings.seconds[ALONE], timings.seconds[way], strict=True)
    return [alone / its for alone, its in pairs]


def crossover(items: Sequence[int], times_as_quick: Sequence[float]) -> float | None:
    """The size of a list from which on a way is quicker, and stays so.

    Args:
        items: sizes of lists, ascending.
        times_as_quick: its speedup for each.

    Returns:
        The first size if it always was quicker; None if it is not at the last, by 5 %.

    Examples:
        >>> crossover([10, 1000], [0.1, 10.0])
        100.0
        >>> crossover([10, 1000], [1.5, 0.9]) is None
        True
        >>> crossover([10, 1000], [1.5, 1.7])
        10
    """
    if times_as_quick[-1] < _NOISE:
        return None
    slower = [place for place, times in enumerate(times_as_quick) if times <= 1]
    if not slower:
        return items[0]
    before, after = slower[-1], slower[-1] + 1
    low, high = math.log(times_as_quick[before]), math.log(times_as_quick[after])
    share = -low / (high - low)
    return round(items[before] * (items[after] / items[before]) ** share, 6)


def estimate(start_up: float, transfer: float, item: float, processes: int) -> float | None:
    """The size of a list whose saving equals start-up and transfer.

    Args:
        start_up: seconds.
        transfer: seconds of an item.
        item: seconds that an item takes.
        processes: how many share the work.

    Returns:
        Two at least: one item cannot be shared. None if nothing is ever saved.

    Examples:
        >>> estimate(start_up=0.02, transfer=0.001, item=0.012, processes=2)
        4.0
        >>> estimate(start_up=0.02, transfer=0.006, item=0.012, processes=2) is None
        True
    """
    saved = item * (1 - 1 / processes) - transfer
    return max(float(SIZES[0]), round(start_up / saved, 6)) if saved > 0 else None


def rows_of(timings: Timings, processes: int) -> list[dict[str, Any]]:
    """A task's rows of the table, one a way."""
    task, item = TASKS[timings.task], timings.item_seconds
    rows = []
    for way in WAYS:
        sharing = processes if way != "threads" or task.releases_lock else 1
        times = speedups(timings, way)
        measured = crossover(timings.items, times)
        expected = estimate(timings.start_up[way], timings.transfer[way], item, sharing)
        has_both = measured is not None and expected is not None
        best = max(range(len(times)), key=times.__getitem__)
        rows.append(
            {
                "task": timings.task,
                "lock": "released" if task.releases_lock else "held",
                "item_us": round(1e6 * item, 3),
                "way": way,
                "start_up_us": round(1e6 * timings.start_up[way], 1),
                "transfer_us": round(1e6 * timings.transfer[way], 3),
                "crossover": None if measured is None else math.ceil(measured),
                "estimated": None if expected is None else math.ceil(expected),
                "estimated_to_measured": round(expected / measured, 2) if has_both else None,
                "best_speedup": round(times[best], 2),
                "best_items": timings.items[best],
            }
        )
    return rows


def duration(seconds: float) -> str:
    """Two digits and a unit that reads well.

    Examples:
        >>> duration(4.2e-8), duration(3.34e-5), duration(0.0021), duration(150.0)
        ('42 ns', '33 µs', '2.1 ms', '150 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{_two_digits(seconds / size)} {unit}"
    return f"{_two_digits(seconds / 1e-9)} ns"


def _two_digits(number: float) -> str:
    return f"{number:.1f}" if number < 9.95 else f"{number:.0f}"


def draw(every: Sequence[Timings], processes: int) -> go.Figure:
    """The speedup over the size of the list: a panel a task, a line a way."""
    titles = [
        f"{TASKS[its.task].title}: {duration(its.item_seconds)} an item"
        f"<br><sup>{'releases' if TASKS[its.task].releases_lock else 'holds'} the interpreter's "
        "lock</sup>"
        for its in every
    ]
    figure = make_subplots(
        rows=math.ceil(len(every) / _COLUMNS),
        cols=_COLUMNS,
        subplot_titles=titles,
        horizontal_spacing=0.06,
        vertical_spacing=0.12,
    )
    for number, its in enumerate(every):
        place = {"row": number // _COLUMNS + 1, "col": number % _COLUMNS + 1}
        for way in WAYS:
            colour, symbol = _STYLES[way]
            pairs = zip(its.seconds[ALONE], its.seconds[way], strict=True)
            figure.add_trace(
                go.Scatter(
                    x=its.items,
                    y=[float(f"{times:.4g}") for times in speedups(its, way)],
                    customdata=[[duration(alone), duration(own)] for alone, own in pairs],
                    hovertemplate="%{x:,} items: %{customdata[1]}, one by one %{customdata[0]}",
                    name=way,
                    legendgroup=way,
                    showlegend=number == 0,
                    mode="lines+markers",
                    line={"color": colour, "width": 2},
                    marker={"symbol": symbol, "size": 7},
                ),
                **place,
            )
        figure.add_hline(y=1, line={"color": _GREY, "width": 1.5, "dash": "dash"}, **place)
    longest = math.log10(max(its.items[-1] for its in every))
    figure.update_xaxes(type="log", range=[0.15, longest + 0.15], dtick=1, exponentformat="power")
    ticks = [0.01, 0.1, 0.5, 1, processes]
    figure.update_yaxes(type="log", range=[-2.2, math.log10(1.6 * processes)], tickvals=ticks)
    figure.update_xaxes(title="items in the list", row=math.ceil(len(every) / _COLUMNS))
    figure.update_yaxes(title="speedup", col=1)
    return figure.update_layout(
        title={
            "text": f"Above the dashed line {processes} processes, or threads, are quicker than a "
            "list comprehension",
            "y": 0.98,
            "yanchor": "top",
        },
        template="plotly_white",
        height=300 * math.ceil(len(every) / _COLUMNS) + 150,
        legend={"orientation": "h", "y": 1.06, "yanchor": "bottom", "x": 0},
        margin={"t": 140, "r": 20, "b": 60},
    )


def main() -> None:
    """Time the tasks, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=max(2, os.cpu_count() or 1))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median is taken")
    parser.add_argument("--limit", type=float, default=0.3, help="seconds of the longest list")
    parser.add_argument("--quick", action="store_true", help="one round of short lists, no file")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.limit = 1, 0.05
    os.environ.update(ONE_THREAD)
    every = []
    for name in options.tasks:
        arguments = (name, options.processes, options.rounds, options.limit)
        every.append(in_another_process(measure_task, *arguments))
        say(f"{name}: {duration(every[-1].item_seconds)}, up to {every[-1].items[-1]:,} items")
    rows = [row for timings in every for row in rows_of(timings, options.processes)]
    say("\n" + format_table(rows))
    if not options.quick and set(options.tasks) == set(TASKS):
        write_results(RESULTS / "crossover.json", PACKAGES, rows, [])
        figure = draw(every, options.processes).to_json()
        (RESULTS / "crossover_figure.json").write_text(figure + "\n")


if __name__ == "__main__":
    main()
