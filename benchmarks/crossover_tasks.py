"""The tasks and the ways of the crossover benchmark, and how they are timed."""

from __future__ import annotations

import hashlib
import math
import statistics
import time
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from typing import Any

import joblib
import numpy as np
from joblib.externals.loky import get_reusable_executor

__all__ = [
    "ALONE",
    "SIZES",
    "TASKS",
    "WAYS",
    "Task",
    "Timings",
    "costs",
    "measure_task",
    "nothing",
    "open_ways",
    "timings",
]

ALONE = "comprehension"
WAYS = ("threads", "fresh pool", "warm pool", "joblib")
SIZES = tuple(
    digit * 10**power
    for power in range(7)
    for digit in (1, 2, 5)
    if 2 <= digit * 10**power <= 10**6
)
_LEAST_SECONDS = 0.002
_SLOWEST_TO_ALONE = 3.0
_BLOCK = bytes(range(256)) * 1_000
_LENGTH, _ARRAYS = 10_000, 10_000

Way = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]


def square(number: int) -> int:
    return number * number


def digits(number: int) -> int:
    """The sum of the digits of a large power: Python's own work."""
    return sum(map(int, str(3 ** (900 + number % 10))))


def digest(number: int) -> str:
    """The SHA-256 hash of a quarter of a megabyte."""
    return hashlib.sha256(_BLOCK + number.to_bytes(8)).hexdigest()


def solve(number: int) -> float:
    """A random system of 160 linear equations."""
    matrix = np.random.default_rng(number).normal(size=(160, 160))
    return float(np.linalg.solve(matrix, matrix[0])[0])


def mean(values: np.ndarray) -> float:
    return float(values.mean())


def fit(number: int) -> float:
    """The optimised theta model of a series of ten years of months, and its next value."""
    from statsforecast.models import DynamicOptimizedTheta

    months = np.arange(120)
    noise = np.random.default_rng(number).normal(size=120)
    y = 100 + months + 10 * np.sin(months * np.pi / 6) + noise
    return float(DynamicOptimizedTheta(season_length=12).forecast(y, 1)["mean"][0])


def nothing(item: Any) -> None:
    """What is left of a way when its task costs nothing: its start and the transfer."""


@cache
def _noise() -> np.ndarray:
    return np.random.default_rng(0).normal(size=_LENGTH + _ARRAYS)


def _arrays(size: int) -> list[np.ndarray]:
    """Arrays of 80 kB. They are parts of one, which costs no memory until they are sent."""
    values = _noise()
    return [values[first : first + _LENGTH] for first in range(size)]


@dataclass(frozen=True)
class Task:
    """A function and the lists that it is mapped over.

    Attributes:
        title: what it does.
        function: of an item; a function of this module, so that processes find it.
        releases_lock: whether most of its time is spent outside the interpreter's lock, so that
            threads can share it.
        items: a list of so many items.
        most_items: the longest list.
    """

    title: str
    function: Callable[[Any], Any]
    releases_lock: bool
    items: Callable[[int], Sequence[Any]] = range
    most_items: int = SIZES[-1]


TASKS = {
    "square": Task("square of a number", square, releases_lock=False),
    "digits": Task("digits of a large power", digits, releases_lock=False),
    "digest": Task("SHA-256 of 256 kB", digest, releases_lock=True),
    "solve": Task("160 linear equations", solve, releases_lock=True),
    "mean": Task("mean of an array of 80 kB", mean, True, _arrays, _ARRAYS),
    "fit": Task("fit of a theta model", fit, releases_lock=False),
}


@dataclass(frozen=True)
class Timings:
    """What a task took.

    Attributes:
        task: its name.
        items: the sizes of the lists, ascending.
        seconds: to each way, and to the list comprehension, the seconds of each list.
        start_up: to each way the seconds before the first item.
        transfer: to each way the seconds that an item takes besides its task.
    """

    task: str
    items: list[int]
    seconds: dict[str, list[float]]
    start_up: dict[str, float]
    transfer: dict[str, float]

    @property
    def item_seconds(self) -> float:
        """Of an item of the longest list, one by one."""
        return self.seconds[ALONE][-1] / self.items[-1]


@contextmanager
def open_ways(processes: int) -> Iterator[dict[str, Way]]:
    """Each way to map a function over items; their processes end with the context."""
    fork = get_context("fork")

    def threads(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        with ThreadPoolExecutor(processes) as executor:
            return list(executor.map(function, items))

    def fresh_pool(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        with fork.Pool(processes) as pool:
            return pool.map(function, items)

    def by_joblib(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return joblib.Parallel(n_jobs=processes)(joblib.delayed(function)(item) for item in items)

    with fork.Pool(processes) as warm:
        try:
            yield {
                ALONE: lambda function, items: [function(item) for item in items],
                "threads": threads,
                "fresh pool": fresh_pool,
                "warm pool": warm.map,
                "joblib": by_joblib,
            }
        finally:
            # Else a process that `multiprocessing` started would wait for joblib's at its end.
            get_reusable_executor().shutdown()


def timings(
    function: Callable[[Any], Any],
    lists: Sequence[Sequence[Any]],
    ways: Mapping[str, Way],
    rounds: int,
    limit: float = math.inf,
) -> dict[str, list[float]]:
    """The median seconds of each way for each list.

    A round takes every way once, so that a slow moment of the machine is one of all of them. Short
    calls are repeated within a round.

    Args:
        function: what is mapped.
        lists: ascending in size.
        ways: one of them is `ALONE`.
        rounds: how many.
        limit: no longer list follows one that took so many seconds one by one, or three times as
            many another way.

    Raises:
        RuntimeError: a way's results are not those of the list comprehension.
    """
    found: dict[str, list[float]] = {way: [] for way in ways}
    for items in lists:
        calls = {name: partial(way, function, items) for name, way in ways.items()}
        expected, first = calls[ALONE](), {}
        for name, call in calls.items():
            start = time.perf_counter()
            results = call()
            first[name] = time.perf_counter() - start
            if results != expected:
                raise RuntimeError(
                    f"{name}: {function.__name__} of {len(items)} items gives other results than "
                    "the list comprehension"
                )
        every = [{name: _seconds(call) for name, call in calls.items()} for _ in range(rounds)]
        for name in calls:
            found[name].append(statistics.median(each[name] for each in every))
        if first[ALONE] >= limit or max(first.values()) >= _SLOWEST_TO_ALONE * limit:
            break
    return found


def _seconds(call: Callable[[], Any]) -> float:
    """The seconds of a call, from so many that they can be timed."""
    timer, number = timeit.Timer(call, "import gc; gc.enable()"), 1
    while (seconds := timer.timeit(number)) < _LEAST_SECONDS:
        number *= 4
    return seconds / number


def costs(sizes: tuple[int, int], seconds: tuple[float, float]) -> tuple[float, float]:
    """Start-up and transfer of an item: the line through two lists of a task that costs nothing.

    Examples:
        >>> costs((2, 4), (2.0, 3.0))
        (1.0, 0.5)
    """
    transfer = max(0.0, (seconds[1] - seconds[0]) / (sizes[1] - sizes[0]))
    return max(0.0, seconds[0] - sizes[0] * transfer), transfer


def measure_task(name: str, processes: int, rounds: int, limit: float) -> Timings:
    """Time a task every way, in this process.

    Args:
        name: of `TASKS`.
        processes: processes, or threads, of a way.
        rounds: of which the median is taken.
        limit: lists grow until the list comprehension takes so many seconds.

    Raises:
        RuntimeError: a way's results are not those of the list comprehension.
    """
    task = TASKS[name]
    sizes = [size for size in SIZES if size <= task.most_items]
    # What happens once is nobody's time: the imports of a task are made before processes are
    # forked, and joblib's processes start and make theirs.
    task.function(task.items(1)[0])
    with open_ways(processes) as ways:
        for way in ways.values():
            way(task.function, task.items(10 * processes))
        of_nothing = (sizes[0], min(10_000, task.most_items // 10))
        lists = [task.items(size) for size in of_nothing]
        empty = timings(nothing, lists, ways, rounds)
        seconds = timings(task.function, [task.items(n) for n in sizes], ways, rounds, limit)
    both = {way: costs(of_nothing, (empty[way][0], empty[way][1])) for way in WAYS}
    return Timings(
        name,
        sizes[: len(seconds[ALONE])],
        seconds,
        {way: start_up for way, (start_up, _) in both.items()},
        {way: transfer for way, (_, transfer) in both.items()},
    )
