"""Memory is that of the piece of work, however pieces are nested and wherever they run."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clepsydra import cost
from clepsydra.cost import Cost, MemoryWatch, machine_mb, measured, note_child
from clepsydra.limits import cores_and_memory
from clepsydra.models.isolation import Isolation

MB = 1024**2
linux_only = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux counts peaks anew"
)


def use(megabytes: int) -> int:
    """Have so much memory in use for a moment; from 32 MB up it is given back to the system."""
    block = np.ones(megabytes * MB, dtype=np.uint8)
    found = int(block[-1])
    del block
    gc.collect()
    return found


@linux_only
def test_a_peak_before_the_watch_is_not_its_own() -> None:
    use(300)
    watch = MemoryWatch()
    use(50)
    assert 45 < watch.highest() - watch.before < 150


@linux_only
@pytest.mark.parametrize(
    ("before", "within", "after"), [(200, 64, 40), (40, 200, 64), (40, 64, 200)]
)
def test_the_outer_of_two_knows_the_highest_and_the_inner_its_own(
    before: int, within: int, after: int
) -> None:
    with measured() as outer:
        use(before)
        with measured() as inner:
            use(within)
        use(after)
    assert within - 5 < inner.memory_mb < within + 40
    assert 195 < outer.memory_mb < 260
    assert outer.highest_mb >= inner.highest_mb


@linux_only
def test_a_watch_that_overlaps_another_counts_from_its_own_beginning() -> None:
    first = MemoryWatch()
    use(200)
    second = MemoryWatch()
    use(40)
    assert first.highest() - first.before > 195
    assert 35 < second.highest() - second.before < 80


def test_what_the_body_of_a_measurement_raises_comes_through() -> None:
    with pytest.raises(KeyError), measured() as spent:
        raise KeyError
    assert spent.seconds > 0


def test_a_child_that_was_told_of_counts_for_those_who_count_children() -> None:
    watch = MemoryWatch()
    note_child(1e6)
    assert watch.highest_with_children() == 1e6
    assert watch.highest() < 1e6
    assert MemoryWatch().highest_with_children() < 1e6


@linux_only
def test_a_child_that_has_ended_counts() -> None:
    watch = MemoryWatch()
    size = int(watch.before) + 300
    code = f"block = b'1' * ({size} * 1024**2)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert watch.highest() < size <= watch.highest_with_children()
    assert MemoryWatch().highest_with_children() < size


def _peaks_of_a_child() -> tuple[float, float]:
    """MB above what was there before: with the child that has used 400, and without."""
    watch = MemoryWatch()
    reasons: dict[str, str] = {}
    with Isolation() as isolation:
        parts = isolation.run(use, lambda _: (400,), pd.Index(["a"]), reasons, Cost(), 60.0)
        assert list(parts) == [1]
    assert not reasons
    return watch.highest_with_children() - watch.before, watch.highest() - watch.before


@linux_only
def test_models_in_processes_of_their_own_count_for_every_node() -> None:
    """Also the second time, when no child has been larger than those that have ended.

    In a fresh process, for a forked child has only a part of what its parent has in use.
    """
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True)
    peaks = json.loads(done.stdout)
    assert len(peaks) == 2
    for with_child, alone in peaks:
        assert with_child > 300
        assert alone < 200


def test_without_a_new_count_the_peak_is_that_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cost, "_RESET", Path("/nowhere/at/all"))
    monkeypatch.setattr(cost, "_STATUS", Path("/nowhere/at/all"))
    use(150)
    watch = MemoryWatch()
    assert watch.highest() == watch.before > 100


def test_costs_add_up() -> None:
    total = Cost(1.0, 20.0, 300.0)
    total.add(Cost(2.0, 10.0, 400.0))
    assert total == Cost(3.0, 20.0, 400.0)


def test_a_container_may_have_less_memory_than_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also where the limit is not that of the root of the groups."""
    group = tmp_path / "sys/fs/cgroup/pod"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/pod\n")
    monkeypatch.setattr(cost, "cores_and_memory", lambda: cores_and_memory(tmp_path))
    whole = machine_mb()
    (group / "memory.max").write_text("max\n")
    assert machine_mb() == whole
    (group / "memory.max").write_text(f"{100 * MB}\n")
    assert machine_mb() == 100


def test_a_system_that_does_not_tell_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", refuse)
    assert machine_mb() == float("inf")


if __name__ == "__main__":
    sys.stdout.write(json.dumps([_peaks_of_a_child() for _ in range(2)]))
