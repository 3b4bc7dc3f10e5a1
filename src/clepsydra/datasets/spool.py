"""Tables that are made piece by piece, too big to be held whole."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["Batches", "Spool", "copy_pieces"]


class Batches:
    """Rows that come in batches, and are read once unless they are held.

    Args:
        source: the batches; they are asked for when the first is needed.

    Examples:
        >>> batches = Batches(iter([pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2]})]))
        >>> batches.hold()
        >>> [frame.height for frame in batches], [frame.height for frame in batches]
        ([1, 1], [1, 1])
    """

    def __init__(self, source: Iterable[pl.DataFrame]):
        self._source = source
        self._files: list[Path] | None = None
        self._error: Exception | None = None

    def hold(self) -> None:
        """Read all batches and keep them on the disk, so that they can be read again.

        Raises:
            Exception: whatever reading raises; it is raised again when they are asked for, and
                nothing is read twice.
        """
        if self._error is not None:
            raise self._error
        if self._files is not None:
            return
        folder = Path(tempfile.mkdtemp(prefix="clepsydra-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        files = []
        try:
            for number, batch in enumerate(self._source):
                files.append(folder / f"{number:06d}.arrow")
                batch.write_ipc(files[-1])
        except Exception as error:
            self._error = error
            raise
        self._files = files

    def __iter__(self) -> Iterator[pl.DataFrame]:
        if self._error is not None:
            raise self._error
        if self._files is None:
            yield from _read_ahead(self._source)
        else:
            for file in self._files:
                yield pl.read_ipc(file)


def _read_ahead(source: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same batches, the next of which is read by another thread while one is worked on."""
    batches = iter(source)
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(next, batches, None)
        while (batch := ahead.result()) is not None:
            ahead = reader.submit(next, batches, None)
            yield batch


class Spool:
    """A Parquet file in the making. A node fills it, and the dataset that saves it takes the file.

    Every piece is a row group. What nobody saves is deleted.

    Args:
        schema: of the pieces.

    Examples:
        >>> spool = Spool(pa.schema([("a", pa.int64())]))
        >>> spool.add(pa.table({"a": [1, 2]}))
        >>> spool.rows
        2
    """

    def __init__(self, schema: pa.Schema):
        self._folder = Path(tempfile.mkdtemp(prefix="clepsydra-"))
        self._path = self._folder / "spool.parquet"
        # Without Arrow's own schema in the file, ids come back as text and not as categories.
        self._writer = pq.ParquetWriter(
            self._path,
            schema,
            compression="lz4",
            use_dictionary=[field.name for field in schema if not pa.types.is_floating(field.type)],
            store_schema=False,
        )
        self._schema = schema
        self.rows = 0
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def add(self, piece: pa.Table) -> None:
        """Write the piece."""
        if piece.num_rows:
            self._writer.write_table(piece.select(self._schema.names).cast(self._schema))
            self.rows += piece.num_rows

    def pieces(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """What was added, piece by piece; nothing can be added any more."""
        self._writer.close()
        yield from copy_pieces([self._path], columns)

    def move_to(self, path: Path) -> None:
        """Close the file and put it there."""
        self._writer.close()
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(self._path, path)


def copy_pieces(files: list[Path], columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The row groups of some files, one after the other, with all columns or some."""
    for file in files:
        reader = pq.ParquetFile(file)
        for number in range(reader.num_row_groups):
            yield reader.read_row_group(number, columns=columns)
