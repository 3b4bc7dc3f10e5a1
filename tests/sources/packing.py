"""Files packed in every way that is read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable

import pyarrow as pa


def pack_zip(data: bytes, *more: str) -> bytes:
    """An archive of a file, and of others by these names."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.csv", data)
        for name in more:
            archive.writestr(name, b"more")
    return sink.getvalue()


def pack_zst(data: bytes) -> bytes:
    """A Zstandard file."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": pack_zst,
    ".zip": pack_zip,
}
