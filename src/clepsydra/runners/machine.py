"""How many processes and threads suit this machine, and the container that it may be."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from clepsydra.errors import ConfigError
from clepsydra.limits import cores_and_memory

__all__ = ["PROCESSES_VARIABLE", "THREADS_VARIABLE", "Machine", "Share", "read_machine", "share"]

PROCESSES_VARIABLE = "CLEPSYDRA_PROCESSES"
THREADS_VARIABLE = "CLEPSYDRA_THREADS"

_LOGGER = logging.getLogger(__name__)
_GB = 1 << 30
# What a process is expected to need, with a child of its own for models that take one, and what is
# left to the parent and the system.
_PROCESS_BYTES, _RESERVED_BYTES = 2 * _GB, _GB


@dataclass(frozen=True)
class Machine:
    """What a run may use.

    Attributes:
        cores: that this process may run on, a container's share of time counted.
        memory: bytes.
    """

    cores: int
    memory: int

    @property
    def processes(self) -> int:
        """One a core, fewer where the memory does not suffice for so many."""
        by_memory = (self.memory - _RESERVED_BYTES) // _PROCESS_BYTES
        return max(1, min(self.cores, by_memory))


@dataclass(frozen=True)
class Share:
    """Processes of a run, and threads in each."""

    processes: int
    threads: int


def read_machine(root: Path = Path("/")) -> Machine:
    """The machine as affinity, cgroups (version 1 and 2) and physical memory have it.

    Args:
        root: of the file system; another one in tests.
    """
    return Machine(*cores_and_memory(root))


def share(machine: Machine, processes: int | None = None, threads: int | None = None) -> Share:
    """Processes and threads; what is not given is taken from the environment, or chosen.

    More of both than there are cores make a run slow but not wrong, so that is only warned of.

    Args:
        machine: from `read_machine`.
        processes: as given by the user, if at all.
        threads: in each process, as given by the user, if at all.

    Raises:
        ConfigError: a number is not a whole one from 1 up.

    Examples:
        >>> share(Machine(cores=8, memory=64 << 30), threads=2)
        Share(processes=4, threads=2)
    """
    processes = _given("processes", processes, PROCESSES_VARIABLE)
    threads = _given("threads", threads, THREADS_VARIABLE)
    chosen = Share(
        processes or min(machine.processes, max(1, machine.cores // (threads or 1))), threads or 1
    )
    if chosen.processes * chosen.threads > machine.cores:
        _LOGGER.warning(
            "%d processes of %d threads are more than the %d cores that this run may use: it will "
            "be slower than with fewer",
            *(chosen.processes, chosen.threads, machine.cores),
        )
    return chosen


def _given(name: str, value: int | None, variable: str) -> int | None:
    text = os.environ.get(variable) if value is None else value
    if text is None or text == "":
        return None
    try:
        number = int(text)
    except (TypeError, ValueError):
        number = 0
    if number < 1 or isinstance(text, (bool, float)):
        where = variable if value is None else f"runner parameter '{name}'"
        raise ConfigError(f"{where} is {text!r}: it must be a whole number from 1 up")
    return number
