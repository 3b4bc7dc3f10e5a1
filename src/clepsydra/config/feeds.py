"""Where a source's rows come from: how files are written, and what APIs and databases are asked."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field, field_validator, model_validator

from clepsydra.config.base import Strict

__all__ = ["FileFormat", "HttpConfig", "Pagination", "RequestWindow", "SqlConfig"]


class FileFormat(Strict):
    """How a file, or the body of an HTTP response, is written."""

    format: Literal["csv", "json", "jsonl", "excel", "parquet"] | None = Field(
        None, description="told by the file's name if not given; JSON for an API"
    )
    separator: str | None = Field(
        None, min_length=1, max_length=1, description="a comma; a tab in .tsv files"
    )
    encoding: str = "utf-8"
    skip_lines: int = Field(0, ge=0, description="lines before the header")
    ignore_lines: list[str] = Field(
        default_factory=list,
        description="lines that begin so are no rows: comments, footers. They are counted",
    )
    records: str | None = Field(
        None, description="where the records are in a JSON document, e.g. data.results"
    )
    sheet: str | int = Field(0, description="of an Excel file: its name, or its number from 0")

    @field_validator("separator")
    @classmethod
    def _is_one_byte(cls, value: str | None) -> str | None:
        if value is not None and (not value.isascii() or value in '"\r\n'):
            raise ValueError(f"{value!r} cannot separate cells: write e.g. ';' or \"\\t\"")
        return value


class RequestWindow(Strict):
    """The days that an API is asked for; `{start}`, `{end}`, `{after}` stand for them in the URL.

    A run asks from the newest day it has, less `look_back`, up to the day before `as_of`.
    """

    since: dt.date = Field(description="the first day of all")
    look_back: int = Field(7, ge=0, description="days asked for again, because values are revised")
    ahead: int = Field(0, ge=0, description="days from `as_of` on, of what is known in advance")
    timezone: str | None = Field(
        None, description="whose days the API means; the source's `timezone` if not given"
    )
    max_days: int = Field(31, ge=1, description="days of one request; more make several")
    date_format: str = Field("%Y-%m-%d", description="strftime format of the days in the URL")


class Pagination(Strict):
    """How the next page is asked for."""

    style: Literal["page", "offset", "cursor", "link"] = Field(
        description="page: a page number; offset: a record number; cursor: a token from the page "
        "before; link: the URL in the Link header, rel=next, or the one at `cursor`"
    )
    parameter: str | None = Field(None, description="query parameter of the page, offset, cursor")
    size_parameter: str | None = Field(None, description="query parameter of the page's size")
    size: int | None = Field(None, ge=1, description="records of a page")
    first: int | None = Field(None, ge=0, description="first page (1) or offset (0)")
    cursor: str | None = Field(
        None,
        description="where the next cursor, or link, is in a page, e.g. meta.next; data.-1.id is "
        "the id of its last record",
    )
    total: str | None = Field(None, description="where the number of records is, if pages say it")
    max_pages: int = Field(10_000, ge=1, description="more pages than these are an error")

    @model_validator(mode="after")
    def _has_what_the_style_needs(self) -> Pagination:
        if self.style != "link" and not self.parameter:
            raise ValueError(
                f"'style: {self.style}' needs 'parameter', the query parameter it sets"
            )
        if self.style == "cursor" and not self.cursor:
            raise ValueError("'style: cursor' needs 'cursor', where the next one is in a page")
        if self.style == "offset" and not self.size:
            raise ValueError("'style: offset' needs 'size', the records of a page")
        if self.style in ("page", "offset") and self.cursor:
            raise ValueError("'cursor' goes with 'style: cursor' and 'style: link' only")
        if self.size_parameter and not self.size:
            raise ValueError("'size_parameter' needs 'size', the records of a page")
        return self


class HttpConfig(Strict):
    """What an HTTP API is asked, and how patiently."""

    url: str = Field(description="http(s) URL; may contain {start}, {end} and {after}")
    params: dict[str, str | int | float | bool | list[str]] = Field(
        default_factory=dict, description="query parameters; may contain the same"
    )
    headers: dict[str, str] = Field(default_factory=dict)
    window: RequestWindow | None = None
    pagination: Pagination | None = None
    timeout: float = Field(30, gt=0, description="seconds to connect, and between two bytes")
    attempts: int = Field(6, ge=1, description="tries of one request before the run fails")
    longest_wait: float = Field(
        120, gt=0, description="seconds between tries at most, also if Retry-After asks for more"
    )

    @field_validator("url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} is no URL of an API: it starts with http:// or https://")
        return value

    @model_validator(mode="after")
    def _days_have_a_window(self) -> HttpConfig:
        texts = [self.url, *(str(value) for value in self.params.values())]
        uses_days = any(mark in text for text in texts for mark in ("{start}", "{end}", "{after}"))
        if uses_days and self.window is None:
            raise ValueError("{start}, {end} and {after} need 'window', e.g. {since: 2024-01-01}")
        if self.window and not uses_days:
            raise ValueError("'window' has no effect: neither 'url' nor 'params' has {start}")
        return self


class SqlConfig(Strict):
    """Which rows of a database are read."""

    url: str | None = Field(
        None, description="SQLAlchemy URL without a password; with one it belongs in credentials"
    )
    table: str | None = Field(None, description="table or view, e.g. sales or shop.sales")
    query: str | None = Field(None, description="a SELECT, instead of a table")
    watermark: str | None = Field(
        None,
        description="column of numbers or times that grows with every write; only rows from the "
        "last one on are read, and those that have none",
    )
    key: list[str] = Field(
        default_factory=list,
        description="with a watermark: columns that identify a row, e.g. its primary key",
    )
    look_back: int | float | str = Field(
        0, description="how far below the last watermark to read again: a number, or '2D', '6h'"
    )
    batch_rows: int = Field(50_000, ge=1, description="rows fetched at a time")

    @model_validator(mode="after")
    def _one_of_table_and_query(self) -> SqlConfig:
        if (self.table is None) == (self.query is None):
            raise ValueError("name either 'table' or 'query'")
        if self.look_back not in (0, "0") and self.watermark is None:
            raise ValueError("'look_back' needs 'watermark', the column it looks back on")
        return self
