"""Page after page: every record once and in order, and an end that is never a guess."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from clepsydra.config import Pagination
from clepsydra.errors import SourceError
from clepsydra.sources.http import request_pieces
from clepsydra.sources.http_pages import next_link
from local_api import Api, Ask, Reply, api_source, running_api

PAGE = {"style": "page", "parameter": "page"}
CURSOR = {"style": "cursor", "parameter": "after", "cursor": "next"}


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with pytest.MonkeyPatch.context() as patch, running_api() as api:
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield api


@pytest.fixture
def api(server: Api) -> Api:
    server.asked.clear()
    return server


def numbers(api: Api, rules: dict[str, Any], **options: Any) -> list[int]:
    """The records of all pages, and that each piece has some."""
    source = api_source(f"{api.url}/load", **{"records": "data", "pagination": rules, **options})
    pages = []
    for piece in request_pieces("load", source, sleep=lambda wait: None):
        with piece.open() as stream:
            pages.append(json.loads(stream.read())["data"])
    assert all(pages)
    return [record["n"] for page in pages for record in page]


def page_of(records: list[int], start: int, size: int, **more: Any) -> dict[str, Any]:
    return {"data": [{"n": n} for n in records[start : start + size]], **more}


def by_page(api: Api, records: list[int], size: int) -> Callable[[Ask], Reply]:
    return lambda ask: Reply(page_of(records, (int(ask.query["page"]) - 1) * size, size))


def by_page_with_total(api: Api, records: list[int], size: int) -> Callable[[Ask], Reply]:
    meta = {"meta": {"total": len(records)}}
    return lambda ask: Reply(page_of(records, (int(ask.query["page"]) - 1) * size, size, **meta))


def by_offset(api: Api, records: list[int], size: int) -> Callable[[Ask], Reply]:
    return lambda ask: Reply(page_of(records, int(ask.query["skip"]), int(ask.query["take"])))


def by_capped_offset(api: Api, records: list[int], size: int) -> Callable[[Ask], Reply]:
    """Gives fewer records than it is asked for, and says how many there are."""
    return lambda ask: Reply(page_of(records, int(ask.query["skip"]), size, total=len(records)))


def by_cursor(api: Api, records: list[int], size: int) -> Callable[[Ask], Reply]:
    def reply(ask: Ask) -> Reply:
        start = int(ask.query.get("after", "at 0&").strip("at &"))
        following = f"at {start + size}&" if start + size < len(records) else None
        return Reply(page_of(records, start, size, meta={"next": following}))

    return reply


def by_last_id(api: Api, records: list[int], size: int) -> Callable[[Ask], Reply]:
    return lambda ask: Reply(page_of(records, int(ask.query.get("after", -1)) + 1, size))


def by_link(api: Api, records: list[int], size: int) -> Callable[[Ask], Reply]:
    def reply(ask: Ask) -> Reply:
        start = int(ask.query.get("from", 0))
        links = [f'<{api.url}/load>; rel="first"']
        if start + size < len(records):
            links.append(f'<?from={start + size};a,b>; title="on, and on"; rel="next"')
        return Reply(page_of(records, start, size), headers={"Link": ", ".join(links)})

    return lambda ask: reply(Ask(ask.target.replace(";a,b", ""), ask.headers))


def by_link_in_page(api: Api, records: list[int], size: int) -> Callable[[Ask], Reply]:
    def reply(ask: Ask) -> Reply:
        start = int(ask.query.get("from", 0))
        more = start + size < len(records)
        links = {"@odata.nextLink": f"{api.url}/load?from={start + size}"} if more else {}
        return Reply(page_of(records, start, size, **links))

    return reply


STYLES: dict[str, tuple[Any, dict[str, Any]]] = {
    "page": (by_page, {"style": "page", "parameter": "page"}),
    "page, total": (
        by_page_with_total,
        {"style": "page", "parameter": "page", "total": "meta.total"},
    ),
    "offset": (by_offset, {"style": "offset", "parameter": "skip", "size_parameter": "take"}),
    "capped offset": (
        by_capped_offset,
        {"style": "offset", "parameter": "skip", "size": 1000, "total": "total"},
    ),
    "cursor": (by_cursor, {"style": "cursor", "parameter": "after", "cursor": "meta.next"}),
    "last id": (by_last_id, {"style": "cursor", "parameter": "after", "cursor": "data.-1.n"}),
    "link": (by_link, {"style": "link"}),
    "link in page": (by_link_in_page, {"style": "link", "cursor": "@odata.nextLink"}),
}
FAILURES = {
    "500": lambda reply: Reply("down", 500),
    "429": lambda reply: Reply("slow down", 429, {"Retry-After": "1"}),
    "cut": lambda reply: Reply(reply.body, headers=reply.headers, cut=2),
}


@pytest.mark.parametrize("style", STYLES)
@given(
    count=st.integers(0, 30),
    size=st.integers(1, 12),
    failures=st.lists(st.sampled_from([None, *FAILURES]), max_size=5),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_every_record_arrives_once_and_in_order(
    server: Api, style: str, count: int, size: int, failures: list[str | None]
) -> None:
    make, rules = STYLES[style]
    answers = make(server, list(range(count)), size)
    waiting = list(failures)

    def reply(ask: Ask) -> Reply:
        failure = waiting.pop(0) if waiting else None
        return FAILURES[failure](answers(ask)) if failure else answers(ask)

    server.reply = reply
    if style == "offset":
        rules = {**rules, "size": size}
    assert numbers(server, rules) == list(range(count))


def test_windows_have_pages_of_their_own(api: Api) -> None:
    records = list(range(5))
    api.reply = lambda ask: Reply(
        page_of([n + 10 * int(ask.query["day"]) for n in records], int(ask.query["skip"]), 2)
    )
    days = dt.date(2024, 5, 1), dt.date(2024, 5, 3)
    source = api_source(
        api.url,
        records="data",
        params={"day": "{start}"},
        window={"since": "2024-01-01", "max_days": 2, "date_format": "%d"},
        pagination={"style": "offset", "parameter": "skip", "size": 2},
    )
    labels = [piece.label for piece in request_pieces("load", source, days)]
    assert labels == [
        f"{api.url}?day={day}&skip={skip}" for day in ("01", "03") for skip in (0, 2, 4)
    ]


def test_a_short_page_is_the_last_and_an_empty_one_too(api: Api) -> None:
    rules = {"style": "page", "parameter": "page", "size": 2, "first": 1}
    api.reply = by_page(api, [0, 1, 2], 2)
    assert numbers(api, rules) == [0, 1, 2]
    assert len(api.asked) == 2
    api.reply = by_page(api, [0, 1, 2, 3], 2)
    assert numbers(api, rules) == [0, 1, 2, 3]
    assert len(api.asked) == 2 + 3


def test_nothing_is_asked_when_the_total_has_come(api: Api) -> None:
    api.reply = by_page_with_total(api, [0, 1, 2, 3], 2)
    assert numbers(api, STYLES["page, total"][1]) == [0, 1, 2, 3]
    assert len(api.asked) == 2


def test_the_first_page_and_the_size_are_asked_for_as_configured(api: Api) -> None:
    api.replies(Reply({"data": []}))
    numbers(
        api, {"style": "page", "parameter": "page", "first": 0, "size": 9, "size_parameter": "n"}
    )
    assert api.asked[0].query == {"page": "0", "n": "9"}


def test_a_status_without_a_body_is_the_end(api: Api) -> None:
    api.replies(Reply({"data": [{"n": 0}]}), Reply(status=204))
    assert numbers(api, PAGE) == [0]


@pytest.mark.parametrize("rules", [CURSOR, {**PAGE, "total": "total"}])
def test_no_body_at_all_is_no_record(api: Api, rules: dict[str, Any]) -> None:
    api.replies(Reply(status=204))
    assert numbers(api, rules) == []


def test_an_empty_page_with_another_cursor_is_not_the_end(api: Api) -> None:
    api.replies(
        Reply({"data": [{"n": 0}], "next": "a"}),
        Reply({"data": [], "next": "b"}),
        Reply({"data": [{"n": 1}], "next": False}),
    )
    assert numbers(api, CURSOR) == [0, 1]


def test_an_empty_page_that_repeats_its_cursor_is_the_end(api: Api) -> None:
    api.replies(Reply({"data": [{"n": 0}], "next": 7}), Reply({"data": [], "next": 7}))
    assert numbers(api, CURSOR) == [0]


@pytest.mark.parametrize(
    ("content_type", "first", "rest"),
    [
        ("text/csv", 'day,mw\n1,"a\n\nb"\n2,b\n', "day,mw\n3,c\n"),
        ("text/tab-separated-values", "# by us\nday\tmw\n1\ta\n2\tb\n", "# by us\nday\tmw\n"),
        ("application/x-ndjson", '{"n": 1}\n{"n": 2}\n', ""),
    ],
)
def test_pages_of_text_are_counted(api: Api, content_type: str, first: str, rest: str) -> None:
    media = {"Content-Type": content_type}
    api.replies(Reply(first, headers=media), Reply(rest, headers=media))
    source = api_source(
        api.url, pagination={"style": "offset", "parameter": "skip", "size": 2}
    ).model_copy(update={"ignore_lines": ["#"]})
    pieces = list(request_pieces("load", source))
    assert [ask.query["skip"] for ask in api.asked] == ["0", "2"]
    assert len(pieces) == (2 if "3,c" in rest else 1)


def looping(*nexts: str) -> Callable[[Ask], Reply]:
    """Pages with records of their own, and these cursors, over and over."""
    count = iter(range(100))
    return lambda ask: Reply({"data": [{"n": (n := next(count))}], "next": nexts[n % len(nexts)]})


def linking(*targets: str) -> Callable[[Ask], Reply]:
    count = iter(range(100))

    def reply(ask: Ask) -> Reply:
        n = next(count)
        link = f"<{targets[n % len(targets)]}>; rel=next"
        return Reply({"data": [{"n": n}]}, headers={"Link": link})

    return reply


@pytest.mark.parametrize(
    ("rules", "reply", "message"),
    [
        (CURSOR, looping("a"), "gives a cursor to a page that was asked for before"),
        (CURSOR, looping("a", "b"), "gives a cursor to a page that was asked for before"),
        ({"style": "link"}, linking("?p=1", "?p=2"), "gives a link to a page that was asked"),
        ({"style": "link"}, linking("http://a:b"), "links to a next page that is no URL"),
        (PAGE, lambda ask: Reply({"data": [1]}), r"page=2 has the records of a page before it"),
        (CURSOR, lambda ask: Reply({"data": [1], "next": {"a": 1}}), "has a dict at 'next', where"),
        (CURSOR, lambda ask: Reply({"data": [1], "next": True}), "has a bool at 'next', where"),
        (PAGE, lambda ask: Reply({"dato": []}), "has nothing at 'data'; correct 'records'"),
        (
            PAGE,
            lambda ask: Reply({"data": {"a": 1}}),
            "has no list at 'data', but a mapping of 'a'",
        ),
        ({"style": "link"}, lambda ask: Reply({"no": 1}), "has nothing at 'data'; correct"),
        (
            {**PAGE, "total": "n"},
            lambda ask: Reply({"data": [1]}),
            "has no number at 'n'; correct 'total'",
        ),
        (
            {**PAGE, "total": "n"},
            lambda ask: Reply({"data": [1] if ask.query["page"] == "1" else [], "n": 5}),
            "page=2 is the last page, and 1 of the 5 records at 'n' have come",
        ),
        (
            {**PAGE, "total": "n"},
            lambda ask: (
                Reply({"data": [1], "n": 5}) if ask.query["page"] == "1" else Reply(status=204)
            ),
            "page=2 is the last page, and 1 of the 5 records at 'n' have come",
        ),
        (
            {**PAGE, "max_pages": 3},
            lambda ask: Reply({"data": [ask.query["page"]]}),
            "there are more pages than 'max_pages', 3, after .*page=3;",
        ),
        (
            PAGE,
            lambda ask: Reply("?", 404) if ask.query["page"] == "2" else Reply({"data": [1]}),
            "404 Not Found: .*; correct 'url'; if that is how the API says that there are no more",
        ),
        (
            CURSOR,
            lambda ask: Reply("a,b", headers={"Content-Type": "text/csv"}),
            "is no JSON, where 'cursor' is looked for",
        ),
        (
            PAGE,
            lambda ask: Reply(b"PAR1", headers={"Content-Type": "application/x-parquet"}),
            "has a .parquet file, whose records are not counted; use",
        ),
        (
            PAGE,
            lambda ask: Reply("a\n" + "x" * 200_000, headers={"Content-Type": "text/csv"}),
            "has rows that cannot be told apart",
        ),
    ],
)
def test_pages_that_cannot_be_followed_are_an_error(
    api: Api, rules: dict[str, Any], reply: Callable[[Ask], Reply], message: str
) -> None:
    api.reply = reply
    source = api_source(f"{api.url}/load", records="data", pagination=rules)
    with pytest.raises(SourceError, match=rf"^source 'load': .*{message}"):
        list(request_pieces("load", source, sleep=lambda wait: None))


def test_exactly_the_most_pages_are_no_error(api: Api) -> None:
    api.reply = by_page(api, [0, 1, 2], 2)
    assert numbers(api, {**PAGE, "size": 2, "max_pages": 2}) == [0, 1, 2]


def test_pages_that_need_no_counting_may_have_records_anywhere(api: Api) -> None:
    api.replies(
        Reply({"hourly": {"mw": [1]}}, headers={"Link": "</load?p=2>; rel=NEXT"}),
        Reply({"hourly": {"mw": [2]}}),
    )
    source = api_source(f"{api.url}/load", pagination={"style": "link"})
    assert len(list(request_pieces("load", source))) == 2


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("", None),
        ("<a>", None),
        ("<a>; rel=prev, <b>; rel=next", "b"),
        ('<a;b,c>; rel="next"', "a;b,c"),
        ('<a>; title="x; rel=next"; rel=prev', None),
        ('<a>; title="say \\"next\\", please"; Rel="last Next"', "a"),
        ("<a>; rel=prev; rel=next", None),
        ("<a> ; crossorigin ; rel = next", "a"),
        ("<a>;rel=nextish", None),
    ],
)
def test_next_link(header: str, target: str | None) -> None:
    assert next_link(header) == target


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({**PAGE, "cursor": "next"}, "goes with 'style: cursor' and 'style: link' only"),
        ({**PAGE, "size_parameter": "n"}, "'size_parameter' needs 'size'"),
    ],
)
def test_rules_that_have_no_effect_are_refused(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Pagination.model_validate(rules)
