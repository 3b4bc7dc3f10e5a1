"""Sheets become text: typed cells in one form, and rows with their numbers."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from typing import Any

import numpy as np
import openpyxl
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import check_frame, check_mutations, mutations, piece_of

from clepsydra.errors import SourceError
from clepsydra.sources import sheets, workbooks
from clepsydra.sources.pieces import IGNORED
from helpers import make_source, package_folder

HEADER = ["id", "time", "value"]


def xlsx(rows: list[list[Any]], first: str = "Load", **others: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    book.active.title = first
    for row in rows:
        book.active.append(row)
    for title, more in others.items():
        sheet = book.create_sheet(title)
        for row in more:
            sheet.append(row)
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


def batches(data: bytes, name: str = "a.xlsx", **changes: Any) -> list[pl.DataFrame]:
    return list(workbooks.read("s", make_source(**changes), piece_of(data, name)))


def table(data: bytes, name: str = "a.xlsx", **changes: Any) -> pl.DataFrame:
    frame = pl.concat(batches(data, name, **changes), how="diagonal")
    check_frame(frame, name)
    return frame


# Cells


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (-0.5, "-0.5"),
        (0.1, "0.1"),
        (1e20, "1e+20"),
        (123456789012, "123456789012"),
        (True, "true"),
        (False, "false"),
        ("007", "007"),
        (" x\ny ", " x\ny "),
        ("=1+1", ""),
        (dt.date(2024, 2, 29), "2024-02-29"),
        (dt.datetime(2024, 2, 29, 5, 6, 7), "2024-02-29T05:06:07"),
        (dt.datetime(2024, 2, 29, 5, 6, 7, 250_000), "2024-02-29T05:06:07.250000"),
        (dt.datetime(1900, 3, 1), "1900-03-01"),
        (dt.time(5, 6, 7), "05:06:07"),
        (dt.timedelta(hours=30, minutes=1), "30:01:00"),
    ],
    ids=repr,
)
def test_every_type_has_one_text(cell: Any, text: str) -> None:
    first, *rows = sheets.sheet_rows(xlsx([HEADER, ["a", "t", cell]]), 0)
    assert first == {"title": "Load"}
    assert rows == [HEADER, ["a", "t", text]]


cells = st.one_of(
    st.text(st.characters(min_codepoint=32, codec="ascii"), min_size=1, max_size=9)
    .filter(str.strip)
    .filter(lambda text: not text.startswith("=")),
    st.integers(-(10**14), 10**14),
    # Workbooks are written with 15 or 16 digits, of which the largest numbers are infinite.
    st.floats(allow_nan=False, allow_infinity=False)
    .map(lambda value: float(f"{value:.15g}"))
    .filter(np.isfinite),
    st.booleans(),
    st.datetimes(dt.datetime(1901, 1, 1), dt.datetime(2200, 1, 1)).map(
        lambda value: value.replace(microsecond=0)
    ),
)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=9))
def test_typed_cells_read_back_as_they_were(pairs: list[tuple[Any, Any]]) -> None:
    _, _, *rows = sheets.sheet_rows(xlsx([["a", "b"], *map(list, pairs)]), 0)
    for pair, texts in zip(pairs, rows, strict=True):
        for value, text in zip(pair, texts, strict=True):
            if isinstance(value, bool):
                assert text == str(value).lower()
            elif isinstance(value, int | float):
                assert float(text) == value
            elif isinstance(value, dt.datetime):
                assert dt.datetime.fromisoformat(text) == value
            else:
                assert text == value


def test_every_hour_of_years_is_exact() -> None:
    hours = [dt.datetime(2019, 1, 1) + dt.timedelta(minutes=70 * i) for i in range(5000)]
    _, _, *rows = sheets.sheet_rows(xlsx([["time"], *([hour] for hour in hours)]), 0)
    assert [dt.datetime.fromisoformat(text) for [text] in rows] == hours


# Rows and columns


def test_rows_have_the_numbers_of_the_sheet_and_blank_ones_at_the_end_are_dropped() -> None:
    rows = [["Load of 2024"], [], HEADER, ["a", 1, 2], [], [None, " "], ["b", 3], [" "], []]
    found = table(xlsx(rows), skip_lines=1)
    assert found.columns == ["id", "time", "value", "_file", "_line"]
    assert found["_line"].to_list() == [4, 5, 6, 7]
    assert found["id"].to_list() == ["a", "", "", "b"]
    assert found["value"].to_list() == ["2", "", "", ""]


def test_a_table_may_stand_anywhere_in_the_sheet() -> None:
    book = openpyxl.Workbook()
    for place, value in {"C5": "id", "D5": " time ", "F5": "value", "C6": "a", "F7": 2}.items():
        book.active[place] = value
    sink = io.BytesIO()
    book.save(sink)
    found = table(sink.getvalue())
    assert found.columns == ["id", "time", "value", "_file", "_line"]
    assert found["_line"].to_list() == [6, 7]


def test_a_column_without_a_name_is_numbered() -> None:
    found = table(xlsx([[*HEADER, None, None, 2024], ["a", 1, 2, None, "note", 9]]))
    assert found.columns == [*HEADER, "unnamed_5", "2024", "_file", "_line"]


def test_rows_that_begin_as_the_source_says_are_marked() -> None:
    rows = [["# title"], HEADER, ["a", 1, 2], [None, "# source: us"], ["b", 1, 2]]
    found = table(xlsx(rows), ignore_lines=["#"])
    assert found["_line"].to_list() == [3, 4, 5]
    assert found["_problem"].to_list() == ["", IGNORED, ""]
    assert found["_text"].to_list() == ["", "# source: us", ""]


def test_a_long_sheet_is_read_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[f"n{i}", i, i] if i % 10 < 4 else [] for i in range(60)]
    for name, bound in (("BATCH_ROWS", 5), ("_BATCH_CELLS", 15)):
        with monkeypatch.context() as patch:
            patch.setattr(workbooks, name, bound)
            found = batches(xlsx([HEADER, *rows]))
        assert len(found) > 5
        whole = pl.concat(found)
        assert whole["_line"].to_list() == list(range(2, 56))
        assert whole["id"].to_list() == [row[0] if row else "" for row in rows[:54]]


def test_a_reader_that_stops_early_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbooks, "BATCH_ROWS", 1)
    data = xlsx([HEADER, *([["a", 1, 2]] * 5_000)])
    reader = workbooks.read("s", make_source(), piece_of(data, "a.xlsx"))
    assert next(reader).height == 1
    reader.close()


# Sheets and kinds of workbooks


def test_a_sheet_is_taken_by_its_name_or_its_number() -> None:
    data = xlsx([["no"]], **{"Year 2023": [HEADER, ["a", 1, 2]], "1": [HEADER, ["b", 3, 4]]})
    assert table(data, sheet="Year 2023")["id"].to_list() == ["a"]
    assert table(data, sheet=1)["id"].to_list() == ["a"]
    assert table(data, sheet="1")["id"].to_list() == ["b"]


@pytest.mark.parametrize("sheet", ["load", 2, -1, "0"])
def test_a_sheet_that_is_not_there_is_named_with_those_that_are(sheet: str | int) -> None:
    says = rf"has no sheet {sheet!r}; it has 0: 'Load', 1: 'Other'; correct 'sheet'"
    with pytest.raises(SourceError, match=f"source 's', file 'a.xlsx' {says}"):
        batches(xlsx([HEADER], Other=[]), sheet=sheet)


STATSMODELS = package_folder("statsmodels")
XLS = next(STATSMODELS.rglob("Nowcasting/test_spec_blocks.xls")).read_bytes()
XLS_COLUMNS = {"id": "SeriesID", "time": "Model", "value": "Frequency"}


def test_an_old_workbook_is_read() -> None:
    found = table(XLS, "a.xls", **XLS_COLUMNS)
    assert found["SeriesID"].to_list()[:2] == ["GDPC1", "CPIAUCSL"]
    assert found["_line"].to_list() == list(range(2, 10))


def ods(*rows: str) -> bytes:
    spaces = {"office": "office", "table": "table", "text": "text"}
    declared = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{value}:1.0"'
        for name, value in spaces.items()
    )
    body = "".join(f"<table:table-row>{row}</table:table-row>" for row in rows)
    content = (
        f"<office:document-content {declared}><office:body><office:spreadsheet>"
        f'<table:table table:name="Load">{body}</table:table>'
        f"</office:spreadsheet></office:body></office:document-content>"
    )
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", content)
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
    return sink.getvalue()


def ods_cell(kind: str, value: str, attribute: str = "value") -> str:
    shown = f'office:{attribute}="{value}"' if kind != "string" else ""
    text = f"<text:p>{value}</text:p>"
    return f'<table:table-cell office:value-type="{kind}" {shown}>{text}</table:table-cell>'


ODS = ods(
    "".join(ods_cell("string", name) for name in HEADER),
    ods_cell("string", "a")
    + ods_cell("date", "2024-02-29T05:00:00", "date-value")
    + ods_cell("float", "1.50"),
    ods_cell("boolean", "true", "boolean-value") + ods_cell("date", "2024-02-29", "date-value"),
    '<table:table-cell table:number-columns-repeated="16384"/>',
)


def test_an_open_document_is_read() -> None:
    assert table(ODS, "a.ods").select(HEADER).rows() == [
        ("a", "2024-02-29T05:00:00", "1.5"),
        ("true", "2024-02-29", ""),
    ]


# Errors


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", " is empty: expected a workbook"),
        (b"id,time,value\n", " cannot be read as a workbook: Cannot detect file format"),
        (xlsx([HEADER])[:2000], " cannot be read as a workbook: "),
        (xlsx([]), ", sheet 'Load' is empty: expected a header and rows"),
        (xlsx([[], [" "]]), ", sheet 'Load' is empty: expected a header and rows"),
        (xlsx([HEADER, [" "]]), ", sheet 'Load' is empty: it has a header and no rows"),
        (xlsx([["id", "time"], [1, 2]]), ", sheet 'Load' has no column 'value'; it has: 'id', 'ti"),
        (xlsx([[*HEADER, "id "], [1, 2, 3, 4]]), ", sheet 'Load' has several columns called 'id'"),
        (xlsx([[*HEADER, "_text"], [1, 2, 3, 4]]), ", sheet 'Load' has a column '_text', a name"),
    ],
)
def test_an_unreadable_workbook_is_named_with_what_is_wrong(data: bytes, says: str) -> None:
    with pytest.raises(SourceError, match=f"^source 's', file 'a.xlsx'{says}"):
        batches(data)


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbooks, "_MOST_MEMORY", 1 << 30)


def test_a_sheet_that_would_take_all_memory_is_an_error(little_memory: None) -> None:
    book = openpyxl.Workbook()
    book.active.append(HEADER)
    book.active["XFD1048576"] = "stray"
    sink = io.BytesIO()
    book.save(sink)
    with pytest.raises(SourceError, match=r"needs more than 1 GB of memory; if a cell stands far"):
        batches(sink.getvalue())


@pytest.mark.parametrize(
    "whole", [xlsx([HEADER, *([["a", 1, 2.5]] * 20)]), ODS], ids=["xlsx", "ods"]
)
def test_damaged_archives_of_sheets_end_in_rows_or_in_an_error(whole: bytes) -> None:
    read = 0
    for data in mutations(whole, 1500):
        first, *rows = sheets.sheet_rows(data, 0)
        assert isinstance(first, dict)
        read += bool(rows)
    assert 0 < read < 1500


def test_damaged_workbooks_end_in_rows_or_in_an_error(little_memory: None) -> None:
    check_mutations(workbooks.read, make_source(**XLS_COLUMNS), XLS, "a.xls", 20)
