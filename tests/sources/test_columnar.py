"""Parquet becomes text that reads back as the same values."""

from __future__ import annotations

import datetime as dt
import io
import math
import struct
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import check_frame, check_mutations, piece_of

from clepsydra.errors import SourceError
from clepsydra.sources import columnar
from clepsydra.sources.pieces import Piece
from clepsydra.sources.streams import open_stream
from helpers import make_source


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def rows_of(count: int) -> dict[str, Any]:
    """The columns that the source needs."""
    return {"id": ["a"] * count, "time": ["t"] * count, "value": list(range(count))}


def batches(data: bytes, **changes: Any) -> list[pl.DataFrame]:
    return list(columnar.read("s", make_source(**changes), piece_of(data, "a.parquet")))


def texts(array: pa.Array, **options: Any) -> list[str]:
    """What the cells of a column become."""
    data = parquet({**rows_of(len(array)), "cell": array}, **options)
    [frame] = batches(data)
    check_frame(frame, "a.parquet")
    return frame["cell"].to_list()


D = Decimal


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1, None, -(2**63)]), ["1", "", "-9223372036854775808"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([0.1, 1.0, -2.5, None, math.nan]), ["0.1", "1", "-2.5", "", ""]),
        (pa.array([0.1, 16777216, math.nan], pa.float32()), ["0.1", "16777216", ""]),
        (pa.array([0.5, 2.0, None], pa.float16()), ["0.5", "2", ""]),
        (pa.array([True, False, None]), ["true", "false", ""]),
        (pa.array(["007", "", None, "é"]), ["007", "", "", "é"]),
        (pa.array(["a", None], pa.large_string()), ["a", ""]),
        (pa.array(["a", None], pa.string_view()), ["a", ""]),
        (pa.array(["x", None, "y", "x"]).dictionary_encode(), ["x", "", "y", "x"]),
        (pa.array([b"text", b"\xff\x00", None]), ["74657874", "ff00", ""]),
        (pa.array([b"text", None]), ["text", ""]),
        (pa.array([b"ab", None], pa.binary(2)), ["6162", ""]),
        (pa.array([b"0" * 16], pa.uuid()), ["30" * 16]),
        (pa.nulls(2), ["", ""]),
        (pa.array([D("1.50"), D("-0.01"), None]), ["1.50", "-0.01", ""]),
        (
            pa.array([D("0.0000000001"), D("7")], pa.decimal128(20, 10)),
            ["0.0000000001", "7" + ".0000000000"],
        ),
        (pa.array([D("1.5")], pa.decimal256(60, 9)), ["1.500000000"]),
        (pa.array([dt.date(2024, 2, 29), None]), ["2024-02-29", ""]),
        (pa.array([dt.date(2024, 2, 29)], pa.date64()), ["2024-02-29"]),
        (pa.array([dt.time(5, 6), dt.time(5, 6, 7, 80)]), ["05:06:00", "05:06:07.00008"]),
        (pa.array([10, 0], pa.timestamp("s")), ["1970-01-01T00:00:10", "1970-01-01T00:00:00"]),
        (
            pa.array([1500, 2000], pa.timestamp("ms")),
            ["1970-01-01T00:00:01.5", "1970-01-01T00:00:02"],
        ),
        (pa.array([1], pa.timestamp("ns")), ["1970-01-01T00:00:00.000000001"]),
        (pa.array([0, None], pa.timestamp("us", "Asia/Kolkata")), ["1970-01-01T00:00:00Z", ""]),
        (pa.array([1], pa.timestamp("us", "+02:00")), ["1970-01-01T00:00:00.000001Z"]),
        (pa.array([1], pa.timestamp("us", "Not/Known")), ["1970-01-01T00:00:00.000001Z"]),
        (pa.array([2**62], pa.timestamp("ms")), ["<value out of range: 4611686018427387904>"]),
        (pa.array([90], pa.duration("s")), ["90"]),
        (pa.array([[1, None], [], None]), ["[1,null]", "[]", ""]),
        (
            pa.array([{"é": D("1.5"), "t": [dt.datetime(2024, 1, 1)], "b": b"\xff"}, None]),
            ['{"é":"1.5","t":["2024-01-01T00:00:00"],"b":"ff"}', ""],
        ),
        (pa.array([[("k", math.nan)]], pa.map_(pa.string(), pa.float64())), ['[["k",null]]']),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_every_type_has_one_text(array: pa.Array, expected: list[str]) -> None:
    assert texts(array) == expected


def as_float32(value: float) -> float:
    return struct.unpack("f", struct.pack("f", value))[0]


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
def test_floats_read_back_as_they_were(values: list[float]) -> None:
    assert list(map(float, texts(pa.array(values)))) == values


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_narrow_floats_read_back_as_they_were_and_are_no_longer_than_need_be(
    values: list[float],
) -> None:
    found = texts(pa.array(values, pa.float32()))
    assert [as_float32(float(text)) for text in found] == values
    digits = [text.lower().partition("e")[0].strip("-0.").replace(".", "") for text in found]
    assert all(len(text) <= 9 or text.endswith("0") for text in digits)


@given(
    st.lists(st.datetimes(), min_size=1, max_size=20),
    st.sampled_from(["UTC", "America/New_York", "-03:30", None]),
)
def test_times_read_back_as_they_were(values: list[dt.datetime], zone: str | None) -> None:
    stored = [value.replace(tzinfo=dt.UTC) if zone else value for value in values]
    found = texts(pa.array(stored, pa.timestamp("us", zone)))
    assert [dt.datetime.fromisoformat(text) for text in found] == stored
    assert all(text.endswith("Z") == bool(zone) for text in found)
    assert all(
        ("." in text) == bool(value.microsecond) for text, value in zip(found, values, strict=True)
    )


@given(st.lists(st.none() | st.decimals(-(10**9), 10**9, places=11), min_size=1, max_size=20))
def test_decimals_keep_every_place(values: list[Decimal | None]) -> None:
    found = texts(pa.array(values, pa.decimal128(25, 11)))
    assert found == ["" if value is None else format(value, ".11f") for value in values]


@given(st.lists(st.none() | st.text(max_size=9), min_size=1, max_size=20))
def test_text_stays_as_it_is_however_it_is_stored(values: list[str | None]) -> None:
    expected = [value or "" for value in values]
    array = pa.array(values, pa.string())
    assert texts(array) == texts(array.dictionary_encode()) == expected
    assert texts(array, use_dictionary=False, compression="zstd") == expected


# Batches and columns


def test_a_long_file_is_read_in_batches_with_every_row_numbered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = parquet(rows_of(1000), row_group_size=64)
    for name, bound in (("BATCH_ROWS", 100), ("_BATCH_CELLS", 300)):
        with monkeypatch.context() as patch:
            patch.setattr(columnar, name, bound)
            found = batches(data)
        assert max(frame.height for frame in found) <= 100
        whole = pl.concat(found)
        assert whole["_line"].to_list() == list(range(1, 1001))
        assert whole["value"].to_list() == [str(i) for i in range(1000)]


def test_only_columns_that_are_needed_are_read_if_they_are_named() -> None:
    data = parquet({**rows_of(1), "load.mw": [1.5], "load": [{"mw": 2}], "photo": [b"\xff"]})
    covariate = {"role": "covariate", "id": None, "value": None}
    [frame] = batches(data, **covariate, columns=["load.mw"])
    assert frame.columns == ["time", "load.mw", "_file", "_line"]
    assert frame["load.mw"].to_list() == ["1.5"]
    [frame] = batches(data)
    assert frame.columns == ["id", "time", "value", "load.mw", "load", "photo", "_file", "_line"]


def test_a_packed_file_is_read_though_it_has_to_be_unpacked_first() -> None:
    import gzip

    packed = gzip.compress(parquet(rows_of(3)))
    piece = Piece("a", "a", lambda: open_stream("a", lambda: io.BytesIO(packed), ".gz"))
    [frame] = columnar.read("s", make_source(), piece)
    assert frame.height == 3


# Errors

WHOLE = parquet(rows_of(50))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty: expected Parquet"),
        (parquet(rows_of(0)), "is empty: it has no rows"),
        (b"id,time,value\n", "cannot be read as Parquet: .*not a parquet file"),
        (b"PAR1", "cannot be read as Parquet: .*smaller than the minimum"),
        (WHOLE[:-20], "cannot be read as Parquet: .*magic bytes"),
        (WHOLE[:4] + WHOLE[40:], "cannot be read as Parquet: "),
        (parquet({"id": [1], "time": [2]}), "has no column 'value'; it has: 'id', 'time'"),
        (parquet({**rows_of(1), "_file": [1]}), "has a column '_file', a name that is kept"),
    ],
)
def test_an_unreadable_file_is_named_with_what_is_wrong(data: bytes, says: str) -> None:
    with pytest.raises(SourceError, match=f"^source 's', file 'a.parquet' {says}"):
        batches(data)


def test_two_columns_of_one_name_are_an_error() -> None:
    sink = io.BytesIO()
    columns = [pa.array(column) for column in [*rows_of(1).values(), ["x"]]]
    pq.write_table(pa.Table.from_arrays(columns, ["id", "time", "value", "id"]), sink)
    with pytest.raises(SourceError, match="has several columns called 'id'"):
        batches(sink.getvalue())


@pytest.mark.parametrize("options", [{}, {"compression": "none", "use_dictionary": False}])
def test_a_damaged_file_ends_in_rows_or_in_an_error(options: dict[str, Any]) -> None:
    columns = {
        **rows_of(20),
        "text": ["né"] * 20,
        "float": [0.5] * 20,
        "at": pa.array(range(20), pa.timestamp("us", "UTC")),
        "day": [dt.date(2024, 1, 1)] * 20,
        "clock": [dt.time(1)] * 20,
        "decimal": [D("1.5")] * 20,
        "list": [["a"], None] * 10,
        "struct": [{"a": dt.datetime(2024, 1, 1)}] * 20,
        "kind": pa.array(["x", "y"] * 10).dictionary_encode(),
        "bytes": [b"a"] * 20,
    }
    whole = parquet(columns, **options)
    check_mutations(columnar.read, make_source(), whole, "a.parquet", 1000)
