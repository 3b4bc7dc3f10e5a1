"""What a piece of work costs: seconds, and memory beyond what there was before."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cost", "highest_mb", "highest_of_children_mb", "measured"]

_forgotten = [0.0]
_MAXRSS_IN_MB = 1024 if sys.platform != "darwin" else 1024**2
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Cost:
    """Seconds of wall time, and the peak of memory in MB above what was in use before.

    Memory that the process had set aside earlier and used again is not in it, so the figure is the
    least that the work needs; in a fresh process it is what it needs.
    """

    seconds: float = 0.0
    memory_mb: float = 0.0

    def add(self, other: Cost) -> None:
        """One piece of work after another: seconds add up, the higher peak counts."""
        self.seconds += other.seconds
        self.memory_mb = max(self.memory_mb, other.memory_mb)


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
    before = _start_of_memory()
    started = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - started
        cost.memory_mb = max(0.0, _peak_of_memory() - before)


def highest_mb() -> float:
    """The most memory that this process has had in use, in MB.

    Measuring a piece of work makes the system forget what was before it, so that is kept here.
    """
    return max(_forgotten[0], _peak_of_memory())


def _start_of_memory() -> float:
    with contextlib.suppress(OSError):
        _forgotten[0] = highest_mb()
        _RESET.write_text("5")  # the peak counts from now on
        return _status("VmRSS")
    return _peak_of_memory()


def highest_of_children_mb() -> float:
    """The most memory that a child of this process had in use, of those that have ended, in MB."""
    if sys.platform == "win32":
        return float("nan")
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / _MAXRSS_IN_MB


def _peak_of_memory() -> float:
    with contextlib.suppress(OSError):
        return _status("VmHWM")
    if sys.platform == "win32":
        return float("nan")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MAXRSS_IN_MB


def _status(key: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024
