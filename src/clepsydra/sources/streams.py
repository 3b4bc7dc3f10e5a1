"""Bytes of files, decompressed as they are read; what goes wrong is said with the file's name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Any, BinaryIO, cast
from urllib.parse import quote

import pyarrow as pa

from clepsydra.errors import SourceError

__all__ = ["as_seekable", "open_stream", "plain_name", "reason_of", "without_secrets"]

_BUFFER = 1 << 20
# Credentials that are no secrets, and that errors are better with.
_PUBLIC = {"account_name", "endpoint", "endpoint_url", "host", "project", "region", "region_name"}


def plain_name(name: str) -> tuple[str, str]:
    """A file's name without its compression, and the compression's ending.

    Examples:
        >>> plain_name("load.csv.gz"), plain_name("load.csv")
        (('load.csv', '.gz'), ('load.csv', ''))
    """
    path = PurePosixPath(name)
    ending = path.suffix.lower()
    return (path.stem, ending) if ending in _UNPACKERS else (name, "")


def open_stream(
    where: str,
    opened: Callable[[], Any],
    ending: str = "",
    hide: Callable[[str], str] = str,
) -> BinaryIO:
    """Open a file for reading, decompressed; every error in opening or reading is a `SourceError`.

    Args:
        where: what errors begin with: the source and the file.
        opened: opens the file as it is stored.
        ending: the compression's ending, as `plain_name` gives it.
        hide: takes secrets out of an error's text.

    Raises:
        SourceError: the file cannot be opened, or is no archive of that kind.

    Examples:
        >>> packed = gzip.compress(b"day,mw")
        >>> open_stream("file 'a.csv.gz'", lambda: io.BytesIO(packed), ".gz").read()
        b'day,mw'
        >>> open_stream("file 'a.csv.gz'", lambda: io.BytesIO(b"day,mw"), ".gz").read()
        Traceback (most recent call last):
        clepsydra.errors.SourceError: file 'a.csv.gz' is not a valid .gz archive: ...
    """

    def says(verb: str) -> Callable[[Exception], str]:
        return lambda error: f"{where} {verb}: {hide(reason_of(error))}"

    stored = _checked(opened, says("cannot be read"))
    if not ending:
        return stored
    try:
        return _checked(
            partial(_UNPACKERS[ending], where, stored),
            says(f"is not a valid {ending} archive"),
            stored,
        )
    except BaseException:
        stored.close()
        raise


def as_seekable(stream: BinaryIO) -> BinaryIO:
    """The stream itself if any part of it can be read at once, else a temporary copy of it."""
    if stream.seekable():
        return stream
    copy = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
    try:
        with stream:
            shutil.copyfileobj(stream, copy, _BUFFER)
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return cast(BinaryIO, copy)


def without_secrets(text: str, credentials: Mapping[str, Any] | None = None) -> str:
    """Text without credentials, and without the passwords and queries of URLs.

    Examples:
        >>> without_secrets("no 'hunter2' at http://me:pw@host/a?sig=12", {"secret": "hunter2"})
        "no '***' at http://***@host/a?***"
    """
    secrets = {secret for value in _leaves(credentials or {}) for secret in (value, quote(value))}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    text = re.sub(r"(\w://)[^\s/'\"@]+@", r"\1***@", text)
    return re.sub(r"(\w://[^\s'\"?]*\?)[^\s'\",)]+", r"\1***", text)


def _leaves(credentials: Mapping[str, Any]) -> Iterator[str]:
    for key, value in credentials.items():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        elif key not in _PUBLIC and not isinstance(value, bool) and len(str(value)) > 2:
            yield str(value)


def reason_of(error: Exception) -> str:
    """What an error says, on one line; its cause, if it says no more than a place.

    Examples:
        >>> reason_of(FileNotFoundError("bucket/a.csv")), reason_of(OSError("no route"))
        ('it is not there', 'no route')
    """
    if isinstance(error, IsADirectoryError):
        return "it is a folder; name its files, e.g. with '/*' at the end of 'path'"
    cause = error.__cause__
    for said in (error, cause):
        text = " ".join(str(said).split())[:500] if said else ""
        if " " in text:
            return text
    if isinstance(error, FileNotFoundError):
        return "it is not there"
    return f"{type(error).__name__} {error}".strip()


class _Checked(io.RawIOBase):
    """A stream whose errors are source errors."""

    def __init__(
        self,
        opened: Callable[[], Any],
        says: Callable[[Exception], str],
        below: BinaryIO | None = None,
    ) -> None:
        self._says = says
        self._below = below
        self._inner: Any = None
        with self._errors():
            self._inner = opened()
        # What is unpacked can be read from its beginning only, at a bearable price.
        self._seekable = below is None and self._finds_its_end()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SourceError:
            raise
        except Exception as error:  # storage drivers raise whatever their libraries do
            raise SourceError(self._says(error)) from None

    def _finds_its_end(self) -> bool:
        # Some drivers say that they can, and cannot.
        try:
            if not self._inner.seekable():
                return False
            self._inner.seek(0, io.SEEK_END)
            self._inner.seek(0)
        except Exception:
            return False
        return True

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._seekable

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if not self._seekable:
            raise io.UnsupportedOperation("seek")
        # A place before the beginning is an answer to those who look for an archive's end.
        self._inner.seek(offset, whence)
        return int(self._inner.tell())

    def tell(self) -> int:
        if not self._seekable:
            raise io.UnsupportedOperation("tell")
        return int(self._inner.tell())

    def readinto(self, buffer: Any, /) -> int:
        with self._errors():
            data = self._inner.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if self.closed:
            return
        try:
            if self._inner is not None:
                self._inner.close()
        finally:
            if self._below is not None:
                self._below.close()
            super().close()


def _checked(
    opened: Callable[[], Any], says: Callable[[Exception], str], below: BinaryIO | None = None
) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Checked(opened, says, below), _BUFFER))


class _Member:
    """The only member of a zip archive, and the file that is to be closed with it."""

    def __init__(self, where: str, stored: BinaryIO) -> None:
        self._file = as_seekable(stored)
        try:
            self._member = self._open(where)
        except BaseException:
            self._file.close()
            raise
        self.read = self._member.read

    def _open(self, where: str) -> IO[bytes]:
        archive = zipfile.ZipFile(self._file)
        members = [
            member.filename
            for member in archive.infolist()
            if not member.is_dir() and not member.filename.startswith("__MACOSX/")
        ]
        if len(members) != 1:
            shown = ", ".join(map(repr, members[:5])) + (", ..." if len(members) > 5 else "")
            raise SourceError(
                f"{where} holds {len(members)} files{': ' if members else ''}{shown}; "
                f"unpack it, or pack each file alone"
            )
        return archive.open(members[0])

    def close(self) -> None:
        self._member.close()
        self._file.close()


def _open_zst(_: str, stored: BinaryIO) -> Any:
    return pa.CompressedInputStream(stored, "zstd")


_UNPACKERS: dict[str, Callable[[str, BinaryIO], Any]] = {
    ".gz": lambda _, stored: gzip.GzipFile(fileobj=stored),
    ".bz2": lambda _, stored: bz2.BZ2File(stored),
    ".xz": lambda _, stored: lzma.LZMAFile(stored),  # noqa: SIM115
    ".zst": _open_zst,
    ".zip": _Member,
}
