"""Work on many series, of which none can stop the others, be it by an error or by hanging."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as WaitedTooLong
from typing import Any, TypeVar

import pandas as pd
from pebble import ProcessExpired, ProcessPool

from clepsydra.models.cost import Cost, measured

__all__ = ["Isolation"]

_Result = TypeVar("_Result")
_FIRST_PART, _LARGEST_PART = 8, 512
_SHARE_OF_TIMEOUT = 0.25


class Isolation:
    """Runs work on parts of the series, in a process of its own that can be ended.

    A part that fails is halved until the series at fault is alone. A part has the time that one
    series may take, and parts are as large as a quarter of it allows, judging by those before; so a
    hanging series costs its time-out and little more.

    Use it as a context: the process is started with the first work and ends with the context.

    Examples:
        >>> numbers = {"a": "1", "b": "two", "c": "3"}
        >>> def read(texts):
        ...     return [float(text) for text in texts]
        >>> with Isolation() as isolation:
        ...     reasons, cost = {}, Cost()
        ...     texts = lambda part: ([numbers[key] for key in part],)
        ...     list(isolation.run(read, texts, pd.Index(list("abc")), None, reasons, cost))
        [[1.0], [3.0]]
        >>> reasons
        {'b': "ValueError: could not convert string to float: 'two'"}
    """

    def __init__(self) -> None:
        self._pool: ProcessPool | None = None

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
        timeout: float | None,
        reasons: dict[str, str],
        cost: Cost,
    ) -> Iterator[_Result]:
        """Results of the parts that went well, in order.

        Args:
            work: what is done with a part. With a time-out it must pickle, as must its arguments
                and its result.
            arguments: from the series of a part to what `work` is called with.
            ids: all series.
            timeout: seconds that one series may take; without it all run in this process at once.
            reasons: those of the series at fault are added.
            cost: that of the parts that went well is added.
        """
        size = len(ids) if timeout is None else _FIRST_PART
        seconds, done = 0.0, 0
        while len(ids):
            part, ids = ids[:size], ids[size:]
            for result, spent, number in self._halving(work, arguments, part, timeout, reasons):
                cost.add(spent)
                seconds, done = seconds + spent.seconds, done + number
                yield result
            if timeout is not None and done:
                able = _SHARE_OF_TIMEOUT * timeout * done / max(seconds, 1e-6)
                size = min(max(int(able), 1), _LARGEST_PART)

    def _halving(
        self,
        work: Callable[..., _Result],
        arguments: Callable[[pd.Index], tuple[Any, ...]],
        part: pd.Index,
        timeout: float | None,
        reasons: dict[str, str],
    ) -> Iterator[tuple[_Result, Cost, int]]:
        """Results of the part, or of its halves if it fails, with their cost and size."""
        try:
            result, spent = self._attempt(work, arguments(part), timeout)
        except Exception as error:  # of any library: it becomes a counted fallback
            if len(part) == 1:
                reasons[str(part[0])] = _reason(error, timeout)
                return
            middle = len(part) // 2
            for half in (part[:middle], part[middle:]):
                yield from self._halving(work, arguments, half, timeout, reasons)
            return
        yield result, spent, len(part)

    def _attempt(
        self, work: Callable[..., _Result], arguments: tuple[Any, ...], timeout: float | None
    ) -> tuple[_Result, Cost]:
        # A daemonic process, such as a worker of Celery's, may not start another.
        if timeout is None or multiprocessing.current_process().daemon:
            return _measured(work, *arguments)
        if self._pool is None:
            method = os.environ.get("KEDRO_MP_CONTEXT")
            self._pool = ProcessPool(1, context=multiprocessing.get_context(method))
        return self._pool.schedule(_measured, args=(work, *arguments), timeout=timeout).result()


def _measured(work: Callable[..., _Result], *arguments: Any) -> tuple[_Result, Cost]:
    with measured() as cost:
        result = work(*arguments)
    return result, cost


def _reason(error: Exception, timeout: float | None) -> str:
    if isinstance(error, WaitedTooLong):
        return f"timed out after {timeout:g} s"
    if isinstance(error, ProcessExpired):
        return f"its process ended with exit code {error.exitcode}"
    return f"{type(error).__name__}: {error}"
