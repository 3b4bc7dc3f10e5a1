"""Page after page of an API: which URL comes next, and when there is none."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable
from typing import Any

import httpx

from clepsydra.config import Pagination, SourceConfig
from clepsydra.errors import SourceError
from clepsydra.sources.http_bodies import dig, records_in
from clepsydra.sources.http_client import Answer

__all__ = ["Pages", "next_link"]

_LOGGER = logging.getLogger(__name__)

# RFC 8288, section 3: a target, then parameters, which may be quoted.
_PARAMETER = r"\s*;\s*([^\s=;,\"]+)\s*(?:=\s*(\"(?:[^\"\\]|\\.)*\"|[^\s;,\"]*))?"
_LINK = re.compile(rf"<([^>]*)>((?:{_PARAMETER})*)")


class Pages:
    """The pages of one window, in the order in which they are asked for.

    Args:
        name: of the source.
        source: its `http.pagination` says how pages follow each other.
        url: without anything of the page in it.
        public: takes secrets out of a URL.

    Attributes:
        first: URL of the first page.
        advice: what to do if the API refuses the page that is asked for now.
    """

    def __init__(
        self,
        name: str,
        source: SourceConfig,
        url: httpx.URL,
        public: Callable[[httpx.URL], httpx.URL],
    ):
        self._where = f"source '{name}'"
        self._source = source
        self._rules: Pagination = source.http.pagination  # type: ignore[union-attr, assignment]
        self._public = public
        rules = self._rules
        if rules.size_parameter and rules.size:
            url = url.copy_set_param(rules.size_parameter, rules.size)
        self._base = url
        self._parameter = str(rules.parameter)
        self._position = int(rules.style == "page") if rules.first is None else rules.first
        self.first = url
        if rules.style in ("page", "offset"):
            self.first = url.copy_set_param(self._parameter, self._position)
        self.advice = ""
        self._pages = self._received = 0
        self._last_total: int | None = None
        self._pages_seen: set[bytes] = set()
        self._asked: set[str] = {str(public(self.first))}

    def after(self, answer: Answer) -> tuple[httpx.URL | None, bool]:
        """Take a page in, and say what comes after it.

        Returns:
            URL of the next page, `None` if this was the last; and whether this one has records.

        Raises:
            SourceError: the page came before, or so did the next one's URL; its records or their
                total cannot be found; there are more pages than `max_pages`, or fewer records than
                the total.
        """
        self._pages += 1
        records = self._records(answer)
        is_empty = records is not None and not records
        if not is_empty:
            self._check_new(answer, records)
        count = len(records or ())
        self._received += count
        total = self._total(answer)
        follows = None
        if total is None or self._received < total:
            follows = self._next(answer, count, is_empty, total)
            if follows is None and total is not None:
                raise SourceError(
                    f"{self._where}: {answer.label} is the last page, and {self._received} of the "
                    f"{total} records at '{self._rules.total}' have come; correct 'total' or "
                    f"'parameter', or ask for less at once with 'window'"
                )
        if follows is not None and self._pages >= self._rules.max_pages:
            raise SourceError(
                f"{self._where}: there are more pages than 'max_pages', {self._rules.max_pages}, "
                f"after {answer.label}; raise it, or ask for less at once with 'window'"
            )
        if self._rules.style in ("page", "offset"):
            self.advice = "if that is how the API says that there are no more pages, set " + (
                "'total'" if self._rules.size else "'size' or 'total'"
            )
        return follows, not is_empty

    def _next(
        self, answer: Answer, count: int, is_empty: bool, total: int | None
    ) -> httpx.URL | None:
        rules = self._rules
        if rules.style in ("page", "offset"):
            is_short = total is None and rules.size is not None and count < rules.size
            if is_empty or is_short:
                return None
            self._position += 1 if rules.style == "page" else count
            return self._base.copy_set_param(self._parameter, self._position)
        link = answer.headers.get("Link", "")
        target = self._cursor(answer) if rules.cursor else next_link(link)
        if not target:
            return None
        if rules.style == "cursor":
            follows = self._base.copy_set_param(self._parameter, target)
        else:
            follows = self._joined(answer, target)
        key = str(self._public(follows))
        if key in self._asked:
            # Some APIs repeat the last cursor when there is nothing more.
            if is_empty:
                return None
            what = "cursor" if rules.style == "cursor" else "link"
            raise SourceError(
                f"{self._where}: {answer.label} gives a {what} to a page that was asked for "
                f"before: its pages would never end; correct 'pagination'"
            )
        self._asked.add(key)
        return follows

    def _cursor(self, answer: Answer) -> str | None:
        path = str(self._rules.cursor)
        if answer.status == 204:
            return None
        self._check_json(answer, "cursor")
        try:
            value = dig(answer.document, path)
        except LookupError:
            if self._pages == 1:
                _LOGGER.info(
                    "%s: %s has no '%s': it is the only page", self._where, answer.label, path
                )
            return None
        if value is None or value is False or value == "":
            return None
        if isinstance(value, bool | dict | list):
            raise SourceError(
                f"{self._where}: {answer.label} has a {type(value).__name__} at '{path}', where "
                f"a text or a number is to lead to the next page; correct 'cursor'"
            )
        return str(value)

    def _joined(self, answer: Answer, target: str) -> httpx.URL:
        try:
            return answer.url.join(target)
        except httpx.InvalidURL:
            raise SourceError(
                f"{self._where}: {answer.label} links to a next page that is no URL; "
                f"correct 'pagination'"
            ) from None

    def _records(self, answer: Answer) -> list[Any] | None:
        """The records of a page; `None` if they cannot be counted and need not be."""
        if answer.status == 204:
            return []
        try:
            return list(records_in(self._source, answer.document, answer.body, answer.ending))
        except LookupError as error:
            needed = self._rules.style in ("page", "offset") or self._rules.total
            if not needed and not (self._source.records and answer.document is not None):
                return None
            raise SourceError(f"{self._where}: {answer.label} has {error.args[0]}") from None

    def _total(self, answer: Answer) -> int | None:
        path = self._rules.total
        if path is None:
            return None
        if answer.status == 204:
            return self._last_total
        self._check_json(answer, "total")
        try:
            value = dig(answer.document, path)
            self._last_total = int("" if isinstance(value, bool) else value)
            return self._last_total
        except (LookupError, TypeError, ValueError):
            raise SourceError(
                f"{self._where}: {answer.label} has no number at '{path}'; correct 'total'"
            ) from None

    def _check_json(self, answer: Answer, key: str) -> None:
        if answer.ending not in (".json", ".geojson"):
            raise SourceError(
                f"{self._where}: {answer.label} is no JSON, where '{key}' is looked for; "
                f"use another 'style', or take '{key}' out"
            )

    def _check_new(self, answer: Answer, records: list[Any] | None) -> None:
        content = answer.body if records is None else json.dumps(records).encode()
        digest = hashlib.blake2b(content, digest_size=16).digest()
        if digest in self._pages_seen:
            key = "pagination" if self._rules.style == "link" else "parameter"
            raise SourceError(
                f"{self._where}: {answer.label} has the records of a page before it; correct "
                f"'{key}', or set 'total' if the API repeats its last page"
            )
        self._pages_seen.add(digest)


def next_link(header: str) -> str | None:
    """The target of the link with `rel=next` in a `Link` header (RFC 8288).

    Examples:
        >>> next_link('</a?page=1>; rel=prev, </a?page=3>; title="a, b"; rel="next last"')
        '/a?page=3'
        >>> next_link('</a?page=1>; rel="prev"')
    """
    for link in _LINK.finditer(header):
        relations = [
            value.strip('"').lower().split()
            for key, value in re.findall(_PARAMETER, link[2])
            if key.lower() == "rel"
        ]
        if relations and "next" in relations[0]:
            return link[1].strip()
    return None
