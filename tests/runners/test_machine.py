"""Cores and memory as containers limit them, from files as the kernel writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clepsydra.errors import ConfigError
from clepsydra.runners import machine
from clepsydra.runners.machine import Machine, Share, read_machine, share

GB = 1 << 30


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen cores, and no wishes in the environment."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)), raising=False)
    for variable in (machine.PROCESSES_VARIABLE, machine.THREADS_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_cgroups(tmp_path: Path) -> None:
    found = read_machine(tmp_path)
    assert found.cores == 16
    assert found.memory == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("cpu", "cores"), [("max 100000", 16), ("350000 100000", 3), ("50000 100000", 1)]
)
def test_version_2(tmp_path: Path, cpu: str, cores: int) -> None:
    root = lay(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/run\n",
            "sys/fs/cgroup/pod/run/cpu.max": cpu,
            "sys/fs/cgroup/pod/run/memory.max": "max\n",
            "sys/fs/cgroup/pod/memory.max": f"{2 * GB}\n",
        },
    )
    assert read_machine(root) == Machine(cores, 2 * GB)


def test_version_1(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/\n",
            "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{3 * GB}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert read_machine(root) == Machine(2, 3 * GB)


@pytest.mark.parametrize("cores", [1, 2, 16])
@pytest.mark.parametrize("memory", [0.5, 1, 2, 4, 5, 8, 17, 33, 64])
def test_memory_for_each_process_and_its_child_and_some_to_spare(memory: float, cores: int) -> None:
    """A process of 1.5 GB in use, with a child of half a GB."""
    processes = Machine(cores, int(memory * GB)).processes
    assert 1 <= processes <= cores
    assert processes == 1 or processes * 2 * GB < memory * GB, "they do not fit"
    assert processes == cores or (processes + 2) * 2 * GB > memory * GB, "more would fit"


def test_wishes_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    big = Machine(8, 64 * GB)
    assert share(big) == Share(8, 1)
    assert share(big, threads=3) == Share(2, 3)
    assert share(big, processes=2) == Share(2, 1)
    monkeypatch.setenv(machine.PROCESSES_VARIABLE, "3")
    monkeypatch.setenv(machine.THREADS_VARIABLE, "2")
    assert share(big) == Share(3, 2)
    assert share(big, processes=1) == Share(1, 2)


def test_more_than_the_cores_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert share(Machine(4, 64 * GB), processes=4) == Share(4, 1)
    assert caplog.messages == []
    assert share(Machine(4, 64 * GB), processes=4, threads=2) == Share(4, 2)
    (message,) = caplog.messages
    assert "4 processes of 2 threads are more than the 4 cores" in message


@pytest.mark.parametrize("wrong", [0, -1, "many", 1.5, True])
def test_what_is_no_number_of_processes(wrong: object, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="runner parameter 'processes' is"):
        share(Machine(4, GB), processes=wrong)  # type: ignore[arg-type]
    monkeypatch.setenv(machine.THREADS_VARIABLE, "some")
    with pytest.raises(ConfigError, match="CLEPSYDRA_THREADS is 'some': it must be a whole"):
        share(Machine(4, GB))
