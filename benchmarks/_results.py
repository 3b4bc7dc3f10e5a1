"""What every benchmark needs: a command's time and memory, the machine, a table, a JSON file.

The process that measures stays small, and does its own heavy work in other processes
(`in_another_process`): on Linux a child's highest memory starts from that of its parent.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeVar

import psutil

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / "benchmarks/results"
_SAMPLE_SECONDS = 0.05
_SAMPLES_A_LOOK_AT_THE_TREE = 10
_T = TypeVar("_T")


@dataclass(frozen=True)
class Usage:
    """What a command took.

    Attributes:
        seconds: from its start to its end.
        cpu_seconds: of it and its children, together.
        peak_gb: the highest resident memory of the largest process of its tree, in 10^9 bytes.
            Pages that processes share count in each of them.
    """

    seconds: float
    cpu_seconds: float
    peak_gb: float


@dataclass(frozen=True)
class Target:
    """A figure that a benchmark promises."""

    name: str
    value: float
    target: float
    better: Literal["lower", "higher"] = "lower"

    @property
    def reached(self) -> bool:
        """Whether the promise is kept."""
        if self.better == "lower":
            return self.value <= self.target
        return self.value >= self.target


class _TreeMemory(threading.Thread):
    """Samples the memory of a process and its descendants, and keeps the highest of any one."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._done = threading.Event()
        self.peak = 0

    def run(self) -> None:
        processes, samples = [self._root], 0
        while not self._done.wait(_SAMPLE_SECONDS):
            if samples % _SAMPLES_A_LOOK_AT_THE_TREE == 0:
                with contextlib.suppress(psutil.NoSuchProcess):
                    processes = [self._root, *self._root.children(recursive=True)]
            samples += 1
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    self.peak = max(self.peak, process.memory_info().rss)

    def stop(self) -> None:
        self._done.set()
        self.join()


def measure(command: Sequence[str | Path], log: Path, env: dict[str, str] | None = None) -> Usage:
    """Run a command from the project's folder, and take its time and memory.

    Memory is the larger of two figures: samples of every process of the tree, 20 a second, and
    what the kernel kept for the command and the children it waited for (`ru_maxrss`), which no
    peak escapes.

    Args:
        command: the program and its arguments.
        log: file that takes all it prints.
        env: environment variables, besides those of this process.

    Raises:
        RuntimeError: it failed; the message ends with the last it printed.
    """
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=PROJECT,
            env={**os.environ, **(env or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        memory = _TreeMemory(process.pid)
        memory.start()
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    memory.stop()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = log.read_text(errors="replace")[-3000:]
        raise RuntimeError(f"{' '.join(process.args)} ended with {process.returncode}:\n{last}")
    by_kernel = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Usage(seconds, used.ru_utime + used.ru_stime, max(memory.peak, by_kernel) / 1e9)


def in_another_process(function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
    """Call a module's function in a fresh process, which takes its memory with it."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *args, **kwargs).result()


def machine(packages: Iterable[str]) -> dict[str, Any]:
    """Cores, memory, and the versions of Python and these packages."""
    versions = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "versions": versions,
    }


def write_results(
    path: Path,
    packages: Iterable[str],
    rows: Sequence[dict[str, Any]],
    targets: Sequence[Target],
) -> None:
    """Write a benchmark's figures as JSON; the file's name is the benchmark's."""
    document = {
        "name": path.stem,
        "machine": machine(packages),
        "rows": rows,
        "targets": [{**vars(target), "reached": target.reached} for target in targets],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")


def format_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as text, columns under their names, numbers to the right."""
    if not rows:
        return ""
    names = list(rows[0])
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    is_text = [isinstance(rows[0][name], str) for name in names]
    return "\n".join(
        "  ".join(
            text.ljust(width) if left else text.rjust(width)
            for text, width, left in zip(line, widths, is_text, strict=True)
        ).rstrip()
        for line in [names, *cells]
    )


def format_targets(targets: Sequence[Target]) -> str:
    """The targets as text, a line each."""
    signs = {"lower": "<=", "higher": ">="}
    return "\n".join(
        f"{target.name:28} {target.value:8.3f} {signs[target.better]} {target.target}"
        f"  {'reached' if target.reached else 'MISSED'}"
        for target in targets
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
