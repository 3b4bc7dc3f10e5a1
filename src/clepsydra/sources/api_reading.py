"""What is asked of an API, and what it has said before."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from typing import Any

import polars as pl

from clepsydra.config import SourceConfig
from clepsydra.sources.formats import read_piece
from clepsydra.sources.http import days_to_ask, request_pieces
from clepsydra.sources.readings import Reading

__all__ = ["ApiReading"]


class ApiReading(Reading):
    """The days that an API is asked for, each of them whole."""

    def __init__(
        self,
        name: str,
        source: SourceConfig,
        as_of: dt.date,
        newest: dt.date | None,
        credentials: Any,
        state: dict[str, Any],
    ):
        assert source.http is not None
        self._name = name
        self._source = source
        self._credentials = credentials
        window = source.http.window
        self._days = days_to_ask(window, newest, as_of) if window else None
        self._is_all = True
        # Days that begin at another hour than the source's own come in parts: a day more is asked
        # for on both sides, and only whole days are taken.
        self._is_cut = bool(window and (window.timezone or source.timezone) != source.timezone)
        self._description = hashlib.sha256(source.model_dump_json().encode()).hexdigest()
        if state.get("description") != self._description:
            # What was said to be unchanged may have been read in another way.
            state = {}
        self._validators = {url: dict(known) for url, known in state.get("validators", {}).items()}

    def batches(self) -> Iterator[pl.DataFrame]:
        days = self._days
        if days and self._is_cut:
            days = days[0] - dt.timedelta(days=1), days[1] + dt.timedelta(days=1)
        validators = None if self._is_cut else self._validators
        for piece in request_pieces(self._name, self._source, days, self._credentials, validators):
            yield from read_piece(self._name, self._source, piece)

    def span(self) -> tuple[dt.date, dt.date] | None:
        return self._days if self._is_cut else None

    def took(self, taken: pl.DataFrame, left: pl.DataFrame) -> None:
        # An answer of which rows were left must not be passed over as unchanged by the next run.
        self._is_all = self._is_all and left.is_empty()

    def state(self) -> dict[str, Any]:
        if not self._validators or not self._is_all:
            return {}
        return {"validators": self._validators, "description": self._description}
