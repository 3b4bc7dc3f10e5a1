"""JSON becomes text cells: numbers keep their digits, and no record is lost."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import check_frame, check_mutations, piece_of

from clepsydra.errors import SourceError
from clepsydra.sources import documents
from clepsydra.sources.pieces import IGNORED
from helpers import make_source

ROW = '{"id": "a", "time": "2013-01-01", "value": 1}'


def batches(text: str | bytes, name: str = "a.json", **changes: Any) -> list[pl.DataFrame]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(documents.read("s", make_source(**changes), piece_of(data, name)))


def table(text: str | bytes, name: str = "a.json", **changes: Any) -> pl.DataFrame:
    return pl.concat(batches(text, name, **changes), how="diagonal")


def rows(text: str | bytes, name: str = "a.json", **changes: Any) -> list[dict[str, Any]]:
    return table(text, name, **changes).drop("_file", "_line").rows(named=True)


def values(cell: str) -> str:
    """The text of a value as JSON writes it."""
    [row] = rows(f'[{{"id": "a", "time": "t", "value": {cell}}}]')
    return row["value"]


# What a cell is


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("1", "1"),
        ("1.50", "1.50"),
        ("-0.0", "-0.0"),
        ("1E+05", "1E+05"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("0.1000000000000000055511", "0.1000000000000000055511"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("true", "true"),
        ("false", "false"),
        ("null", ""),
        ('""', ""),
        ('"null"', "null"),
        ('"  007 "', "  007 "),
        (r'"\u00e9\n\ud83d\ude00"', "é\n😀"),
        (r'"half \ud83d a character"', "half \ufffd a character"),
        ("[]", "[]"),
        ('[1.50, "1.50", null, true, {"a b": ["é"]}]', '[1.50,"1.50",null,true,{"a b":["é"]}]'),
    ],
)
def test_every_value_has_one_text(cell: str, text: str) -> None:
    assert values(cell) == text


numbers = st.from_regex(
    r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
)


@given(numbers)
def test_numbers_keep_their_digits(number: str) -> None:
    assert values(number) == number
    assert values(f"[{number}]") == f"[{number}]"


def test_objects_inside_a_record_become_columns() -> None:
    found = rows(
        '[{"id": "a", "at": {"day": {"time": "t"}, "zone": null}, "value": 1, "none": {}}]',
        time="at.day.time",
    )
    assert found == [{"id": "a", "at.day.time": "t", "at.zone": "", "value": "1"}]


def test_keys_that_some_records_lack_are_empty_there() -> None:
    found = table(f'[{ROW}, {{"id": "b", "extra": 2}}, {{"extra": 3, "value": 4}}]')
    assert found.columns == ["time", "id", "value", "extra", "_file", "_line"]
    assert found["extra"].to_list() == ["", "2", "3"]
    assert found["value"].to_list() == ["1", "", "4"]
    assert found["_line"].to_list() == [1, 2, 3]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="ascii"), max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)
some_records = st.lists(
    st.dictionaries(st.sampled_from(["id", "time", "value", "a", "é", "a.b"]), json_values),
    min_size=1,
    max_size=6,
).map(lambda found: [{"id": 1, "time": 2, "value": 3}, *found])


@given(some_records)
def test_a_document_and_json_lines_give_the_same_rows(records: list[dict[str, Any]]) -> None:
    document = table(json.dumps({"data": {"items": records}}), records="data.items")
    lines = table("\n".join(map(json.dumps, records)), "a.jsonl")
    shared = [column for column in document.columns if column not in ("_file", "_text")]
    assert document.select(shared).equals(lines.select(shared))
    check_frame(document, "a.json")
    for record, row in zip(records, document.rows(named=True), strict=True):
        for key, value in record.items():
            if isinstance(value, str) and not row.get("_problem"):
                assert row[key] == value


# Where the records are

EVERY_PLACE = [
    (f"[{ROW}]", None),
    (f'{{"data": [{ROW}]}}', "data"),
    (f'{{"data": {{"results": [{ROW}], "n": 1}}}}', "data.results"),
    (f'{{"data.results": [{ROW}]}}', "data.results"),
    (f'[{{"page": 1}}, [{ROW}]]', "1"),
    (f'{{"pages": [{{"rows": [{ROW}]}}]}}', "pages.0.rows"),
    ('{"id": ["a"], "time": ["2013-01-01"], "value": [1]}', None),
    ('{"hourly": {"id": ["a"], "time": ["2013-01-01"], "value": [1]}, "n": 1}', "hourly"),
    (f"\ufeff  [{ROW}]\n", None),
]


@pytest.mark.parametrize(("text", "records"), EVERY_PLACE)
def test_records_are_found_where_they_are_said_to_be(text: str, records: str | None) -> None:
    assert rows(text, records=records) == [{"time": "2013-01-01", "id": "a", "value": "1"}]


@pytest.mark.parametrize(
    ("text", "records", "says"),
    [
        ("", None, " is empty: expected JSON"),
        ("[]", None, " is empty: it has no records"),
        ("null", None, " is empty: it has no records"),
        ('{"data": []}', "data", " is empty: it has no records"),
        ('{"time": [], "value": []}', None, " is empty: it has no records"),
        ("[1, 2", None, " is not valid JSON: Expecting ',' delimiter"),
        (f"{ROW}\n{ROW}", None, "is not valid JSON: .*if each line is a record, set 'format: jso"),
        ("[" * 100_000, None, "is not valid JSON: nested too deeply"),
        ('{"a": 1, "b": {}}', "c", "has no 'c': the document has the keys 'a', 'b'; correct 'rec"),
        ('{"a": {"b": 1}}', "a.c", "has no 'a.c': 'a' has the keys 'b'; correct 'records'"),
        ('{"a": [1]}', "a.1", "has no 'a.1': 'a' is a list of 1; correct 'records'"),
        ('{"a": 1}', "a.b", "has no 'a.b': 'a' is a number; correct 'records'"),
        ('{"a": 1}', "a", "'a' is a number, and is no list of records; correct 'records'"),
        ('{"a": 1, "b": [1]}', None, "the document has the keys 'a', 'b', and is no .*; set 'rec"),
        (
            "[1, null]",
            None,
            "the document is a list of a number, not of objects; correct 'records'",
        ),
        (
            '{"a": [{}], "b": [{}]}',
            None,
            "the document has the keys 'a', 'b'; set 'records' to one",
        ),
        ('{"t": [1, 2], "v": [1]}', None, "not equally long: 't' has 2, 'v' has 1"),
        ('[{"id": 1, "time": 2}]', None, "has no column 'value'; it has: 'id', 'time'"),
        (f"[{ROW[:-1]}, " + '"_line": 1}]', None, "has a column '_line', a name that is kept"),
    ],
)
def test_a_document_without_records_is_named_with_what_it_has(
    text: str, records: str | None, says: str
) -> None:
    with pytest.raises(SourceError, match=f"^source 's', file 'a.json'.*{says}"):
        batches(text, records=records)


def test_a_record_that_is_no_object_is_a_row_with_its_problem() -> None:
    found = table(f'[{ROW}, null, [1.50], {{"a.b": 1, "a": {{"b": 2}}}}]')
    assert found["_problem"].to_list() == [
        "",
        "null, not an object",
        "a list, not an object",
        "two values for 'a.b'",
    ]
    assert found["_text"].to_list() == ["", "null", "[1.50]", '{"a.b":1,"a":{"b":2}}']
    assert found["id"].to_list() == ["a", "", "", ""]


def test_pages_of_records_may_be_read_one_by_one_and_may_be_empty() -> None:
    source = make_source(records="data")
    page = documents.parse("p", source, f'{{"data": [{ROW}], "next": 7}}'.encode())
    [frame] = documents.read_records("p", source, "page 2", page, first=101)
    assert frame.select("_file", "_line").rows() == [("page 2", 101)]
    assert page["next"] == b"7"
    assert list(documents.read_records("p", source, "page 3", {"data": []})) == []


# Lines


def test_a_bad_line_is_a_row_with_its_problem_and_its_text() -> None:
    lines = [ROW, "", '{"id": "b", "time"', "  ", "[1]", ROW.replace("a", "c"), '{"id": NaN}', "'"]
    found = table("\r\n".join(lines), "a.ndjson")
    assert found["_line"].to_list() == [1, 3, 5, 6, 7, 8]
    assert found["id"].to_list() == ["a", "", "", "c", "NaN", ""]
    assert found["_text"].to_list() == ["", lines[2], "[1]", "", "", "'"]
    problems = found["_problem"].to_list()
    assert problems[1].startswith("Expecting ':' delimiter")
    assert problems[2] == "a list, not an object"
    assert [bool(problem) for problem in problems] == [False, True, True, False, False, True]


def test_lines_are_skipped_and_ignored_as_the_source_says() -> None:
    found = table(f"export 1\n# about\n{ROW}\n# end", "a.jsonl", skip_lines=1, ignore_lines=["#"])
    assert found["_line"].to_list() == [2, 3, 4]
    assert found["_problem"].to_list() == [IGNORED, "", IGNORED]
    assert found["_text"].to_list() == ["# about", "", "# end"]


def test_lines_are_told_by_the_name_or_by_the_format() -> None:
    text = f"{ROW}\n{ROW}"
    assert len(rows(text, "A.JSONL")) == len(rows(text, "a.txt", format="jsonl")) == 2
    with pytest.raises(SourceError, match="not valid JSON"):
        batches(text, "a.jsonl", format="json")


def test_batches_are_bounded_and_have_every_column_that_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "\n".join([ROW, '{"more": 1}', "bad", '{"more": 2}', '{"id": "z"}'])
    for name, bound in (("BATCH_ROWS", 2), ("_BATCH_CHARS", 12), ("_BATCH_CELLS", 8)):
        with monkeypatch.context() as patch:
            patch.setattr(documents, name, bound)
            found = batches(text, "a.jsonl")
            as_document = batches(f"[{text.replace(chr(10), ',').replace('bad', '0')}]")
        assert len(found) > 1
        for frame in found:
            check_frame(frame, "a.jsonl")
            assert {"time", "id", "value"} <= set(frame.columns)
        whole = pl.concat(found, how="diagonal").fill_null("")
        assert whole["_line"].to_list() == [1, 2, 3, 4, 5]
        assert whole["more"].to_list() == ["", "1", "", "2", ""]
        assert pl.concat(as_document, how="diagonal")["_line"].to_list() == [1, 2, 3, 4, 5]


def test_a_table_with_a_column_for_every_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_MOST_COLUMNS", 10)
    with pytest.raises(SourceError, match="more than 10 columns: its keys look like values"):
        batches("\n".join([ROW, *(f'{{"k{i}": 1}}' for i in range(20))]), "a.jsonl")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty: it has no records"),
        ("\n\n", "is empty: it has no records"),
        ("[\n1]\n", "no line that is a JSON object: line 1: Expecting.*set 'format: json'"),
        ('{"id": 1, "time": 2}\n?', "has no column 'value'; it has: 'id', 'time'"),
    ],
)
def test_lines_without_records_are_an_error(text: str, says: str) -> None:
    with pytest.raises(SourceError, match=f"^source 's', file 'a.jsonl' .*{says}"):
        batches(text, "a.jsonl")


def test_a_line_without_an_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_LONGEST_LINE", 100)
    with pytest.raises(SourceError, match="line 2 is too long for JSON lines"):
        batches(ROW + "\n" + "1" * 200, "a.jsonl")


# Encodings and damage


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8-sig", "UTF8"])
def test_the_encoding_is_that_of_the_source(name: str, encoding: str) -> None:
    text = ROW.replace('"a"', '"Orléans"')
    text = f"[{text}]" if name == "a.json" else text
    [row] = rows(text.encode(encoding), name, encoding=encoding)
    assert row["id"] == "Orléans"


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "no-such-encoding", "base64"])
def test_a_wrong_encoding_is_named(name: str, encoding: str) -> None:
    text = ROW.replace('"a"', '"Orléans"').encode("latin-1")
    with pytest.raises(SourceError, match=f"is not in encoding '{encoding}'.*; set 'encoding'"):
        batches(text, name, encoding=encoding)


@pytest.mark.parametrize(("name", "count"), [("a.json", 2000), ("a.jsonl", 1000)])
def test_damaged_json_ends_in_rows_or_in_an_error(name: str, count: int) -> None:
    records = [
        {"id": f"é{i}", "time": "t", "value": i * 0.5, "more": {"a": [1, {"b": None}], "c": True}}
        for i in range(9)
    ]
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    text = "\n".join(lines) if name == "a.jsonl" else f"[{','.join(lines)}]"
    check_mutations(documents.read, make_source(), text.encode(), name, count)
