"""Requests to an API: patient, split into windows, conditional, and clear when they fail."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clepsydra import __version__
from clepsydra.config import RequestWindow
from clepsydra.errors import SourceError
from clepsydra.sources.http import days_to_ask, request_pieces, split_days
from local_api import Api, Ask, Reply, api_source, body, pieces_of, running_api

MAY = dt.date(2024, 5, 1), dt.date(2024, 5, 3)
DAYS = {"start": "{start}", "end": "{end}", "after": "{after}"}


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with running_api() as api:
        yield api


@pytest.fixture
def api(server: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    server.asked.clear()
    server.replies(Reply([{"at": 1}]))
    return server


# Pieces


def test_an_answer_is_a_piece_that_can_be_opened_again(api: Api) -> None:
    [piece] = pieces_of(
        f"{api.url}/v1/load", params={"area": "FR", "kind": ["a", "b"], "all": True}
    )
    assert piece.label == f"{api.url}/v1/load?area=FR&kind=a&kind=b&all=true"
    assert piece.name == "load.json"
    assert json.loads(body(piece)) == json.loads(body(piece)) == [{"at": 1}]
    assert api.asked[0].headers["User-Agent"] == f"clepsydra/{__version__}"


def test_configured_headers_are_sent_and_the_query_of_the_url_stays(api: Api) -> None:
    pieces_of(f"{api.url}/a?q=x%20y&flag", headers={"Accept": "text/csv", "User-Agent": "me"})
    assert api.asked[0].target == "/a?q=x%20y&flag"
    assert api.asked[0].headers["Accept"] == "text/csv"
    assert api.asked[0].headers["User-Agent"] == "me"


@pytest.mark.parametrize(
    ("path", "content_type", "format", "name"),
    [
        ("/load", "text/csv; charset=utf-8", None, "load.csv"),
        ("/load", "application/x-ndjson", None, "load.jsonl"),
        ("/load", "text/csv", "jsonl", "load.jsonl"),
        ("/load", "text/csv", "parquet", "load.parquet"),
        ("/load.tsv", "text/plain", None, "load.tsv"),
        ("/load.csv", "application/octet-stream", None, "load.csv"),
        ("/", "text/csv", None, "body.csv"),
    ],
)
def test_the_name_of_a_piece_tells_its_format(
    api: Api, path: str, content_type: str, format: str | None, name: str
) -> None:
    api.replies(Reply("a,b\n1,2\n", headers={"Content-Type": content_type}))
    [piece] = pieces_of(api.url + path, format=format)
    assert (piece.name, body(piece)) == (name, b"a,b\n1,2\n")


def zipped(content: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("a.csv", content)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".zip", zipped)]
)
def test_packed_files_are_unpacked_and_asked_for_again_if_cut(
    api: Api, ending: str, pack: Any
) -> None:
    content = b"a,b\n" + b"1,2\n" * 99
    packed = pack(content)
    api.replies(Reply(packed[:-9]), Reply(packed))
    [piece] = pieces_of(f"{api.url}/load.csv{ending}")
    assert (piece.name, body(piece), len(api.asked)) == ("load.csv", content, 2)


def test_a_body_that_travels_packed_arrives_plain(api: Api) -> None:
    api.replies(Reply(gzip.compress(b"[1]"), headers={"Content-Encoding": "gzip"}))
    assert body(pieces_of(api.url)[0]) == b"[1]"


def test_json_in_another_encoding_is_no_broken_json(api: Api) -> None:
    api.replies(Reply('["é"]'.encode("utf-16")))
    assert len(pieces_of(api.url)) == 1


def test_json_is_read_in_the_encoding_that_the_source_says(api: Api) -> None:
    api.replies(Reply('["é"]'.encode("latin-1")))
    for encoding, message in (
        ("utf-8", "not in encoding 'utf-8'"),
        ("utf-9", "correct 'encoding'"),
    ):
        source = api_source(api.url, attempts=1).model_copy(update={"encoding": encoding})
        with pytest.raises(SourceError, match=message):
            list(request_pieces("load", source))
    source = source.model_copy(update={"encoding": "latin-1"})
    assert len(list(request_pieces("load", source))) == 1


# Windows


def test_days_are_split_into_windows_and_put_into_url_and_params(api: Api) -> None:
    window = {"since": "2020-01-01", "max_days": 2, "date_format": "%d/%m/%Y"}
    pieces = pieces_of(f"{api.url}/{{start}}/x?u={{end}}", days=MAY, window=window, params=DAYS)
    assert [(ask.path, ask.query) for ask in api.asked] == [
        (
            "/01/05/2024/x",
            {"u": "02/05/2024", "start": "01/05/2024", "end": "02/05/2024", "after": "03/05/2024"},
        ),
        (
            "/03/05/2024/x",
            {"u": "03/05/2024", "start": "03/05/2024", "end": "03/05/2024", "after": "04/05/2024"},
        ),
    ]
    assert pieces[0].label.endswith(
        "/01/05/2024/x?u=02/05/2024&start=01/05/2024&end=02/05/2024&after=03/05/2024"
    )


def test_an_offset_in_a_date_survives_in_url_and_params(api: Api) -> None:
    window = {"since": "2020-01-01", "date_format": "%Y-%m-%dT00:00:00+02:00"}
    pieces_of(f"{api.url}/?u={{start}}", days=MAY, window=window, params={"p": ["{end}"]})
    assert api.asked[0].query == {
        "u": "2024-05-01T00:00:00+02:00",
        "p": "2024-05-03T00:00:00+02:00",
    }


@pytest.mark.parametrize(
    ("reply", "records"),
    [
        (Reply([]), None),
        (Reply({"d": []}), "d"),
        (Reply({"d": None}), "d"),
        (Reply(status=204), None),
        (Reply("a,b\n", headers={"Content-Type": "text/csv"}), None),
    ],
)
def test_a_window_without_records_yields_nothing(
    api: Api, reply: Reply, records: str | None
) -> None:
    api.replies(reply, Reply({"d": [1]} if records else [1]))
    window = {"since": "2020-01-01", "max_days": 2}
    pieces = pieces_of(api.url, days=MAY, window=window, params=DAYS, records=records)
    assert ["start=2024-05-03" in piece.label for piece in pieces] == [True]


def test_a_window_whose_records_are_not_in_a_list_is_left_to_its_reader(api: Api) -> None:
    api.replies(Reply({"hourly": {"mw": [1]}}))
    window = {"since": "2020-01-01"}
    assert len(pieces_of(api.url, days=MAY, window=window, params=DAYS)) == 1


def test_a_whole_file_without_records_is_left_to_its_reader(api: Api) -> None:
    api.replies(Reply("a,b\n", headers={"Content-Type": "text/csv"}))
    assert [body(piece) for piece in pieces_of(api.url)] == [b"a,b\n"]


def test_days_that_are_missing_are_the_callers_fault(api: Api) -> None:
    with pytest.raises(ValueError, match="source 'load' needs 'http', and days"):
        pieces_of(api.url, window={"since": "2020-01-01"}, params=DAYS)


@given(st.dates(), st.integers(0, 900), st.integers(1, 10_000))
@settings(deadline=None, derandomize=True)
def test_windows_cover_every_day_once_in_order(first: dt.date, more: int, most: int) -> None:
    last = dt.date.fromordinal(min(first.toordinal() + more, dt.date.max.toordinal() - 1))
    windows = list(split_days((first, last), most))
    days = [day for a, b in windows for day in range(a.toordinal(), b.toordinal() + 1)]
    assert days == list(range(first.toordinal(), last.toordinal() + 1))
    assert all((b - a).days < most for a, b in windows)


def test_no_days_make_no_windows() -> None:
    assert list(split_days((MAY[1], MAY[0]), 7)) == []


@pytest.mark.parametrize(
    ("newest", "ahead", "first", "last"),
    [
        (None, 0, "2024-01-01", "2024-04-30"),
        ("2024-04-20", 0, "2024-04-13", "2024-04-30"),
        ("2024-01-03", 0, "2024-01-01", "2024-04-30"),
        ("2023-06-01", 0, "2024-01-01", "2024-04-30"),
        ("2024-04-30", 10, "2024-04-23", "2024-05-10"),
        # Forecasts are there up to 10 May, and those of tomorrow are revised.
        ("2024-05-10", 10, "2024-04-23", "2024-05-10"),
    ],
)
def test_days_to_ask(newest: str | None, ahead: int, first: str, last: str) -> None:
    window = RequestWindow(since=dt.date(2024, 1, 1), look_back=7, ahead=ahead)
    there = newest and dt.date.fromisoformat(newest)
    days = days_to_ask(window, there or None, dt.date(2024, 5, 1))
    assert days == (dt.date.fromisoformat(first), dt.date.fromisoformat(last))


# Conditional requests


def test_what_has_not_changed_is_not_read_again(api: Api) -> None:
    changed = "Wed, 01 May 2024 10:00:00 GMT"

    def reply(ask: Ask) -> Reply:
        same = ask.headers["If-None-Match"] == '"1"'
        assert same == (ask.headers["If-Modified-Since"] == changed)
        return (
            Reply(status=304)
            if same
            else Reply([1], headers={"ETag": '"1"', "Last-Modified": changed})
        )

    api.reply = reply
    validators: dict[str, dict[str, str]] = {}
    assert len(pieces_of(f"{api.url}/a?b=1", validators=validators)) == 1
    assert validators == {
        f"{api.url}/a?b=1": {"If-None-Match": '"1"', "If-Modified-Since": changed}
    }
    assert pieces_of(f"{api.url}/a?b=1", validators=validators) == []
    assert len(pieces_of(f"{api.url}/a?b=2", validators=validators)) == 1


def test_what_is_not_asked_for_any_more_is_forgotten(api: Api) -> None:
    api.reply = lambda ask: Reply([1], headers={"ETag": '"1"'})
    window = {"since": "2024-01-01", "max_days": 1}
    validators: dict[str, dict[str, str]] = {}
    for day in (1, 2):
        days = dt.date(2024, 5, day), dt.date(2024, 5, day + 1)
        pieces_of(api.url, days=days, validators=validators, window=window, params={"d": "{start}"})
        assert [url[-10:] for url in validators] == [str(date) for date in days]


def test_an_answer_that_says_no_version_forgets_the_one_before(api: Api) -> None:
    validators = {api.url: {"If-None-Match": '"1"'}}
    assert len(pieces_of(api.url, validators=validators)) == 1
    assert validators == {}


def test_what_its_reader_could_not_use_is_asked_for_again(api: Api) -> None:
    api.replies(Reply([1], headers={"ETag": '"1"'}))
    validators: dict[str, dict[str, str]] = {}
    pieces = request_pieces("load", api_source(api.url), validators=validators)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert validators == {}


def test_pages_are_asked_for_without_conditions(api: Api) -> None:
    api.reply = lambda ask: Reply([] if ask.query["p"] == "2" else [1], headers={"ETag": '"1"'})
    validators = {f"{api.url}?p=1": {"If-None-Match": '"1"'}}
    pages = {"style": "page", "parameter": "p"}
    assert len(pieces_of(api.url, validators=validators, pagination=pages)) == 1
    assert validators == {f"{api.url}?p=1": {"If-None-Match": '"1"'}}
    assert all(ask.headers["If-None-Match"] is None for ask in api.asked)
