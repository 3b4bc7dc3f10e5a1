"""When is multiprocessing worth it? `python benchmarks/crossover.py`.

The same function is mapped over lists of ever more items in five ways:

| way | what it is |
|---|---|
| `comprehension` | `[function(item) for item in items]` |
| `threads` | a `ThreadPoolExecutor`, started for the list |
| `pool` | a `multiprocessing.Pool`, started for the list |
| `warm pool` | one that was there already |
| `joblib` | `Parallel`, whose workers stay after the first call |

The functions cost from the square of a number to the fit of a model. Python's own work holds the
interpreter's lock, so that threads cannot share it; numpy's linear algebra lets it go. Lists grow
until one by one takes some seconds. Every figure is the best of three, in this process with one
thread for linear algebra. `crossover` is the time that a list takes one by one from which on a way
is quicker, between two sizes by interpolation of the logarithms; a way that never is has none.

Prints tables, and writes `benchmarks/results/crossover.json` and the figure
`benchmarks/results/crossover_figure.json` (Plotly).
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import argparse
import math
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.pool import Pool
from typing import Any

import joblib
import numpy as np
import plotly.graph_objects as go

from _results import RESULTS, Target, format_table, format_targets, write_results

PACKAGES = ["joblib", "numpy", "statsforecast", "plotly"]
WAYS = ("comprehension", "threads", "pool", "warm pool", "joblib")
_SIZES = (5, 20, 100, 500, 2_000, 10_000, 50_000, 200_000, 1_000_000, 5_000_000)
_MOST_SECONDS = 4.0
_REPEATS = 3
_PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7")

Function = Callable[[int], Any]


def square(number: int) -> int:
    """Some hundredths of a microsecond."""
    return number * number


def digits(number: int) -> int:
    """Some tens of microseconds of Python's own work: the sum of the digits of a large power."""
    return sum(map(int, str(3 ** (900 + number % 10))))


def solve(number: int) -> float:
    """About a millisecond of linear algebra, which lets the interpreter's lock go."""
    random = np.random.default_rng(number)
    matrix = random.normal(size=(160, 160))
    return float(np.linalg.solve(matrix, matrix[0])[0])


def fit(number: int) -> float:
    """Some milliseconds: the optimised theta model of a series of ten years of months."""
    from statsforecast.models import DynamicOptimizedTheta

    random = np.random.default_rng(number)
    months = np.arange(120)
    y = 100 + months + 10 * np.sin(months * np.pi / 6) + random.normal(size=120)
    return float(DynamicOptimizedTheta(season_length=12).forecast(y, 12)["mean"][0])


FUNCTIONS: dict[str, Function] = {"square": square, "digits": digits, "solve": solve, "fit": fit}


def ways(processes: int, warm: Pool) -> dict[str, Callable[[Function, Sequence[int]], list[Any]]]:
    """To each way how a function is mapped over items."""

    def by_threads(function: Function, items: Sequence[int]) -> list[Any]:
        with ThreadPoolExecutor(processes) as threads:
            return list(threads.map(function, items))

    def by_pool(function: Function, items: Sequence[int]) -> list[Any]:
        with get_context("fork").Pool(processes) as pool:
            return pool.map(function, items)

    def by_joblib(function: Function, items: Sequence[int]) -> list[Any]:
        return joblib.Parallel(n_jobs=processes)(joblib.delayed(function)(item) for item in items)

    return {
        "comprehension": lambda function, items: [function(item) for item in items],
        "threads": by_threads,
        "pool": by_pool,
        "warm pool": lambda function, items: warm.map(function, items),
        "joblib": by_joblib,
    }


def crossover(alone: Sequence[float], other: Sequence[float]) -> float | None:
    """The time one by one from which on the other way is quicker, and stays so.

    Args:
        alone: seconds of each list one by one, ascending.
        other: of the other way.

    Examples:
        >>> crossover([1.0, 4.0], [2.0, 2.0])
        2.0
        >>> crossover([1.0, 2.0], [2.0, 3.0]) is None
        True
        >>> crossover([1.0, 2.0], [0.5, 1.0])
        1.0
    """
    gains = [math.log(own / its) for own, its in zip(alone, other, strict=True)]
    if gains[-1] <= 0:
        return None
    place = max((number for number, gain in enumerate(gains) if gain <= 0), default=None)
    if place is None:
        return alone[0]
    share = -gains[place] / (gains[place + 1] - gains[place])
    first, second = math.log(alone[place]), math.log(alone[place + 1])
    return round(math.exp(first + share * (second - first)), 6)


def _best(way: Callable[[], list[Any]]) -> float:
    """Seconds; long ones are not repeated."""
    found: list[float] = []
    while len(found) < _REPEATS and sum(found) < _MOST_SECONDS:
        start = time.perf_counter()
        way()
        found.append(time.perf_counter() - start)
    return min(found)


def measured(processes: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """A row a function and a size: the seconds of every way."""
    rows = []
    with get_context("fork").Pool(processes) as warm:
        every = ways(processes, warm)
        for name in names:
            function = FUNCTIONS[name]
            # What happens once, such as compilation and joblib's start, is none of them.
            for way in every.values():
                way(function, range(2 * processes))
            for size in _SIZES:
                items = range(size)
                row: dict[str, Any] = {"function": name, "items": size}
                for way in WAYS:
                    row[way] = _best(lambda way=way, items=items: every[way](function, items))
                rows.append(row)
                _say(f"{name} {size:,}: {row['comprehension']:.3g} s one by one")
                if row["comprehension"] > _MOST_SECONDS / 2:
                    break
    return rows


def summed_up(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a function and a way: from where on it is quicker, and how much at the longest list."""
    found = []
    for name in dict.fromkeys(row["function"] for row in rows):
        its = [row for row in rows if row["function"] == name]
        alone = [row["comprehension"] for row in its]
        each = alone[-1] / its[-1]["items"]
        for way in WAYS[1:]:
            other = [row[way] for row in its]
            found.append(
                {
                    "function": name,
                    "microseconds": 1e6 * each,
                    "way": way,
                    "crossover_seconds": crossover(alone, other),
                    "speedup_at_most": max(own / one for own, one in zip(alone, other, strict=True)),
                }
            )
    return found


def drawn(rows: list[dict[str, Any]], processes: int) -> go.Figure:
    """How many times quicker each way is, over the time that the list takes one by one."""
    figure = go.Figure()
    dashes = dict(zip(FUNCTIONS, ("solid", "dash", "dot", "longdash"), strict=True))
    for way, colour in zip(WAYS[1:], _PALETTE, strict=False):
        for name, dash in dashes.items():
            its = [row for row in rows if row["function"] == name]
            if not its:
                continue
            figure.add_trace(
                go.Scatter(
                    x=[row["comprehension"] for row in its],
                    y=[row["comprehension"] / row[way] for row in its],
                    name=f"{way}, {name}",
                    legendgroup=way,
                    line={"color": colour, "dash": dash},
                    text=[f"{row['items']:,} items" for row in its],
                )
            )
    figure.add_hline(y=1, line_color="#6E6E6E")
    return figure.update_layout(
        title=f"{processes} processes or threads against one: above the line they are quicker",
        template="plotly_white",
        xaxis={"type": "log", "title": "seconds that the list takes one by one"},
        yaxis={"type": "log", "title": "times as quick"},
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--functions", nargs="+", choices=FUNCTIONS, default=list(FUNCTIONS))
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        # The warm pool is forked before any thread is started.
        warnings.simplefilter("ignore", DeprecationWarning)
        rows = measured(arguments.processes, arguments.functions)
    summary = summed_up(rows)
    _say(format_table(rows))
    _say(format_table(summary))
    targets: list[Target] = []
    _say(format_targets(targets))
    write_results(RESULTS / "crossover.json", PACKAGES, [*summary, *rows], targets)
    figure = RESULTS / "crossover_figure.json"
    figure.write_text(drawn(rows, arguments.processes).to_json() + "\n")


if __name__ == "__main__":
    main()
