"""What a piece of work costs: seconds, and memory.

The kernel knows the most memory that a process has had in use, and can be told to count from now
on. A piece of work may be measured inside of another, so what the kernel forgets is kept by every
`MemoryWatch` that has begun and not ended.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clepsydra.limits import cores_and_memory

__all__ = ["Cost", "MemoryWatch", "machine_mb", "measured", "note_child"]

_MAXRSS_IN_MB = 1024 if sys.platform != "darwin" else 1024**2
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Cost:
    """Seconds of wall time, and the peak of memory in MB above what was in use before.

    Memory that the process had set aside earlier and used again is not in it, so the figure is the
    least that the work needs; in a fresh process it is what it needs.

    Attributes:
        seconds: wall time.
        memory_mb: peak above what was in use before.
        highest_mb: peak of the whole process.
    """

    seconds: float = 0.0
    memory_mb: float = 0.0
    highest_mb: float = 0.0

    def add(self, other: Cost) -> None:
        """One piece of work after another: seconds add up, the higher peak counts."""
        self.seconds += other.seconds
        self.memory_mb = max(self.memory_mb, other.memory_mb)
        self.highest_mb = max(self.highest_mb, other.highest_mb)


class MemoryWatch:
    """The most memory in MB that this process has in use from now on; watches may overlap.

    Where the kernel cannot be told to count anew (it can on Linux), it is the most since the
    process began.

    Attributes:
        before: MB in use when the watch began; without a new count, the most until then.

    Examples:
        >>> watch = MemoryWatch()
        >>> watch.highest() >= watch.before > 0
        True
    """

    def __init__(self) -> None:
        highest = _highest_mb()
        for watch in _watches:
            watch._own = max(watch._own, highest)
        self.before: float = highest
        with contextlib.suppress(OSError):
            _RESET.write_text("5")  # the peak counts from now on
            self.before = _status("VmRSS")
        self._own: float = self.before
        self._noted = 0.0
        self._children_before = _highest_of_children_mb()
        _watches.add(self)

    def highest(self) -> float:
        """The most that this process has had in use since the watch began."""
        self._own = max(self._own, _highest_mb())
        return self._own

    def highest_with_children(self) -> float:
        """The same, or the most of one of its children, if that is more.

        Of the children that have ended the system knows the most that any had in use, and so only
        if it has become more since the watch began; `note_child` tells of others.
        """
        ended = _highest_of_children_mb()
        found = ended if ended > self._children_before else 0.0
        return max(self.highest(), self._noted, found)


_watches: weakref.WeakSet[MemoryWatch] = weakref.WeakSet()


def note_child(highest_mb: float) -> None:
    """Tell the watches of this process of the most that a child of it has had in use, in MB."""
    for watch in _watches:
        watch._noted = max(watch._noted, highest_mb)


@contextlib.contextmanager
def measured() -> Iterator[Cost]:
    """What the body of the `with` costs; filled in when it ends, also by an exception.

    Examples:
        >>> with measured() as cost:
        ...     block = bytearray(50_000_000)
        >>> cost.seconds > 0
        True
    """
    cost = Cost()
    watch = MemoryWatch()
    started = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - started
        cost.highest_mb = watch.highest()
        cost.memory_mb = max(0.0, cost.highest_mb - watch.before)


def machine_mb() -> float:
    """Memory that there is for all processes in MB: of the machine, or what a container may use.

    Where the system does not tell, infinity.
    """
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return cores_and_memory()[1] / 1024**2
    return math.inf


def _highest_mb() -> float:
    with contextlib.suppress(OSError):
        return _status("VmHWM")
    if sys.platform == "win32":
        return float("nan")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MAXRSS_IN_MB


def _highest_of_children_mb() -> float:
    """Of those that have ended."""
    if sys.platform == "win32":
        return float("nan")
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / _MAXRSS_IN_MB


def _status(key: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024
