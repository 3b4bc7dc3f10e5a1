"""Files as bad disks, networks and programs leave them."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator

import polars as pl

from clepsydra.config import SourceConfig
from clepsydra.errors import SourceError
from clepsydra.sources.pieces import Piece

Reader = Callable[[str, SourceConfig, Piece], Iterator[pl.DataFrame]]


def piece_of(data: bytes, name: str) -> Piece:
    """A piece in memory."""
    return Piece(name, name, lambda: io.BytesIO(data))


def mutations(whole: bytes, count: int) -> Iterator[bytes]:
    """Copies with bytes changed, doubled, lost, or cut off; the same ones every time."""
    for seed in range(count):
        chance = random.Random(seed)
        data = bytearray(whole)
        for _ in range(chance.choice([1, 1, 2, 5, 20])):
            start = chance.randrange(len(data))
            stop = min(len(data), start + chance.choice([1, 1, 1, 4, 64]))
            part = bytes(data[start:stop])
            change = chance.choice(["bit", "byte", "number", "lose", "double", "swap"])
            if change == "bit":
                data[start] ^= 1 << chance.randrange(8)
            elif change == "byte":
                data[start] = chance.randrange(256)
            elif change == "number":
                data[start] = chance.choice([0, 1, 127, 128, 255])
            elif change == "lose" and len(data) > 100:
                del data[start:stop]
            elif change == "double":
                data[start:start] = part
            elif change == "swap":
                other = chance.randrange(len(data))
                data[start], data[other] = data[other], data[start]
        if chance.random() < 0.2:
            del data[chance.randrange(1, len(data)) :]
        yield bytes(data)


def check_mutations(
    read: Reader, source: SourceConfig, whole: bytes, name: str, count: int
) -> None:
    """Every mutation ends in text rows, or in a `SourceError` that names source and file."""
    for data in mutations(whole, count):
        try:
            for frame in read("s", source, piece_of(data, name)):
                check_frame(frame, name)
        except SourceError as error:
            assert str(error).startswith(f"source 's', file '{name}'"), error


def check_frame(frame: pl.DataFrame, name: str) -> None:
    """A batch is text without nulls, and says where each row stood."""
    assert frame.height > 0
    assert frame.null_count().row(0) == (0,) * frame.width
    assert set(frame["_file"]) == {name}
    assert frame["_line"].dtype == pl.Int64
    assert frame["_line"].is_sorted()
    assert set(frame.drop("_line").dtypes) == {pl.String()}
