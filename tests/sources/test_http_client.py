"""A request to an API: patient while it may help, and clear when it does not."""

from __future__ import annotations

import datetime as dt
import logging
import socket
import threading
from collections.abc import Iterator
from email.utils import format_datetime

import pytest

from clepsydra.errors import SourceError
from local_api import Api, Reply, body, pieces_of, running_api


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


# Patience


@pytest.mark.parametrize("status", [202, 408, 425, 429, 500, 502, 503, 504, 599])
def test_a_failure_that_may_pass_is_tried_again(api: Api, status: int) -> None:
    waits: list[float] = []
    api.replies(Reply("busy", status), Reply([1]))
    assert [body(piece) for piece in pieces_of(api.url, waits=waits)] == [b"[1]"]
    assert len(api.asked) == 2
    assert 0 <= waits[0] <= 1


def test_waits_grow_within_their_limit(api: Api) -> None:
    waits: list[float] = []
    api.replies(Reply(status=500))
    with pytest.raises(SourceError, match="failed 12 times"):
        pieces_of(api.url, waits=waits, attempts=12, longest_wait=16)
    limits = [min(2.0**number, 16) for number in range(11)]
    assert all(0 <= wait <= limit for wait, limit in zip(waits, limits, strict=True))
    assert len({round(wait, 6) for wait in waits}) > 1


def test_retry_after_in_seconds_is_followed_and_logged(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[float] = []
    api.replies(Reply("slow down", 429, {"Retry-After": "7"}), Reply([1]))
    pieces_of(api.url, waits=waits)
    assert waits == [7]
    assert caplog.messages == [
        f"source 'load': {api.url}: try 1 of 6 failed: answered 429 Too Many Requests: "
        f"'slow down'; next one in 7 s (it asks for 7 s)"
    ]


def test_retry_after_as_a_date_is_followed(api: Api) -> None:
    waits: list[float] = []
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30)
    header = format_datetime(soon, usegmt=True)
    api.replies(Reply(status=503, headers={"Retry-After": header}), Reply([1]))
    pieces_of(api.url, waits=waits)
    assert 27 < waits[0] < 31


def test_a_date_that_has_passed_means_now(api: Api) -> None:
    waits: list[float] = []
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    api.replies(Reply(status=429, headers={"Retry-After": past}), Reply([1]))
    pieces_of(api.url, waits=waits)
    assert waits == [0]


def test_retry_after_is_bounded(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    waits: list[float] = []
    api.replies(Reply(status=429, headers={"Retry-After": "86400"}), Reply([1]))
    pieces_of(api.url, waits=waits, longest_wait=5)
    assert waits == [5]
    assert "next one in 5 s (it asks for 86400 s)" in caplog.text


def test_a_retry_after_that_cannot_be_read_is_no_matter(api: Api) -> None:
    waits: list[float] = []
    api.replies(Reply(status=429, headers={"Retry-After": "a while"}), Reply([1]))
    pieces_of(api.url, waits=waits)
    assert 0 <= waits[0] <= 1


def test_a_body_cut_short_is_asked_for_again(api: Api) -> None:
    api.replies(Reply([1, 2, 3], cut=4), Reply([1, 2, 3]))
    assert [body(piece) for piece in pieces_of(api.url)] == [b"[1, 2, 3]"]
    assert len(api.asked) == 2


def test_invalid_json_is_asked_for_again_and_shown_in_the_end(api: Api) -> None:
    api.replies(Reply('{"a": 1'), Reply({"a": 1}))
    assert len(pieces_of(api.url)) == 1
    api.replies(Reply("day;mw\n1;2"))
    message = (
        r"source 'load': http\S+ failed 2 times, at last so: the body is not JSON \(.*\): "
        r"'day;mw 1;2'; if the API gives another format or encoding, set 'format'"
    )
    with pytest.raises(SourceError, match=message):
        pieces_of(api.url, attempts=2)


@pytest.mark.parametrize("format", [None, "csv"])
def test_a_web_page_is_no_data(api: Api, format: str | None) -> None:
    api.replies(Reply("\n<!DOCTYPE html><title>Log in</title>"))
    with pytest.raises(SourceError, match="the body is a web page, not data: '<!DOCTYPE html>"):
        pieces_of(api.url, attempts=1, format=format)


def test_a_timeout_is_tried_again_and_named(api: Api) -> None:
    done = threading.Event()
    api.replies(Reply([1], after=done))
    with pytest.raises(
        SourceError, match=r"failed 2 times, .*: no answer within 0.05 s; .*timeout"
    ):
        pieces_of(api.url, attempts=2, timeout=0.05)
    done.set()
    assert len(api.asked) == 2


def test_a_host_that_does_not_listen_is_tried_again_and_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a"
        waits: list[float] = []
        with pytest.raises(SourceError, match=rf"{url} failed 3 times, .*refused.*; try again"):
            pieces_of(url, attempts=3, waits=waits)
    assert len(waits) == 2


# Refusals


@pytest.mark.parametrize(
    ("status", "phrase", "advice"),
    [
        (400, "Bad Request", "correct 'params'"),
        (401, "Unauthorized", "check 'credentials'"),
        (403, "Forbidden", "check 'credentials'"),
        (404, "Not Found", "correct 'url'"),
        (418, "I'm a Teapot", "check 'url', 'params' and 'headers'"),
        (499, "", "check 'url', 'params' and 'headers'"),
        (304, "Not Modified", "check 'url', 'params' and 'headers'"),
    ],
)
def test_a_refusal_fails_at_once_and_says_what_to_do(
    api: Api, status: int, phrase: str, advice: str
) -> None:
    shown = ", with no body" if status == 304 else ": 'no such thing'"
    api.replies(Reply("" if status == 304 else "no such\n thing", status))
    with pytest.raises(SourceError) as caught:
        pieces_of(f"{api.url}/a?b=1")
    answered = f"answered {status} {phrase}".rstrip()
    assert str(caught.value) == f"source 'load': {api.url}/a?b=1 {answered}{shown}; {advice}" + (
        ", or the dates that 'window' puts in" if status == 400 else ""
    )
    assert len(api.asked) == 1


def test_a_long_refusal_is_shortened(api: Api) -> None:
    api.replies(Reply("x" * 9999, 400))
    with pytest.raises(SourceError, match=r": 'x{200}\.\.\.';"):
        pieces_of(api.url)


def test_a_circle_of_redirects_is_an_error(api: Api) -> None:
    api.replies(Reply(status=302, headers={"Location": "/again"}))
    with pytest.raises(SourceError, match="redirects more than 10 times; correct 'url'"):
        pieces_of(api.url)


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/a", "http://"])
def test_a_redirect_to_nowhere_is_an_error(api: Api, location: str) -> None:
    api.replies(Reply(status=302, headers={"Location": location}))
    with pytest.raises(SourceError, match="source 'load': "):
        pieces_of(api.url, attempts=2)


@pytest.mark.parametrize("url", ["http://", "http://a:b:c/", "https://[::1/"])
def test_a_url_that_is_none_is_an_error(url: str) -> None:
    with pytest.raises(SourceError, match=r"source 'load': 'url' (names no host|is no URL)"):
        pieces_of(url)


def test_the_librarys_own_log_of_urls_is_off(api: Api) -> None:
    logging.getLogger("httpx").setLevel(logging.DEBUG)
    pieces_of(api.url)
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
    assert not logging.getLogger("httpcore.http11").isEnabledFor(logging.DEBUG)
