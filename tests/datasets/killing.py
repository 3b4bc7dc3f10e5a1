"""Collect in processes that are killed: a program of its own, so that it may fork.

It imports what collecting needs once, never uses polars itself, and forks for every run: threads
would not survive the fork, and a fresh interpreter for each of many kills would take minutes.

Run as `python killing.py FOLDER SEED KILLS`, it prints what became of every kill as JSON lines.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import gc
import json
import os
import random
import shutil
import signal
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from clepsydra.config import SourcesConfig, TaskConfig
from clepsydra.datasets import arrivals, raw_files
from clepsydra.datasets.raw_store import RawStoreDataset
from clepsydra.errors import SourceError
from clepsydra.pipelines.collect.nodes import collect_target
from clepsydra.sources import delimited

_FIRST = dt.date(2013, 7, 1)
_TASK = TaskConfig(freq="h", season_lengths=[24], horizon=24)
_LOAD = {"role": "target", "path": "*.csv", "id": "id", "time": "time", "value": "value"}


def write_source(folder: Path, days: int, revised: int) -> None:
    """Files of ten days each, hours of four series; the last `revised` days are new ones."""
    folder.mkdir()
    for begin in range(0, days, 10):
        lines = ["id,time,value"]
        for number in range(begin, min(days, begin + 10)):
            day = _FIRST + dt.timedelta(number)
            value = 1000 * (number >= days - revised) + number
            for name in "abcd":
                lines += [f"{name},{day} {hour:02}:00,{value + hour}" for hour in range(0, 24, 2)]
        lines.append("a,soon,1" if revised else "a,later,1")
        (folder / f"{begin:03}.csv").write_text("\n".join(lines) + "\n")


def collect(source: Path, store: Path) -> None:
    """What the node and the catalog do, with a state to be kept."""
    sources = SourcesConfig.model_validate({"load": _LOAD})
    dataset = RawStoreDataset(str(store))
    as_of = (_FIRST + dt.timedelta(365)).isoformat()
    feed, _ = collect_target(sources, as_of, str(source), {}, dataset.load(), _TASK)
    dataset.save(dataclasses.replace(feed, state=lambda: {"after": source.name}))


def forked(work: Callable[[], None]) -> int:
    """Do the work in a child process, and return its id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def ended(child: int) -> int:
    """Wait for the child: 0, or what ended it (a signal is negative)."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def state_of(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder in the folder, with the bytes of files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


class Trials:
    """Stores that are killed while they grow, each beside one that nobody disturbs.

    Args:
        folder: to work in.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._early, self._late = folder / "early", folder / "late"
        write_source(self._early, days=20, revised=0)
        write_source(self._late, days=30, revised=17)
        self._old, self._new = folder / "old", folder / "new"
        assert ended(forked(lambda: collect(self._early, self._old))) == 0
        shutil.copytree(self._old, self._new)
        self._times: list[float] = []
        self._collect_in(self._new)
        self._before, self._after = state_of(self._old), state_of(self._new)

    def _collect_in(self, store: Path) -> None:
        begin = time.perf_counter()
        assert ended(forked(lambda: collect(self._late, store))) == 0
        self._times.append(time.perf_counter() - begin)

    def _judged(self, store: Path, status: int) -> dict[str, Any]:
        """What was found after the kill, and whether another run makes it good."""
        found = state_of(store)
        fixed = self._before.keys() - {"manifest.parquet", "state.json"}
        manifests = [one["manifest.parquet"] for one in (self._before, self._after)]
        self._collect_in(store)
        result = {
            "killed": status == -signal.SIGKILL,
            "begun": found != self._before,
            "finished": found == self._after,
            "kept": all(found.get(name) == self._before[name] for name in fixed),
            "manifest": manifests.index(found["manifest.parquet"]),
            "same": state_of(store) == self._after,
        }
        shutil.rmtree(store)
        return result

    def kill_after(self, share: float) -> dict[str, Any]:
        """Kill when that share of the usual time of a run is over."""
        store = self._folder / "killed"
        shutil.copytree(self._old, store)
        child = forked(lambda: collect(self._late, store))
        time.sleep(share * statistics.median(self._times[-5:]))
        os.kill(child, signal.SIGKILL)
        return {"share": share} | self._judged(store, ended(child))

    def kill_at(self, step: int) -> dict[str, Any]:
        """Kill right before the store puts a file, the one of that number, in place."""
        store = self._folder / "killed"
        shutil.copytree(self._old, store)
        child = forked(lambda: self._signalled(store, step, signal.SIGKILL))
        return {"step": step} | self._judged(store, ended(child))

    def kill_while_another_waits(self) -> dict[str, Any]:
        """A run that stands still, one that begins then, and the kill of the first."""
        store = self._folder / "killed"
        shutil.copytree(self._old, store)
        first = forked(lambda: self._signalled(store, 2, signal.SIGSTOP))
        os.waitpid(first, os.WUNTRACED)
        half_way = state_of(store)
        said = self._folder / "said"

        def second() -> None:
            try:
                collect(self._late, store)
            except SourceError as error:
                said.write_text(str(error))

        assert ended(forked(second)) == 0
        untouched = state_of(store) == half_way
        os.kill(first, signal.SIGKILL)
        result = self._judged(store, ended(first))
        return {"said": said.read_text(), "untouched": untouched} | result

    def kill_and_forget(self) -> dict[str, Any]:
        """Kill when all is written and nothing in place; the next run finds the old source."""
        store = self._folder / "killed"
        shutil.copytree(self._old, store)
        status = ended(forked(lambda: self._signalled(store, 1, signal.SIGKILL)))
        begun = state_of(store) != self._before
        assert ended(forked(lambda: collect(self._early, store))) == 0
        same = state_of(store) == self._before
        shutil.rmtree(store)
        return {"killed": status == -signal.SIGKILL, "begun": begun, "same": same, "kept": same}

    def _signalled(self, store: Path, step: int, number: int) -> None:
        """Collect, and get the signal before the file of that number is put in place."""
        real, count = Path.replace, 0

        def replace(path: Path, target: Path) -> None:
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), number)
            real(path, target)

        Path.replace = replace  # type: ignore[assignment, method-assign]
        collect(self._late, store)

    def steps(self) -> int:
        """How many files a run puts in place."""
        return sum(self._before.get(name) != data for name, data in self._after.items())


def run_trials(trials: Trials, seed: int, kills: int) -> Iterator[dict[str, Any]]:
    """Kills at random times spread over a run, at every step of it, and beside another run."""
    chance = random.Random(seed)
    for number in range(kills):
        yield trials.kill_after((number + chance.random()) / kills)
    for step in range(1, trials.steps() + 1):
        yield trials.kill_at(step)
    yield trials.kill_and_forget()
    yield trials.kill_while_another_waits()


if __name__ == "__main__":
    # Several batches, snapshots and row groups, of little data.
    delimited._BLOCK_BYTES = 1 << 14
    arrivals._FILE_ROWS = 300
    raw_files._GROUP_ROWS = 128
    gc.freeze()
    for trial in run_trials(Trials(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])):
        sys.stdout.write(json.dumps(trial) + "\n")
