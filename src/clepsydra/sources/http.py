"""What an HTTP API answers, window after window and page after page, as pieces to read."""

from __future__ import annotations

import datetime as dt
import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import httpx

from clepsydra.config import HttpConfig, RequestWindow, SourceConfig
from clepsydra.sources.http_bodies import records_in
from clepsydra.sources.http_client import Answer, Client
from clepsydra.sources.http_pages import Pages
from clepsydra.sources.http_secrets import Secrets, read_secrets
from clepsydra.sources.pieces import Piece

__all__ = ["days_to_ask", "request_pieces", "split_days"]

_LOGGER = logging.getLogger(__name__)
_DAY = dt.timedelta(days=1)

Days = tuple[dt.date, dt.date]
# What the APIs of one source said of their answers: URL, header of a conditional request, value.
Validators = dict[str, dict[str, str]]


def days_to_ask(window: RequestWindow, newest: dt.date | None, as_of: dt.date) -> Days:
    """The days that a run asks an API for.

    Days after `as_of` are asked for anew in every run: what is known in advance is revised too.

    Args:
        window: of the source.
        newest: the newest day that is there; `None` if there is none.
        as_of: the day of the run.

    Returns:
        The first and the last day. If the first is after the last, there is nothing to ask for.

    Examples:
        >>> window = RequestWindow(since="2024-01-01", look_back=7)
        >>> as_of = dt.date(2024, 5, 1)
        >>> [str(day) for day in days_to_ask(window, dt.date(2024, 4, 29), as_of)]
        ['2024-04-22', '2024-04-30']
        >>> [str(day) for day in days_to_ask(window, None, as_of)]
        ['2024-01-01', '2024-04-30']
    """
    last = as_of - _DAY + window.ahead * _DAY
    if newest is None:
        return window.since, last
    there = (min(newest, as_of - _DAY) - window.since).days
    return window.since + max(0, there - window.look_back) * _DAY, last


def split_days(days: Days, max_days: int) -> Iterator[Days]:
    """Split days into windows of at most `max_days`.

    Args:
        days: the first and the last.
        max_days: of one window.

    Yields:
        The first and the last day of each window, oldest first.

    Examples:
        >>> days = dt.date(2024, 2, 27), dt.date(2024, 3, 2)
        >>> [(first.day, last.day) for first, last in split_days(days, 3)]
        [(27, 29), (1, 2)]
    """
    first, end = days
    while first <= end:
        last = first + min(max_days - 1, (end - first).days) * _DAY
        yield first, last
        first = last + _DAY


def request_pieces(
    name: str,
    source: SourceConfig,
    days: Days | None = None,
    credentials: Mapping[str, Any] | None = None,
    validators: Validators | None = None,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Piece]:
    """Ask an API for its data, and give each answer as a piece.

    Failures that may pass (no connection, timeouts, bodies cut short, 408, 429, 5xx) are tried
    again with exponential backoff and full jitter, or after what `Retry-After` asks for. Secrets
    are sent to the host of `http.url` only, and are in no label, error or log.

    A page without records, and a window without records, yields nothing. Without pagination, an
    answer that the API says is unchanged (304) yields nothing either.

    Args:
        name: of the source.
        source: its `http` says what is asked.
        days: the first and the last day to ask for; needed if there is an `http.window`.
        credentials: `token`; or `username` and `password`; and `headers` and `params`, mappings
            that are added to those of the source.
        validators: what the API said of earlier answers. It is updated when the piece after is
            asked for, so that an answer which its reader could not use is asked for again.
        sleep: waits for some seconds.

    Yields:
        Pieces labelled with their URL, in the order of days and pages.

    Raises:
        SourceError: the API refuses, gives something else than what is configured, or fails as
            often as `http.attempts` says.
        ValueError: days are needed and not given.
    """
    http = source.http
    if http is None or (http.window and days is None):
        raise ValueError(f"source '{name}' needs 'http', and days for its window")
    secrets = read_secrets(name, credentials)
    client = Client(name, source, secrets, sleep)
    return _ask(name, source, http, days, client, secrets, {} if validators is None else validators)


def _ask(
    name: str,
    source: SourceConfig,
    http: HttpConfig,
    days: Days | None,
    client: Client,
    secrets: Secrets,
    validators: Validators,
) -> Iterator[Piece]:
    urls = list(_urls(http, days))
    with client:
        for url in urls:
            if http.pagination:
                yield from _all_pages(client, Pages(name, source, url, secrets.public))
            else:
                yield from _one_page(source, client, url, secrets, validators)
    if http.pagination:
        return
    # A window moves on: what is not asked for any more need not be remembered.
    for key in set(validators) - {str(secrets.public(url)) for url in urls}:
        del validators[key]


def _all_pages(client: Client, pages: Pages) -> Iterator[Piece]:
    url: httpx.URL | None = pages.first
    while url and (answer := client.get(url, advice=pages.advice)):
        url, has_records = pages.after(answer)
        if has_records:
            yield _piece(answer, pages.first)


def _one_page(
    source: SourceConfig, client: Client, url: httpx.URL, secrets: Secrets, validators: Validators
) -> Iterator[Piece]:
    key = str(secrets.public(url))
    answer = client.get(url, validators.get(key))
    if answer is None:
        _LOGGER.info("%s has not changed since it was last read", secrets.label(url))
        return
    if not _is_quiet(source, answer):
        yield _piece(answer, url)
    said = {
        "If-None-Match": answer.headers.get("ETag"),
        "If-Modified-Since": answer.headers.get("Last-Modified"),
    }
    validators.pop(key, None)
    if any(said.values()):
        validators[key] = {header: value for header, value in said.items() if value}


def _is_quiet(source: SourceConfig, answer: Answer) -> bool:
    """Whether the API says that there is nothing: of some days that is an answer like any other."""
    if answer.status == 204:
        return True
    if source.http is None or source.http.window is None:
        return False
    try:
        records = records_in(source, answer.document, answer.body, answer.ending)
        return next(records, None) is None
    except LookupError:
        return False


def _piece(answer: Answer, url: httpx.URL) -> Piece:
    stem = PurePosixPath(url.path).name.split(".")[0] or "body"
    return Piece(answer.label, stem + answer.ending, partial(io.BytesIO, answer.body))


def _urls(http: HttpConfig, days: Days | None) -> Iterator[httpx.URL]:
    """One URL for every window, without anything of pages."""
    if http.window is None or days is None:
        yield _filled(http, {})
        return
    for first, last in split_days(days, http.window.max_days):
        texts = {"{start}": first, "{end}": last, "{after}": last + _DAY}
        yield _filled(http, {k: day.strftime(http.window.date_format) for k, day in texts.items()})


def _filled(http: HttpConfig, days: Mapping[str, str]) -> httpx.URL:
    def fill(text: str, encode: Callable[[str], str] = str) -> str:
        for mark, day in days.items():
            text = text.replace(mark, encode(day))
        return text

    # In a path, the slashes of a date make folders; in a query, a plus would mean a space.
    path, mark, query = http.url.partition("?")
    url = httpx.URL(fill(path) + mark + fill(query, partial(quote, safe="/:,")))
    params = {
        key: [fill(item) for item in value]
        if isinstance(value, list)
        else (fill(value) if isinstance(value, str) else value)
        for key, value in http.params.items()
    }
    return url.copy_merge_params(params) if params else url
