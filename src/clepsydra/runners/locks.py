"""One run of a node at a time in a data folder; runs of other nodes go on beside it."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from clepsydra.errors import ClepsydraError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["AlreadyRunningError", "nodes_held"]

_LOGGER = logging.getLogger(__name__)
_FILE = ".lock"
_HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN)


class AlreadyRunningError(ClepsydraError):
    """Another run has a node of this one, in the same data folder."""


@contextmanager
def nodes_held(names: Iterable[str], folder: Path | None) -> Iterator[None]:
    """Within the `with` no other process can hold one of these nodes in the folder.

    A node is a byte of one file, of which the system knows who has locked it: a process that ends,
    however that is, holds nothing any more, and nothing is left in the folder that somebody would
    have to remove. It drops all that the process holds when any descriptor of the file is closed,
    so there is one; a process has one run at a time.

    Args:
        names: of nodes.
        folder: that they share; nothing is held without one, and where the system cannot.

    Raises:
        AlreadyRunningError: another process holds one of them.
    """
    if folder is None or fcntl is None:
        yield
        return
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT, 0o666)
            stack.callback(os.close, descriptor)
            for name in names:
                _hold(descriptor, name, folder)
        except OSError as error:  # such as a file system that knows no locks
            _LOGGER.warning("Another run in '%s' would not be noticed: %s", folder, error)
        yield


def _hold(descriptor: int, name: str, folder: Path) -> None:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(name))
    except OSError as error:
        if error.errno not in _HELD_BY_ANOTHER:
            raise
        raise AlreadyRunningError(
            f"node '{name}' belongs to another run that has not ended, of which the records are "
            f"in '{folder}' too: wait for it, or use another data folder"
        ) from None


def _place(name: str) -> int:
    """60 bits: an offset in a file is a number of 63."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) >> 4
