"""What a process may use of this machine: cores and memory, as a container limits them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["cores_and_memory"]


def cores_and_memory(root: Path = Path("/")) -> tuple[int, int]:
    """Cores and bytes, as affinity, cgroups (version 1 and 2) and physical memory have them.

    Args:
        root: of the file system; another one in tests.

    Raises:
        ValueError: the system does not tell how much memory there is.
        OSError: the same.
        AttributeError: the same.
    """
    cores = _affinity()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder in _folders(root, "cpu"):
        cores = min(cores, _quota(folder) or cores)
    for folder in _folders(root, "memory"):
        limits = (_number(folder / name) for name in ("memory.max", "memory.limit_in_bytes"))
        memory = min([memory, *(limit for limit in limits if limit)])
    return cores, memory


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """Where the limits of this process are: those of its own group and of all above it."""
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            base = mount
        elif controller in controllers.split(","):
            base = mount / controller
        else:
            continue
        folder = base / group.strip("/")
        yield from (one for one in (folder, *folder.parents) if one == base or base in one.parents)


def _quota(folder: Path) -> int | None:
    """Whole cores that the group may use; nothing if it is not limited."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        quota = str(_number(folder / "cpu.cfs_quota_us") or "max")
        period = str(_number(folder / "cpu.cfs_period_us") or 0)
    if quota == "max" or int(quota) <= 0 or int(period) <= 0:
        return None
    return max(1, int(quota) // int(period))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
