"""Delimited files as text: no cell changed, no record lost, every line numbered as it stands."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clepsydra.errors import SourceError
from clepsydra.sources import delimited
from clepsydra.sources.files import find_pieces
from clepsydra.sources.pieces import IGNORED, Piece
from helpers import make_source

HEADER = "id,time,value\n"
NAMES = ["id", "time", "value"]


def batches(data: str | bytes, name: str = "a.csv", **changes: Any) -> list[pl.DataFrame]:
    encoded = data if isinstance(data, bytes) else data.encode(changes.get("encoding", "utf-8"))
    piece = Piece(name, name, lambda: io.BytesIO(encoded))
    return list(delimited.read("s", make_source(**changes), piece))


def read(data: str | bytes, name: str = "a.csv", **changes: Any) -> pl.DataFrame:
    frame = pl.concat(batches(data, name, **changes), how="diagonal")
    for column in ("_problem", "_text"):
        if column not in frame.columns:
            frame = frame.with_columns(pl.lit("").alias(column))
    return frame.with_columns(pl.col(pl.String).fill_null(""))


def refused(data: str | bytes, name: str = "a.csv", **changes: Any) -> str:
    with pytest.raises(SourceError) as caught:
        batches(data, name, **changes)
    message = str(caught.value)
    assert message.startswith(f"source 's', file '{name}' ")
    return message.removeprefix(f"source 's', file '{name}' ")


# Cells

cells = st.text(st.characters(codec="utf-8"), max_size=6)


@settings(max_examples=100)
@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=20))
def test_every_cell_is_read_as_the_text_it_was(rows: list[tuple[str, str, str]]) -> None:
    sink = io.StringIO()
    csv.writer(sink, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([NAMES, *rows])
    frame = read(sink.getvalue())
    assert frame.select(NAMES).rows() == rows
    assert set(frame["_file"]) == {"a.csv"}
    assert set(frame["_problem"]) == {""}


def test_missing_marks_and_zeros_in_front_are_left_as_they_are() -> None:
    frame = read(HEADER + "007,2013-01-01,NA\nnull,,1.50\n")
    assert frame["id"].to_list() == ["007", "null"]
    assert frame["time"].to_list() == ["2013-01-01", ""]
    assert frame["value"].to_list() == ["NA", "1.50"]


def test_quotes_are_those_around_cells_and_the_others_are_text() -> None:
    frame = read(HEADER + 'a"b,1,1\n"a ""b""",2,2\n"x,y",3,3\n"""",4,4\n')
    assert frame["id"].to_list() == ['a"b', 'a "b"', "x,y", '"']
    assert frame["_line"].to_list() == [2, 3, 4, 5]


@pytest.mark.parametrize("separator", [";", "\t", "|", " "])
def test_the_separator_is_that_of_the_source(separator: str) -> None:
    text = f"{HEADER}a,1,1.5\nb,2\n".replace(",", separator)
    frame = read(text, separator=separator)
    assert frame.select(NAMES).rows() == [("a", "1", "1.5"), ("", "", "")]
    assert frame["_text"][1] == f"b{separator}2"


def test_a_tsv_file_is_separated_by_tabs() -> None:
    frame = read("id\ttime\tvalue\na,b\t1\t2\n", name="a.tsv")
    assert frame.select(NAMES).rows() == [("a,b", "1", "2")]
    assert read(HEADER + "a,1,2\n", name="a.tsv", separator=",")["value"].to_list() == ["2"]


# Where a record stands


def test_every_row_says_where_it_stood_and_blank_lines_are_rows() -> None:
    frame = read(HEADER + "a,1,1\n\nb,2,2\n\n")
    assert frame["_line"].to_list() == [2, 3, 4, 5]
    assert frame["id"].to_list() == ["a", "", "b", ""]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("at_end", [True, False])
def test_lines_end_as_on_any_system(newline: str, at_end: bool) -> None:
    text = newline.join(["id,time,value", "a,1,1", "", "b,2,2", "c,3", "d,4,4"])
    frame = read(text + newline * at_end)
    assert frame["_line"].to_list() == [2, 3, 4, 5, 6]
    assert frame["id"].to_list() == ["a", "", "b", "", "d"]
    assert frame["_text"][3] == "c,3"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_record_that_spans_lines_counts_them(newline: str) -> None:
    text = 'id,time,value|a,1,"x|y"|b,"2|3"|c,3,3|"|",4,"||"|d,4|e,5,5|'.replace("|", newline)
    frame = read(text)
    assert list(zip(frame["_line"], frame["id"], strict=True)) == [
        (2, "a"),
        (4, ""),
        (6, "c"),
        (7, newline),
        (11, ""),
        (12, "e"),
    ]
    assert frame["_text"].to_list() == ["", f'b,"2{newline}3"', "", "", "d,4", ""]


plain = st.text(st.sampled_from('ab,"\n\r \té'), max_size=5)


@settings(max_examples=200)
@given(
    st.lists(st.lists(plain, min_size=1, max_size=5), min_size=1, max_size=12),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_every_record_is_found_with_the_line_it_begins_in(
    records: list[list[str]], newline: str
) -> None:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator=newline, quoting=csv.QUOTE_ALL)
    writer.writerow(NAMES)
    expected = []
    for record in records:
        before = sink.getvalue().replace("\r\n", "\n").replace("\r", "\n")
        expected.append((before.count("\n") + 1, record))
        writer.writerow(record)
    frame = read(sink.getvalue())
    assert frame["_line"].to_list() == [line for line, _ in expected]
    for row, (_, record) in zip(frame.iter_rows(named=True), expected, strict=True):
        if len(record) == 3:
            assert [row[name] for name in NAMES] == record
            assert row["_problem"] == ""
        else:
            what = "1 cell" if len(record) == 1 else f"{len(record)} cells"
            assert row["_problem"] == f"{what} where the header has 3"
            assert next(csv.reader(io.StringIO(row["_text"], newline=""))) == record


def test_records_with_more_or_fewer_cells_are_kept_as_text() -> None:
    frame = read(HEADER + "a,1\nb,2,2,2\nc,3,3\nd\n,,,,\n")
    assert frame["_problem"].to_list() == [
        "2 cells where the header has 3",
        "4 cells where the header has 3",
        "",
        "1 cell where the header has 3",
        "5 cells where the header has 3",
    ]
    assert frame["_text"].to_list() == ["a,1", "b,2,2,2", "", "d", ",,,,"]
    assert frame["id"].to_list() == ["", "", "c", "", ""]
    assert frame["_line"].to_list() == [2, 3, 4, 5, 6]


def test_a_file_of_nothing_but_such_records_is_read() -> None:
    assert read(HEADER + "a,1\nb,2\n")["_text"].to_list() == ["a,1", "b,2"]


@pytest.mark.parametrize("text", ["id\na\n\nb", "id\n\n\n"])
def test_a_file_of_one_column_may_have_blank_lines(text: str) -> None:
    frame = read(text, time="id", value="id")
    assert frame["_line"].to_list() == list(range(2, 2 + frame.height))
    assert frame.height == len(text.splitlines()) - 1


# Lines that are no rows


def test_lines_before_the_header_are_skipped_and_counted() -> None:
    frame = read('The "load,\n\n"of, all\n' + HEADER + "a,1,1\nb\n", skip_lines=3)
    assert frame["id"].to_list() == ["a", ""]
    assert frame["_line"].to_list() == [5, 6]


def test_blank_lines_before_the_header_need_not_be_skipped() -> None:
    assert read(f"\n  \n{HEADER}a,1,1\n")["_line"].to_list() == [4]


def test_lines_to_be_ignored_are_marked_wherever_they_are() -> None:
    text = "# about\n" + HEADER + 'a,1,1\n# in the "middle\n#a,b,c\nb,2,2\nTotal,,3\n# end\n'
    frame = read(text, ignore_lines=["#", "Total"])
    assert frame["_line"].to_list() == [3, 4, 5, 6, 7, 8]
    assert [problem == IGNORED for problem in frame["_problem"]] == [
        *(False, True, True, False, True, True)
    ]
    assert frame.filter(pl.col("_problem") == "")["id"].to_list() == ["a", "b"]


def test_the_beginning_of_a_line_may_contain_separators() -> None:
    text = "id;time;value\na;1;1\n;;\n;;;\n;;x\n;1;1\n"
    frame = read(text, separator=";", ignore_lines=[";;"])
    assert [problem == IGNORED for problem in frame["_problem"]] == [
        *(False, True, True, True, False)
    ]


def test_a_file_of_comments_has_no_header() -> None:
    assert refused("# a\n# b\n", ignore_lines=["#"]) == "is empty: expected a header and rows"


# The header


def test_names_are_those_of_the_header_without_spaces_and_none_is_left_without() -> None:
    frame = read(" id , time,value ,,\na,1,1,x,y\n")
    assert frame.columns[:5] == ["id", "time", "value", "unnamed_4", "unnamed_5"]
    assert frame.row(0)[:5] == ("a", "1", "1", "x", "y")


def test_a_name_may_span_lines() -> None:
    frame = read('id,time,value,"load\n[MW]"\na,1,1,5\nb\n')
    assert frame["load\n[MW]"].to_list() == ["5", ""]
    assert frame["_line"].to_list() == [3, 4]


@pytest.mark.parametrize(
    "text",
    [
        'id,time,value,"load\na,1,1,"x"\nb,2,2,"y"\n',
        'id,time,value,"load\na,1,1,x\n',
        'id,time,value,"load",\n"a","1","1","x\n',
    ],
)
def test_a_stray_quote_in_the_header_does_not_swallow_rows(text: str) -> None:
    assert "cannot be split into columns" in refused(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty: expected a header and rows"),
        ("\n\n \n", "is empty: expected a header and rows"),
        (HEADER, "is empty: it has a header and no rows"),
        (HEADER.strip(), "is empty: it has a header and no rows"),
        ("id;time;value\na;1;1\n", "has no column 'time', 'id', 'value'; it has: 'id;time;value'"),
        ("id,time\na,1\n", "has no column 'value'; it has: 'id', 'time'"),
        ("id,time,value,x, x\na,1,1,1,1\n", "has several columns called 'x'"),
        ("id,time,value,_line\na,1,1,1\n", "has a column '_line', a name that is kept"),
        ("id,time,value,_hash\na,1,1,1\n", "has a column '_hash', a name that is kept"),
        ("id,time,value," + "x" * 200_000, "cannot be split into columns: header: field larger"),
        ("x" * (1 << 20), "cannot be split into columns: header: line 1 is longer than 1048576"),
        (HEADER + 'a,"1,1\n', "cannot be split into columns: a quote is not closed in the record"),
    ],
    ids=str,
)
def test_an_unreadable_file_is_named_with_what_is_wrong(text: str, says: str) -> None:
    assert refused(text).startswith(says)


def test_lines_to_skip_beyond_the_end_leave_no_header() -> None:
    assert refused(HEADER + "a,1,1\n", skip_lines=9) == "is empty: expected a header and rows"


# Quotes that are not closed


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ('a,1,1\nb,2,"2\nc,3,3\n', 3),
        ('a,1,1\nb,"2\nc,3,3', 3),
        ('a,1,"1\n1"\nb,2,"', 4),
        ('a,1,"', 2),
        ("\n" * 9 + 'a,1,"1""\nb,2,2\n', 11),
    ],
)
def test_a_file_that_ends_within_quotes_is_refused_with_the_line(rows: str, line: int) -> None:
    assert refused(HEADER + rows) == (
        f"cannot be split into columns: a quote is not closed in the record that begins in line "
        f"{line}"
    )


def test_a_record_longer_than_a_block_is_refused_and_not_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", 64)
    text = HEADER + "a,1,1\n" * 20 + "b,2," + "x" * 500 + "\n" + "c,3,3\n" * 20
    assert refused(text) == (
        "cannot be split into columns: a record is longer than 64 bytes; is a quote not closed?"
    )


# Blocks


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda size: monkeypatch.setattr(delimited, "_BLOCK_BYTES", size)


lines = st.one_of(
    st.sampled_from(["a,1,1", "", "b,2", "#", "c,3,3,3", '"x\ny",4,4', 'd,"5\n', "é,6,6"]),
    st.text(st.sampled_from('ab,"\n#é'), max_size=12),
)


@settings(max_examples=200)
@given(st.lists(lines, min_size=1, max_size=40), st.integers(48, 200), st.booleans())
@example(["b,2"] * 40, 48, False)
@example(["#"] * 40 + ["a,1,1"], 48, True)
def test_blocks_do_not_change_what_is_read(records: list[str], size: int, wide: bool) -> None:
    encoding = "utf-16" if wide else "utf-8"
    data = (HEADER + "\n".join(records)).encode(encoding)
    changes = {"encoding": encoding, "ignore_lines": ["#"]}
    with pytest.MonkeyPatch.context() as patch:
        try:
            whole = read(data, **changes)
        except SourceError as error:
            whole = str(error)
        patch.setattr(delimited, "_BLOCK_BYTES", size)
        try:
            parts = read(data, **changes)
        except SourceError as error:
            assert str(error) == whole or "a record is longer than" in str(error)
        else:
            assert isinstance(whole, pl.DataFrame)
            assert parts.select(whole.columns).equals(whole)


def test_a_file_comes_in_batches_none_of_them_empty(blocks: Callable[[int], None]) -> None:
    blocks(100)
    text = HEADER + "".join(f"a,{number},1\n" if number % 50 else "b\n" for number in range(500))
    parts = batches(text)
    assert len(parts) > 20
    assert min(part.height for part in parts) > 0
    whole = pl.concat(parts, how="diagonal")
    assert whole["_line"].to_list() == list(range(2, 502))


class _Dripping(io.RawIOBase):
    """A stream that gives a few bytes at a time, as those of networks and archives do."""

    def __init__(self, data: bytes):
        self._rest = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._rest.read(min(3, len(buffer)))
        buffer[: len(part)] = part
        return len(part)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_bytes_may_come_a_few_at_a_time(encoding: str) -> None:
    data = (HEADER + 'é,1,1\nb\n"x\ny",2,2\n').encode(encoding)
    dripping = Piece("a.csv", "a.csv", lambda: _Dripping(data))
    (frame,) = delimited.read("s", make_source(encoding=encoding), dripping)
    assert frame.equals(read(data, encoding=encoding).select(frame.columns))


# Bytes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(encoding: str, mark: str) -> None:
    frame = read(mark + '"id",time,value\né,1,1\n', encoding=encoding)
    assert frame.columns[0] == "id"
    assert frame["id"].to_list() == ["é"]
    skipped = read(f"{mark}about\n{HEADER}é,1,1\n", encoding=encoding, skip_lines=1)
    assert skipped["_line"].to_list() == [3]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-32", "cp037", "gb18030"])
def test_the_encoding_is_that_of_the_source(encoding: str) -> None:
    frame = read("id;time;value\nOrléans;1;1,5\nx\n", encoding=encoding, separator=";")
    assert frame["id"].to_list() == ["Orléans", ""]
    assert frame["value"][0] == "1,5"
    assert frame["_text"][1] == "x"


FAR = HEADER + "a,1,1\n" * 5000


@pytest.mark.parametrize("before", [HEADER, FAR], ids=["near", "far"])
@pytest.mark.parametrize("row", ["Orléans,1,1\n", "Orléans\n", "a,1,é"])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_wrong_encoding_is_named_wherever_it_shows(before: str, row: str, encoding: str) -> None:
    message = refused((before + row).encode("latin-1"), encoding=encoding)
    assert message.startswith(f"is not in encoding '{encoding}': ")
    assert message.endswith("; set 'encoding'")


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("no-such-encoding", FAR.encode()),
        ("hex", FAR.encode()),
        ("utf-16", FAR.encode()),
        ("utf-16", FAR.encode("utf-16") + b"\0"),
        ("utf-16", FAR.encode("utf-16") + b"\0\xd8"),
        ("utf-32", FAR.encode("utf-16")),
        ("utf-8", FAR.encode() + b"a,1,\xe9"),
    ],
)
def test_an_encoding_that_is_none_or_does_not_fit_is_named(encoding: str, data: bytes) -> None:
    assert refused(data, encoding=encoding).startswith(f"is not in encoding '{encoding}': ")


def piece_at(path: Path) -> Piece:
    (piece,) = find_pieces("s", make_source(path=path.name), path.parent)
    return piece


def test_a_packed_file_is_read_and_one_cut_short_is_named(tmp_path: Path) -> None:
    packed = gzip.compress((HEADER + "".join(f"a,{n},{n * n}\n" for n in range(20_000))).encode())
    path = tmp_path / "a.csv.gz"
    path.write_bytes(packed)
    frame = pl.concat(delimited.read("s", make_source(), piece_at(path)))
    assert frame.height == 20_000
    assert frame["_file"][0] == "a.csv.gz"
    for size in (len(packed) - 5, len(packed) // 2, 40):
        path.write_bytes(packed[:size])
        with pytest.raises(SourceError, match=r"source 's', file 'a.csv.gz' cannot be read|valid"):
            list(delimited.read("s", make_source(), piece_at(path)))


def test_what_goes_wrong_while_reading_is_said() -> None:
    class Broken(_Dripping):
        def readinto(self, buffer: Any) -> int:
            if self._rest.tell() > 60:
                raise OSError("the disk is gone")
            return super().readinto(buffer)

    piece = Piece("a.csv", "a.csv", lambda: Broken(FAR.encode()))
    with pytest.raises(SourceError, match=r"file 'a\.csv' cannot be read: the disk is gone"):
        list(delimited.read("s", make_source(), piece))


# Any bytes at all

REAL = (
    "id,time,value,note\n"
    "a,2013-07-01 00:00,1.5,first\n"
    "b,2013-07-01 00:00,-2,\n"
    "# a comment\n"
    "\n"
    "a,2013-07-01 01:00,NA,Orléans\n"
    "b,2013-07-01 01:00,7,last\n"
).encode()
edits = st.lists(
    st.tuples(
        st.integers(0, 200),
        st.sampled_from(["", ",", "\n", "\r", "\r\n", "\0", "\ufeff", ";", "x", "é", "\x85", "\t"]),
        st.integers(0, 4),
    ),
    max_size=6,
)


def edited(data: bytes, changes: list[tuple[int, str, int]]) -> bytes:
    """The bytes with some taken out and a text put in at each place."""
    for at, text, lost in changes:
        at = at % (len(data) + 1)
        data = data[:at] + text.encode() + data[at + lost :]
    return data


@settings(max_examples=500)
@given(edits, st.sampled_from([1 << 24, 64, 100]))
def test_every_line_of_any_file_without_quotes_is_where_it_is_said_to_be(
    changes: list[tuple[int, str, int]], block: int
) -> None:
    data = edited(REAL, changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "_BLOCK_BYTES", block)
        try:
            frame = read(data, ignore_lines=["#"])
        except SourceError as error:
            assert str(error).startswith("source 's', file 'a.csv' ")
            return
    # An independent reader, which knows of lines only.
    text = data.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.removesuffix("\n").split("\n")
    names = frame.columns[: frame.columns.index("_file")]
    header = next(
        number for number, line in enumerate(lines) if line.strip() and not line.startswith("#")
    )
    assert len(names) == len(lines[header].split(","))
    assert frame["_line"].to_list() == list(range(header + 2, len(lines) + 1))
    for row in frame.iter_rows(named=True):
        line = lines[row["_line"] - 1]
        if row["_text"]:
            assert row["_text"] == line
        else:
            assert [row[name] for name in names] == (line.split(",") if line else [""] * len(names))
        assert (row["_problem"] == IGNORED) == line.startswith("#")
