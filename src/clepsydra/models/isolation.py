"""Work on many series, of which none can stop the others, be it by an error or by hanging."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import TimeoutError as WaitedTooLong
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd
from pebble import ProcessExpired, ProcessPool

from clepsydra.cost import Cost, measured, note_child

__all__ = ["Failure", "Isolation", "described"]

_Result = TypeVar("_Result")
_LARGEST_PART = 512
_SHARE_OF_TIMEOUT = 0.25
_SHORTEST_DEADLINE = 1.0
_ALIKE = 8


class Isolation:
    """Runs work on parts of the series, in a process of its own that can be ended.

    A part that fails is halved until the series at fault are alone. Parts are as large as a quarter
    of one series' time-out allows, judging by those before; a part that takes longer than that is
    halved with deadlines by the same measure, and only a series alone has all of its time. So one
    that hangs costs two time-outs and little more, and what hung once is not tried again.

    Where nothing has gone well and several series fail alike, a few others from all over are tried;
    if they fail alike too the rest is taken to do so.

    Use it as a context: the process is started with the first work and ends with the context.

    Examples:
        >>> numbers = {"a": "1", "b": "two", "c": "3"}
        >>> def read(texts):
        ...     return [float(text) for text in texts]
        >>> with Isolation() as isolation:
        ...     reasons, cost = {}, Cost()
        ...     texts = lambda part: ([numbers[key] for key in part],)
        ...     list(isolation.run(read, texts, pd.Index(list("abc")), reasons, cost))
        [[1.0], [3.0]]
        >>> reasons
        {'b': "ValueError: could not convert string to float: 'two' (<doctest ...>:2)"}
    """

    def __init__(self) -> None:
        self._pool: ProcessPool | None = None
        self._hung: dict[str, set[str]] = {}

    def __enter__(self) -> Isolation:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None

    def run(
        self,
        work: Callable[..., _Result],
        arguments: Callable[[pd.Index], tuple[Any, ...]],
        ids: pd.Index,
        reasons: dict[str, str],
        cost: Cost,
        timeout: float | None = None,
        expected: float = 0.1,
        name: str = "",
        together: bool = False,
    ) -> Iterator[_Result]:
        """Results of the parts that went well, in order.

        Args:
            work: what is done with a part. With a time-out it must pickle, as must its arguments
                and its result.
            arguments: from the series of a part to what `work` is called with.
            ids: all series.
            reasons: those of the series at fault are added.
            cost: is added to, also for what failed.
            timeout: seconds that one series may take; without it all run in this process at once.
            expected: seconds that one series is likely to take, until some have.
            name: of whose work it is; its series that hung before are not tried again.
            together: whether a part that fails is at fault as a whole, and not halved.
        """
        hung = self._hung.setdefault(name, set())
        reasons |= {str(uid): "timed out before" for uid in ids if uid in hung}
        ids = ids[~ids.isin(hung)]
        task = _Task(work, arguments, reasons, cost, timeout, hung, expected, together)
        while len(ids):
            size = len(ids) if timeout is None else task.part_size()
            part, ids = ids[:size], ids[size:]
            yield from self._halving(task, part, timeout)
            if task.is_hopeless() and len(ids):
                ids = yield from self._probing(task, ids)

    def _halving(
        self, task: _Task[_Result], part: pd.Index, deadline: float | None
    ) -> Iterator[_Result]:
        """Results of the part, or of its halves if it fails."""
        result, spent = self.attempt(task.work, task.arguments(part), deadline)
        if isinstance(result, Failure):
            task.cost.add(spent)
            if len(part) == 1 or task.together:
                for unique_id in part:
                    task.failed(str(unique_id), result)
                return
            middle = len(part) // 2
            for half in (part[:middle], part[middle:]):
                if task.is_hopeless() and len(half) > _ALIKE:
                    # Of a part that is all there is, some of each half are tried.
                    half = yield from self._probing(task, half)
                if len(half):
                    yield from self._halving(task, half, task.deadline(len(half)))
            return
        task.went_well(spent, len(part))
        yield result

    def _probing(self, task: _Task[_Result], ids: pd.Index) -> Generator[_Result, None, pd.Index]:
        """Results of a few of the series; returns the others, none if all of the few fail alike."""
        probes = ids[:: max(1, len(ids) // _ALIKE)]
        for probe in probes:
            yield from self._halving(task, pd.Index([probe]), task.timeout)
        others = ids.difference(probes)
        if not task.is_hopeless():
            return others
        task.reasons |= {str(uid): task.last_reason for uid in others}
        return others[:0]

    def attempt(
        self, work: Callable[..., _Result], arguments: tuple[Any, ...], deadline: float | None
    ) -> tuple[_Result | Failure, Cost]:
        """The result or the failure of one piece of work, and what it took.

        Args:
            work: what is done. With a deadline it must pickle, with its arguments and its result.
            arguments: what it is called with.
            deadline: seconds; without one it runs in this process.
        """
        if deadline is None:
            return _measured(work, *arguments)
        if self._pool is None or not self._pool.active:
            _allow_children()
            method = os.environ.get("KEDRO_MP_CONTEXT")
            self._pool = ProcessPool(1, context=multiprocessing.get_context(method))
        started = time.perf_counter()
        try:
            result, spent = self._pool.schedule(
                _measured, args=(work, *arguments), timeout=deadline
            ).result()
            note_child(spent.highest_mb)
            return result, spent
        except WaitedTooLong:
            failure = Failure(f"timed out after {deadline:g} s", hung=True)
        except ProcessExpired as error:
            failure = Failure(f"its process ended with exit code {error.exitcode}")
        except Exception as error:  # such as a result that does not pickle
            failure = Failure(described(error))
        return failure, Cost(time.perf_counter() - started)


@dataclass(frozen=True)
class Failure:
    """Why a part has no result. It is text, since not every exception reaches another process."""

    reason: str
    hung: bool = False


@dataclass
class _Task(Generic[_Result]):
    """One piece of work on many series, and how it has gone so far."""

    work: Callable[..., _Result]
    arguments: Callable[[pd.Index], tuple[Any, ...]]
    reasons: dict[str, str]
    cost: Cost
    timeout: float | None
    hung: set[str]
    expected: float
    together: bool
    done: int = 0
    seconds: float = 0.0
    alike: int = 0
    last_reason: str = ""

    def part_size(self) -> int:
        """Series that take a quarter of a time-out, as far as is known."""
        able = _SHARE_OF_TIMEOUT * (self.timeout or 0.0) / max(self._each(), 1e-6)
        return min(max(int(able), 1), _LARGEST_PART)

    def deadline(self, size: int) -> float | None:
        """Seconds for so many series: one alone has its time-out, several what they should take."""
        if self.timeout is None or size == 1:
            return self.timeout
        likely = 2 * size * self._each()
        return min(max(likely, _SHORTEST_DEADLINE), self.timeout)

    def went_well(self, spent: Cost, size: int) -> None:
        self.cost.add(spent)
        self.seconds, self.done, self.alike = self.seconds + spent.seconds, self.done + size, 0

    def failed(self, unique_id: str, failure: Failure) -> None:
        if failure.hung:
            self.hung.add(unique_id)
        self.alike = self.alike + 1 if failure.reason == self.last_reason else 1
        self.last_reason = self.reasons[unique_id] = failure.reason

    def is_hopeless(self) -> bool:
        """Whether nothing has gone well, and the last so many failed alike."""
        return self.done == 0 and self.alike >= _ALIKE

    def _each(self) -> float:
        return self.seconds / self.done if self.done else self.expected


def _allow_children() -> None:
    """Let this process start others, also if it is daemonic, as workers of Dask and Celery are.

    `multiprocessing` forbids it, for the children of a process that is terminated with its parent
    would be left over. Here they end with the work that they were given. The mark is this
    process's own note: its parent has another, and terminates it as before.
    """
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]


def described(error: Exception) -> str:
    """Kind, message and place of an error, in a line.

    The place is the last call that is not in an installed library.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    place = [f"({Path(own[-1].filename).name}:{own[-1].lineno})"] if own else []
    return " ".join([f"{type(error).__name__}:", *str(error).split(), *place])


def _measured(work: Callable[..., _Result], *arguments: Any) -> tuple[_Result | Failure, Cost]:
    result: _Result | Failure
    with measured() as cost:
        try:
            result = work(*arguments)
        except Exception as error:  # of any library: it becomes a counted fallback
            result = Failure(described(error))
    return result, cost
