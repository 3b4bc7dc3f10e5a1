"""Worker processes, each with a pipe of its own: one that is killed is no other's matter."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from clepsydra.runners.contents import Contents
from clepsydra.runners.schedule import Died
from clepsydra.runners.worker import Job, Outcome, Worker

__all__ = ["Processes"]

_POLL_SECONDS = 0.5


class Processes:
    """A process for every node that runs, up to a number; they are started when they are needed.

    A pool of the standard library gives up all its nodes if one of its processes is killed, and
    does not tell which was whose. Here one node is lost, and it is known which.

    A worker is the first of a process group: what a node has started ends with it. Temporary files
    are in a folder of the run, so that none is left of a worker that was killed.

    Args:
        size: most processes at a time.
        job: what they have in common.
    """

    def __init__(self, size: int, job: Job):
        self._size, self._job = size, job
        method = os.environ.get("KEDRO_MP_CONTEXT") or None
        self._context: Any = multiprocessing.get_context(method)
        self._folder: str | None = None
        self._idle: list[_Process] = []
        self._busy: dict[str, _Process] = {}

    @property
    def free(self) -> int:
        """How many more nodes can be given out now."""
        return self._size - len(self._busy)

    def submit(self, name: str, known: Contents, priority: float) -> None:
        """Give a node to a process that is idle, or to a new one.

        Args:
            name: of the node.
            known: what is known of files that its outputs hold already.
            priority: is not needed, for nothing waits here.
        """
        self._folder = self._folder or tempfile.mkdtemp(prefix="clepsydra-")
        while True:
            process = (
                self._idle.pop() if self._idle else _Process(self._context, self._job, self._folder)
            )
            try:
                process.connection.send((name, known))
            except OSError:  # killed while it was idle
                process.end()
                continue
            self._busy[name] = process
            return

    def wait(self) -> list[tuple[str, Outcome | Died]]:
        """Nodes that have ended, or have lost their process: one at least."""
        while True:
            ended: list[tuple[str, Outcome | Died]] = []
            heard = set(wait([one.connection for one in self._busy.values()], _POLL_SECONDS))
            for name, process in list(self._busy.items()):
                # What it has started may hold the pipe open when it is gone.
                gone = process.is_gone()
                if process.connection not in heard and not gone:
                    continue
                del self._busy[name]
                try:
                    outcome: Outcome | Died = process.receive()
                    self._idle.append(process)
                except (OSError, EOFError, pickle.UnpicklingError):
                    outcome = Died(process.end())
                ended.append((name, outcome))
            if ended:
                return ended

    def stop(self) -> None:
        """Kill all processes with what they have started, and remove their temporary files."""
        for process in [*self._idle, *self._busy.values()]:
            process.end()
        self._idle, self._busy = [], {}
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


class _Process:
    """A worker, and this side of its pipe."""

    def __init__(self, context: Any, job: Job, folder: str):
        self.connection, other = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=_work, args=(other, self.connection, job, folder), name="clepsydra-worker"
        )
        self._process.start()
        other.close()

    def is_gone(self) -> bool:
        return not self._process.is_alive()

    def receive(self) -> Outcome:
        if not self.connection.poll():
            raise EOFError
        return self.connection.recv()

    def end(self) -> int | None:
        """Kill it, and all that it has started. Outputs are saved whole, so nothing is torn."""
        pid = self._process.pid
        gone = self.is_gone()
        with suppress(ProcessLookupError, PermissionError):
            if pid is not None:
                os.killpg(pid, signal.SIGKILL)
        if not gone:
            self._process.kill()
        self._process.join()
        self.connection.close()
        exit_code = self._process.exitcode
        self._process.close()
        return exit_code


def _work(connection: Connection, other: Connection, job: Job, folder: str) -> None:
    other.close()
    os.setpgid(0, 0)
    # What the parent does at a signal is not what a worker does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(os.getppid(), folder), daemon=True).start()
    worker = Worker(job, folder)
    with suppress(EOFError, ConnectionError):  # the parent is gone
        while True:
            name, known = connection.recv()
            outcome = worker.run(name, known)
            sys.stdout.flush()
            sys.stderr.flush()
            connection.send(outcome)
    shutil.rmtree(folder, ignore_errors=True)


def _end_with(parent: int, folder: str) -> None:
    """End this process and what it has started when its parent is gone, however that ended."""
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(os.getpgid(0), signal.SIGKILL)
