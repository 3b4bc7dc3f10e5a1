"""What a dataset holds, as a hash of the bytes of its file or folder.

A file is read once: as long as its size, times and inode are the same it is taken to be the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, AbstractVersionedDataset, DatasetError

__all__ = ["MISSING", "Contents", "is_kept", "is_local", "location"]

MISSING = "missing"
"""What stands for the content of a file that is not there."""

_SIZE = 16
# What file systems of object stores call a hash of the content.
_HASHES = ("ETag", "etag", "md5Hash", "content_md5", "md5", "crc32c")


def is_kept(dataset: AbstractDataset) -> bool:
    """Whether what the dataset holds outlives the run."""
    return not getattr(dataset, "_EPHEMERAL", False)


def is_local(dataset: AbstractDataset) -> bool:
    """Whether the file or folder of the dataset is one of this machine's file systems."""
    return getattr(dataset, "_protocol", "file") in ("file", "local")


def location(dataset: AbstractDataset) -> str | None:
    """The file or folder that would be loaded, if the dataset has one.

    Of a versioned dataset it is that of the version which would be loaded, and an empty text if
    there is none yet.
    """
    if isinstance(dataset, AbstractVersionedDataset):
        dataset.release()  # of the version it remembers, which may not be the newest any more
        try:
            return str(dataset._get_load_path())
        except DatasetError:
            return ""
    path = getattr(dataset, "_filepath", None) or getattr(dataset, "_path", None)
    return str(path) if isinstance(path, (str, os.PathLike)) else None


@dataclass
class Contents:
    """Hashes of datasets.

    Attributes:
        known: path to signature (size, times, inode) to hash: what need not be read again.
    """

    known: dict[str, dict[str, str]] = field(default_factory=dict)

    def of(self, dataset: AbstractDataset) -> tuple[str | None, dict[str, tuple[str, str]]]:
        """The hash of a dataset, and signature and hash of each of its files by path.

        The hash is `MISSING` if there is no file, and nothing if what the dataset holds cannot be
        told from a file, as with a table of a database.
        """
        path = location(dataset)
        if path is None:
            return None, {}
        if path == "":
            return MISSING, {}
        if not is_local(dataset):
            return self._remote(dataset, path)
        root = Path(path)
        if root.is_dir():
            files = {str(file): self._hashed(str(file)) for file in _files_in(root)}
            names = [(os.path.relpath(file, root), its[1]) for file, its in files.items()]
            return _digest(repr(sorted(names)).encode()), files
        try:
            file = self._hashed(path)
        except FileNotFoundError:
            return MISSING, {}
        return file[1], {path: file}

    def of_files(self, paths: Iterable[Path]) -> tuple[str, dict[str, tuple[str, str]]]:
        """The same of some files together.

        Raises:
            OSError: one of them is not there, or is a folder.
        """
        files = {str(path): self._hashed(str(path)) for path in paths}
        return _digest(repr([(path, its[1]) for path, its in files.items()]).encode()), files

    def learn(self, files: Mapping[str, tuple[str, str] | list[str]]) -> None:
        """Add what is known of files."""
        for path, (signature, its) in files.items():
            self.known.setdefault(path, {})[signature] = its

    def within(self, dataset: AbstractDataset) -> Contents:
        """What is known of the files of a folder, for a process that adds some to it."""
        path = location(dataset)
        if not path or not is_local(dataset):
            return Contents()
        root = Path(path)
        if not root.is_dir():
            return Contents()
        there = (str(file) for file in _files_in(root))
        return Contents({file: self.known[file] for file in there if file in self.known})

    def _hashed(self, path: str) -> tuple[str, str]:
        stat = os.stat(path)  # noqa: PTH116 - as below
        # ctime too: who restores the time of a file cannot restore that.
        signature = f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}"
        if (its := self.known.get(path, {}).get(signature)) is None:
            with open(path, "rb") as file:  # noqa: PTH123 - str: there may be very many
                its = hashlib.file_digest(file, _new_hash).hexdigest()
            self.known.setdefault(path, {})[signature] = its
        return signature, its

    def _remote(self, dataset: Any, path: str) -> tuple[str | None, dict[str, tuple[str, str]]]:
        """Of an object store its own hash, where it has one; else the bytes are read."""
        fs = getattr(dataset, "_fs", None)
        if fs is None:
            return None, {}
        fs.invalidate_cache()
        try:
            there = fs.find(path, detail=True) or {path: fs.info(path)}
        except FileNotFoundError:
            return MISSING, {}
        files = {}
        for name, info in there.items():
            url = f"{dataset._protocol}://{name}"
            signature = _digest(json.dumps(info, default=str, sort_keys=True).encode())
            its = next((f"{key}:{info[key]}" for key in _HASHES if info.get(key)), None)
            if (its := its or self.known.get(url, {}).get(signature)) is None:
                with fs.open(name, "rb") as file:
                    its = hashlib.file_digest(file, _new_hash).hexdigest()
                self.known.setdefault(url, {})[signature] = its
            files[url] = (signature, its)
        return _digest(repr(sorted((url, its[1]) for url, its in files.items())).encode()), files


def _files_in(root: Path, around: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Files at every depth, but those that begin with a dot: locks and files not yet whole.

    Links to folders are followed, but for one to a folder that it lies in (`around`).
    """
    real = os.path.realpath(root)
    if real in around:
        return
    entries: list[os.DirEntry[str]] = []
    with suppress(OSError), os.scandir(root) as found:  # such as one that may not be read
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _files_in(Path(entry.path), around | {real})
        elif entry.is_file():
            yield Path(entry.path)


def _new_hash() -> Any:
    return hashlib.blake2b(digest_size=_SIZE)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=_SIZE).hexdigest()
