"""Files that appear whole or not at all: written beside their place, then put there in one step."""

from __future__ import annotations

import glob
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["remove_left", "whole"]

_PREFIX = ".partial-"
_SECONDS_OLD = 24 * 3600


@contextmanager
def whole(final: Path, removes_left: bool = True) -> Iterator[Path]:
    """The path to write to; it becomes the final one if the body of the `with` ends well.

    Names are those of no other process, on this or another machine. What a process that was killed
    a day ago or earlier has left of this file is removed.

    Args:
        final: where the file will be.
        removes_left: whether that is done: the folder is listed for it.

    Examples:
        >>> import tempfile
        >>> final = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with whole(final) as partial:
        ...     _ = partial.write_text("a")
        >>> [path.name for path in final.parent.iterdir()]
        ['a.txt']
    """
    partial = final.with_name(
        f"{_PREFIX}{socket.gethostname()[:32]}-{os.urandom(6).hex()}.{final.name}"
    )
    try:
        yield partial
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)
    if removes_left:
        remove_left(final.parent, final.name)


def remove_left(folder: Path, name: str | None = None) -> None:
    """Remove partial files in the folder that are a day old, of one file or of all."""
    pattern = f"{_PREFIX}*" if name is None else f"{_PREFIX}*.{glob.escape(name)}"
    for path in folder.glob(pattern):
        with suppress(OSError):  # another process has removed it
            if time.time() - path.stat().st_mtime > _SECONDS_OLD:
                path.unlink()
