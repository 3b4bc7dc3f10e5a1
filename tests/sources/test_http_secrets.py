"""Secrets reach the API and nothing else: no other host, no label, no error, no log."""

from __future__ import annotations

import base64
import html
import logging
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clepsydra.errors import SourceError
from clepsydra.sources.http import request_pieces
from clepsydra.sources.http_client import Client
from clepsydra.sources.http_secrets import read_secrets
from local_api import Api, Ask, Reply, api_source, pieces_of, running_api

SECRET = "s3cr&t/ $word"
PACKED = base64.b64encode(f"me@example.org:{SECRET}".encode()).decode()
KINDS: dict[str, dict[str, Any]] = {
    "token": {"token": "hunter2hunter2"},
    "basic": {"username": "me@example.org", "password": SECRET},
    "header": {"headers": {"X-Api-Key": SECRET, "Authorization": "Key hunter2hunter2"}},
    "param": {"params": {"key": SECRET, "user": "me@example.org"}},
}
WORDS = [
    SECRET,
    quote(SECRET, safe=""),
    quote(SECRET),
    "s3cr%26t%2F+%24word",
    PACKED,
    "me@example.org",
    "me%40example.org",
    "hunter2hunter2",
]
# Those of them that are of one kind of credentials.
_OF_SECRET, _OF_USER = set(WORDS[:4]), set(WORDS[5:7])
OWN = {
    "token": {"hunter2hunter2"},
    "basic": {PACKED} | _OF_SECRET,
    "header": {"hunter2hunter2"} | _OF_SECRET,
    "param": _OF_SECRET | _OF_USER,
}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Api, Api]]:
    with running_api() as api, running_api() as other:
        yield api, other


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)


@pytest.fixture
def api(servers: tuple[Api, Api]) -> Api:
    servers[0].asked.clear()
    servers[0].replies(Reply([1]))
    return servers[0]


@pytest.fixture
def other(servers: tuple[Api, Api]) -> Api:
    servers[1].asked.clear()
    servers[1].replies(Reply([1]))
    return servers[1]


def shown(text: str) -> list[str]:
    return [word for word in WORDS if word.lower() in text.lower()]


def seen_by(ask: Ask) -> list[str]:
    return shown(f"{ask.target} {ask.query} {ask.headers}")


def echo(ask: Ask) -> str:
    """What a careless server says of a request."""
    key = ask.headers["X-Api-Key"]
    basic = ask.headers["Authorization"]
    return f"no: {ask.target} {ask.query} {key} {basic} {' '.join(WORDS)}"


def test_each_kind_of_credentials_is_sent(api: Api) -> None:
    for credentials in KINDS.values():
        pieces_of(f"{api.url}/a?b=1", credentials, headers={"X-Api-Key": "none"})
    token, basic, header, param = api.asked
    assert token.headers["Authorization"] == "Bearer hunter2hunter2"
    assert basic.headers["Authorization"] == f"Basic {PACKED}"
    assert header.headers.get_all("X-Api-Key") == [SECRET]
    assert header.headers["Authorization"] == "Key hunter2hunter2"
    assert param.query == {"b": "1", "key": SECRET, "user": "me@example.org"}


@pytest.mark.parametrize("credentials", [None, {}])
def test_no_credentials_are_fine(api: Api, credentials: dict[str, Any] | None) -> None:
    pieces_of(api.url, credentials)
    assert api.asked[0].headers["Authorization"] is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [403, 500, 200, 429])
def test_errors_and_logs_have_no_secrets(
    api: Api, kind: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    api.reply = lambda ask: Reply(echo(ask), status, {"X-Echo": PACKED})
    with pytest.raises(SourceError) as caught:
        pieces_of(f"{api.url}/a", KINDS[kind], attempts=3)
    said = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert OWN[kind].isdisjoint(shown(said + caplog.text))
    assert "***" in str(caught.value)
    assert all(record.name.startswith("clepsydra") for record in caplog.records)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_validators_and_the_log_have_no_secrets(
    api: Api, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    api.reply = lambda ask: (
        Reply(status=304) if ask.headers["If-None-Match"] else Reply([1], headers={"ETag": "x"})
    )
    validators: dict[str, dict[str, str]] = {}
    source = api_source(f"{api.url}/a", params={"b": "1"})
    for _ in range(2):
        for piece in request_pieces("load", source, None, KINDS[kind], validators):
            assert piece.label == f"{api.url}/a?b=1"
    assert list(validators) == [f"{api.url}/a?b=1"]
    assert shown(caplog.text) == []


@pytest.mark.parametrize("kind", KINDS)
def test_next_links_are_followed_with_secrets_that_no_label_shows(api: Api, kind: str) -> None:
    echoed = quote(SECRET, safe="")

    def reply(ask: Ask) -> Reply:
        link = f"<{api.url}/a?p=2&key={echoed}&auth={echoed}>; rel=next"
        return Reply([ask.target], headers={} if "p=2" in ask.target else {"Link": link})

    api.reply = reply
    labels = [
        piece.label for piece in pieces_of(api.url, KINDS[kind], pagination={"style": "link"})
    ]
    assert OWN[kind].isdisjoint(shown(" ".join(labels)))
    assert "p=2" in labels[1]
    assert all(set(seen_by(ask)) & OWN[kind] for ask in api.asked)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["port", "name", "link"])
def test_another_host_gets_no_secrets(api: Api, other: Api, kind: str, way: str) -> None:
    host = f"http://localhost:{api.port}" if way == "name" else other.url
    target = f"{host}/b?x=1&key={quote(SECRET, safe='')}&sign=abc"

    def reply(ask: Ask) -> Reply:
        if ask.path == "/b":
            return Reply([2])
        if way == "link":
            return Reply([1], headers={"Link": f"<{target}>; rel=next"})
        return Reply(status=307, headers={"Location": target})

    api.reply = other.reply = reply
    rules = {"style": "link"} if way == "link" else None
    pieces = pieces_of(
        f"{api.url}/a", KINDS[kind], pagination=rules, headers={"X-Mine": "1", "Accept": "*/*"}
    )
    asked = api.asked[-1] if way == "name" else other.asked[-1]
    assert asked.path == "/b"
    assert OWN[kind].isdisjoint(seen_by(asked))
    assert "Authorization" not in asked.headers
    assert "X-Api-Key" not in asked.headers
    assert "X-Mine" not in asked.headers
    assert asked.headers["User-Agent"].startswith("clepsydra/")
    assert asked.query["sign"] == "abc"
    assert OWN[kind].isdisjoint(shown(" ".join(piece.label for piece in pieces)))


def test_a_redirect_to_the_same_host_keeps_secrets(api: Api) -> None:
    api.replies(Reply(status=301, headers={"Location": "/b?x=1"}), Reply([1]))
    [piece] = pieces_of(f"{api.url}/a", {**KINDS["token"], **KINDS["param"]})
    assert api.asked[1].query == {"x": "1", "key": SECRET, "user": "me@example.org"}
    assert api.asked[1].headers["Authorization"] == "Bearer hunter2hunter2"
    assert piece.label == f"{api.url}/a"


def test_a_redirect_back_from_another_host_gets_secrets_again(api: Api, other: Api) -> None:
    api.replies(Reply(status=302, headers={"Location": f"{other.url}/b"}), Reply([1]))
    other.replies(Reply(status=302, headers={"Location": f"{api.url}/c"}))
    pieces_of(f"{api.url}/a", KINDS["token"])
    assert [bool(ask.headers["Authorization"]) for ask in [*api.asked, *other.asked]] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("asked", "next_one", "is_told"),
    [
        ("http://api.org/a", "https://api.org/b", True),
        ("https://API.org/a", "https://api.org:443/b", True),
        ("https://api.org/a", "http://api.org/b", False),
        ("https://api.org/a", "https://www.api.org/b", False),
        ("http://api.org:8080/a", "https://api.org/b", False),
    ],
)
def test_only_the_same_host_or_its_encrypted_self_is_told(
    asked: str, next_one: str, is_told: bool
) -> None:
    with Client("load", api_source(asked), read_secrets("load", KINDS["token"]), print) as client:
        request = client._request(httpx.URL(next_one), {})
    assert ("Authorization" in request.headers) == is_told


def test_a_refusal_by_another_host_says_why(api: Api, other: Api) -> None:
    api.replies(Reply(status=302, headers={"Location": f"{other.url}/b"}))
    other.replies(Reply(status=401))
    with pytest.raises(
        SourceError, match=r"check 'credentials'; they were not sent to '127\.0\.0\.1'"
    ):
        pieces_of(f"{api.url}/a", KINDS["token"])


@pytest.mark.parametrize(
    ("credentials", "message"),
    [
        (
            {"tokn": "hunter2hunter2"},
            "unknown key 'tokn' in its credentials; an API takes: ",
        ),
        ({"username": "hunter2hunter2"}, "need 'username' and 'password', or neither"),
        (
            {"token": "hunter2hunter2", "username": "me", "password": ""},
            "'token' and a 'username'",
        ),
        ({"token": ""}, "'token' in its credentials is empty"),
        ({"token": None}, "'token' in its credentials is empty"),
        ({"token": ["hunter2hunter2"]}, "'token' in its credentials is a list, not a text"),
        ({"token": "hunter2hunter2\n"}, "value of the header 'Authorization' has a line break"),
        ({"headers": {"X": "hünter2"}}, "value of the header 'X' has a line break, a space"),
        ({"headers": {"X Y": "hunter2hunter2"}}, "'X Y' is no name of a header"),
        ({"headers": "hunter2hunter2"}, "'headers' in its credentials is no mapping"),
        ({"params": {"key": {"a": "hunter2hunter2"}}}, "'params.key' in its credentials is a dict"),
        ("hunter2hunter2", "its credentials are no mapping"),
    ],
)
def test_credentials_that_cannot_be_sent_are_named_and_not_shown(
    credentials: Any, message: str
) -> None:
    with pytest.raises(SourceError, match=f"source 'load': .*{message}") as caught:
        pieces_of("http://127.0.0.1:1/", credentials)
    assert shown(str(caught.value)) == []


@pytest.mark.parametrize(
    "url", [f"http://me:{quote(SECRET, safe='')}@127.0.0.1/", "http://a:hunter2hunter2@b:c:d/"]
)
def test_a_password_in_the_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(SourceError, match=r"'url' (has a user name|is no URL)") as caught:
        pieces_of(url, None)
    assert shown(str(caught.value)) == []


def test_a_user_without_a_password_is_a_secret() -> None:
    assert read_secrets("load", {"username": "hunter2", "password": ""}).hide("hunter2") == "***"
    secrets = read_secrets("load", {"username": "data", "password": "hunter2"})
    assert secrets.hide("no hunter2 for data") == "no *** for data"


def test_a_password_may_be_empty_and_values_may_be_numbers(api: Api) -> None:
    pieces_of(api.url, {"username": 12345, "password": "", "params": {"a": 7, "b": True}})
    assert api.asked[0].headers["Authorization"] == "Basic " + base64.b64encode(b"12345:").decode()
    assert api.asked[0].query == {"a": "7", "b": "true"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_repr_shows_nothing(kind: str) -> None:
    assert shown(repr(read_secrets("load", KINDS[kind]))) == []


@given(
    secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=20),
    before=st.text(max_size=9),
    after=st.text(max_size=9),
)
@settings(deadline=None, derandomize=True)
def test_a_secret_is_hidden_wherever_it_stands(secret: str, before: str, after: str) -> None:
    secrets = read_secrets("load", {"params": {"key": secret}})
    for form in (
        secret,
        quote(secret),
        quote_plus(secret),
        repr(secret)[1:-1],
        html.escape(secret),
    ):
        hidden = secrets.hide(f"{before}{form}{after}")
        assert form not in hidden.replace("***", "")


def test_a_short_secret_hides_no_parts_of_words() -> None:
    secrets = read_secrets("load", {"params": {"key": "at"}})
    assert secrets.hide("at that path: 'at' =%3Dat&") == "*** that path: '***' =%3D***&"
